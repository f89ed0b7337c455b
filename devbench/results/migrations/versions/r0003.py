"""Stores from before these revisions: the number of their schema, 1 to 3, is in the table `meta`.

Version 2 added columns to the repetitions, version 3 the tables of pipelines. All of them may be empty.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from devbench.results.migrations.tables3 import metadata, repetitions

revision = "0003"
down_revision = None

_ADDED = ("latency_p5_us", "latency_p95_us", "delegate_share", "file_cache", "kernel_cache", "conditions_during")


def upgrade() -> None:
    connection = op.get_bind()
    there = {column["name"] for column in sa.inspect(connection).get_columns("repetitions")}
    for name in _ADDED:
        if name not in there:
            op.add_column("repetitions", sa.Column(name, repetitions.c[name].type))
    metadata.create_all(connection)
