"""Groups of rows: by the columns of a frame, sorted, and by coded columns in the order of their values."""

from __future__ import annotations

import numpy as np
import pandas as pd

from devbench.findings.grouping import coded_groups, groups
from devbench.results.columns import Coded


def test_groups_of_a_frame_are_sorted_and_their_rows_are_in_order() -> None:
    frame = pd.DataFrame({"a": ["y", "x", "y", "x", "y"], "b": [1, 2, 1, 1, 2]})
    assert [(key, rows.tolist()) for key, rows in groups(frame, ["a", "b"])] == [
        (("x", 1), [3]), (("x", 2), [1]), (("y", 1), [0, 2]), (("y", 2), [4])
    ]  # fmt: skip
    assert list(groups(frame[:0], ["a"])) == []


def test_groups_of_coded_columns_are_in_the_order_of_the_values_of_the_first() -> None:
    first = Coded(["y", "x"], np.array([1, 0, 0, 1, 0]))
    second = Coded([3, None, 1], np.array([0, 2, 1, 0, 2]))
    assert [(key, rows.tolist()) for key, rows in coded_groups([first, second])] == [
        (("y", None), [2]), (("y", 1), [1, 4]), (("x", 3), [0, 3])
    ]  # fmt: skip
    nothing = Coded([], np.array([], dtype=np.int64))
    assert list(coded_groups([nothing, nothing])) == []
