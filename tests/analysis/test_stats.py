"""The median's interval: exact coverage, checked against the definition by simulation and by the binomial."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbench.analysis.stats import estimate


def test_no_value_no_estimate_and_one_value_no_interval() -> None:
    assert estimate([]) is None
    assert estimate([math.nan]) is None
    one = estimate([3.0])
    assert one is not None
    assert (one.median, one.coverage, one.half_width_pct) == (3.0, None, None)


@pytest.mark.parametrize(("n", "coverage"), [(2, 0.5), (3, 0.75), (5, 0.9375), (6, 0.96875), (10, 0.978515625)])
def test_coverage_is_that_of_the_binomial(n: int, coverage: float) -> None:
    found = estimate(list(range(n)))
    assert found is not None
    assert found.coverage == coverage


def test_ten_values_give_the_second_smallest_and_largest() -> None:
    found = estimate([9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
    assert found is not None
    assert (found.low, found.median, found.high) == (1, 4.5, 8)


def test_the_stated_coverage_holds_for_skewed_noise() -> None:
    words = random.Random(1)
    true_median = math.log(2)
    hits = 0
    for _ in range(4000):
        found = estimate([words.expovariate(1.0) for _ in range(10)])
        assert found is not None
        hits += found.low <= true_median <= found.high
    assert abs(hits / 4000 - 0.978515625) < 0.01


@given(st.lists(st.floats(0.001, 1e9), min_size=2, max_size=60))
def test_the_median_lies_in_its_interval(values: list[float]) -> None:
    found = estimate(values)
    assert found is not None
    assert min(values) <= found.low <= found.median <= found.high <= max(values)
    assert found.coverage is not None
    assert found.n < 6 or found.coverage >= 0.95
