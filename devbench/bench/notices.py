"""Notices that a run gives: about its plan, its devices, and files that were changed on them; knows no connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from devbench.analysis.reliability import STATUS_PROBLEMS, Around
from devbench.models.case_inputs import open_inputs, shape_words
from devbench.models.tensors import read_signatures
from devbench.notices import Effect, Notice, NoticeKind
from devbench.results.records import DeviceRecord, JobRecord
from devbench.text import clean

if TYPE_CHECKING:
    from devbench.bench.outputs import Expected
    from devbench.bench.plan import Called, Case, Plan
    from devbench.bench.stabilise import Stabilising
    from devbench.device.lease import LeaseLost


_MAX_LISTED = 4
_NEXT_STEPS = {
    "not_ready": "restart the device if its thermal service should work; until then, clocks and temperatures are used",
    "overridden": "`adb shell cmd thermalservice reset`",
}


def steps_not_applied(
    done: Mapping[str, bool], wanted: Stabilising, device: DeviceRecord, *, via: str
) -> Sequence[Notice]:
    """One notice for each requested step that the device did not take."""
    values = {"governor": wanted.governor, "clock": wanted.clock_pct}
    left = {name: _why(name, device.facts.get("root")) for name, taken in done.items() if not taken}
    if wanted.affinity and via == "apk":
        left["affinity"] = "an app chooses its CPUs itself; use --via shell"
        values["affinity"] = wanted.affinity
    return [
        Notice(
            NoticeKind.STEP_NOT_APPLIED,
            device.title,
            f"--stabilise {name}{f'={values[name]}' if name in values else ''} was requested and not applied",
            next_step,
            Effect.INFORMATION,
            device.key,
        )
        for name, next_step in left.items()
    ]


def _why(name: str, root: object) -> str:
    if name in ("governor", "clock"):
        if root is not True:
            return "it needs root: run `adb root` on a userdebug build, or leave the step out"
        return (
            "the kernel refused it: `devbench devices --json` lists the supported values; "
            "leave the step out if there are none"
        )
    if name == "performance":
        return "the device has no fixed performance mode: leave the step out"
    return "the device refused the command: leave the step out, or set it by hand"


def shared_serial(device: DeviceRecord, others: Sequence[str]) -> Sequence[Notice]:
    """A notice if other devices in the store have the same factory serial number."""
    if not others:
        return []
    listed = ", ".join(others[:_MAX_LISTED])
    text = f"its factory serial number is also that of {listed}, which is stored as another device"
    next_step = f"if it is the same board, `devbench devices merge {others[0]} {device.key}`"
    return [Notice(NoticeKind.DEVICE_IDENTITY, device.title, text, next_step, Effect.INFORMATION, device.key)]


def invalid_readings(around: Around, device: DeviceRecord) -> Sequence[Notice]:
    """One notice for each kind of value that the device reported and that is not a reading."""
    problems = {str(sample.get("thermal_status_problem") or "") for sample in around.known}
    found = [
        (NoticeKind.THERMAL_STATUS, STATUS_PROBLEMS[problem], _NEXT_STEPS[problem])
        for problem in sorted(problems & STATUS_PROBLEMS.keys())
    ]
    if any(sample.get("battery_overridden") for sample in around.known):
        found.append(
            (
                NoticeKind.BATTERY_OVERRIDDEN,
                "battery unknown: its values were set by a command",
                "`adb shell dumpsys battery reset`",
            )
        )
    return [Notice(kind, device.title, text, step, device_key=device.key) for kind, text, step in found]


def lease_lost(error: LeaseLost, device: DeviceRecord) -> Notice:
    """The notice of a run that lost its device before it had measured everything there."""
    text = "the lease on the device was lost to another run or revoked: only earlier results are stored"
    next_step = (
        "`devbench devices` shows who uses the device; `devbench run --resume` measures the rest, except of pipelines"
    )
    return Notice(NoticeKind.LEASE_LOST, device.title or error.serial, text, next_step, device_key=device.key)


def replaced_files(names: Iterable[str], device_key: str) -> list[Notice]:
    """Files whose copies on the device had changed since they were pushed. They were replaced before anything ran."""
    return [
        Notice(
            NoticeKind.DEPOT_FILE_CHANGED,
            subject=name,
            text=f"the copy of {name} on the device had been changed since it was sent; it was sent again",
            next_step="find out what writes to /data/local/tmp/devbench/sha256 on the device",
            device_key=device_key,
        )
        for name in dict.fromkeys(names)
    ]


def changed_files(sha256s: Sequence[str], jobs: Sequence[JobRecord]) -> list[Notice]:
    """Files that were changed on the device while these jobs used them: the jobs' numbers cannot be trusted."""
    return [
        Notice(
            NoticeKind.DEPOT_FILE_CHANGED,
            subject=name,
            text=f"{name} was changed on the device during the run: some repetitions ran with other bytes",
            next_step="measure again while nothing else writes to /data/local/tmp/devbench",
            effect=Effect.UNDECIDED,
            device_key=job.device.key,
            job_number=job.number,
        )
        for job in jobs
        for sha256, name in _files_of(job).items()
        if sha256 in sha256s
    ]


