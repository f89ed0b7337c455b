"""What changed in a column of a plain file, in place of the history of a store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from devbench.analysis.changes import ChangePoint, change_points
from devbench.analysis.confirmation import ChangeSettings
from devbench.findings.csv_column import NumberColumn, read_column


@dataclass(frozen=True, slots=True)
class ColumnChanges:
    """The column, and its change points in order."""

    column: NumberColumn
    changes: tuple[ChangePoint, ...]

    def fails(self, what: str) -> bool:
        """Whether there is a change that goes "up" or "down", or "any"."""
        return any(what in ("any", one.direction) for one in self.changes)


def changes_of_column(file: Path, column: str | None, label: str | None, settings: ChangeSettings) -> ColumnChanges:
    """Read a column (`read_column`) and find what changed in it.

    Raises:
        InputError: the file or the column cannot be read.
    """
    read = read_column(file, column, label)
    return ColumnChanges(read, tuple(change_points(read.values, settings)))
