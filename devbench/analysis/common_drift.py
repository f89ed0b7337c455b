"""Drift that all models of a device share, told from its steps: pure functions over arrays; knows no store.

A device that ages, fills up or stands in the sun makes all its models slower together, which in each of them alone
looks like changes of its own. What they have in common has less noise than any of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# So many nights on each side are looked at: what is shorter is no drift.
_REACH = 7
# Less than this, as a logarithm, is not worth touching the numbers for.
_MIN_RANGE = 0.02
# A step is found between so many nights before and after, and is one where it is larger than this, and than so many
# times what neighbouring nights differ by; what drifts as fast is a step.
_BESIDE = 3
_MIN_STEP = 0.015
_STEP_NOISES = 6.0
_MAX_STEPS = 20
# Of the median deviation, which makes it a standard deviation for normal scatter.
_MAD = 1.4826
# A night with fewer of the series than this share says nothing of the device.
_MIN_SHARE = 0.3


def common_drift(values: Floats) -> Floats | None:
    """The drift under the series of one device and metric, by night, as logarithm with the median zero.

    What the series have in common is the median over them of how far each is from its own median. Steps in it are
    events of the device and stay; what is left is smoothed by a running median and a running mean.

    Args:
        values: series × nights, above zero; NaN where a series has no value.

    Returns:
        `None` where it spans less than 2 %.
    """
    import numpy as np

    logs = np.log(values)
    there = np.isfinite(logs).sum(axis=0) >= max(1.0, _MIN_SHARE * len(logs))
    if there.sum() < 4 * _REACH:
        return None
    known = logs[:, there]
    known = known[np.isfinite(known).any(axis=1)]
    shared = np.nanmedian(known - np.nanmedian(known, axis=1, keepdims=True), axis=0)
    rest = _without_steps(shared)
    smooth = _running(_running(rest, np.median), np.mean)
    if float(smooth.max() - smooth.min()) < math.log1p(_MIN_RANGE):
        return None
    nights = np.arange(values.shape[1])
    return np.asarray(np.interp(nights, nights[there], smooth - np.median(smooth)))


def _without_steps(values: Floats) -> Floats:
    """The largest step is taken back, then the next, until none is left."""
    import numpy as np

    noise = _MAD * float(np.median(np.abs(np.diff(values)))) / math.sqrt(2)
    smallest = max(_MIN_STEP, _STEP_NOISES * noise)
    rest = values.copy()
    for _ in range(_MAX_STEPS):
        near = np.median(np.lib.stride_tricks.sliding_window_view(rest, _BESIDE), axis=1)
        steps = near[_BESIDE:] - near[:-_BESIDE]
        largest = int(np.argmax(np.abs(steps)))
        if abs(steps[largest]) < smallest:
            break
        rest[largest + _BESIDE :] -= steps[largest]
    return rest


def _running(values: Floats, typical: Callable[[Floats], object]) -> Floats:
    """Of each point and those around it; at the ends of those that are there."""
    import numpy as np

    return np.array(
        [typical(values[max(0, i - _REACH) : i + _REACH + 1]) for i in range(len(values))], dtype=np.float64
    )
