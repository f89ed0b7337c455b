"""Separates slow drift from steps, in one series and in all series of a device. Pure functions; knows no store.

A device that slowly warms up or fills up gives a slope. A method that looks for levels turns a slope into stairs. Two
tests prevent this: near one step, whether a straight line fits as well; over a whole series, whether a smooth curve in
addition to the steps fits better. That curve is then subtracted.

If a device ages, fills up or stands in the sun, all its models become slower together. What they have in common has
less noise than any single series.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from devbench.analysis.cuts import median_of

Floats = NDArray[np.float64]

# A line is fitted to this many points on each side of a step.
_REACH = 30
# Twice the logarithm of the likelihood ratio that counts as clear.
_CLEAR = 1.0
# With fewer points on a side, a slope cannot be distinguished from two steps close together.
_MIN_SIDE = 12
# The degree of the smooth curve: it may rise, bend and turn back.
_DEGREE = 3
# Outliers are limited to this many times the noise. 1.4826 · median deviation = standard deviation of normal noise.
_BOUND = 3.0
_MAD = 1.4826


def line_does_as_well(values: Floats, cut: int, noise: float) -> bool:
    """Whether a straight line is clearly nearer to the points around a cut than two levels are.

    If a step is as small as the noise, it looks much like a slope. The step is dropped only if the line is clearly
    better: a likelihood ratio of e^(_CLEAR / 2).

    Args:
        values: the two stretches next to the cut.
        cut: index in `values` of the first point of the second.
        noise: standard deviation of points around their level.
    """
    first, last = max(0, cut - _REACH), min(len(values), cut + _REACH)
    near, cut = values[first:last], cut - first
    if min(cut, len(near) - cut) < _MIN_SIDE:
        return False
    step = np.repeat([median_of(near[:cut]), median_of(near[cut:])], [cut, len(near) - cut])
    off = near - step
    # On a steep slope, points are further from both levels than the noise; they are not outliers.
    bound = _BOUND * max(noise, _MAD * median_of(np.abs(off)))
    off = np.clip(off, -bound, bound)
    bounded = step + off
    at = np.arange(len(near)) - (len(near) - 1) / 2
    around = bounded - bounded.mean()
    squares_of_line = float(around @ around) - float(at @ around) ** 2 / float(at @ at)
    # Around the means: medians of quantised values are off by up to half a step.
    squares_of_step = sum(float(((side - side.mean()) ** 2).sum()) for side in np.split(bounded, [cut]))
    return squares_of_line < squares_of_step * math.exp(-_CLEAR / len(near))


def drift_under(values: Floats, cuts: Sequence[int], min_noise: float) -> Floats | None:
    """The smooth curve under a series, if it has one in addition to the steps; its mean is zero.

    Steps alone, and a cubic with ever fewer of the steps (the one with the least t is left out next), are compared
    by the Bayesian information criterion (G. Schwarz, Estimating the Dimension of a Model, The Annals of Statistics 6,
    1978), a step counting as two parameters: its place and its size.

    Args:
        values: without outliers.
        cuts: indices of the first points after the steps.
        min_noise: the smallest noise that is assumed for a fit.

    Returns:
        `None` if the steps alone fit as well.
    """
    n = len(values)
    least = n * min_noise**2

    def criterion(squares: float, parameters: int) -> float:
        return n * math.log(max(squares, least)) + parameters * math.log(n)

    parts = np.split(values, list(cuts))
    best = criterion(sum(float(((part - part.mean()) ** 2).sum()) for part in parts), 2 * len(cuts) + 1)
    curve: Floats | None = None
    left = list(cuts)
    at = np.arange(n)
    smooth = np.vander(at / n - 0.5, _DEGREE + 1)
    while True:
        design = np.column_stack([smooth, *(at >= cut for cut in left)])
        found, _, _, _ = np.linalg.lstsq(design, values, rcond=None)
        rest = values - design @ found
        value = criterion(float(rest @ rest), _DEGREE + 1 + 2 * len(left))
        if value < best:
            best = value
            curve = smooth @ found[: _DEGREE + 1]
        if not left:
            return None if curve is None else curve - curve.mean()
        # t up to a factor that all of them share.
        scatter = np.sqrt(np.abs(np.diag(np.linalg.pinv(design.T @ design))))
        clear = np.abs(found) / np.maximum(scatter, np.finfo(np.float64).tiny)
        del left[int(np.argmin(clear[_DEGREE + 1 :]))]


# Drift is smoothed over this many nights on each side of a night: shorter changes are not drift.
_NIGHTS = 7
# Smaller drift, as a logarithm, is not corrected.
_MIN_RANGE = 0.02
# A step is the difference of the medians of this many nights before and after. It counts if it is larger than the
# smallest step, and than this many times the noise between neighbouring nights.
_NEIGHBOURS = 3
_MIN_STEP = 0.015
_STEP_NOISES = 6.0
_MAX_STEPS = 20
# Nights with a smaller share of the series are ignored.
_MIN_SHARE = 0.3


def common_drift(values: Floats) -> Floats | None:
    """The drift that all series of one device and metric share, by night, as a logarithm with the median zero.

    It is the median over the series of the distance of each to its own median. Steps in it are events of the device and
    are not removed from the series. The rest is smoothed by a running median and a running mean.

    Args:
        values: series × nights, above zero; NaN if a series has no value.

    Returns:
        `None` if it spans less than 2 %.
    """
    logs = np.log(values)
    there = np.isfinite(logs).sum(axis=0) >= max(1.0, _MIN_SHARE * len(logs))
    if there.sum() < 4 * _NIGHTS:
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
    """The values without steps: the largest is subtracted, then the next, until none is left."""
    noise = _MAD * float(np.median(np.abs(np.diff(values)))) / math.sqrt(2)
    smallest = max(_MIN_STEP, _STEP_NOISES * noise)
    rest = values.copy()
    for _ in range(_MAX_STEPS):
        near = np.median(np.lib.stride_tricks.sliding_window_view(rest, _NEIGHBOURS), axis=1)
        steps = near[_NEIGHBOURS:] - near[:-_NEIGHBOURS]
        largest = int(np.argmax(np.abs(steps)))
        if abs(steps[largest]) < smallest:
            break
        rest[largest + _NEIGHBOURS :] -= steps[largest]
    return rest


def _running(values: Floats, typical: Callable[[Floats], object]) -> Floats:
    """The typical value of each point and its neighbours; fewer at the ends."""
    return np.array(
        [typical(values[max(0, i - _NIGHTS) : i + _NIGHTS + 1]) for i in range(len(values))], dtype=np.float64
    )
