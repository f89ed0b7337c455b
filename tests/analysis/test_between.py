"""Runs that lie apart, sides with too few values, and drift that the models of a device share."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from devbench.analysis.compare import Pair, compare_all
from devbench.analysis.drift import common_drift
from devbench.analysis.ranks import Between, between_runs, errors_of
from tests.analysis.labelled import traces

RNG = np.random.default_rng


def nights(
    rng: np.random.Generator, runs: int, each: int, between: float, within: float
) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms, and the run of each."""
    levels = rng.normal(0, between, runs)
    values = (levels[:, None] + rng.normal(0, within, (runs, each))).ravel()
    return values, np.repeat(np.arange(runs), each)


def test_the_scatter_of_runs_is_what_was_put_in() -> None:
    rng = RNG(1)
    found = []
    for _ in range(200):
        a, b = (nights(rng, 7, 5, 0.02, 0.01) for _ in range(2))
        one = between_runs([a[0], b[0]], [a[1], b[1] + 100])
        assert one is not None
        assert (one.free, one.share) == (12, pytest.approx(2 / 7))
        found.append(one.variance - one.within)
    assert np.mean(found) == pytest.approx(0.02**2, rel=0.15)


def test_without_any_there_is_next_to_none_and_few_runs_say_nothing() -> None:
    rng = RNG(2)
    values, runs = nights(rng, 20, 5, 0.0, 0.01)
    found = between_runs([values, values], [runs, runs])
    assert found is not None
    assert found.variance == pytest.approx(found.within, rel=0.5)
    assert between_runs([values[:5], values[5:10]], [[0] * 5, [1] * 5]) is None
    assert between_runs([values[::5], values[::5]], [range(20), range(20)]) is None


def test_a_night_within_the_others_is_a_false_regression_as_rarely_as_promised() -> None:
    """Seven nights and one more, all of them alike: with repetitions alone a third of the nights would be news."""
    rng = RNG(3)

    def pair(k: int, *, told: bool) -> Pair:
        a, b = nights(rng, 7, 5, 0.01, 0.005), nights(rng, 1, 5, 0.01, 0.005)
        runs = (a[1].tolist(), (b[1] + 100).tolist()) if told else None
        return Pair(str(k), "latency", np.exp(a[0]).tolist(), np.exp(b[0]).tolist(), runs=runs)

    told, untold = (compare_all([pair(k, told=told) for k in range(500)]) for told in (True, False))
    assert sum(one.verdict == "regressed" for one in told) <= 5
    assert sum(one.verdict == "regressed" for one in untold) >= 50


@pytest.mark.parametrize("sigma", [0.0, 0.003, 0.01])
@pytest.mark.parametrize("cases", [1, 400])
def test_a_week_and_one_more_night_give_no_more_false_alarms_than_asked(sigma: float, cases: int) -> None:
    """On recorded noise, each night of a case on a level of its own; each pair by its own p."""
    rng = RNG(7)
    many = [trace for name, trace in traces().items() if name.endswith("latency_us")]
    pairs = []
    for k in range(400):
        levels = np.exp(rng.normal(0, sigma, (8, 1)))
        values = rng.permutation(many[k % len(many)])[:40].reshape(8, 5) * levels
        runs = (np.repeat(np.arange(7), 5).tolist(), [7] * 5)
        pairs.append(Pair(str(k), "latency", values[:7].ravel().tolist(), values[7].tolist(), runs=runs))
    found = [one for k in range(0, 400, cases) for one in compare_all(pairs[k : k + cases])]
    assert np.mean([one.p is not None and one.p <= 0.05 for one in found]) <= 0.065
    if cases > 1:
        assert sum(one.verdict in ("regressed", "improved") for one in found) <= 4


def test_a_few_nights_that_agree_by_chance_are_judged_by_what_nights_typically_are() -> None:
    rng = RNG(8)
    alike = [nights(rng, 7, 5, 0.01, 0.002) for _ in range(30)]
    runs = alike[0][1]
    values = [of for of, _ in alike]
    values[0] = nights(rng, 7, 5, 0.0, 0.002)[0]
    new = (0.012 + rng.normal(0, 0.002, 5)).tolist()
    pairs = [
        Pair(str(k), "latency", np.exp(of).tolist(), np.exp(new).tolist(), runs=(runs.tolist(), [99] * 5))
        for k, of in enumerate(values)
    ]
    alone, among = compare_all(pairs[:1])[0], compare_all(pairs)[0]
    assert alone.p is not None
    assert among.p is not None
    assert alone.p < 0.01 < 0.1 < among.p


