"""Student's t distribution for one value at a time, without SciPy, whose import takes as long as a chart to draw."""

from __future__ import annotations

import math

# Of the continued fraction: it has converged at this relative step, long before so many terms.
_EPSILON = 1e-15
_MAX_TERMS = 10_000
_TINY = 1e-300


def tail(t: float, free: float) -> float:
    """The probability that T > t ≥ 0 with `free` > 0 degrees of freedom, which need not be whole: as SciPy's `stdtr`.

    It is ½ I_x(free/2, ½) with x = free / (free + t²) (NIST Digital Library of Mathematical Functions, 8.17).
    """
    # Both are exact where the other is all but 1.
    x = 1 / (1 + t / free * t)
    rest = 1 / (1 + free / t / t) if t else 0.0
    a, b = free / 2, 0.5
    if x < (a + 1) / (a + b + 2):
        return 0.5 * _beta_share(a, b, x, rest)
    return 0.5 * (1 - _beta_share(b, a, rest, x))


def _beta_share(a: float, b: float, x: float, rest: float) -> float:
    """I_x(a, b) with `rest` = 1 − x, for x < (a + 1) / (a + b + 2): the continued fraction of DLMF 8.17.22.

    Evaluated by W. Lentz's method as I. Thompson and A. Barnett changed it (J. Comput. Phys. 64, 1986).
    """
    if x <= 0:
        return 0.0
    logarithm = a * math.log(x) + b * math.log(rest) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    value, above, below = 1.0, 1.0, 0.0
    for term in range(1, _MAX_TERMS):
        m, odd = divmod(term, 2)
        if odd:
            factor = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            factor = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        below = 1 / (1 + factor * below or _TINY)
        above = 1 + factor / above or _TINY
        value *= above * below
        if abs(above * below - 1) < _EPSILON:
            break
    return math.exp(logarithm) / (a * value)
