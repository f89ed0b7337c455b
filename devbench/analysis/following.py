"""Change points of a series that grows point by point, without evaluating all of it again; knows no store.

A change with enough points after it is settled: later points do not move it, and the series begins anew there. What
follows it is evaluated when the newest points differ from the ones before, and whenever it has grown by a third; in
between a point costs a few sums. The same points give the same changes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from devbench.analysis.changes import NO_NUMBER, ChangePoint, ChangeSettings, change_points, noise_of, scaled_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# So many measured points after a change settle it.
_SETTLED = 30
# The place of a settled change may be off by so many points.
_OFF = 8
# It is evaluated again when the points since the last change have grown by this share.
_GROWTH = 0.3
# The newest points differ if their mean, or their mean distance from the middle, is off by so many standard errors, and
# by this factor more than at the last evaluation.
_DIFFERENT = 3.5
_MORE = 1.25
# Of the newest points up to so many are compared with the ones before; values count up to so many noises.
_NEWEST = 100
_BOUND = 2.5


class Follower:
    """The changes of one series, kept up to date.

    Attributes:
        changes: in order; indices count from the first point of the series, gaps included.
        evaluations: how often what follows the last settled change was evaluated.
    """

    def __init__(self, values: Sequence[float] = (), settings: ChangeSettings | None = None) -> None:
        """Args:
        values: the series so far; what is not finite is a gap.
        """
        self._rules = settings or ChangeSettings()
        self._tail = [float(value) for value in values]
        self._start = 0
        self._settled: tuple[ChangePoint, ...] = ()
        self.changes: tuple[ChangePoint, ...] = ()
        self.evaluations = 0
        self._last = math.inf
        self._newest: list[float] = []
        self._evaluate()

    def add(self, value: float) -> tuple[ChangePoint, ...]:
        """Append a point; returns the changes of the whole series."""
        self._tail.append(float(value))
        if not abs(value) < NO_NUMBER:
            return self.changes
        self._points += 1
        if self._points >= self._next or (self._positive and value <= 0):
            self._evaluate()
        else:
            scaled = math.log(value) if self._positive else value
            far = (scaled - self._middle) / self._noise
            self._newest.append(min(max(far, -_BOUND), _BOUND))
            difference = self._difference()
            self._last = min(self._last, difference)
            if difference > max(_DIFFERENT, _MORE * self._last):
                self._evaluate()
        return self.changes

    def _evaluate(self) -> None:
        """Evaluate what follows the last settled change; settle what can be."""
        import numpy as np

        self.evaluations += 1
        values = np.asarray(self._tail, dtype=np.float64)
        known = np.abs(values) < NO_NUMBER
        found = change_points(values, self._rules)
        if self._settled:
            # One this soon after it says that the place of the settled one was off by a few points.
            found = tuple(one for one in found if one.index >= _OFF)
        indices = [self._start + one.index for one in found]
        moved = [replace(one, index=index) for one, index in zip(found, indices, strict=True)]
        self.changes = (*self._settled, *moved)
        settled = [k for k, one in enumerate(moved) if one.points_after >= _SETTLED]
        if settled:
            first = settled[-1] + 1
            self._settled = (*self._settled, *moved[:first])
            cut = moved[first - 1].index - self._start
            del self._tail[:cut]
            self._start += cut
        last = found[-1].index if found else 0
        self._arm(values[last:][known[last:]])

    def _arm(self, stretch: Floats) -> None:
        """Remember what the points after the last change are like, for comparison with the newest."""
        import numpy as np

        self._points = len(stretch)
        self._next = self._points + max(1, int(_GROWTH * self._points))
        self._positive = bool(len(stretch)) and float(stretch.min()) > 0
        self._middle, self._noise = 0.0, 1.0
        self._newest, self._last = [], math.inf
        if len(stretch):
            scale = np.log(stretch) if self._positive else stretch
            self._middle = float(np.median(scale))
            relative = noise_of(scaled_values(stretch))
            self._noise = relative if self._positive else relative * (float(np.median(np.abs(stretch))) or 1.0)
            far = (scale[-_NEWEST:] - self._middle) / self._noise
            self._newest = np.clip(far, -_BOUND, _BOUND).tolist()
            self._last = self._difference()

    def _difference(self) -> float:
        """How clearly the newest points differ: the largest over how many of them are taken to be the newest."""
        import numpy as np

        del self._newest[:-_NEWEST]
        off = np.asarray(self._newest[::-1])
        if len(off) < 2 * self._rules.min_points:
            return math.inf
        size = np.abs(off)
        counts = np.sqrt(np.arange(1, len(off) + 1))
        level = np.abs(np.cumsum(off)) / counts
        spread = np.abs(np.cumsum(size - size.mean())) / counts / max(float(size.std()), 1e-9)
        least = self._rules.min_points - 1
        return float(max(level[least:].max(), spread[least:-least].max() if len(off) > 2 * least else 0.0))
