"""Columns of jobs as pandas frames; knows no query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devbench.results.job_columns import Coded, Column, Columns

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

# Of whole numbers, the columns that may have none.
_WHOLE = frozenset({"threads"})


def frame_of(columns: Columns, names: Iterable[str] | None = None) -> pd.DataFrame:
    """A frame with these columns (all where `None`): text as pandas' own, whole numbers with gaps, times in UTC."""
    import pandas as pd

    return pd.DataFrame({name: _series(name, columns[name]) for name in names or columns})


def _series(name: str, column: Column) -> Any:
    import pandas as pd

    if isinstance(column, Coded):
        return pd.array(list(column.values), dtype="Int64" if name in _WHOLE else "str").take(column.codes)
    if column.dtype.kind == "M":
        return pd.DatetimeIndex(column).tz_localize("UTC")
    return column
