"""Compares outputs with a reference: pure functions over arrays; knows no device and no model file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, field, replace
from typing import TYPE_CHECKING

from devbench.declare import option
from devbench.frozen import dataclass

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_SNR_DB = 20.0
MIN_COSINE = 0.99
# Quantised kernels round differently. The documentation of delegates allows differences of three of 256 steps.
MAX_STEPS_8_BIT = 3

FLOATS = ("float16", "float32", "float64")
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")


@dataclass(frozen=True, slots=True)
class Limit:
    """The largest allowed difference of outputs of one type. A limit that is `None` is not checked.

    Suites have a table of these limits for each type: floats have all except `most_steps`, whole numbers have only
    that.
    """

    least_snr_db: float | None = option(None, text="least SNR in dB", key="least_snr_db")
    least_cosine: float | None = option(
        None, text="least cosine of the angle to the reference, -1 to 1", key="least_cosine", minimum=-1, maximum=1
    )
    most_abs: float | None = option(
        None, text="largest absolute difference, in the output's unit", key="most_abs", minimum=0
    )
    most_rel: float | None = option(
        None, text="the same over the largest absolute value of the reference", key="most_rel", minimum=0
    )
    most_steps: int | None = option(None, text="largest difference in steps", key="most_steps", minimum=0)


def _default_limits() -> dict[str, Limit]:
    floats = Limit(least_snr_db=MIN_SNR_DB, least_cosine=MIN_COSINE)
    limits = dict.fromkeys((*FLOATS, "complex64"), floats)
    limits |= dict.fromkeys(INTEGERS, Limit(most_steps=0))
    return limits | dict.fromkeys(("int8", "uint8"), Limit(most_steps=MAX_STEPS_8_BIT))


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Limits by the type of an output (NumPy's name).

    Outputs of a type without limits must be equal to the reference.
    """

    limits: Mapping[str, Limit] = field(default_factory=_default_limits)

    def of(self, dtype: str) -> Limit:
        """Return the limit for outputs of the type `dtype`; without an entry, outputs must be equal."""
        return self.limits.get(dtype, Limit(most_steps=0))

    def changed(self, dtypes: tuple[str, ...], **figures: float | int) -> Thresholds:
        """Return a copy with other limits for some types; limits that are not named stay the same."""
        # mypy cannot see that the keywords are names of fields.
        new = {dtype: replace(self.of(dtype), **figures) for dtype in dtypes}  # type: ignore[arg-type]
        return Thresholds({**self.limits, **new})


# With these, only the size of an output is checked, and that its values are finite and not all zero.
NO_LIMITS = Thresholds(dict.fromkeys((*FLOATS, "complex64", *INTEGERS, "bool"), Limit()))


@dataclass(frozen=True, slots=True)
class Deviation:
    """The difference of one output from its reference.

    Attributes:
        max_abs: largest absolute difference, in the output's unit.
        max_rel: `max_abs` divided by the largest absolute value of the reference.
        cosine: cosine of the angle between the two as vectors; 1 is the same direction.
        snr_db: 10·log10(Σ reference² / Σ difference²); infinite for equal arrays.
        nan, inf: the number of values that are not finite although the reference's are.
        all_zero: every value is zero, the reference's are not.
        wrong_size: the output has more or fewer bytes than the reference; the other attributes have no meaning then.
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
        """Return the figures as text."""
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


def compare(name: str, found: NDArray[np.generic] | None, reference: NDArray[np.generic]) -> Deviation:
    """Return the difference of `found` from `reference`; `found` is `None` if the output has another size."""
    import numpy as np

    dtype = str(reference.dtype)
    if found is None or found.size != reference.size:
        return Deviation(name, dtype, wrong_size=True)
    if reference.dtype.kind == "c":
        # Real and imaginary parts both count; a cast to a real type would drop the imaginary ones.
        found, reference = (array.ravel().view(np.float32) for array in (found, reference))
    ours, theirs = found.astype(np.float64).ravel(), reference.astype(np.float64).ravel()
    sane = np.isfinite(theirs)
    nan = int(np.count_nonzero(np.isnan(ours) & sane))
    inf = int(np.count_nonzero(np.isinf(ours) & sane))
    zero = bool(ours.size and not ours.any() and theirs.any())
    both = sane & np.isfinite(ours)
    if not both.any():
        return Deviation(name, dtype, nan=nan, inf=inf, all_zero=zero)
    a, b = ours[both], theirs[both]
    with np.errstate(over="ignore"):
        max_abs = float(np.abs(a - b).max())
    # Scaled, since squares of garbage values such as 1e300 would overflow.
    scale = max(float(np.abs(a).max()), float(np.abs(b).max())) or 1.0
    a, b = a / scale, b / scale
    difference = a - b
    noise, signal = float(np.dot(difference, difference)), float(np.dot(b, b))
    length = math.sqrt(float(np.dot(a, a)) * signal)
    largest = float(np.abs(difference).max())
    return Deviation(
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


def violation(error: Deviation, thresholds: Thresholds | None = None) -> str:
    """Return what is wrong with an output, with the limit that it breaks; empty if it is within the limits of its type.

    NaN, Inf, all zero and another size are wrong, whatever the limits.
    """
    if error.wrong_size or error.nan or error.inf or error.all_zero:
        return error.words
    if error.snr_db is None:
        return "nothing to compare"
    limit = (thresholds or Thresholds()).of(error.dtype)
    broken = []
    if limit.least_snr_db is not None and error.snr_db < limit.least_snr_db:
        broken.append(f"SNR of at least {limit.least_snr_db:g} dB")
    # Two zero vectors have no angle between them.
    if limit.least_cosine is not None and error.cosine is not None and error.cosine < limit.least_cosine:
        broken.append(f"cosine of at least {limit.least_cosine:g}, it is {error.cosine:.4g}")
    if limit.most_abs is not None and (error.max_abs is None or error.max_abs > limit.most_abs):
        broken.append(f"difference of at most {limit.most_abs:g}")
    if limit.most_rel is not None and (
        error.max_abs != 0 and (error.max_rel is None or error.max_rel > limit.most_rel)
    ):
        broken.append(f"relative difference of at most {limit.most_rel:g}")
    if limit.most_steps is not None and (error.max_abs is None or error.max_abs > limit.most_steps):
        broken.append(f"at most {limit.most_steps} steps" if limit.most_steps else "must be equal")
    return f"{error.words} (limit: {'; '.join(broken)})" if broken else ""


def limit_to_json(limit: Limit) -> dict[str, float | int]:
    """Return the limits that are checked (not `None`), by name."""
    return {name: value for name, value in asdict(limit).items() if value is not None}
