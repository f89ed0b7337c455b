"""Groups of rows: the series of columns."""

from __future__ import annotations

import numpy as np

from devbench.findings.grouping import series_groups
from devbench.results.columns import Coded


def test_series_are_groups_of_rows_in_their_order() -> None:
    columns = {
        "device_key": Coded(["y", "x"], np.array([1, 0, 0, 1, 0])),
        "case": Coded(["a", "b", "c"], np.array([0, 2, 1, 0, 2])),
        "metric": Coded(["latency"], np.zeros(5, dtype=np.int64)),
    }
    groups = {("y", "b"): [2], ("y", "c"): [1, 4], ("x", "a"): [0, 3]}
    assert {series: rows.tolist() for series, rows in series_groups(columns)} == {
        (device, case, "latency", ""): rows for (device, case), rows in groups.items()
    }
    columns["operator_type"] = Coded(["ADD", "MUL"], np.array([0, 0, 0, 1, 0]))
    assert {(series[1], series[3]): rows.tolist() for series, rows in series_groups(columns)} == {
        ("b", "ADD"): [2], ("c", "ADD"): [1, 4], ("a", "ADD"): [0], ("a", "MUL"): [3]
    }  # fmt: skip


def test_no_rows_are_no_series() -> None:
    nothing = Coded([], np.array([], dtype=np.int64))
    assert list(series_groups(dict.fromkeys(("device_key", "case", "metric"), nothing))) == []
