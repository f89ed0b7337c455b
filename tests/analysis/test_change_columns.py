"""The scores and the peer of the benchmark of change points, held against what can be counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.change_columns import Annotated, annotated_folder, columns, majority
from benchmarks.e_divisive import clearest, e_divisive


def test_f1_counts_the_union_for_precision_and_each_annotator_for_recall() -> None:
    one = Annotated(np.zeros(500), ((100, 200), (102,), ()))
    got = columns([one], [[101, 300]])
    # With the first point: 2 of 3 found points are near a mark; recall is 2/3, 2/2 and 1/1.
    precision, recall = 2 / 3, (2 / 3 + 1 + 1) / 3
    assert got.f1 == pytest.approx(2 * precision * recall / (precision + recall))
    assert got.majority_f1 == pytest.approx(2 * 1 / (2 + 1))
    assert got.false_per_1000 == pytest.approx(1000 / 500)


def test_a_majority_is_at_least_half_of_the_annotators_within_the_margin() -> None:
    assert majority([[100, 200], [102, 260], [300]]) == [101]
    assert majority([[100, 103], [], [], []]) == []
    assert majority([[100], [], [99], []]) == [100]
    assert majority([[], []]) == []


def test_a_folder_of_annotated_series_is_read_in_order_of_names(tmp_path: Path) -> None:
    for name, value in (("b", 2.0), ("a", None)):
        text = json.dumps({"values": [1.0, value], "annotations": {"one": [1], "two": []}})
        (tmp_path / f"{name}.json").write_text(text)
    first, second = annotated_folder(tmp_path)
    assert np.isnan(first.values[1])
    assert second.values[1] == 2.0
    assert second.marks == ((1,), ())


def test_the_energy_statistic_is_the_largest_over_cuts_and_ends() -> None:
    values = np.random.default_rng(1).normal(0, 1, 9) + np.repeat([0.0, 3.0, 0.0], [3, 4, 2])
    best = (-1.0, 0)
    for cut in range(1, 9):
        for end in range(cut + 1, 10):
            x, y = values[:cut], values[cut:end]
            m, k = len(x), len(y)
            across = 2 * np.abs(x[:, None] - y).sum() / (m * k)
            within = [np.abs(one[:, None] - one).sum() / max(len(one) * (len(one) - 1), 1) for one in (x, y)]
            best = max(best, (m * k / (m + k) * (across - sum(within)), cut))
    assert clearest(values) == pytest.approx(best)


def test_e_divisive_finds_a_plateau_and_nothing_in_noise() -> None:
    noise = np.random.default_rng(2).normal(0, 1, 120)
    assert e_divisive(noise) == []
    assert e_divisive(noise + np.repeat([0.0, 4.0, 0.0], 40)) == pytest.approx([40, 80], abs=1)
