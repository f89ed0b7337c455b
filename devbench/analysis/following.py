"""Finds changes of growing series, and evaluates a series again only if its newest points differ; knows no store.

The changes of a series are those that `changes.change_points_of_many` found at its last evaluation. A series is
evaluated again, as a whole, if

- the points of the last evaluation are no longer the first points of the series (`Remembered.digest`),
- it has grown by a tenth since then,
- or the newest points differ from those after the last change. The mean and the mean distance from the median are
  compared, for every number of newest points up to 100.

The third condition takes one pass over the newest points. So the cost of a night grows with the number of new points,
not with the length of the history.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devbench.analysis.changes import (
    NO_NUMBER,
    ChangePoint,
    ChangeSettings,
    change_points_of_many,
    noise_of,
    scaled_values,
)

Floats = NDArray[np.float64]

# A series is evaluated again when it has grown by this share.
_GROWTH = 0.1
# The newest points differ if they are off by this many standard errors, and by this factor more than they were at the
# last evaluation.
_DIFFERENT = 2.0
_MORE = 1.0
_NEWEST = 100
# The distance of a single point is limited to this many noises.
_BOUND = 2.5


@dataclass(frozen=True, slots=True)
class Remembered:
    """The state of a series at its last evaluation.

    Attributes:
        points: the number of values it had, gaps included.
        digest: a hash of these values.
        changes: the changes that were found in them.
        middle, noise: the median and the noise of the values after the last change (of their logarithms if `positive`).
        difference: the result of `_difference` for the newest of these values.
    """

    points: int
    digest: str
    changes: tuple[ChangePoint, ...]
    middle: float
    noise: float
    positive: bool
    difference: float

    def plain(self) -> dict[str, Any]:
        """Return JSON-ready values that `remembered` can read."""
        return asdict(self)


def remembered(values: dict[str, Any]) -> Remembered:
    """Create a `Remembered` from the values of `Remembered.plain`.

    Raises:
        TypeError: a key is missing or unknown.
    """
    return Remembered(**{**values, "changes": tuple(ChangePoint(**one) for one in values["changes"])})


@dataclass(frozen=True, slots=True)
class Followed:
    """The result of `follow` for many series.

    Attributes:
        changes: for each series, the changes that its last evaluation found.
        memories: for each series, the state to pass to the next call.
        evaluated: the number of series that were evaluated in this call.
    """

    changes: list[tuple[ChangePoint, ...]]
    memories: list[Remembered]
    evaluated: int


def follow(
    many: Sequence[Floats], memories: Sequence[Remembered | None], settings: ChangeSettings | None = None
) -> Followed:
    """Return the changes of each series; a series whose newest points do not differ is not evaluated again.

    Args:
        many: the values of each series in the order of time; a value that is not finite is a gap.
        memories: for each series, its state from the last call; `None` for a new series.
        settings: must be the same at each call; `None` uses the defaults.
    """
    rules = settings or ChangeSettings()
    again = [
        i
        for i, (values, of) in enumerate(zip(many, memories, strict=True))
        if of is None or _differs(values, of, rules)
    ]
    kept = list(memories)
    found = change_points_of_many([many[i] for i in again], rules)
    for i, changes in zip(again, found, strict=True):
        kept[i] = _remember(many[i], changes, rules)
    known = [one for one in kept if one is not None]
    return Followed([one.changes for one in known], known, len(again))


def _digest(values: Floats) -> str:
    return hashlib.blake2b(np.ascontiguousarray(values).tobytes(), digest_size=16).hexdigest()


def _known(values: Floats) -> Floats:
    return values[np.abs(values) < NO_NUMBER]


def _remember(values: Floats, changes: tuple[ChangePoint, ...], rules: ChangeSettings) -> Remembered:
    stretch = _known(values[changes[-1].index if changes else 0 :])
    positive = bool(len(stretch)) and float(stretch.min()) > 0
    middle, noise, difference = 0.0, 1.0, math.inf
    if len(stretch):
        scale = np.log(stretch) if positive else stretch
        middle = float(np.median(scale))
        noise = noise_of(scaled_values(stretch)) * (1.0 if positive else float(np.median(np.abs(stretch))) or 1.0)
        difference = _difference(scale, middle, noise, rules.min_points)
    return Remembered(len(values), _digest(values), changes, middle, noise, positive, difference)


def _differs(values: Floats, of: Remembered, rules: ChangeSettings) -> bool:
    if len(values) < of.points or _digest(values[: of.points]) != of.digest:
        return True
    new = len(values) - of.points
    if not new:
        return False
    start = of.changes[-1].index if of.changes else 0
    if new > _GROWTH * (of.points - start) or not math.isfinite(of.difference):
        return True
    newest = _known(values[max(start, len(values) - 2 * _NEWEST) :])
    if of.positive:
        if newest.min(initial=1.0) <= 0:
            return True
        newest = np.log(newest)
    difference = _difference(newest, of.middle, of.noise, rules.min_points)
    return difference > max(_DIFFERENT, _MORE * of.difference)


def _difference(scale: Floats, middle: float, noise: float, min_points: int) -> float:
    """Return by how many standard errors the newest values differ: the largest result over all numbers of newest
    values.

    The result is infinite if there are too few values.
    """
    off = np.clip((scale[-_NEWEST:][::-1] - middle) / noise, -_BOUND, _BOUND)
    if len(off) < 2 * min_points:
        return math.inf
    counts = np.sqrt(np.arange(1, len(off) + 1))
    size = np.abs(off)
    level = np.abs(np.cumsum(off)) / counts
    spread = np.abs(np.cumsum(size - size.mean())) / counts / max(float(size.std()), 1e-9)
    least = min_points - 1
    return float(max(level[least:].max(), spread[least:-least].max(initial=0.0)))