def test_of_medians_a_single_one_is_lent_the_scatter_of_the_others() -> None:
    values = (10 * np.exp(RNG(4).normal(0, 0.005, 12))).tolist()
    assert compare_all([Pair("", "latency", values, [11.0], medians=True)])[0].verdict == "regressed"
    assert compare_all([Pair("", "latency", values, [10.05], medians=True)])[0].verdict != "regressed"
    assert compare_all([Pair("", "latency", values, [11.0])])[0].p is None


def test_a_scatter_that_is_known_judges_a_single_value() -> None:
    def verdict(before: float, after: float) -> str:
        return compare_all([Pair("", "peak_memory", [before], [after])])[0].verdict

    assert [verdict(100, 110), verdict(110, 100), verdict(100, 103)] == ["regressed", "improved", "undecided"]


def shared(drift: np.ndarray, sigma: float = 0.02, series: int = 20, seed: int = 5) -> np.ndarray:
    rng = RNG(seed)
    levels = np.exp(rng.uniform(0, 5, series))[:, None]
    values = levels * np.exp(drift + rng.normal(0, sigma, (series, len(drift))))
    values[rng.random(values.shape) < 0.05] = np.nan
    return values


def test_shared_drift_is_found_beside_an_update_and_models_that_change() -> None:
    at = np.arange(120)
    ramp = 0.08 * np.clip((at - 20) / 60, 0, 1)
    values = shared(ramp + 0.1 * (at >= 90))
    values[3, 50:] *= 1.2
    values[:, 70] *= 1.5
    found = common_drift(values)
    assert found is not None
    assert np.abs((found - found[0]) - ramp).max() < 0.015


def test_what_is_no_drift_is_left_alone() -> None:
    at = np.arange(120)
    assert common_drift(shared(np.zeros(120))) is None
    assert common_drift(shared(0.1 * (at >= 60))) is None
    assert common_drift(shared(0.3 * (at == 60))) is None
    assert common_drift(shared(0.01 * at / 120)) is None
    assert common_drift(shared(0.1 * np.arange(20) / 20)) is None


def test_drift_is_the_same_backwards() -> None:
    """Nothing in it prefers the past to the future, but for a step, whose nights all move by its size."""
    rng = RNG(11)
    curve = 0.06 * np.sin(np.linspace(0, 3, 120))
    values = np.exp(curve + rng.normal(0, 0.004, (5, 120)))
    there, back = common_drift(values), common_drift(values[:, ::-1])
    assert there is not None and back is not None
    assert there == pytest.approx(back[::-1], abs=1e-9)
    assert there == pytest.approx(curve - np.median(curve), abs=0.012)


def test_a_step_in_common_drift_is_an_event_and_not_drift() -> None:
    level = np.where(np.arange(120) < 70, 0.0, 0.2)
    values = np.exp(level + RNG(12).normal(0, 0.003, (5, 120)))
    assert common_drift(values) is None
    found = common_drift(np.exp(level + 0.06 * np.linspace(-1, 1, 120) + RNG(12).normal(0, 0.003, (5, 120))))
    assert found is not None
    assert found[-1] - found[0] == pytest.approx(0.12, abs=0.02)


@pytest.mark.parametrize("each", [5, 9])
def test_the_scatter_that_repetitions_explain_is_that_of_their_medians(each: int) -> None:
    rng = RNG(each)
    pairs = [[nights(rng, 20, each, 0.0, 0.01) for _ in range(2)] for _ in range(150)]
    found = [between_runs([a[0], b[0]], [a[1], b[1]]) for a, b in pairs]
    within, variance = np.mean([(one.within, one.variance) for one in found if one is not None], axis=0)
    assert within == pytest.approx(variance, rel=0.25)


def test_the_typical_variance_of_cases_is_that_which_half_of_them_are_below() -> None:
    variances = scipy.stats.chi2.ppf((np.arange(400) + 0.5) / 400, 3) / 3
    errors = errors_of([Between(0.0, float(variance), 3, 0.0, 1.0) for variance in variances])
    assert min(error for error, _ in errors) == pytest.approx(1.0, rel=0.02)
    assert {free for _, free in errors} == {3, 15.0}, "a typical variance is known better than one of few runs"
