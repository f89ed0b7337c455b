"""One store with everything that devbench shows: nights of several devices, a comparison, changes, a pipeline.

Every time, id, version and number is fixed, so that what is made of the store is the same on every machine. The forms of
`tests/golden` are made of it. Nothing here was measured.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from devbench.notices import Effect, Notice, NoticeKind
from devbench.results.counting import JobView, RunView
from devbench.results.records import (
    FileRecord,
    PipelineSampleRecord,
    PipelineSessionRecord,
    PipelineStageRecord,
    RepetitionRecord,
)
from devbench.results.store import Store
from tests.made.nights import START, Made, job_view
from tests.made.samples import run_record

PIXEL, GALAXY, VIRTUAL = "37021FDJE", "R5CT10ABC", "virtual-1"
_TITLES = {PIXEL: "Pixel 8 (37021FDJE)", GALAXY: "Galaxy S24 (R5CT10ABC)", VIRTUAL: "virtual-1"}
# The nights before the two that are compared; the change of the history is in the middle.
_HISTORY = 10
_CHANGED = 5
_LIBRARY = "libnpu_delegate.so"


@dataclass(frozen=True)
class Ids:
    """Runs of the store: the two that are compared, one of a pipeline and one of an ablation."""

    baseline: str
    candidate: str
    pipeline: str
    ablation: str


def make(store: Store) -> Ids:
    """Fill an empty store."""
    for number in range(_HISTORY):
        _add(store, number, _short(number))
    baseline = _add(store, _HISTORY, _baseline())
    candidate = _add(store, _HISTORY + 1, _candidate(), _notices())
    return Ids(baseline, candidate, _pipeline(store, _HISTORY + 2), _ablation(store, -1))


def _add(store: Store, number: int, jobs: Sequence[Made], notices: Sequence[Notice] = ()) -> str:
    at = START + timedelta(days=number)
    run_id = f"{at:%Y%m%d-%H%M%S}-{number:04x}"
    labels = {"suite": "nightly", "commit": "4f2a91b" if number < _CHANGED else "91bc07d"}
    run = replace(run_record(run_id, at), labels=labels, command="devbench nightly nightly.toml")
    views = [job_view(run_id, k + 1, job, at) for k, job in enumerate(jobs)]
    if number >= _HISTORY:
        views = [_detailed(store, number, view) for view in views]
    store.add_run(RunView(run, "done", at + timedelta(minutes=5), tuple(views), tuple(notices)))
    return run_id


def _near(level: float, count: int, seed: int, sigma: float = 0.004) -> tuple[float, ...]:
    draw = random.Random(seed)
    return tuple(round(level * (1 + draw.gauss(0, sigma)), 4) for _ in range(count))


def _made(device: str, model: str, delegate: str, latencies: Sequence[float], **more: Any) -> Made:
    build = {"build_id": more.pop("build", "AP4A"), "abis": ["arm64-v8a"], "soc": f"SoC of {device}", "cpu_count": 8}
    sha = {"portrait_unet": "a", "text_encoder": "c", "decoder": "d"}[model]
    values: dict[str, Any] = {"facts": build, "virtual": device == VIRTUAL, "title": _TITLES[device], "sha": sha}
    return Made(latencies, model, delegate, device, **{**values, **more})


# -- the history ------------------------------------------------------------------------------------------------------


def _short(number: int) -> list[Made]:
    """A night of one process a job: a model changes on one device, and another device as a whole."""
    late = number >= _CHANGED
    update = 1.12 if late else 1.0
    levels = (
        (PIXEL, "portrait_unet", "gpu", 8.1), (PIXEL, "text_encoder", "xnnpack", 12.6 * (1.2 if late else 1.0)),
        (GALAXY, "portrait_unet", "gpu", 7.9 * update), (GALAXY, "text_encoder", "gpu", 14.1 * update),
        (GALAXY, "decoder", "gpu", 30.0 * update),
    )  # fmt: skip
    build = {GALAXY: "UP1B" if late else "UP1A"}
    return [
        _made(device, model, delegate, _near(level, 1, 100 * number + k), build=build.get(device, "AP4A"))
        for k, (device, model, delegate, level) in enumerate(levels)
    ]


# -- the two nights that are compared ---------------------------------------------------------------------------------


def _baseline() -> list[Made]:
    return [
        _made(PIXEL, "portrait_unet", "gpu", _near(8.12, 6, 1), nodes=(180, 180, 1), on_delegate=8.0, types={}),
        _made(PIXEL, "portrait_unet", "xnnpack", _near(17.8, 4, 2), types={"CONV_2D": (15.0, 12), "ADD": (2.5, 5)}),
        _made(PIXEL, "portrait_unet", "cpu", _near(61.3, 4, 3)),
        _made(PIXEL, "text_encoder", "xnnpack", _near(15.1, 6, 4), peak_mb=119.0),
        _made(PIXEL, "text_encoder", "gpu", (), failed=2, kind="delegate_not_applied"),
        _made(GALAXY, "portrait_unet", "gpu", _near(8.9, 4, 5), build="UP1B"),
        _made(GALAXY, "text_encoder", "gpu", _near(15.9, 4, 6, 0.05), build="UP1B"),
        _made(VIRTUAL, "portrait_unet", "xnnpack", _near(88.4, 4, 7)),
    ]


def _candidate() -> list[Made]:
    on_cpu = {"MEAN": (2.31, 4), "BROADCAST_TO": (0.92, 2)}
    return [
        _made(PIXEL, "portrait_unet", "gpu", _near(11.9, 6, 11), nodes=(174, 180, 3), on_delegate=8.4, types=on_cpu),
        _made(PIXEL, "portrait_unet", "xnnpack", _near(17.8, 4, 12), types={"CONV_2D": (15.0, 12), "ADD": (2.5, 5)}),
        _made(PIXEL, "portrait_unet", "cpu", (), failed=2),
        _made(PIXEL, "text_encoder", "xnnpack", _near(12.6, 6, 14), peak_mb=112.0),
        _made(PIXEL, "text_encoder", "gpu", _near(12.9, 4, 15), nodes=(90, 90, 1), on_delegate=12.0, types={}),
        _made(GALAXY, "portrait_unet", "gpu", _near(10.8, 4, 16), build="UP1B", unreliable=4),
        _made(GALAXY, "text_encoder", "gpu", _near(16.1, 4, 17, 0.05), build="UP1B", unreliable=1),
        _made(VIRTUAL, "portrait_unet", "xnnpack", _near(88.4, 4, 18)),
        _made(VIRTUAL, "decoder", "cpu", _near(402.0, 2, 19)),
    ]


def _detailed(store: Store, number: int, view: JobView) -> JobView:
    """The job with files, options, conditions, outputs and a raw output."""
    titles = {"gpu": "GPU", "xnnpack": "XNNPACK", "cpu": "CPU"}
    job, late = replace(view.job, delegate_title=titles[view.job.delegate]), number > _HISTORY
    if job.delegate == "gpu":
        file = FileRecord(_LIBRARY, "delegate", ("f" if late else "e") * 64, 1_000_000, "3.3.0" if late else "3.2.0")
        job = replace(job, files=(file,))
    if job.model.name == "decoder":
        job = replace(job, options={"signature": "serving_default", "input_shapes": [["image", [1, 256, 256, 3]]]})
    rows = list(view.repetitions)
    if job.device.key != VIRTUAL:
        rows = [_with_conditions(row, k) for k, row in enumerate(rows)]
    if job.delegate == "gpu" and job.model.name == "text_encoder":
        rows[-1] = replace(rows[-1], measurement={"status": "ok", "unsupported_ops": [_REFUSED]}, outputs=_OUTPUTS)
    raw = store.artifacts.write(job.run_id, f"job{job.number:04d}", f"INFO: raw output of job {job.number}\n".encode())
    rows[0] = replace(
        rows[0], raw_path=raw, init_memory_mb=20.5, pss_peak_kb=90_000, latency_std_us=50.0, inferences=50
    )
    return JobView(job, tuple(replace(row, file_cache="warm") for row in rows))


_REFUSED = {"op": "GATHER", "reason": "GATHER: only 4D indices are supported"}
_OUTPUTS = (
    {
        "name": "embedding", "against": "host", "dtype": "float32", "max_abs": 0.002, "max_rel": 0.0004,
        "cosine": 0.999998, "snr_db": 61.5, "wrong": False, "nan": 0, "inf": 0, "deterministic": True,
        "limits": {"max_rel": 0.01},
    },
)  # fmt: skip


def _with_conditions(row: RepetitionRecord, place: int) -> RepetitionRecord:
    start = row.started_utc + timedelta(seconds=2 * place)
    throttled = int(row.verdict == "unreliable")

    def sample(heat: float) -> dict[str, Any]:
        heats = {"CPU0": 41.0 + heat, "skin": 31.0 + heat / 4}
        clock = 1_700_000 if throttled else 2_800_000
        return {"thermal_status": throttled, "temperatures_c": heats, "cpu_khz": [clock, clock], "battery_level": 81}

    return replace(
        row,
        started_utc=start,
        finished_utc=start + timedelta(seconds=1),
        conditions_before={**sample(place), "taken_utc": start.isoformat(), "load_1min": 0.4},
        conditions_during=({**sample(place + 0.5), "t_s": 0.5},),
        verdict=row.verdict or "valid",
    )


def _notices() -> list[Notice]:
    return [
        Notice(
            NoticeKind.OPEN_SHAPES, "decoder", "the shape of image is open and is measured with 1x256x256x3",
            "give the shape with --shape", device_key=VIRTUAL,
        ),
        Notice(
            NoticeKind.FIRST_OF_SEVERAL_SIGNATURES, "decoder",
            "it has 2 signatures, and the tool runs the first, serving_default", "choose one with --signature",
        ),
        Notice(
            NoticeKind.STEP_NOT_APPLIED, _TITLES[GALAXY], "the step fixed-clocks was not applied: no root",
            "see `devbench doctor`", device_key=GALAXY,
        ),
        Notice(
            NoticeKind.THERMAL_STATUS, _TITLES[PIXEL], "the thermal status was overridden by a command",
            "adb shell cmd thermalservice reset", device_key=PIXEL,
        ),
        Notice(
            NoticeKind.DEPOT_FILE_CHANGED, "portrait_unet",
            "portrait_unet was changed on the device during the run: some repetitions ran with other bytes",
            "measure again while nothing else writes to /data/local/tmp/devbench", Effect.UNDECIDED, PIXEL, 2,
        ),
        Notice(
            NoticeKind.NOT_DETERMINISTIC, "text_encoder",
            "output embedding differs from run to run on this computer with the same inputs, so values are not compared",
            "fix the seeds of the model's random operators to compare its outputs", Effect.EXCLUDED, PIXEL, 5,
        ),
    ]  # fmt: skip


# -- a pipeline -------------------------------------------------------------------------------------------------------

# Name, load, first and steady inference in ms, inferences.
_STAGES = (
    ("text_encoder", 40.0, 30.0, 12.0, 1),
    ("portrait_unet", 90.0, 60.0, 11.0, 4),
    ("decoder", 50.0, 45.0, 31.0, 1),
)


def _of_stages(store: Store, number: int, command: str, options: Mapping[str, Any]) -> str:
    """A run with a job for each stage, without sessions."""
    at = START + timedelta(days=number)
    run_id = f"{at:%Y%m%d-%H%M%S}-{abs(number):04x}"
    jobs = [
        replace(job_view(run_id, k + 1, _made(VIRTUAL, name, "xnnpack", ()), at), repetitions=())
        for k, (name, *_) in enumerate(_STAGES)
    ]
    run = replace(run_record(run_id, at), labels={}, command=command, options=options)
    store.add_run(RunView(run, "done", at + timedelta(minutes=5), tuple(jobs)))
    return run_id


def _pipeline(store: Store, number: int) -> str:
    copies = {"portrait_unet": {"in_bytes": 382_208, "out_bytes": 65_536, "host_us": 10.4}}
    run_id = _of_stages(store, number, "devbench run --pipeline sd.toml -d virtual -D xnnpack", {"copies": copies})
    for place in range(len(_STAGES)):
        store.add_pipeline_session(_session(run_id, "alone", place, (place,)))
    every = tuple(range(len(_STAGES)))
    for index in range(3):
        store.add_pipeline_session(_session(run_id, "sequential", index, every))
        verdict = "unreliable" if index == 2 else "valid"
        store.add_pipeline_session(_session(run_id, "resident", index, every, verdict=verdict))
    failed = _session(run_id, "pipelined", 0, every)
    problem: dict[str, Any] = {"status": "failed", "failure_kind": "crash", "failure_message": "decoder: signal 11"}
    store.add_pipeline_session(replace(failed, latency_ms=None, **problem))
    return run_id


# Lever, end to end in ms (none: the session failed), peak in kB, file in bytes.
_LEVERS = (
    ("baseline", 1400.0, 150_000, 9_000_000),
    ("+ groupnorm-4d", 1250.0, 148_000, 9_000_000),
    ("no guidance", 640.0, 148_000, 9_000_000),
    ("+ w8", None, None, 2_300_000),
    ("pipelined", 660.0, 110_000, 2_300_000),
)


def _ablation(store: Store, number: int) -> str:
    rows = [
        {
            "lever": lever, "pipeline": f"sd {k:02d} {lever}", "steps": 4, "guidance": k < 2, "size_bytes": size,
            "residency": "pipelined" if lever == "pipelined" else "resident", "nodes": 300, "delegated": 300 if k else 280,
            "partitions": 1, "failures": [],
        }
        for k, (lever, _, _, size) in enumerate(_LEVERS)
    ]  # fmt: skip
    options = {"ablation": {"pipeline": "sd", "rows": rows}}
    run_id = _of_stages(store, number, "devbench pipeline ablation sd.toml -d virtual -D xnnpack", options)
    for row, (_, latency_ms, peak_kb, _) in zip(rows, _LEVERS, strict=True):
        made = _session(run_id, str(row["residency"]), 0, range(len(_STAGES)), pipeline=row["pipeline"])
        problem: dict[str, Any] = {}
        if latency_ms is None:
            problem = {"status": "failed", "failure_kind": "crash", "failure_message": "decoder: signal 11"}
        store.add_pipeline_session(replace(made, latency_ms=latency_ms, peak_kb=peak_kb, **problem))
    return run_id


def _session(run_id: str, residency: str, index: int, places: Sequence[int], **changes: Any) -> PipelineSessionRecord:
    at = START + timedelta(days=_HISTORY + 2, minutes=index)
    resident = residency == "resident"
    stages, clock = [], 0.0
    for place in places:
        name, load, first, steady, runs = _STAGES[place]
        wall = first + (runs - 1) * steady + 0.7 * index
        stages.append(
            PipelineStageRecord(
                place, name, place + 1, name == "portrait_unet", runs, 0, ("/b", f"--graph={name}"), "", resident,
                init_ms=load - 5, load_ms=load, wall_ms=wall, first_ms=first, steady_ms=steady, release_ms=2.0,
                start_s=-load / 1000 if resident else (clock - load) / 1000,
                ready_s=0.0 if resident else clock / 1000, go_s=clock / 1000 if resident else None,
                done_s=(clock + wall) / 1000, hwm_kb=60_000 + 10_000 * place,
            )
        )  # fmt: skip
        clock += wall + (0.0 if resident else load) + 2.0
    samples = tuple(
        PipelineSampleRecord(number, place, 0.01 + 0.05 * number, 50_000 + 5_000 * place + 2_000 * number, 70_000)
        for number in range(3)
        for place in places
    )
    session = PipelineSessionRecord(
        run_id, VIRTUAL, "sd", "xnnpack", 4, residency, index, 4, False, None, 0, at, at + timedelta(seconds=2), "ok",
        None, None, f"{run_id}/{residency}{index}", clock, "pss", 150_000 if resident else 90_000, verdict="valid",
        stages=tuple(stages), samples=samples,
    )  # fmt: skip
    return replace(session, **changes)
