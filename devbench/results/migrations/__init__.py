"""Brings an older store to the tables of `schema.py`, with Alembic, in the transaction of the one who asks.

Only an older store loads Alembic: one at the newest revision is told by a single query (`engine.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection


# From here on the sums of jobs are kept; older stores get them at the end.
_WITH_SUMS = "0004"


def upgrade(connection: Connection, found: str) -> None:
    """Run the revisions that the store behind `connection` lacks; keeps everything that it holds.

    Args:
        connection: in a transaction, which holds all of it or nothing.
        found: the revision at which the store is.
    """
    import sqlalchemy as sa
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    # Alembic's configuration takes a percent sign for the start of a name.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    command.upgrade(config, "head")
    if found < _WITH_SUMS:
        from devbench.results import schema
        from devbench.results.totals import total_types, total_up

        job_ids = list(connection.execute(sa.select(schema.jobs.c.id)).scalars())
        total_up(connection, job_ids)
        total_types(connection, job_ids)
