"""Conditions over time: beside the latencies, on one axis, with gaps where nothing ran; nonsense is not drawn."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from devbench.findings.run_build import build_report
from devbench.findings.timeline import Timeline, Trace
from devbench.forms.charts.files import chart_file
from devbench.results.counting import JobView, RunView
from devbench.results.records import RepetitionRecord
from devbench.sections.charts import PanelChart
from devbench.sections.time_charts import condition_charts
from tests.made.phones import START, phone_view
from tests.made.shown import svg_file


def timeline_of(view: RunView) -> Timeline:
    (timeline,) = build_report(view).timelines
    return timeline


def conditions_chart(view: RunView) -> PanelChart | None:
    return next(iter(condition_charts(build_report(view))), None)


def with_conditions(view: RunView, **changes: object) -> RunView:
    """Each repetition with other conditions; `before`, `during` and `after` are mappings, `during` a tuple of them."""

    def change(r: RepetitionRecord) -> RepetitionRecord:
        return replace(r, **{f"conditions_{name}": value for name, value in changes.items()})  # type: ignore[arg-type]

    return replace(view, jobs=tuple(JobView(i.job, tuple(map(change, i.repetitions))) for i in view.jobs))


@pytest.fixture(scope="module")
def view() -> RunView:
    return phone_view()


def test_every_timed_process_is_a_dot_at_its_time(view: RunView) -> None:
    timeline = timeline_of(view)
    timed = sorted(
        (r for item in view.jobs for r in item.repetitions if r.purpose == "latency"), key=lambda r: r.started_utc
    )
    assert [dot.start_s for dot in timeline.dots] == [(r.started_utc - START).total_seconds() for r in timed]
    assert [dot.latency_ms * 1000 for dot in timeline.dots] == pytest.approx([r.latency_avg_us for r in timed])
    assert [dot.unreliable for dot in timeline.dots] == [r.verdict == "unreliable" for r in timed]
    assert len(timeline.spans) == sum(len(item.repetitions) for item in view.jobs)


def test_the_telling_sensors_are_shown_and_numbered_ones_are_one_line(view: RunView) -> None:
    timeline = timeline_of(view)
    assert [line.label for line in timeline.temperatures] == [
        "CPU (hottest of 8)", "GPU (hottest of 2)", "pmic", "modem", "skin-therm", "battery",
    ]  # fmt: skip
    assert timeline.sensors == 15
    first = next(r for item in view.jobs for r in item.repetitions if r.conditions_during)
    sample = first.conditions_during[0]
    at_s = (first.started_utc - START).total_seconds() + sample["t_s"]
    line = timeline.temperatures[0]
    nearest = min(range(len(line.times_s)), key=lambda n: abs(line.times_s[n] - at_s))
    assert line.values[nearest] == max(v for k, v in sample["temperatures_c"].items() if k.startswith("CPU"))


def test_clusters_have_their_names_and_their_caps(view: RunView) -> None:
    clocks = timeline_of(view).cpu
    assert [clock.now and clock.now.label for clock in clocks] == [
        "Cortex-X3 (7)", "Cortex-A715 (4–6)", "Cortex-A510 (0–3)",
    ]  # fmt: skip
    for clock in clocks:
        assert clock.cap is not None
        assert min(v for v in clock.cap.values if v) < 0.9 * max(v for v in clock.cap.values if v), "it throttles"


def test_without_facts_clusters_are_told_by_their_highest_clock(view: RunView) -> None:
    jobs = tuple(replace(i, job=replace(i.job, device=replace(i.job.device, facts={}))) for i in view.jobs)
    labels = [clock.now and clock.now.label for clock in timeline_of(replace(view, jobs=jobs)).cpu]
    assert labels == ["CPU (7)", "CPU (4–6)", "CPU (0–3)"]


def test_a_pause_is_a_gap_and_not_a_line_across(view: RunView) -> None:
    heat = timeline_of(view).temperatures[0]
    assert heat.values.count(None) == 1
    gap = heat.values.index(None)
    assert heat.times_s[gap + 1] - heat.times_s[gap - 1] > 30


def test_throttling_is_shown_between_samples_of_which_either_says_so(view: RunView) -> None:
    base = view.jobs[0].repetitions[0]
    samples = tuple({"t_s": float(t), "thermal_status": s} for t, s in enumerate((0, 0, 1, 1, 2, 0)))
    one = replace(
        base, started_utc=START, finished_utc=START + timedelta(seconds=6), conditions_before=None, conditions_after=None,
        conditions_during=samples,
    )  # fmt: skip
    timeline = timeline_of(replace(view, jobs=(JobView(view.jobs[0].job, (one,)),)))
    assert timeline.throttled == ((1.0, 3.0, 1), (3.0, 5.0, 2))


def test_the_chart_says_what_it_shows_and_has_a_panel_for_what_is_known(view: RunView) -> None:
    chart = conditions_chart(view)
    assert chart is not None
    assert "throttled: light" in chart.alt
    for title in (
        "latency of each process",
        "temperature",
        "CPU clock by cluster",
        "GPU clock",
        "battery, %",
        "load",
        "free memory",
    ):
        assert title in svg_file(chart)
        assert title in svg_file(chart, "dark")
    assert "#e8ebef" not in svg_file(chart)
    assert chart_file(chart, "png").startswith(b"\x89PNG")
    only_load = with_conditions(view, before={"load_1min": 1.0}, after={"load_1min": 2.0}, during=())
    fewer = conditions_chart(only_load)
    assert fewer is not None
    assert "load, one minute" in svg_file(fewer)
    assert "GPU clock" not in svg_file(fewer)
    assert "temperature" not in svg_file(fewer)


def test_where_nothing_is_known_of_the_device_there_is_no_chart(view: RunView) -> None:
    assert conditions_chart(with_conditions(view, before=None, after=None, during=())) is None
    assert conditions_chart(with_conditions(view, before={}, after={"taken_utc": "no time"}, during=({},))) is None


def test_a_virtual_device_is_marked_in_the_conditions_too() -> None:
    chart = conditions_chart(phone_view(virtual=True))
    assert chart is not None
    assert "VIRTUAL DEVICE" in svg_file(chart)
    assert chart.title.endswith("(virtual)")
    assert "VIRTUAL" not in svg_file(conditions_chart(phone_view()) or chart)


NONSENSE: tuple[object, ...] = (None, "hot", float("nan"), float("inf"), True, 10**400, [], {}, [[1]], {"x": "y"})


@pytest.mark.parametrize("value", NONSENSE, ids=lambda value: str(value)[:12])
def test_nonsense_is_not_drawn_and_breaks_nothing(view: RunView, value: object) -> None:
    keys = (
        "thermal_status", "temperatures_c", "cpu_khz", "cpu_cap_khz", "gpu_khz", "gpu_cap_khz", "battery_level",
        "battery_temperature_c", "battery_current_ma", "load_1min", "memory_available_bytes", "taken_utc",
    )  # fmt: skip
    bad = dict.fromkeys(keys, value)
    timeline = timeline_of(
        with_conditions(view, before=bad, after=bad, during=({**bad, "t_s": value}, {**bad, "t_s": 1}))
    )
    assert not timeline.has_conditions


def test_hostile_sensor_names_are_text(view: RunView) -> None:
    evil = {"temperatures_c": {"<script>alert(1)</script>\x1b[31m$\\frac{1}{2}$\u202e": 40.0}}
    chart = conditions_chart(with_conditions(view, before=evil, after=evil, during=()))
    assert chart is not None
    for text in (svg_file(chart), chart.alt):
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert "<script" not in svg_file(chart)


def test_a_long_run_s_lines_are_thinned_to_their_extremes(view: RunView) -> None:
    base = view.jobs[0].repetitions[0]
    samples = tuple({"t_s": float(t), "load_1min": 50.0 if t == 7000 else t % 3} for t in range(10_000))
    long = replace(
        base, started_utc=START, finished_utc=START + timedelta(seconds=10_000), conditions_before=None,
        conditions_after=None, conditions_during=samples,
    )  # fmt: skip
    load = timeline_of(replace(view, jobs=(JobView(view.jobs[0].job, (long,)),))).load
    assert isinstance(load, Trace)
    assert len(load.values) <= 402
    assert max(v for v in load.values if v is not None) == 50.0
    assert list(load.times_s) == sorted(load.times_s)


def test_several_models_are_told_apart(view: RunView) -> None:
    other = replace(view.jobs[1].job.model, name="deeplab", sha256="d" * 64)
    jobs = (view.jobs[0], replace(view.jobs[1], job=replace(view.jobs[1].job, model=other)))
    chart = conditions_chart(replace(view, jobs=jobs))
    assert chart is not None
    assert "deeplab" in svg_file(chart)
    assert "mobile_unet_128" in svg_file(chart)


def test_two_devices_have_a_chart_each(view: RunView) -> None:
    other = replace(view.jobs[1].job.device, key="OTHER", title="Galaxy")
    jobs = (view.jobs[0], replace(view.jobs[1], job=replace(view.jobs[1].job, device=other)))
    charts = [
        chart
        for chart in condition_charts(build_report(replace(view, jobs=jobs)))
        if chart.name.startswith("conditions")
    ]
    assert [(chart.name, chart.title) for chart in charts] == [
        ("conditions", "Conditions of Pixel 8 Pro (37021JE)"),
        ("conditions-2", "Conditions of Galaxy"),
    ]
