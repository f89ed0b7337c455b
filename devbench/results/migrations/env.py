"""Run by Alembic: the revisions on the connection that `upgrade` was given; it commits what they did, or nothing."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=False)
context.run_migrations()
