"""How far outputs are from a reference: pure functions over arrays; knows no device and no model file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST_SNR_DB = 20.0
LEAST_COSINE = 0.99
# Quantised kernels round differently; three of 256 steps are within what delegates document.
MOST_STEPS_8_BIT = 3


@dataclass(frozen=True, slots=True)
class OutputError:
    """One output against its reference.

    Attributes:
        max_abs: largest absolute difference, in the output's unit.
        max_rel: the same over the largest absolute value of the reference.
        cosine: cosine of the angle between the two as vectors; 1 is the same direction.
        snr_db: 10·log10(Σ reference² / Σ difference²); infinite for equal arrays.
        nan, inf: how many values are none where the reference's are finite.
        all_zero: every value is zero, the reference's are not.
        wrong_size: there are more or fewer bytes than the reference has; nothing else is known then.
    """

    name: str
    dtype: str
    max_abs: float | None = None
    max_rel: float | None = None
    cosine: float | None = None
    snr_db: float | None = None
    nan: int = 0
    inf: int = 0
    all_zero: bool = False
    wrong_size: bool = False

    @property
    def words(self) -> str:
        """The figures for a person."""
        if self.wrong_size:
            return "wrong size"
        parts = [f"{self.nan} NaN"] * bool(self.nan) + [f"{self.inf} Inf"] * bool(self.inf)
        if self.all_zero:
            parts.append("all zero")
        if self.max_abs is not None:
            parts.append(f"largest difference {self.max_abs:.3g}")
        if self.snr_db is not None:
            parts.append("equal" if math.isinf(self.snr_db) else f"SNR {self.snr_db:.1f} dB")
        return ", ".join(parts)


def compare(name: str, found: NDArray[np.generic] | None, reference: NDArray[np.generic]) -> OutputError:
    """How far `found` is from `reference`; `None` stands for an array of another size."""
    import numpy as np

    dtype = str(reference.dtype)
    if found is None or found.size != reference.size:
        return OutputError(name, dtype, wrong_size=True)
    ours, theirs = found.astype(np.float64).ravel(), reference.astype(np.float64).ravel()
    sane = np.isfinite(theirs)
    nan = int(np.count_nonzero(np.isnan(ours) & sane))
    inf = int(np.count_nonzero(np.isinf(ours) & sane))
    zero = bool(ours.size and not ours.any() and theirs.any())
    both = sane & np.isfinite(ours)
    if not both.any():
        return OutputError(name, dtype, nan=nan, inf=inf, all_zero=zero)
    a, b = ours[both], theirs[both]
    with np.errstate(over="ignore"):
        max_abs = float(np.abs(a - b).max())
    # Scaled, since squares of garbage such as 1e300 have no number.
    scale = max(float(np.abs(a).max()), float(np.abs(b).max())) or 1.0
    a, b = a / scale, b / scale
    difference = a - b
    noise, signal = float(np.dot(difference, difference)), float(np.dot(b, b))
    length = math.sqrt(float(np.dot(a, a)) * signal)
    largest = float(np.abs(difference).max())
    return OutputError(
        name,
        dtype,
        max_abs=max_abs if math.isfinite(max_abs) else None,
        max_rel=largest / float(np.abs(b).max()) if signal else None,
        cosine=float(np.dot(a, b)) / length if length else None,
        snr_db=math.inf if noise == 0 else 10 * math.log10(signal / noise) if signal else -math.inf,
        nan=nan,
        inf=inf,
        all_zero=zero,
    )


def violation(error: OutputError, least_snr_db: float = LEAST_SNR_DB) -> str:
    """What is wrong with an output, or nothing where it is within the limits of its type.

    Floats: no NaN, no Inf, signal to noise and direction as given. 8-bit integers: at most three steps. Other integers
    and truth values: equal.
    """
    if error.wrong_size or error.nan or error.inf or error.all_zero:
        return error.words
    if error.snr_db is None:
        return "nothing to compare"
    if error.dtype.startswith("float"):
        off = error.cosine is not None and error.cosine < LEAST_COSINE
        return error.words if error.snr_db < least_snr_db or off else ""
    allowed = MOST_STEPS_8_BIT if error.dtype in ("int8", "uint8") else 0
    return error.words if error.max_abs is None or error.max_abs > allowed else ""
