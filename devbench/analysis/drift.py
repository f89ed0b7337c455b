"""Slow drift told from steps: pure functions over arrays; knows no store.

A device that slowly warms up or fills up gives a slope, of which any method that looks for levels makes stairs. Two
tests tell them apart: near one step, whether a straight line would do as well; over a whole series, whether a smooth
curve beside the steps explains it better, which is then taken off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from devbench.analysis.segments import median_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# A line is drawn through so many points on each side of a step; further off a series may do anything.
_REACH = 30
# Twice the logarithm of the likelihood ratio that counts as clear.
_CLEAR = 1.0
# Fewer points on a side do not tell a slope from two steps soon after each other.
_MIN_SIDE = 12
# Of the smooth curve: it may rise, bend and turn back.
_DEGREE = 3
# Outliers count so many noises at most; the median deviation of normal noise is its standard deviation by 1.4826.
_BOUND = 3.0
_MAD = 1.4826


def line_does_as_well(values: Floats, cut: int, noise: float) -> bool:
    """Whether a straight line is clearly nearer to the points around a cut than two levels are.

    Near noise a step that stays and a slope are much alike there; only a clear advantage, a likelihood ratio of
    e^(_CLEAR / 2), takes a step away.

    Args:
        values: the two stretches beside the cut.
        cut: index in `values` of the first point of the second.
        noise: standard deviation of points around their level.
    """
    import numpy as np

    first, last = max(0, cut - _REACH), min(len(values), cut + _REACH)
    near, cut = values[first:last], cut - first
    if min(cut, len(near) - cut) < _MIN_SIDE:
        return False
    step = np.repeat([median_of(near[:cut]), median_of(near[cut:])], [cut, len(near) - cut])
    off = near - step
    # On a steep slope points are further from any level than the noise, and are no outliers for that.
    bound = _BOUND * max(noise, _MAD * median_of(np.abs(off)))
    off = np.clip(off, -bound, bound)
    bounded = step + off
    at = np.arange(len(near)) - (len(near) - 1) / 2
    around = bounded - bounded.mean()
    squares_of_line = float(around @ around) - float(at @ around) ** 2 / float(at @ at)
    # Around the means: medians of quantised values are off by up to half a grain.
    squares_of_step = sum(float(((side - side.mean()) ** 2).sum()) for side in np.split(bounded, [cut]))
    return squares_of_line < squares_of_step * math.exp(-_CLEAR / len(near))


def drift_under(values: Floats, cuts: Sequence[int], min_noise: float) -> Floats | None:
    """The smooth curve under a series, where it needs one beside the steps; its mean is zero.

    Steps alone, and a cubic with ever fewer of the steps (the one with the least t is left out next), are compared
    by the Bayesian information criterion (G. Schwarz, Estimating the Dimension of a Model, The Annals of Statistics 6,
    1978), a step counting as two parameters: its place and its size.

    Args:
        values: without outliers.
        cuts: indices of the first points after the steps.
        min_noise: a fit is never taken to be nearer than this.

    Returns:
        `None` where the steps explain the series as well without a curve.
    """
    import numpy as np

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
