"""Reads one column of numbers from a user's table of limited size; cells without a number are gaps."""

from __future__ import annotations

import io
import math
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from devbench.analysis.changes import ChangePoint, ChangeSettings, change_points
from devbench.errors import InputError, system_errors
from devbench.host.whole_files import other_than_file
from devbench.text import clean

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_BYTES = 64 << 20
MOST_ROWS = 200_000
_MOST_HEAD = 1 << 20
_MOST_LABEL = 100
_MARKS = ",;\t"
_MOST_NAMES_SHOWN = 8
# Words for a missing number. Any other text that is not a number is reported as an error.
_GAPS = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "?", "inf", "-inf", "+inf", "infinity", "-infinity"})


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """A series in the order of the file's rows.

    Attributes:
        name: the column's name, without control characters.
        values: one per row; NaN is a gap.
        labels: the values of another column, one per row; empty if no column was requested.
    """

    name: str
    values: NDArray[np.float64]
    labels: tuple[str, ...]

    @property
    def gaps(self) -> int:
        """Return how many rows have no number."""
        return int(np.count_nonzero(~np.isfinite(self.values)))


def read_column(file: Path, column: str | None, label: str | None = None) -> NumberColumn:
    """Read a column of a CSV file with a header; commas, semicolons or tabs; UTF-8, or UTF-16 with a byte order mark.

    Args:
        file: `-` is standard input.
        column: a name, or, if no column has that name, a number from 1; `None` takes the only one.
        label: another column, whose cells are kept as text.

    Raises:
        InputError: the file cannot be read, is too large or no table, has no such column, or the column holds
            something that is neither a number nor a gap.
    """
    shown = "standard input" if str(file) == "-" else str(file)
    text = _text(file, shown)
    names = _names(text, shown)
    at = _place(names, column, shown)
    label_at = at if label is None else _place(names, label, shown)
    cells = _cells(text, sorted({at, label_at}), shown)
    values = _numbers(cells[at], names[at], shown)
    labels = () if label is None else tuple(clean(cell, _MOST_LABEL) for cell in cells[label_at])
    return NumberColumn(clean(names[at], _MOST_LABEL), values, labels)


def _text(file: Path, shown: str) -> str:
    with system_errors(f"cannot read {shown}", "check the path"):
        if str(file) == "-":
            raw = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            if other := other_than_file(file):
                raise InputError(f"{shown} is {other}", hint="give a CSV, or - for standard input")
            with file.open("rb") as stream:
                raw = stream.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise InputError(f"{shown} is larger than {MOST_BYTES >> 20} MiB", hint="give its last rows only")
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    text = raw.decode(encoding, "replace")
    if "\0" in text:
        raise InputError(f"{shown} is no text", hint="give a CSV; decompress it first")
    if not text.strip():
        raise InputError(f"{shown} is empty", hint="give a CSV with a line of names and a row a night")
    return text.lstrip("\r\n")


def _names(text: str, shown: str) -> list[str]:
    if len(_head(text)) > _MOST_HEAD:
        raise InputError(f"the first line of {shown} is too long", hint="give a CSV with a line of names")
    return [str(name).strip() for name in _read(text, shown, nrows=0).columns]


def _cells(text: str, columns: list[int], shown: str) -> dict[int, list[str]]:
    """Return the requested columns only, all cells as text, so that no types are guessed."""
    # In a table of one column, an empty line is a row without a number; in others, it is not a row.
    frame = _read(
        text, shown, nrows=MOST_ROWS + 1, usecols=columns, skip_blank_lines=any(mark in _head(text) for mark in _MARKS)
    )
    if len(frame) > MOST_ROWS:
        raise InputError(f"{shown} has more than {MOST_ROWS:,} rows", hint="give its last rows only")
    return {place: [str(cell) for cell in frame.iloc[:, i]] for i, place in enumerate(columns)}


def _read(text: str, shown: str, **more: Any) -> Any:
    separator = max(_MARKS, key=_head(text).count)
    try:
        with warnings.catch_warnings():
            # A row may have more cells than there are names; the further cells belong to no column.
            warnings.simplefilter("ignore", pd.errors.ParserWarning)
            return pd.read_csv(
                io.StringIO(text), sep=separator, dtype=str, keep_default_na=False, na_filter=False, index_col=False,
                skipinitialspace=True, **more,
            )  # fmt: skip
    except (ValueError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{shown} is no table: {clean(error, 200)}", hint="give a CSV with a line of names") from error


def _head(text: str) -> str:
    return text[: _MOST_HEAD + 1].split("\n", 1)[0]


def _place(names: list[str], column: str | None, shown: str) -> int:
    """Return the index of the column with this name, else with this name in other capitals, else with this number."""
    if column is None:
        if len(names) == 1:
            return 0
        raise InputError(f"{shown} has {len(names)} columns", hint=f"choose one with --column: {_some(names)}")
    wanted = column.strip()
    if wanted in names:
        return names.index(wanted)
    folded = [name.casefold() for name in names]
    if wanted.casefold() in folded:
        return folded.index(wanted.casefold())
    if wanted.isascii() and wanted.isdigit() and 1 <= int(wanted[:9]) <= len(names):
        return int(wanted[:9]) - 1
    raise InputError(f"{shown} has no column '{clean(column, 60)}'", hint=f"it has {_some(names)}")


def _some(names: list[str]) -> str:
    shown = ", ".join(clean(name, 40) for name in names[:_MOST_NAMES_SHOWN])
    return shown + (f" and {len(names) - _MOST_NAMES_SHOWN} more" if len(names) > _MOST_NAMES_SHOWN else "")


def _numbers(cells: list[str], name: str, shown: str) -> NDArray[np.float64]:
    values = np.full(len(cells), math.nan)
    for row, cell in enumerate(cells):
        text = cell.strip()
        if text.casefold() in _GAPS:
            continue
        try:
            # Python would also accept 1_000 and digits of other scripts; in a table these are not numbers.
            value = float(text) if "_" not in text and text.isascii() and len(text) < 400 else None
        except ValueError:
            value = None
        if value is None:
            raise InputError(
                f"{shown}: {clean(text, 40)!r} in row {row + 1} of column {clean(name, 60)!r} is no number",
                hint="leave the cell empty where there is none; the decimal mark is a point",
            )
        values[row] = value
    return values


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
