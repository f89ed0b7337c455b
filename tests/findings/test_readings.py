"""Readings over the time of a run from hand-made data: units, plausible times, gaps, sensors, clusters, and texts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devbench.analysis.reliability import STATUS_PROBLEMS
from devbench.findings.readings import condition_words, degrees, hottest, number
from devbench.findings.run_build import build_report
from devbench.findings.timeline import Clock, Timeline, Trace
from devbench.results.counting import JobView, RunView
from devbench.results.records import DeviceRecord, RepetitionRecord
from tests.made.samples import NOW, job_record, repetition, run_record


def process(start_s: float, *during: dict[str, Any], seconds: float = 1.0, **of: Any) -> RepetitionRecord:
    """A process with these conditions while it ran; `before` and `after` are the conditions before and after it."""
    begin = NOW + timedelta(seconds=start_s)
    return repetition(
        index=int(start_s), started_utc=begin, finished_utc=begin + timedelta(seconds=seconds), operators=(),
        conditions_before=of.get("before"), conditions_after=of.get("after"), conditions_during=during,
    )  # fmt: skip


def timeline(*processes: RepetitionRecord, **facts: Any) -> Timeline:
    job = job_record(device=DeviceRecord("KEY", "127.0.0.1:1", "Phone (KEY)", False, "p", facts))
    (found,) = build_report(RunView(run_record(), "done", None, (JobView(job, processes),))).timelines
    return found


def test_readings_are_shown_in_their_units_at_their_times() -> None:
    values = {
        "t_s": 0.5, "gpu_khz": 500_000, "gpu_cap_khz": 900_000, "battery_level": 80, "battery_current_ma": -300,
        "load_1min": 1.5, "memory_available_bytes": 3_000_000_000, "cpu_khz": [1_800_000, 2_400_000],
        "cpu_cap_khz": [2_000_000, 2_800_000],
    }  # fmt: skip
    found = timeline(process(2, values))
    assert found.gpu == Clock(Trace("GPU", (2.5,), (500.0,)), Trace("highest", (2.5,), (900.0,)))
    assert found.battery_level == Trace("battery", (2.5,), (80.0,))
    assert found.battery_ma == Trace("current", (2.5,), (-300.0,))
    assert found.load == Trace("load", (2.5,), (1.5,))
    assert found.memory_gb is not None and found.memory_gb.values == (pytest.approx(3.0),)
    assert found.cpu == (
        Clock(Trace("CPU (1)", (2.5,), (2.4,)), Trace("CPU (1), highest", (2.5,), (2.8,))),
        Clock(Trace("CPU (0)", (2.5,), (1.8,)), Trace("CPU (0), highest", (2.5,), (2.0,))),
    )
    assert (found.spans, found.dots[0].start_s, found.dots[0].end_s) == (((2.0, 3.0),), 2.0, 3.0)


def test_a_sample_with_an_implausible_time_is_at_the_edge_of_its_process() -> None:
    def times(seconds: float, *, zone: bool = True) -> tuple[float, ...]:
        at = NOW + timedelta(seconds=seconds)
        taken = {"load_1min": 1.0, "taken_utc": (at if zone else at.replace(tzinfo=None)).isoformat()}
        line = timeline(process(100, before={"load_1min": 0.5}, after=taken)).load
        assert line is not None
        return line.times_s

    assert times(101.25) == times(101.25, zone=False) == (100.0, 101.25)
    assert times(101 + 3600) == (100.0, 101.0 + 3600)
    assert times(101 + 3600.5) == times(101 - 3600.5) == (100.0, 101.0)
    rows = [{"t_s": at, "load_1min": k} for k, at in enumerate((-0.1, 0, 3601, 3601.1, None))]
    assert timeline(process(100, *rows)).load == Trace("load", (100.0, 3701.0), (1.0, 2.0))


def test_readings_that_fall_when_a_process_ends_are_shown_while_it_works() -> None:
    idle = {"gpu_khz": 100_000, "load_1min": 1.0}
    two = [process(s, {"t_s": 0.5, "gpu_khz": 500_000}, before=idle, after=idle) for s in (0, 2)]
    found = timeline(*two)
    assert found.gpu.now == Trace("GPU", (0.5, 0.5, 2.5), (500.0, None, 500.0)), "a gap after each process"
    assert found.load == Trace("load", (0.0, 1.0, 2.0, 3.0), (1.0,) * 4)
    assert timeline(process(0, before=idle)).gpu.now == Trace("GPU", (0.0,), (100.0,)), "nothing else is known"
    unread = process(0, {"t_s": 0.5, "load_1min": 2.0}, before=idle)
    assert timeline(unread).gpu.now == Trace("GPU", (0.0,), (100.0,))


def test_a_line_has_a_gap_if_more_than_three_seconds_pass_between_processes() -> None:
    def load(pause_s: float) -> Trace | None:
        sample = {"t_s": 1.0, "load_1min": 1.0}
        return timeline(process(0, {**sample, "t_s": 0.0}, {**sample, "t_s": 5.0}), process(4 + pause_s, sample)).load

    assert load(3.0) == Trace("load", (0.0, 5.0, 8.0), (1.0,) * 3), "none within a process, and none after 3 s"
    assert load(3.5) == Trace("load", (0.0, 5.0, 5.0, 8.5), (1.0, 1.0, None, 1.0))


def test_throttling_is_not_shown_across_a_pause() -> None:
    hot, cool = {"t_s": 0.5, "thermal_status": 2}, {"t_s": 0.9, "thermal_status": 0}
    assert timeline(process(0, hot), process(2, hot)).throttled == ((0.5, 2.5, 2),)
    assert timeline(process(0, hot), process(3, hot)).throttled == ((0.5, 3.5, 2),), "3 s are no pause"
    assert timeline(process(0, hot, cool), process(6, hot, cool)).throttled == ((0.5, 0.9, 2), (6.5, 6.9, 2))
    light = {"t_s": 0.7, "thermal_status": 1}
    assert timeline(process(0, hot, light, cool)).throttled == ((0.5, 0.7, 2), (0.7, 0.9, 1))
    assert timeline(process(0, light, {**light, "t_s": 0.8}, {**light, "t_s": 0.9})).throttled == ((0.7, 0.9, 1),)


def test_of_more_than_400_points_the_extremes_of_each_stretch_are_kept() -> None:
    def load(count: int, *further: RepetitionRecord) -> Trace:
        rows = [{"t_s": n, "load_1min": n if n < 300 else 900 - n} for n in range(count)]
        found = timeline(process(0, *rows, seconds=count), *further).load
        assert found is not None
        return found

    assert load(400).times_s == tuple(range(400))
    kept = load(401)
    # Stretches of three points: of each, the first and the last are the extremes.
    assert kept.times_s == tuple(n for n in range(401) if n % 3 != 1 or n == 400)
    assert kept.values == tuple(n if n < 300 else 900 - n for n in kept.times_s)
    gap = load(401, process(600, {"t_s": 0, "load_1min": 1}))
    assert gap.values.count(None) == 1 and gap.times_s[gap.values.index(None)] == 400
    assert gap.values[-1] == 1


HEATS = {
    "skin-a": 20.0, "skin-b": 21.0, "skin-c": 22.0, "batt": 23.0, "cpu": 90.0, "gpu": 80.0, "npu": 70.0, "dsp": 60.0
}  # fmt: skip


def heat(values: dict[str, Any], **facts: Any) -> tuple[list[tuple[str, tuple[float | None, ...]]], int]:
    found = timeline(process(0, {"t_s": 0, "temperatures_c": values}), **facts)
    return [(line.label, line.values) for line in found.temperatures], found.sensors


def test_six_sensors_are_shown_three_of_them_the_hottest_of_battery_and_skin() -> None:
    names = ["cpu", "gpu", "npu", "batt", "skin-c", "skin-b"]
    assert heat(HEATS) == ([(name, (HEATS[name],)) for name in names], 8)
    assert heat(HEATS, sensors=["CPU", "^g"]) == ([("cpu", (90.0,)), ("gpu", (80.0,))], 2)
    assert [name for name, _ in heat({"a": 1.0, "b": 9.0, "c": 5.0})[0]] == ["b", "c", "a"]
    seven = {f"s{letter}": float(k) for k, letter in enumerate("abcdefg")}
    assert [name for name, _ in heat(seven)[0]] == ["sg", "sf", "se", "sd", "sc", "sb"]


def test_numbered_sensors_are_one_line_of_the_hottest() -> None:
    first, then = {"CPU0": 40.0, "CPU1": 50.0, "GPU 3": 30.0}, {"CPU0": 60.0, "7": 10.0}
    rows = [{"t_s": k, "temperatures_c": values} for k, values in enumerate((first, then))]
    found = timeline(process(0, *rows))
    assert found.temperatures == (
        Trace("CPU (hottest of 2)", (0.0, 1.0), (50.0, 60.0)), Trace("GPU 3", (0.0,), (30.0,)),
        Trace("7", (1.0,), (10.0,)),
    )  # fmt: skip
    assert found.sensors == 4


def test_clusters_are_those_of_the_device_and_others_are_named_by_their_highest_clock() -> None:
    facts: list[Any] = [
        {"core": "Big", "cpus": [1, 9, "2", None]}, {"cpus": [0]}, "junk", {"core": "None", "cpus": None},
    ]  # fmt: skip
    sample = {"t_s": 0, "cpu_khz": [1e6, 2e6, 5e5, 6e5, None], "cpu_cap_khz": [1e6, 3e6, 1.5e6, 1.5e6, 1.5e6]}
    short = {"t_s": 1, "cpu_khz": [8e5]}
    found = timeline(process(0, sample, short), cpus=facts)
    assert [(one.cap and one.cap.label, one.now and one.now.values) for one in found.cpu] == [
        ("Big (1), highest", (2.0,)), ("CPU (2–4), highest", (0.6,)), ("CPU (0), highest", (1.0, 0.8)),
    ]  # fmt: skip
    assert [one.cap and one.cap.values for one in found.cpu] == [(3.0,), (1.5,), (1.0,)]
    apart = {"t_s": 0, "cpu_cap_khz": [1e6, 2e6, 1e6]}
    assert [one.cap and one.cap.label for one in timeline(process(0, apart)).cpu] == [
        "CPU (1), highest", "CPU (0, 2), highest"
    ]  # fmt: skip
    assert len(timeline(process(0, apart), cpus="junk").cpu) == 2


def test_numbers_are_finite_and_of_sensible_size() -> None:
    assert [number(value) for value in (2, -1.5, 0, True, "1", None, 1e15, -1e15, float("nan"))] == [
        2.0, -1.5, 0.0, None, None, None, None, None, None
    ]  # fmt: skip
    assert (number(9e14), number(-9e14)) == (9e14, -9e14)
    own = {"battery_temperature_c": 30.0}
    assert degrees(own) == {"battery": 30.0} and degrees({**own, "temperatures_c": {"Batt": 31.0}}) == {"Batt": 31.0}
    assert degrees({**own, "temperatures_c": {"cpu": 40.0, "bad": "x"}}) == {"cpu": 40.0, "battery": 30.0}
    assert (hottest(None), hottest({}), hottest({"temperatures_c": {"a": 1.0, "b": 3.0}})) == (None, None, 3.0)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ([], "unknown"),
        ([{"temperatures_c": {"a": 30.04}}], "30.0 °C"),
        ([{"temperatures_c": {"a": 30.0, "b": 41.0}}, {"temperatures_c": {"a": 50.0}}, {}], "41.0–50.0 °C"),
        ([{"thermal_status": 0}, {"thermal_status": 0}], "not throttled"),
        ([{"thermal_status": 0}, {"thermal_status": 1}, {"thermal_status": 0}], "throttled"),
        ([{"battery_level": 90}, {"battery_level": 80, "battery_charging": True}], "battery 80 % charging"),
        ([{"battery_level": 90, "battery_charging": True}, {"battery_level": 80}], "battery 80 %"),
        ([{"battery_level": 90, "battery_charging": "yes"}], "battery 90 %"),
        ([{"load_1min": 0.5}, {"load_1min": 4.25}, {"load_1min": 1}], "load 0.5–4.2"),
        ([{"thermal_status": 0, "load_1min": 1}], "not throttled, load 1.0–1.0"),
    ],
)
def test_the_state_of_a_device_is_shown_in_words(samples: list[dict[str, Any]], words: str) -> None:
    assert condition_words([process(0, *samples)]) == words
    if len(samples) == 2:
        assert condition_words([process(0, before=samples[0], after=samples[1])]) == words


def test_a_problem_with_the_thermal_status_is_shown() -> None:
    for problem, text in STATUS_PROBLEMS.items():
        assert condition_words([process(0, {}, {"thermal_status_problem": problem})]) == text
