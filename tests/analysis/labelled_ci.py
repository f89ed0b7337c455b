"""Long series with known changes as the history of a browser's or an app's CI has them; for tests and benchmarks.

Unlike `labelled`, nothing is recorded: a series of 600 to 900 points is drawn from a generator of random numbers. It has
what such histories have: quantised and bimodal values, noise that grows with the level, slow wander, outliers to one
side, lasting steps of 6 to 9 % near the noise, two steps a few points apart, and one mode that turns into two.
"""

from __future__ import annotations

import numpy as np

from tests.analysis.labelled import Floats, Labelled

CI_KINDS = ("plain", "quantised", "bimodal", "noise by level", "wander")
CI_SCENES = ("none", "few", "many", "pairs", "mode splits", "plateaus")
CI_TRACE = "made"
_LEAST_STRETCH = 25


def make_ci(kind: str, scene: str, rng: np.random.Generator) -> Labelled:
    """One series of a kind in a scene; the same for the same state of `rng`."""
    n = int(rng.integers(600, 901))
    sigma = float(np.exp(rng.uniform(np.log(0.01), np.log(0.08))))
    places, shifts = _steps(scene, n, rng)
    level = np.zeros(n)
    for place, shift in zip(places, shifts, strict=True):
        level[place:] += shift
    noise = _noise(n, sigma, rng)
    if kind == "noise by level":
        # The spread of each stretch is its own, and larger where the level is higher.
        own = np.exp(rng.uniform(-0.5, 0.5, len(places) + 1))
        ends = [0, *places, n]
        noise *= np.repeat(own, np.diff(ends)) * np.exp(4 * (level - level.mean()))
    changes, ratios = list(places), [abs(shift) / sigma for shift in shifts]
    if scene == "mode splits":
        place, apart = int(rng.integers(n // 5, 4 * n // 5)), float(rng.uniform(4, 8)) * sigma
        two = rng.random(n) < rng.uniform(0.35, 0.65)
        split = np.arange(n) >= place if rng.random() < 0.5 else np.arange(n) < place
        # The second mode is above, below, or the two are around the old one.
        noise += split * apart * (two - rng.choice([0.0, 0.5, 1.0]))
        changes, ratios = [place], [apart / 2 / sigma]
    if kind == "bimodal":
        noise += float(rng.uniform(2, 6)) * sigma * (rng.random(n) < rng.uniform(0.1, 0.5))
    if kind == "wander":
        noise += _wander(n, float(rng.uniform(0.2, 0.6)) * sigma, rng)
    values = float(np.exp(rng.uniform(np.log(20), np.log(5000)))) * np.exp(level + noise)
    if kind == "quantised":
        values = np.round(values / (grain := np.median(values) * sigma * rng.uniform(0.5, 3))) * grain
    return Labelled(values, tuple(changes), tuple(ratios), kind, scene, CI_TRACE)


def _steps(scene: str, n: int, rng: np.random.Generator) -> tuple[list[int], list[float]]:
    """Places and logarithmic sizes. Directions are drawn so that the level stays within some steps of where it began."""
    if scene in ("none", "mode splits"):
        return [], []
    if scene == "pairs":
        # Two steps, 4 to 9 points apart, the same way; beside others.
        places = _apart(int(rng.integers(2, 5)), n, rng)
        at = int(rng.integers(len(places)))
        places.insert(at + 1, places[at] + int(rng.integers(4, 10)))
        shifts = _sizes(len(places), rng, 0.06, 0.12)
        shifts[at + 1] = abs(shifts[at + 1]) * np.sign(shifts[at])
        return places, shifts
    if scene == "plateaus":
        # Another level for 15 to 60 points, then the old one.
        places = []
        for start in _apart(int(rng.integers(1, 4)), n, rng, 90):
            places += [start, start + int(rng.integers(15, 60))]
        shifts = []
        for size in _sizes(len(places) // 2, rng, 0.05, 0.25):
            shifts += [size, -size]
        return places, shifts
    count = int(rng.integers(1, 3) if scene == "few" else rng.integers(5, 9))
    return _apart(count, n, rng), _sizes(count, rng, 0.06, 0.09)


def _apart(count: int, n: int, rng: np.random.Generator, least: int = _LEAST_STRETCH) -> list[int]:
    """Places with at least that many points between them and before the ends."""
    free = np.sort(rng.integers(0, n - (count + 1) * least, count))
    return [int(at) + (k + 1) * least for k, at in enumerate(free)]


def _sizes(count: int, rng: np.random.Generator, least: float, most: float) -> list[float]:
    """Logarithms of steps, each the more likely to lead back the further the level is from the first."""
    sizes: list[float] = []
    for size in np.log1p(np.exp(rng.uniform(np.log(least), np.log(most), count))):
        up = 0.5 - sum(sizes) / 0.3
        sizes.append(float(size if rng.random() < up else -size))
    return sizes


def _noise(n: int, sigma: float, rng: np.random.Generator) -> Floats:
    """Normal, skewed or heavy-tailed, with a few outliers, most of them upwards."""
    form = int(rng.integers(3))
    if form == 0:
        noise = rng.normal(0, 1, n)
    elif form == 1:
        noise = (rng.gamma(3.0, 1.0, n) - 3.0) / np.sqrt(3.0)
    else:
        noise = rng.standard_t(4, n) / np.sqrt(2.0)
    far = rng.random(n) < rng.uniform(0, 0.02)
    noise[far] += rng.uniform(4, 12, int(far.sum())) * np.where(rng.random(int(far.sum())) < 0.8, 1, -1)
    return np.asarray(sigma * noise)


def _wander(n: int, size: float, rng: np.random.Generator) -> Floats:
    """A level that moves slowly: first-order autoregression over 15 to 60 points, and one slow wave."""
    keep = float(np.exp(-1 / rng.uniform(15, 60)))
    kicks = rng.normal(0, np.sqrt(1 - keep * keep), n)
    moved = np.empty(n)
    at = float(rng.normal())
    for i in range(n):
        at = keep * at + kicks[i]
        moved[i] = at
    wave = np.sin(rng.uniform(0, 2 * np.pi) + rng.uniform(0.5, 2) * 2 * np.pi * np.arange(n) / n)
    return np.asarray(size * (moved + wave))
