"""Brings an older store to the tables of `schema.py`, with Alembic, in the transaction of the one who asks.

Only an older store loads Alembic: one at the newest revision is told by a single query (`engine.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection


def upgrade(connection: Connection) -> None:
    """Run the revisions that the store behind `connection` lacks; keeps everything that it holds."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    # Alembic's configuration takes a percent sign for the start of a name.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    command.upgrade(config, "head")
