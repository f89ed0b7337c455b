"""Groups rows faster than pandas, which would create a frame for each of thousands of groups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from devbench.results.columns import Columns, coded_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Device, case, metric, type of operator.
Series = tuple[str, str, str, str]


def series_groups(columns: Columns) -> Iterator[tuple[Series, NDArray[np.intp]]]:
    """Yield each series with the positions of its rows, in order; the type of operator is empty if there is none."""
    names = ("device_key", "case", "metric", "operator_type")
    keys = [coded_of(columns, name) for name in names if name in columns]
    codes: Any = 0
    for key in keys:
        codes = codes * len(key.values) + key.codes
    order = np.argsort(codes, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1) if len(order) else ():
        device, case, metric, *kind = (key.at(rows[0]) for key in keys)
        yield (device, case, metric, kind[0] if kind else ""), rows
