"""The sentence under every table of latencies: true of the interval that is shown."""

from __future__ import annotations

import pytest

from devbench.analysis.stats import estimate
from devbench.sections.figures import coverage_note


@pytest.mark.parametrize(
    ("n", "says"),
    [
        (3, "its interval is from the smallest to the largest of 3 processes (75 % coverage)."),
        (5, "its interval is from the smallest to the largest of 5 processes (94 % coverage)."),
        (9, "its interval is bootstrapped from 9 processes (96 % coverage)."),
        (11, "its interval is between two values of 11 processes (99 % coverage)."),
        (12, "its interval is bootstrapped from 12 processes (9"),
    ],
)
def test_the_note_says_what_the_interval_is(n: int, says: str) -> None:
    assert says in coverage_note([estimate([float(value) for value in range(1, n + 1)])])


def test_the_interval_that_is_worth_least_is_named() -> None:
    few, many = estimate([1.0, 2.0, 3.0]), estimate([float(value) for value in range(20)])
    assert "3 processes (75 % coverage)" in coverage_note([many, few, None])


def test_single_processes_have_none() -> None:
    assert coverage_note([estimate([1.0]), None]) == "One process each: no interval."