def _files_of(job: JobRecord) -> dict[str, str]:
    others = {one.sha256: one.name for one in job.files}
    return {job.binary.sha256: job.binary.name, job.model.sha256: job.model.name, **others}


# Flags of the user that set the shape or signature of the model.
_SHAPE_FLAGS = frozenset({"input_layer_shape"})
_SIGNATURE_FLAGS = frozenset({"signature_to_run_for"})
_MAX_NAMES = 8


def plan_notices(plan: Plan, expected: Mapping[Called, Expected]) -> list[Notice]:
    """The notices of a plan's cases, each once; `expected` are outputs on this machine, if they are checked."""
    found: dict[Notice, None] = {}
    for case in {(one.subject, one.called): one for one in plan.cases}.values():
        flags = {name for name, _ in case.options.extra_flags}
        if not flags & _SHAPE_FLAGS:
            found |= dict.fromkeys(_open_shapes(case))
        if not plan.signatures_chosen and not flags & _SIGNATURE_FLAGS:
            found |= dict.fromkeys(_first_signature(case))
        if case.called in expected:
            found |= dict.fromkeys(_not_deterministic(case, expected[case.called]))
    return list(found)


def _open_shapes(case: Case) -> list[Notice]:
    inputs = open_inputs(case.model.path, dict(case.options.input_shapes), case.options.signature_graph)
    if not inputs:
        return []
    named = [f"{one.shown} ({shape_words(one.open_shape)}, measured as {shape_words(one.shape)})" for one in inputs]
    several = "s" if len(inputs) > 1 else ""
    example = f"--input-shape '{inputs[0].shown}={shape_words(inputs[0].open_shape)}'"
    return [
        Notice(
            NoticeKind.OPEN_SHAPES,
            case.subject,
            f"input{several} of open shape: {_listed(named)}; the latency applies to this size only",
            f"give the size of real inputs: {example} with a number for each ?",
            Effect.EXCLUDED,
        )
    ]


def _first_signature(case: Case) -> list[Notice]:
    signatures = read_signatures(case.model.path)
    if len({one.graph for one in signatures}) < 2:
        return []
    which = f"signature {case.options.signature}" if case.options.signature else "the main graph"
    names = _listed([one.name for one in signatures])
    return [
        Notice(
            NoticeKind.FIRST_OF_SEVERAL_SIGNATURES,
            case.subject,
            f"has {len(signatures)} signatures ({names}); only {which} is measured",
            "choose with --signature NAME, or measure each with --signature all",
        )
    ]


def _not_deterministic(case: Case, expected: Expected) -> list[Notice]:
    names = [expected.tensors.outputs[number].shown for number in sorted(expected.unsteady)]
    if not names:
        return []
    which = f"outputs {_listed(names)} differ" if len(names) > 1 else f"output {_listed(names)} differs"
    return [
        Notice(
            NoticeKind.NOT_DETERMINISTIC,
            case.subject,
            f"{which} from run to run on this computer with the same inputs, so values are not compared",
            "fix the seeds of the model's random operators to compare its outputs",
        )
    ]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMES
    return ", ".join([*map(clean, names[:_MAX_NAMES]), *([f"{more} more"] if more > 0 else [])])
