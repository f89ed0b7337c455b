"""Series whose changes are known, made from recorded noise between real processes; for tests and benchmarks.

The noise is `tests/data/process_noise.json.gz` (`benchmarks/record_noise.py`): 36 traces of 360 processes, of 12 cases
and 3 metrics. Changes of 1 to 20 % are put into it at known places, and what farms see besides.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NOISE = Path(__file__).parents[1] / "data" / "process_noise.json.gz"
METRICS = ("latency_us", "init_us", "first_us")
KINDS = ("one process", "five processes", "as recorded", "heavy tails", "drift", "two speeds", "gaps")
SCENES = ("none", "outliers", "one", "several", "near an end")
SMALLEST, LARGEST = 0.01, 0.20


@dataclass(frozen=True, slots=True)
class Labelled:
    """A series with its truth.

    Attributes:
        values: microseconds; NaN is a gap.
        changes: index of the first point after each change.
        ratios: of each change its logarithm in standard deviations (from the median deviation) of the noise under it.
        kind, scene, trace: what it was made of.
    """

    values: Floats
    changes: tuple[int, ...]
    ratios: tuple[float, ...]
    kind: str
    scene: str
    trace: str


@cache
def traces() -> dict[str, Floats]:
    """The recorded traces by name, "case metric"."""
    recorded = json.loads(gzip.decompress(NOISE.read_bytes()))
    return {
        f"{case} {metric}": np.asarray(values, dtype=np.float64)
        for case, metrics in recorded.items()
        for metric, values in metrics.items()
    }


def noise_of(values: Floats) -> float:
    """Robust standard deviation of the logarithms."""
    logs = np.log(values)
    return float(1.4826 * np.median(np.abs(logs - np.median(logs))))


def make(names: Sequence[str], kind: str, scene: str, rng: np.random.Generator) -> Labelled:
    """One series of a kind in a scene, from one of the traces named."""
    name = str(rng.choice(list(names)))
    n = int(rng.choice([60, 120, 200]))
    base = _noise(traces()[name], kind, n, rng)
    places = _places(scene, n, rng)
    shifts = np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST), len(places)))
    shifts *= rng.choice([-1, 1], len(places))
    level = np.zeros(n)
    for place, shift in zip(places, shifts, strict=True):
        level[place:] += np.log1p(shift)
    scatter = max(noise_of(base), 1e-4)
    if kind == "drift":
        phase, turns = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 1.0)
        level += rng.uniform(0.01, 0.04) * np.sin(phase + turns * 2 * np.pi * np.arange(n) / n)
    if scene == "outliers":
        far = rng.choice(n, max(1, n // 30), replace=False)
        base[far] *= np.exp(rng.choice([-0.2, 0.3, 0.7], len(far)))
    values = base * np.exp(level)
    if kind == "gaps":
        for _ in range(4):
            start, long = int(rng.integers(0, n)), int(rng.integers(1, n // 12))
            values[start : start + long] = np.nan
    ratios = tuple(float(abs(np.log1p(shift)) / scatter) for shift in shifts)
    return Labelled(values, tuple(places), ratios, kind, scene, name)


def _noise(trace: Floats, kind: str, n: int, rng: np.random.Generator) -> Floats:
    if kind == "as recorded":
        start = int(rng.integers(0, len(trace) - n + 1))
        return trace[start : start + n].copy()
    if kind == "five processes":
        return np.asarray(np.median(rng.choice(trace, (n, 5)), axis=1))
    # Blocks of ten in another order: what the machine did for some seconds stays together, a shift of it does not last.
    blocks = trace.reshape(-1, 10)
    values = np.concatenate([blocks[i] for i in rng.permutation(len(blocks))])[:n]
    if kind == "heavy tails":
        values = values * np.exp(0.01 * np.abs(rng.standard_t(1.5, n)).clip(0, 100))
    if kind == "two speeds":
        values = values * np.where(rng.random(n) < rng.uniform(0.15, 0.5), 1 + rng.uniform(0.03, 0.12), 1.0)
    return values


def _places(scene: str, n: int, rng: np.random.Generator) -> list[int]:
    if scene == "one":
        return [int(rng.integers(15, n - 15))]
    if scene == "near an end":
        from_end = int(rng.integers(4, 11))
        return [from_end if rng.random() < 0.5 else n - from_end]
    if scene == "several":
        while True:
            places = sorted(int(at) for at in rng.integers(10, n - 10, int(rng.integers(2, 5))))
            if all(b - a >= 12 for a, b in pairwise(places)):
                return places
    return []


def matched(found: Sequence[int], true: Sequence[int], tolerance: int = 3) -> list[int]:
    """The true changes that were found: each by one found point at most, the nearest pairs first."""
    near = sorted((abs(a - b), a, b) for a in found for b in true if abs(a - b) <= tolerance)
    used: set[int] = set()
    hit: set[int] = set()
    for _, a, b in near:
        if a not in used and b not in hit:
            used.add(a)
            hit.add(b)
    return sorted(hit)
