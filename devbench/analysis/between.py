"""How far runs lie apart beyond what their repetitions explain: pure functions over numbers; knows no store.

A device is warmer in one night than in another, and all repetitions of that night are. Where a side of a comparison
has several runs, what they have in common is no news of the model, and is added to the error of the difference.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import median

# Fewer degrees of freedom say next to nothing of a scatter.
_LEAST_FREE = 3
# The variance of a median beside that of a mean, for normal noise: π/2.
_OF_MEDIANS = 1.5708


@dataclass(frozen=True, slots=True)
class Between:
    """Squared standard error of a difference of sides that comes from their runs, and its degrees of freedom."""

    error2: float
    free: float


def between_runs(sides: Sequence[Sequence[float]], runs: Sequence[Sequence[Hashable]]) -> Between | None:
    """The error that the scatter of runs adds to the difference of two sides.

    The variance of the medians of runs, without what their repetitions let expect (one-way analysis of variance with
    medians in place of means, so that one slow process makes no night), divided by the number of runs of each side.

    Args:
        sides: values of the baseline and the candidate on the scale of the test.
        runs: of each value the run that measured it.

    Returns:
        `None` where there are too few runs, or each has one value: then the values' own scatter holds that of the runs.
    """
    squares, free, within, within_free, share = 0.0, 0, 0.0, 0, 0.0
    counts = []
    for values, whose in zip(sides, runs, strict=True):
        by_run: dict[Hashable, list[float]] = {}
        for value, run in zip(values, whose, strict=True):
            by_run.setdefault(run, []).append(value)
        groups = list(by_run.values())
        counts.append(len(groups))
        medians = [median(group) for group in groups]
        middle = sum(medians) / len(medians)
        squares += sum((one - middle) ** 2 for one in medians)
        free += len(groups) - 1
        for group, of in zip(groups, medians, strict=True):
            within += sum((value - of) ** 2 for value in group)
            within_free += len(group) - 1
            share += 1 / len(group) if len(group) < 3 else _OF_MEDIANS / len(group)
    if free < _LEAST_FREE or not within_free:
        return None
    expected = within / within_free * share / sum(counts)
    variance = max(0.0, squares / free - expected)
    return Between(variance * sum(1 / count for count in counts), free)
