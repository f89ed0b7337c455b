"""Groups of rows, quickly: pandas would create a frame for each of thousands of groups. Knows no form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from devbench.results.columns import Coded

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


def groups(frame: pd.DataFrame, keys: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], NDArray[np.intp]]]:
    """The positions of each group's rows, in the order of the frame; the groups are sorted by key."""
    if frame.empty:
        return
    parts = _cut(frame.groupby(list(keys), sort=True, observed=True).ngroup().to_numpy())
    firsts = frame.iloc[[rows[0] for rows in parts]]
    yield from zip(zip(*(firsts[key].tolist() for key in keys), strict=True), parts, strict=True)


def coded_groups(keys: Sequence[Coded]) -> Iterator[tuple[tuple[Any, ...], NDArray[np.intp]]]:
    """As `groups`, by columns of one length; groups are in the order in which the values of the columns were found."""
    codes: Any = 0
    for key in keys:
        codes = codes * len(key.values) + key.codes
    for rows in _cut(codes):
        yield tuple(key.at(rows[0]) for key in keys), rows


def _cut(codes: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """The positions of each number, in the order of the numbers."""
    if not len(codes):
        return []
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
