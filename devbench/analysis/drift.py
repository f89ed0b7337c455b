"""Separates slow drift from steps, in one series and in all series of a device. Pure functions; knows no store.

A device that slowly warms up or fills up gives a slope. A method that looks for levels turns a slope into stairs. Two
tests prevent this. The first asks whether a straight line fits the points around a step as well as the step does. The
second asks whether a smooth curve in addition to the steps fits the whole series better; that curve is then subtracted.

If a device ages, fills up or stands in the sun, all its models become slower together. The drift that they share is
less noisy than any single series.
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
# One model is clearly better than another if twice the logarithm of their likelihood ratio is at least this.
_CLEAR = 1.0
# With fewer points on a side, a slope cannot be distinguished from two steps close together.
_MIN_SIDE = 12
# The degree of the smooth curve; a cubic can rise, bend and fall again.
_DEGREE = 3
# Outliers are limited to this many times the noise. 1.4826 · median deviation = standard deviation of normal noise.
_BOUND = 3.0
_MAD = 1.4826


def line_does_as_well(values: Floats, cut: int, noise: float) -> bool:
    """Whether a straight line fits the points around a cut clearly better than two levels do.

    If a step is as small as the noise, it looks much like a slope. The step is dropped only if the line is clearly
    better: a likelihood ratio of e^(_CLEAR / 2).

    Args:
        values: the two stretches next to the cut.
        cut: the index in `values` of the first point of the second stretch.
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
    # Means are used because medians of quantised values are off by up to half a step of the quantisation.
    squares_of_step = sum(float(((side - side.mean()) ** 2).sum()) for side in np.split(bounded, [cut]))
    return squares_of_line < squares_of_step * math.exp(-_CLEAR / len(near))


def drift_under(values: Floats, cuts: Sequence[int], min_noise: float) -> Floats | None:
    """Return the smooth curve under a series, if there is one in addition to the steps; its mean is zero.

    Two kinds of models are compared: the steps alone, and a cubic with some of the steps (the one with the least t is
    left out next). The criterion is the Bayesian information criterion (G. Schwarz, Estimating the Dimension of a
    Model, The Annals of Statistics 6, 1978), in which a step counts as two parameters: its place and its size.

    Args:
        values: the series, without outliers.
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
        # The t of each step, up to a common factor.
        scatter = np.sqrt(np.abs(np.diag(np.linalg.pinv(design.T @ design))))
        clear = np.abs(found) / np.maximum(scatter, np.finfo(np.float64).tiny)
        del left[int(np.argmin(clear[_DEGREE + 1 :]))]


# Drift is smoothed over this many nights on each side of a night, because shorter changes are not drift.
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
    """Return the drift that all series of one device and metric share: a logarithm for each night, with the median
    zero.

    For each night, it is the median over all series of a series' distance from its own median. Steps are events of the
    device, so they are left out of the drift and stay in the series. The rest is smoothed by a running median and a
    running mean.

    Args:
        values: series × nights, above zero; NaN if a series has no value.

    Returns:
        `None` if the drift spans less than 2 %.
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
    """Subtract the largest step from the values, then the next, until none is left."""
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
    """Return `typical` of each point and its neighbours, of which there are fewer at the ends."""
    return np.array(
        [typical(values[max(0, i - _NIGHTS) : i + _NIGHTS + 1]) for i in range(len(values))], dtype=np.float64
    )
