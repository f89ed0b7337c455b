"""The verdict on a device's state: its reasons, and what does not make a repetition unreliable."""

from __future__ import annotations

from typing import Any

import pytest

from devbench.analysis.reliability import Around, Fitness, judge, reasons_text

EIGHT = Fitness(cpu_count=8)


@pytest.mark.parametrize(
    ("before", "during", "after", "reason"),
    [
        ({"thermal_status": 0}, [], {"thermal_status": 2}, "throttled: thermal status 0 → 2"),
        ({"thermal_status": 1}, [], {"thermal_status": 0}, "throttled: thermal status 1 → 0"),
        (
            {"thermal_status": 0},
            [{}, {"thermal_status": 1}],
            {"thermal_status": 0},
            "throttled: thermal status 0 → 1 → 0",
        ),
        (None, [], {"thermal_status": 3}, "throttled: thermal status 3"),
        ({}, [], {"battery_level": 9, "battery_charging": False}, "battery low: 9 %"),
        ({"load_1min": 20.0}, [], {}, "other load: 20.0 on 8 CPUs"),
        (None, [], None, "conditions unknown"),
    ],
)
def test_a_device_in_no_fit_state_is_unreliable_and_says_why(before: Any, during: Any, after: Any, reason: str) -> None:
    verdict = judge(Around(before, after, during), EIGHT)
    assert verdict.word == "unreliable"
    assert verdict.reasons == (reason,)


@pytest.mark.parametrize(
    "sample",
    [
        {},
        {"thermal_status": 0, "battery_level": 9, "battery_charging": True, "load_1min": 8.0},
        {"thermal_status": None, "cpu_cap_khz": [None], "gpu_cap_khz": None},
    ],
)
def test_a_device_that_works_as_it_should_is_valid(sample: Any) -> None:
    assert judge(Around(sample, sample), EIGHT).word == "valid"


def test_without_a_number_of_cpus_load_tells_nothing() -> None:
    assert judge(Around({"load_1min": 99.0}, {}), Fitness()).word == "valid"


def test_clocks_capped_below_what_was_allowed_before_are_throttled_ones() -> None:
    cool = {"cpu_cap_khz": [1_800_000, 2_850_000], "gpu_cap_khz": 719_000}
    warm = {"cpu_cap_khz": [1_800_000, 2_000_000], "gpu_cap_khz": 719_000}
    fitness = EIGHT.raised(None).raised(cool).raised(warm)
    assert judge(Around(cool, cool), fitness).word == "valid"
    reasons = judge(Around(cool, cool, [cool, warm]), fitness).reasons
    assert reasons == ("throttled: CPU 1 capped at 2.00 of 2.85 GHz",)
    # Also where it stays so from the repetition's start to its end.
    assert judge(Around(warm, warm), fitness).reasons == reasons
    hot = {"gpu_cap_khz": 500_000}
    assert judge(Around(cool, hot), fitness).reasons == ("throttled: GPU capped at 500 of 719 MHz",)


def test_a_step_of_the_table_is_no_throttling() -> None:
    fitness = EIGHT.raised({"cpu_cap_khz": [2_850_000]})
    assert judge(Around({"cpu_cap_khz": [2_841_600]}, {}), fitness).word == "valid"


def test_a_profile_may_allow_a_thermal_status_and_its_limits_count() -> None:
    light = {"thermal_status": 1}
    assert judge(Around(light, light), Fitness(8, thermal_status=1)).word == "valid"
    over = judge(Around(light, light), Fitness(8, thermal_status=1), over_limits=["skin 44.0 °C above 42 °C"])
    assert over.reasons == ("skin 44.0 °C above 42 °C",)


def test_of_several_capped_cpus_the_one_that_is_capped_most_is_told() -> None:
    most = EIGHT.raised({"cpu_cap_khz": [1_000_000, 3_000_000, 2_000_000]})
    now = {"cpu_cap_khz": [800_000, 1_500_000, 1_500_000]}
    assert judge(Around(now, now), most).reasons == ("throttled: CPU 1 capped at 1.50 of 3.00 GHz",)


def test_what_is_allowed_is_the_highest_seen_for_each_cpu() -> None:
    fitness = EIGHT.raised({"cpu_cap_khz": [1_000_000]}).raised({"cpu_cap_khz": [900_000, 2_000_000]})
    assert fitness.cpu_cap_khz == (1_000_000, 2_000_000)
    assert fitness.raised({"gpu_cap_khz": 5}).raised({"cpu_cap_khz": [None, 2_100_000]}) == Fitness(
        8, 0, (1_000_000, 2_100_000), 5
    )


def test_reasons_that_differ_in_their_figures_alone_are_told_once() -> None:
    load = [f"other load: {load} on 8 CPUs" for load in ("4.0", "5.5", "4.0")]
    assert reasons_text(load[:1]) == "other load: 4.0 on 8 CPUs"
    assert reasons_text([load[0], load[2]]) == "other load: 4.0 on 8 CPUs (2 times)"
    assert reasons_text(load) == "other load: 4.0 on 8 CPUs (3 times alike)"
    assert reasons_text(load, counted=False) == "other load: 4.0 on 8 CPUs"
    statuses = ["throttled: thermal status 1", "throttled: thermal status 2", load[0]]
    assert reasons_text(statuses) == ", ".join(statuses), "each status is another state"
