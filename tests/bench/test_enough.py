"""When a job has enough repetitions: unreliable ones are made up for, a precision is reached or given up."""

from __future__ import annotations

import random

from devbench.analysis.stats import estimate
from devbench.bench.enough import needs_more
from devbench.bench.plan import Limits

STEADY = [100.0, 100.1, 99.9, 100.2, 99.8, 100.0]


def more(limits: Limits, valid: list[float], done: int | None = None, retried: int = 0) -> bool:
    return needs_more(limits, done=len(valid) if done is None else done, retried=retried, valid_us=valid)


def test_without_a_precision_the_number_asked_for_is_enough() -> None:
    assert not more(Limits(repetitions=3), [1.0, 9.0, 5.0])


def test_unreliable_repetitions_are_made_up_for_up_to_a_limit() -> None:
    limits = Limits(repetitions=3, unreliable_retries=2)
    assert more(limits, [1.0], done=3)
    assert more(limits, [1.0, 1.0], done=4, retried=1)
    assert not more(limits, [1.0], done=5, retried=2)


def test_a_precision_needs_enough_values_for_95_percent() -> None:
    limits = Limits(repetitions=3, precision_pct=2.0)
    assert more(limits, STEADY[:5])
    assert not more(limits, STEADY)
    assert more(limits, [90.0, 100.0, 110.0, 95.0, 105.0, 100.0])


def test_a_precision_that_is_out_of_reach_ends_at_the_limit() -> None:
    limits = Limits(repetitions=3, precision_pct=0.01, most_repetitions=10)
    assert not more(limits, [random.Random(n).random() for n in range(10)])


def test_a_run_that_only_checks_outputs_wants_none() -> None:
    assert not more(Limits(repetitions=0), [])


def test_at_one_percent_a_delegate_that_is_five_percent_slower_is_ranked_right_every_time() -> None:
    """Noise of process averages as seen on a shared machine: 1 % between processes, a slow one in twenty."""
    limits = Limits(repetitions=5, precision_pct=1.0, most_repetitions=40)

    def measure(words: random.Random, true_us: float) -> list[float]:
        values: list[float] = []
        while len(values) < limits.repetitions or more(limits, values):
            slow = 1.08 if words.random() < 0.05 else 1.0
            values.append(true_us * slow * words.gauss(1.0, 0.01))
        return values

    right = overlap = 0
    for seed in range(20):
        words = random.Random(seed)
        fast, slow = estimate(measure(words, 1000.0)), estimate(measure(words, 1050.0))
        twin = estimate(measure(words, 1000.0))
        assert fast is not None
        assert slow is not None
        assert twin is not None
        right += fast.high < slow.low or fast.median < slow.median
        overlap += fast.low <= twin.high and twin.low <= fast.high
    assert right == 20
    assert overlap >= 19
