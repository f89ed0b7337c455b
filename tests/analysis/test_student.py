"""Student's t against SciPy's."""

from __future__ import annotations

import pytest
from scipy.special import stdtr

from devbench.analysis.student import tail


@pytest.mark.parametrize("free", [1.0, 1.5, 2.0, 3.7, 10.0, 41.3, 398.0, 1e4])
def test_the_tail_is_that_of_scipy(free: float) -> None:
    for t in (0.0, 1e-12, 1e-3, 0.1, 0.6745, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 20.0, 35.0, 1e5):
        expected = float(stdtr(free, -t))
        assert tail(t, free) == pytest.approx(expected, rel=1e-10, abs=1e-300), (t, free)


def test_beyond_all_numbers_nothing_is_left() -> None:
    assert tail(1e200, 10.0) == 0.0
    assert tail(float("inf"), 3.0) == 0.0
