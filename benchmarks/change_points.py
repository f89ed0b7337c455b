"""Change points found and missed, by method: precision, recall and F1 on labelled series made from real noise.

    pip install --no-deps --target PEERS apache-otava ruptures
    PYTHONPATH=PEERS python benchmarks/change_points.py [--each 60] [--tune] [--kinds] [--slow]
    python benchmarks/change_points.py --columns [--each 1] [--folder ANNOTATED] [--skip-e-divisive]
    python benchmarks/change_points.py --speed [--each 4]

The series are those of `tests/analysis/labelled.py`: `--each` of every kind and scene. Constants were chosen on the
traces with even numbers (`--tune`); what is printed without it is from the odd ones, which no constant has seen. A
change is found where a point lies within three of it. Peers that are not installed are left out.

`--columns` prints F1, majority F1 and false points per 1,000 next to those of E-divisive (`benchmarks/e_divisive.py`,
seconds per series), on these series, on long ones as in CI (`tests/analysis/labelled_ci.py`), and on a folder of
annotated series. `--speed` prints the time of a whole series and of a further point.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.change_columns import annotated_folder, ci_series, of_labelled, print_columns, print_speed
from devbench.analysis.changes import ChangeSettings, change_points_of_many
from devbench.analysis.cuts import running_median
from tests.analysis.labelled import KINDS, SCENES, Labelled, make, matched, traces

Floats = NDArray[np.float64]
Method = Callable[[list[Floats]], list[list[int]]]
# Recall by how large a change is beside the noise.
BANDS = ((0.0, 1.0), (1.0, 2.0), (2.0, 4.0), (4.0, 1e9))


def corpus(each: int, tune: bool) -> list[Labelled]:
    """The same series for the same arguments."""
    rng = np.random.default_rng(11 if tune else 12)
    names = sorted(traces())[0 if tune else 1 :: 2]
    return [make(names, kind, scene, rng) for kind in KINDS for scene in SCENES for _ in range(each)]


def one_by_one(find: Callable[[Floats], Sequence[int]], *, clip: bool = False, logs: bool = True) -> Method:
    """A method for single series without gaps; the indices are put back to where the points were."""

    def run(many: list[Floats]) -> list[list[int]]:
        found = []
        for values in many:
            at = np.flatnonzero(np.isfinite(values))
            known = np.log(values[at]) if logs else values[at]
            if clip:
                middle = running_median(known, 5)
                far = known - middle
                limit = 3 * 1.4826 * np.median(np.abs(far))
                known = middle + np.clip(far, -limit, limit)
            found.append([int(at[i]) for i in find(known) if 0 < i < len(at)])
        return found

    return run


def scaled(values: Floats) -> Floats:
    """In noises, as penalties of other libraries expect it."""
    noise = 1.4826 * np.median(np.abs(np.diff(values))) / np.sqrt(2)
    return np.asarray((values - np.median(values)) / max(float(noise), 5e-4))


def ours(**settings: float) -> Method:
    rules = replace(ChangeSettings(), **settings)  # type: ignore[arg-type]
    return lambda many: [[one.index for one in points] for points in change_points_of_many(list(many), rules)]


def methods(slow: bool) -> dict[str, Method]:
    found: dict[str, Method] = {"devbench": ours()}
    for name, values in (
        ("alpha", (0.0001, 0.01, 0.05)),
        ("smallest", (0.0, 0.01, 0.02)),
        ("penalty", (1.5, 2.5, 5.0)),
        ("bound", (2.0, 3.0, 6.0)),
        ("min_points", (2, 5)),
        ("distribution_penalty", (0.25, 0.5)),
        ("wander", (0.0, 0.05, 0.15)),
    ):
        found |= {f"devbench {name}={value}": ours(**{name: value}) for value in values}
    return found | otava(slow) | ruptures(slow)


def otava(slow: bool) -> dict[str, Method]:
    try:
        from otava.analysis import compute_change_points, compute_change_points_orig
    except ImportError:
        return {}

    def divisive(p: float, window: int, least: float) -> Callable[[Floats], list[int]]:
        # A list, since it takes the whole of an array for every window of it.
        return lambda values: [c.index for c in compute_change_points(values.tolist(), window, p, least)[0]]

    found: dict[str, Method] = {}
    for p in (0.01, 0.001, 0.0001, 1e-5, 1e-6):
        found[f"otava p={p}"] = one_by_one(divisive(p, 50, 0.0), logs=False)
        found[f"otava p={p}, least 1 %"] = one_by_one(divisive(p, 50, 0.01), logs=False)
        found[f"otava p={p}, outliers clipped"] = one_by_one(divisive(p, 50, 0.0), clip=True)
    found["otava p=0.001, window 30"] = one_by_one(divisive(0.001, 30, 0.0), logs=False)
    if slow:
        found["otava E-divisive, permutations"] = one_by_one(
            lambda values: [c.index for c in compute_change_points_orig(values, 0.01, seed=1)[0]], logs=False
        )
    return found


def ruptures(slow: bool) -> dict[str, Method]:
    try:
        import ruptures as rpt
    except ImportError:
        return {}

    def kernel(name: str, penalty: float) -> Callable[[Floats], list[int]]:
        def run(values: Floats) -> list[int]:
            on_scale = scaled(values)
            pen = penalty * np.log(len(values)) if name == "linear" else penalty
            return list(rpt.KernelCPD(kernel=name, min_size=3).fit(on_scale).predict(pen=pen))[:-1]

        return run

    def robust(values: Floats) -> list[int]:
        found = rpt.Pelt(model="l1", min_size=3, jump=1).fit(scaled(values)).predict(pen=3 * np.log(len(values)))
        return list(found)[:-1]

    found: dict[str, Method] = {}
    for penalty in (3.0, 6.0, 9.0, 12.0):
        found[f"ruptures l2, penalty {penalty:g} log n"] = one_by_one(kernel("linear", penalty))
        found[f"ruptures l2, penalty {penalty:g} log n, outliers clipped"] = one_by_one(
            kernel("linear", penalty), clip=True
        )
    for penalty in (3.0, 4.5, 6.0, 12.0):
        found[f"ruptures rbf kernel, penalty {penalty:g}"] = one_by_one(kernel("rbf", penalty))
    if slow:
        found["ruptures l1, penalty 3 log n"] = one_by_one(robust)
    return found


@dataclass
class Score:
    true: int = 0
    found: int = 0
    hit: int = 0
    quiet: int = 0
    alarmed: int = 0
    bands: dict[int, list[int]] = field(default_factory=lambda: {k: [0, 0] for k in range(len(BANDS))})

    def add(self, one: Labelled, found: Sequence[int]) -> None:
        hit = matched(found, one.changes)
        self.true += len(one.changes)
        self.found += len(found)
        self.hit += len(hit)
        if not one.changes:
            self.quiet += 1
            self.alarmed += bool(found)
        for place, ratio in zip(one.changes, one.ratios, strict=True):
            band = next(k for k, (low, high) in enumerate(BANDS) if low <= ratio < high)
            self.bands[band][0] += place in hit
            self.bands[band][1] += 1

    @property
    def precision(self) -> float:
        return self.hit / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        return self.hit / self.true if self.true else 1.0

    @property
    def f1(self) -> float:
        return 2 * self.precision * self.recall / max(self.precision + self.recall, 1e-9)

    def row(self) -> str:
        bands = " | ".join(f"{100 * hit / max(n, 1):.0f} %" for hit, n in self.bands.values())
        alarmed = 100 * self.alarmed / max(self.quiet, 1)
        return f"{self.precision:.3f} | {self.recall:.3f} | {self.f1:.3f} | {alarmed:.1f} % | {bands}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--each", type=int, help="Series of each kind and scene: 60, or 1 with --columns, 4 with --speed."
    )
    parser.add_argument("--tune", action="store_true", help="The traces on which constants may be chosen.")
    parser.add_argument("--kinds", action="store_true", help="Also by kind and scene, for the default.")
    parser.add_argument("--slow", action="store_true", help="Also methods that take a tenth of a second a series.")
    parser.add_argument("--only", default="", help="Only methods whose names hold this.")
    parser.add_argument("--columns", action="store_true", help="F1, majority F1 and false points per 1,000.")
    parser.add_argument("--folder", type=Path, help="With --columns: JSON files with values and annotations.")
    parser.add_argument("--skip-e-divisive", action="store_true", help="With --columns: devbench alone.")
    parser.add_argument("--speed", action="store_true", help="Time of a whole series, and of a further point.")
    given = parser.parse_args()
    if given.columns:
        each, peer = given.each or 1, not given.skip_e_divisive
        if given.folder:
            print_columns(str(given.folder), annotated_folder(given.folder), e_divisive_too=peer)
        print_columns("labelled, of recorded noise", of_labelled(corpus(each, False)), e_divisive_too=peer)
        print_columns("labelled, as in CI", of_labelled(ci_series(each, 12)), e_divisive_too=peer)
    if given.speed:
        print_speed(given.each or 4)
    if given.columns or given.speed:
        return
    made = corpus(given.each or 60, given.tune)
    series = [one.values for one in made]
    print(f"{len(made)} series, {sum(len(one.changes) for one in made)} changes")
    bands = " | ".join(f"{low:g}–{high:g}σ" if high < 1e8 else f"over {low:g}σ" for low, high in BANDS)
    print(f"| method | precision | recall | F1 | alarms without change | {bands} | ms a series |")
    print("|---|" + "---:|" * (5 + len(BANDS)))
    for name, method in methods(given.slow).items():
        if given.only not in name:
            continue
        method(series[:5])
        began = time.perf_counter()
        found = method(series)
        took = time.perf_counter() - began
        score = Score()
        for one, points in zip(made, found, strict=True):
            score.add(one, points)
        print(f"| {name} | {score.row()} | {1000 * took / len(made):.2f} |", flush=True)
        if given.kinds and (name == "devbench" or given.only):
            by: dict[str, Score] = {}
            for one, points in zip(made, found, strict=True):
                for part in (one.kind, one.scene):
                    by.setdefault(part, Score()).add(one, points)
            for part, of_part in by.items():
                print(f"| … {part} | {of_part.row()} | |")


if __name__ == "__main__":
    main()
