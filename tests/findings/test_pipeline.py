"""A run of pipelines from hand-made data: stages alone, sessions that count, the estimate and the difference from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from devbench.analysis.pipeline import Alone, Fewer, Part, Share
from devbench.findings.pipeline import (
    COPIES,
    Copied,
    PipelineReport,
    SessionImage,
    Variant,
    Whole,
    build_pipeline_report,
    memory_series,
)
from devbench.notices import Effect, NoticeKind
from devbench.results.counting import JobView, RunView
from devbench.results.records import (
    DeviceRecord,
    ModelRecord,
    PipelineSampleRecord,
    PipelineSessionRecord,
    PipelineStageRecord,
)
from tests.made.samples import SESSION, job_record, run_record

NAMES = ("text", "unet", "decoder")
BUSY: dict[str, Any] = {"verdict": "unreliable", "verdict_reasons": ("other load: 4.0 on 2 CPUs",)}
CRASH: dict[str, Any] = {"status": "failed", "failure_kind": "crash", "failure_message": "boom", "latency_ms": None}


def stage(position: int, runs: int = 1, place: int | None = None, **changes: Any) -> PipelineStageRecord:
    """A stage with the model at `place`; if `None`, with the model at its position."""
    at = position if place is None else place
    return PipelineStageRecord(position, NAMES[at], at + 1, at == 1, runs, 0, ("/b",), "", False, **changes)


def session(residency: str, stages: Sequence[PipelineStageRecord], **changes: Any) -> PipelineSessionRecord:
    made = replace(SESSION, residency=residency, steps=2, stages=tuple(stages), samples=(), **changes)
    return replace(made, pipeline="sd", threads=4, verdict=made.verdict or "valid")


def alone(place: int, load: float, first: float | None, steady: float | None, **changes: Any) -> PipelineSessionRecord:
    init = changes.pop("init", None)
    runs = 7 if place == 1 else 1
    return session(
        "alone", [stage(place, runs, load_ms=load, first_ms=first, steady_ms=steady, init_ms=init)], **changes
    )


ALONE = [
    alone(0, 120.0, 11.0, 9.0, init=60.0, peak_kb=1000),
    alone(0, 90.0, 9.0, 7.0, init=40.0, peak_kb=3000),
    alone(0, 100.0, 10.0, 8.0, init=50.0, peak_kb=None),
    alone(0, 900.0, 900.0, 900.0, init=900.0, peak_kb=9000, **BUSY),
    alone(0, 800.0, 800.0, 800.0, init=800.0, peak_kb=8000, **CRASH),
    alone(1, 500.0, 60.0, 50.0),
    alone(2, 100.0, 39.0, None, **BUSY),
    alone(2, 140.0, 41.0, None, **BUSY),
]
# The stages of two images with the U-Net kept in memory, loaded while the text encoder runs.
TWO_IMAGES = [
    stage(0, load_ms=105.0, wall_ms=12.0, release_ms=3.0),
    replace(
        stage(1, 8, load_ms=500.0, wall_ms=500.0, steady_ms=51.0, overlapped_ms=70.0),
        loaded_before=True,
        overlapped_runs=2,
    ),
    replace(stage(2, load_ms=130.0, wait_ms=80.0, wall_ms=45.0, done_s=0.4), loaded_before=True),
    stage(3, place=0, load_ms=102.0, wall_ms=10.0),
    replace(stage(4, place=2, load_ms=130.0, wait_ms=75.0, wall_ms=41.0, done_s=1.0), loaded_before=True),
]
# Number, position, seconds, kB; the last one is later than the last image.
SAMPLES = ((2, 1, 1.0, 40), (0, 0, 0.1, 10), (0, 1, 0.1, 20), (1, 1, 0.4, 20), (1, 2, 0.4, 25), (3, 1, 1.1, 90))
KEPT: dict[str, Any] = {"keep": 1, "overlap_runs": 1}
ONE_IMAGE = [stage(0, load_ms=100.0, wall_ms=10.0), stage(1, 4, wall_ms=210.0), stage(2, wall_ms=40.0)]


def several(latency: float | None, **changes: Any) -> PipelineSessionRecord:
    return session("pipelined x2", TWO_IMAGES, **{"latency_ms": latency, **KEPT, **changes})


SEVERAL = [
    several(1010.0, peak_kb=300),
    replace(several(1000.0, peak_kb=None), samples=tuple(PipelineSampleRecord(*s, None) for s in SAMPLES)),
    several(990.0, peak_kb=201),
    several(5000.0, peak_kb=9999, **BUSY),
    several(None, **CRASH),
    several(None, **CRASH),
    several(None, status="failed", failure_kind="timeout", failure_message=None),
    several(None),
]


def run_view(options: dict[str, Any] | None = None, device: str = "KEY", *, virtual: bool = False) -> RunView:
    of = DeviceRecord(device, "127.0.0.1:1", f"Phone ({device})", virtual, "p", {})
    jobs = [
        JobView(job_record(number=k, device=of, model=ModelRecord("a" * 64, name, 1)), ())
        for k, name in enumerate(NAMES, 1)
    ]
    return RunView(replace(run_record(), options=options or {}), "done", None, tuple(jobs))


def report(*sessions: PipelineSessionRecord, **of: Any) -> PipelineReport:
    return build_pipeline_report(run_view(**of), sessions)


def variant(*sessions: PipelineSessionRecord, **of: Any) -> Variant:
    (found,) = report(*sessions, **of).variants
    return found


def whole(residency: str, *sessions: PipelineSessionRecord) -> Whole:
    found = variant(*ALONE, *sessions).of(residency)
    assert found is not None
    return found


def test_stages_alone_are_medians_of_the_sessions_in_a_fit_state() -> None:
    stages = variant(*reversed(ALONE), *SEVERAL).stages
    assert [one.alone for one in stages] == [
        Alone("text", 1, 100.0, 10.0, 8.0, 50.0),
        Alone("unet", 4, 500.0, 60.0, 50.0, None),  # 8 runs for two images
        Alone("decoder", 1, 120.0, 40.0, 0.0, None),  # only unreliable ones: both count; no steady inference
    ]
    assert [(one.processes, one.peak_kb, one.repeated) for one in stages] == [
        (3, 3000, False), (1, None, True), (2, None, False)
    ]  # fmt: skip
    assert [one.job.model.name for one in stages] == list(NAMES)
    assert [one.alone.runs for one in variant(*ALONE).stages] == [1, 7, 1], "without a whole session: as measured"
    kept = variant(*ALONE, session("sequential", ONE_IMAGE, latency_ms=1.0)).stages
    assert [one.alone.runs for one in kept] == [1, 4, 1]


def test_sessions_that_count_give_the_latency_and_the_middle_one_is_shown() -> None:
    found = whole("pipelined x2", *SEVERAL)
    assert found.latency is not None and found.shown is SEVERAL[1]
    assert (found.latency.median, found.latency.values) == (1000.0, (1010.0, 1000.0, 990.0))
    assert found.sessions == tuple(SEVERAL[:4]) and not found.all_unreliable
    assert found.failures == (("crash", "boom", 2), ("timeout", "", 1))
    assert found.peak_kb == 250, "the middle of 300 and 201, rounded"
    assert whole("pipelined x2", SEVERAL[0], SEVERAL[1]).shown is SEVERAL[1], "of two, the faster one"
    assert whole("pipelined x2", SEVERAL[3]).all_unreliable
    failed = whole("pipelined x2", *SEVERAL[4:])
    assert failed == Whole("pipelined x2", (), found.failures)
    assert (failed.off, failed.contention_ms, failed.estimate_ms) == (None, None, 0)


def test_the_estimate_and_the_parts_of_the_difference_add_up() -> None:
    found = whole("pipelined x2", *SEVERAL)
    one = [Part(0, "load", 100.0), Part(0, "inferences", 10.0)]
    assert found.composed == (
        *one, Part(1, "inferences", 60.0 + 7 * 50), Part(2, "load beyond the overlap", 120.0 - 50),
        Part(2, "inferences", 40.0), *(replace(part, stage=3) for part in one),
        Part(4, "load beyond the overlap", 70.0), Part(4, "inferences", 40.0),
    )  # fmt: skip
    assert found.estimate_ms == 850.0 and found.off == pytest.approx(-0.15)
    assert found.contention_ms == 2 * (70 - 51)
    assert [(part.stage, part.what.split(",")[0].split(":")[0], part.ms) for part in found.difference] == [
        (0, "load", 5.0), (0, "first inference and inputs", 2.0), (0, "releasing its memory", 3.0),
        (1, "contention with the next stage's load", 38.0), (1, "steady inferences", 7.0),
        (1, "first inference and inputs", 45.0), (2, "waiting for its load", 10.0),
        (2, "first inference and inputs", 5.0), (3, "load", 2.0), (3, "first inference and inputs", 0.0),
        (4, "waiting for its load", 5.0), (4, "first inference and inputs", 1.0), (None, "between stages", 27.0),
    ]  # fmt: skip
    assert found.shares == (
        Share(0, 120.0, 0.12, 12.0), Share(1, 500.0, 0.5, 62.5), Share(2, 125.0, 0.125, 45.0),
        Share(3, 112.0, 0.112, 10.0), Share(4, 116.0, 0.116, 41.0),
    )  # fmt: skip
    assert found.fewer == (), "steps are compared for one image only"


def test_each_image_has_its_time_its_peak_and_its_estimate() -> None:
    images = whole("pipelined x2", *SEVERAL).images
    # The sample at the end of the first image is also the start of the second one.
    assert images == (SessionImage(1, 400.0, 45, 430.0), SessionImage(2, 600.0, 45, 420.0))
    (bare,) = variant(*SEVERAL).wholes
    assert bare.images == (SessionImage(1, 400.0, 45), SessionImage(2, 600.0, 45)), (
        "no estimate without the stages alone"
    )
    assert not bare.composed
    unfinished = [*TWO_IMAGES[:4], replace(TWO_IMAGES[4], done_s=None)]
    assert whole("pipelined x2", replace(SEVERAL[0], stages=tuple(unfinished))).images == ()
    assert whole("pipelined", session("pipelined", ONE_IMAGE, latency_ms=300.0, **KEPT)).images == ()


def test_estimates_for_other_numbers_of_steps_are_those_of_one_image() -> None:
    found = whole("pipelined", session("pipelined", ONE_IMAGE, latency_ms=300.0, **KEPT))
    assert [(one.steps, one.guidance) for one in found.fewer] == [
        (steps, guidance) for steps in (50, 20, 10, 8, 4, 2) for guidance in (True, False)
    ]
    # 120 ms of the decoder's load fit into 3 runs of 50 ms.
    assert found.fewer[0] == Fewer(50, True, 110.0 + 60 + 99 * 50 + 40, (60 + 99 * 50) / 5160)
    assert found.fewer[-2] == Fewer(2, True, 360.0, 210 / 360)
    # Both runs, 60 and 50 ms, are during the load.
    assert found.fewer[-1] == Fewer(2, False, 110.0 + 110 + (120 - 110) + 40, 110 / 270)
    incomplete = session("sequential", ONE_IMAGE[:2], latency_ms=300.0)
    cut = whole("sequential", incomplete)
    assert (cut.composed, cut.difference, cut.fewer) == ((), (), ())
    assert [one.ms for one in cut.shares] == [110.0, 210.0]
    unrepeated = [replace(one, repeated=False) for one in ONE_IMAGE]
    singles = [replace(one, stages=(replace(one.stages[0], repeated=False),)) for one in ALONE]
    same = variant(*singles, session("pipelined", unrepeated, latency_ms=300.0, **KEPT)).wholes[0]
    assert same.composed and same.fewer == ()


def test_memory_saved_is_compared_with_the_resident_pipeline() -> None:
    resident = session("resident", ONE_IMAGE, latency_ms=300.0, peak_kb=500)
    found = variant(*ALONE, resident, *SEVERAL)
    by = {one.residency: one for one in found.wholes}
    assert list(by) == ["resident", "pipelined x2"]
    assert found.saved(by["pipelined x2"]) == 0.5
    assert found.saved(by["resident"]) is None
    assert found.saved(replace(by["pipelined x2"], peak_kb=None)) is None
    assert variant(*SEVERAL).saved(by["pipelined x2"]) is None
    nothing = variant(*ALONE, replace(resident, peak_kb=0), *SEVERAL)
    assert nothing.saved(by["pipelined x2"]) is None


def test_memory_of_each_stage_over_time_is_zero_if_it_was_not_sampled() -> None:
    assert memory_series(SEVERAL[1]) == (
        [0.1, 0.4, 1.0, 1.1], {0: [10, 0, 0, 0], 1: [20, 20, 40, 90], 2: [0, 25, 0, 0], 3: [0] * 4, 4: [0] * 4},
    )  # fmt: skip
    rows = (PipelineSampleRecord(0, 0, 0.5, 100, 130), PipelineSampleRecord(1, 0, 0.7, None, 150))
    one = replace(SEVERAL[0], stages=(TWO_IMAGES[0],), samples=rows)
    assert memory_series(one) == ([0.5, 0.7], {0: [100, 120]}), "30 kB are shared"


def test_a_variant_is_one_device_pipeline_delegate_and_number_of_threads() -> None:
    resident = session("resident", ONE_IMAGE, latency_ms=300.0)
    lost = replace(resident, stages=()), replace(resident, stages=(replace(ONE_IMAGE[0], job_number=9), *ONE_IMAGE[1:]))
    found = report(resident, replace(resident, threads=None), replace(resident, delegate="cpu"), resident, *lost)
    assert found.sessions == (resident, replace(resident, threads=None), replace(resident, delegate="cpu"), resident)
    assert [(one.title, len(one.wholes[0].sessions)) for one in found.variants] == [
        ("gpu · 4 threads", 2), ("gpu", 1), ("cpu · 4 threads", 1)
    ]  # fmt: skip
    one = found.variants[0]
    assert (one.pipeline, one.steps, one.guidance, one.keep, one.device.key) == ("sd", 2, True, None, "KEY")
    assert one.parameters == "2 steps with guidance, two passes a step"
    assert replace(one, guidance=False).parameters == "2 steps without guidance"
    assert one.of("resident") is one.wholes[0] and one.of("sequential") is None
    assert (found.run_data["run_id"], found.run_data["status"]) == (run_view().run.run_id, "done")
    assert found.device_titles == {"KEY": "Phone (KEY)"} and not found.virtual and not found.virtual_note
    assert report(resident, virtual=True).virtual_note.startswith("virtual:")
    assert [len(found.only(*chosen).variants) for chosen in (((), ()), (("KEY",), ("cpu",)), (("B",), ()))] == [3, 1, 0]


@pytest.mark.parametrize(("low", "counted"), [(0, True), (-1, False)])
def test_copies_are_shown_for_repeated_stages_from_zero_upwards(low: int, counted: bool) -> None:
    kept = {"in_bytes": 5, "out_bytes": 3, "host_us": low}
    options = {COPIES: {"text": kept, "unet": kept}}
    found = variant(*ALONE, *SEVERAL, options=options).copies
    assert found == ((Copied("unet", 4, 5, 3, 0.0),) if counted else ())
    assert [one.image_bytes for one in found] == [32][: len(found)]


def test_unreliable_sessions_are_a_notice_of_their_case() -> None:
    sequential = session("sequential", ONE_IMAGE, latency_ms=300.0, **BUSY)
    found = report(*ALONE, *SEVERAL, sequential, session("resident", ONE_IMAGE, latency_ms=300.0)).notices
    assert [(one.kind, one.subject, one.effect, one.tally and one.tally.total) for one in found] == [
        (NoticeKind.SOME_UNRELIABLE, "sd · gpu · 4 threads · pipelined x2 · 2 steps · guidance", Effect.INFORMATION, 4),
        (NoticeKind.ALL_UNRELIABLE, "sd · gpu · 4 threads · sequential · 2 steps · guidance", Effect.UNDECIDED, 1),
    ]
    assert found[0].text == "1 of 4 sessions is unreliable (other load: 4.0 on 2 CPUs) and left out"
    assert found[0].device_key == "KEY"
