"""F1, majority F1 and false points per 1,000 of devbench and of E-divisive on made and annotated series; speed.

Called by `change_points.py --columns` and `--speed`. F1 is that of G. van den Burg and C. Williams, An Evaluation of
Change Point Detection Algorithms, 2020: the precision counts a point that any annotator marked within five points, the
recall is the mean over annotators, the first point is a change in all of them, and series count alike. Majority F1 is
over the points of all series that at least half of the annotators marked; a false point is near no mark at all.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median

import numpy as np
from numpy.typing import NDArray

from benchmarks.e_divisive import e_divisive
from devbench.analysis.changes import change_points
from tests.analysis.labelled import Labelled, matched
from tests.analysis.labelled_ci import CI_KINDS, CI_SCENES, make_ci

Floats = NDArray[np.float64]
MARGIN = 5


@dataclass(frozen=True)
class Annotated:
    """A series and what each annotator marked: the first points after changes."""

    values: Floats
    marks: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Columns:
    f1: float
    majority_f1: float
    false_per_1000: float


def annotated_folder(folder: Path) -> list[Annotated]:
    """The JSON files of a folder, each with `values` and `annotations`: of each annotator a list of indices."""
    found = []
    for path in sorted(folder.glob("*.json")):
        one = json.loads(path.read_text("utf-8"))
        values = np.array([np.nan if value is None else value for value in one["values"]], dtype=np.float64)
        found.append(Annotated(values, tuple(tuple(marks) for marks in one["annotations"].values())))
    return found


def of_labelled(made: Sequence[Labelled]) -> list[Annotated]:
    return [Annotated(one.values, (one.changes,)) for one in made]


def ci_series(each: int, seed: int) -> list[Labelled]:
    """The same series for the same arguments."""
    rng = np.random.default_rng(seed)
    return [make_ci(kind, scene, rng) for kind in CI_KINDS for scene in CI_SCENES for _ in range(each)]


def columns(series: Sequence[Annotated], found: Sequence[Sequence[int]]) -> Columns:
    f1s, said, true, hit, false, points = [], 0, 0, 0, 0, 0
    for one, places in zip(series, found, strict=True):
        every = sorted({mark for marks in one.marks for mark in marks})
        with_start = [0, *places]
        precision = len(matched(with_start, [0, *every], MARGIN)) / len(with_start)
        shares = []
        for marks in one.marks:
            own = sorted({0, *marks})
            shares.append(len(matched(with_start, own, MARGIN)) / len(own))
        recall = fmean(shares)
        f1s.append(2 * precision * recall / (precision + recall))
        agreed = majority(one.marks)
        hit += len(matched(places, agreed, MARGIN))
        false += len(places) - len(matched(places, every, MARGIN))
        said, true, points = said + len(places), true + len(agreed), points + len(one.values)
    return Columns(fmean(f1s), 2 * hit / (said + true) if said + true else 1.0, 1000 * false / points)


def majority(marks: Sequence[Sequence[int]]) -> list[int]:
    """The medians of the groups of marks, up to the margin apart, of at least half of the annotators."""
    every = sorted((mark, who) for who, own in enumerate(marks) for mark in set(own))
    groups: list[list[tuple[int, int]]] = [every[:1]] if every else []
    for before, one in pairwise(every):
        if one[0] - before[0] > MARGIN or one[0] - groups[-1][0][0] > 2 * MARGIN:
            groups.append([])
        groups[-1].append(one)
    agreed = [group for group in groups if 2 * len({who for _, who in group}) >= len(marks)]
    return [round(median(mark for mark, _ in group)) for group in agreed]


def ours(values: Floats) -> list[int]:
    return [one.index for one in change_points(values)]


def without_gaps(values: Floats) -> list[int]:
    at = np.flatnonzero(np.isfinite(values))
    return [int(at[i]) for i in e_divisive(values[at])]


def print_columns(title: str, series: Sequence[Annotated], *, e_divisive_too: bool = True) -> None:
    print(f"\n{title}: {len(series)} series, {sum(len(one.values) for one in series)} points")
    print("| method | F1 | majority F1 | false per 1,000 | ms a series |")
    print("|---|---:|---:|---:|---:|")
    ours(series[0].values)
    methods: dict[str, Callable[[Floats], list[int]]] = {"devbench": ours}
    if e_divisive_too:
        methods["E-divisive, 100 permutations, p < 0.01"] = without_gaps
    for name, method in methods.items():
        began = time.process_time()
        got = columns(series, [method(one.values) for one in series])
        took = 1000 * (time.process_time() - began) / len(series)
        print(f"| {name} | {got.f1:.3f} | {got.majority_f1:.3f} | {got.false_per_1000:.1f} | {took:.1f} |", flush=True)


def print_speed(each: int) -> None:
    """Processor time of a whole evaluation (bar: 20 ms), on series as in CI."""
    made = of_labelled(ci_series(each, 5))
    # What is imported at the first call is not the time of a series.
    ours(made[0].values)
    whole: list[float] = []
    for one in made:
        began = time.process_time()
        ours(one.values)
        whole.append(1000 * (time.process_time() - began))
    points = sum(len(one.values) for one in made) // len(made)
    print(f"\n{len(made)} series of {points} points on average")
    print(f"a whole series: {fmean(whole):.1f} ms on average, {max(whole):.1f} ms at most (bar: 20 ms)")
