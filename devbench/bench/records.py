"""Makes stored records from the results of the parser and the device layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbench.analysis.operators import delegate_time_share
from devbench.analysis.reliability import Around, Reliability
from devbench.bench.notices import shared_serial
from devbench.bench.plan import Case
from devbench.bench.script import ScriptOutput
from devbench.device.cores import cluster_masks
from devbench.device.facts import DeviceFacts
from devbench.device.facts import to_json as facts_to_json
from devbench.device.profiles import DeviceProfile
from devbench.frozen import dataclass
from devbench.host.hashing import sha256_of
from devbench.results.records import (
    VALUES,
    BinaryRecord,
    CacheState,
    DeviceRecord,
    FileRecord,
    JobRecord,
    ModelRecord,
    OperatorRecord,
    Purpose,
    RepetitionRecord,
)
from devbench.tool.binaries import Binary
from devbench.tool.libraries import delegate_files
from devbench.tool.measurement import Failure, Measurement, Profile

if TYPE_CHECKING:
    from devbench.bench.outputs import Expected
    from devbench.errors import EnvironmentProblem
    from devbench.notices import Notice
    from devbench.results.store import Store

# A hostile profile must not fill the store; the largest known model has about 4,200 operators.
_MAX_OPERATORS = 20_000


@dataclass(frozen=True, slots=True)
class ProcessResult:
    """One process of the tool: when it ran, its output, and the state of the device around it.

    Attributes:
        raw_file: its raw output on this machine, compressed.
        failure: why it has no result, if that is known without reading the output.
        lost: why the connection to the device is lost; `None` if it is not.
    """

    started_utc: datetime
    finished_utc: datetime
    duration_s: float
    argv: tuple[str, ...]
    raw_path: str
    raw_file: Path
    output: ScriptOutput
    around: Around
    file_cache: CacheState | None
    kernel_cache: CacheState | None
    host_overhead_ms: float | None
    failure: Failure | None = None
    lost: EnvironmentProblem | None = None


def device_record(facts: DeviceFacts, profile: DeviceProfile) -> DeviceRecord:
    """Return the device as the store keeps it; it is virtual if its facts or its profile say so."""
    return DeviceRecord(
        key=facts.key,
        serial=facts.serial,
        title=facts.title,
        virtual=facts.virtual or profile.virtual,
        profile=profile.name,
        facts={
            **facts_to_json(facts),
            "notes": list(profile.notes),
            "quirks": list(profile.quirks),
            "masks": {**cluster_masks(facts.cpus), **profile.masks},
            "limits": asdict(profile.limits),
            "sensors": list(profile.sensors),
        },
    )


def describe(
    facts: DeviceFacts, profile: DeviceProfile, store: Store, notice: Callable[[Notice], None]
) -> DeviceRecord:
    """Return the device with the key that it has in the store; give a notice if its serial number is not unique."""
    key, others = store.identify(facts.key, facts.hardware_serial)
    device = replace(device_record(facts, profile), key=key)
    for found in shared_serial(device, others):
        notice(found)
    return device


def file_records(case: Case, expected: Expected | None = None) -> tuple[FileRecord, ...]:
    """Return the files that a case needs on the device in addition to its model and its binary.

    Args:
        expected: the model's inputs, if its outputs are checked.

    Raises:
        InputError: a file of the delegate is missing or is no library.
    """
    found = [
        FileRecord(
            one.name,
            "delegate",
            sha256_of(one.path),
            one.path.stat().st_size,
            f"{one.product} {one.version}".strip() if one.version else "",
        )
        for one in delegate_files(case.delegate)
    ]
    if expected is not None:
        for number, (spec, values) in enumerate(zip(expected.tensors.inputs, expected.inputs, strict=True)):
            data = values.tobytes()
            found.append(FileRecord(f"{number} {spec.name}"[:200], "input", sha256(data).hexdigest(), len(data)))
    return tuple(found)


def job_record(
    run_id: str,
    number: int,
    case: Case,
    device: DeviceRecord,
    binary: Binary,
    sha256: str,
    files: tuple[FileRecord, ...] = (),
) -> JobRecord:
    """Return the record of a job, a case on a device.

    `sha256` is the hash of the binary's file; `files` come from `file_records`.
    """
    options = asdict(case.options)
    options["delegate_flags"] = dict(case.delegate.litert_flags if binary.tool == "litert" else case.delegate.flags)
    options["reported_as"] = list(case.delegate.reported_as)
    options["operator_count"] = case.model.operator_count
    if case.model.compiled is not None:
        options["compiled"] = asdict(case.model.compiled)
    if binary.is_apk:
        options["via"] = "apk"
    return JobRecord(
        run_id=run_id,
        number=number,
        device=device,
        model=ModelRecord(
            sha256=case.model.sha256,
            name=case.model.name,
            size_bytes=case.model.size_bytes,
            operators=case.model.operator_count,
        ),
        binary=BinaryRecord(
            sha256=sha256,
            name=binary.name,
            version=binary.version,
            abi=binary.abi,
            flavour=binary.flavour,
            tool=binary.tool,
        ),
        delegate=case.delegate.name,
        # The app gets its own row in every table, apart from the shell: a GPU may be half as fast from the shell.
        delegate_title=f"{case.delegate.title} · APK" if binary.is_apk else case.delegate.title,
        threads=case.options.num_threads,
        require=case.require,
        options=options,
        files=files,
    )


def repetition_record(
    job: JobRecord,
    case: Case,
    index: int,
    purpose: Purpose,
    ran: ProcessResult,
    measured: Measurement,
    verdict: Reliability,
    outputs: Sequence[Mapping[str, Any]] = (),
) -> RepetitionRecord:
    """Return the record of one repetition.

    A failed repetition has no latency and no start-up time; what the tool printed is only in `measurement` and in the
    raw output, where nobody takes it for a result of the requested delegate. A profile repetition has memory and
    operators but no latency, since profiling slows the tool down. A cold one has only its start-up.
    """
    ok = ran.failure is None
    # Imported here because it takes a while; by now, the parser has been imported anyway.
    from devbench.tool.failures import find_use
    from devbench.tool.parse import to_json

    use = find_use(measured.delegates, case.delegate)
    operators = operator_records(measured) if ok else ()
    return RepetitionRecord(
        run_id=job.run_id,
        job_number=job.number,
        index=index,
        purpose=purpose,
        duration_s=ran.duration_s,
        argv=ran.argv,
        exit_code=ran.output.exit_code,
        measurement=to_json(measured),
        **{name: of.read(measured) for name, of in VALUES.items() if ok and of.measured and purpose in of.purposes},
        vm_hwm_kb=ran.output.vm_hwm_kb if ok else None,
        pss_peak_kb=ran.output.pss_peak_kb if ok else None,
        delegate_applied=use.applied if use else None,
        nodes_delegated=use.nodes_delegated if use else None,
        nodes_total=use.nodes_total if use else None,
        partitions=use.kernels if use else None,
        delegate_time_share=delegate_time_share(
            [op for op in operators if op.phase == "runs"],
            xnnpack="XNNPACK" in case.delegate.reported_as,
            calls_of_all_runs=job.binary.tool == "litert",
        ),
        file_cache=ran.file_cache,
        kernel_cache=ran.kernel_cache,
        on_device_ms=ran.output.on_device_ms,
        host_overhead_ms=ran.host_overhead_ms,
        outputs=tuple(outputs),
        operators=operators,
        **measured_when(ran, verdict),
    )


def measured_when(ran: ProcessResult, verdict: Reliability) -> dict[str, Any]:
    """Return the fields that repetitions and pipeline sessions share: times, status, and the state of the device."""
    failure = ran.failure
    return {
        "started_utc": ran.started_utc,
        "finished_utc": ran.finished_utc,
        "status": "ok" if failure is None else "failed",
        "failure_kind": None if failure is None else failure.kind.value,
        "failure_message": None if failure is None else failure.message,
        "raw_path": ran.raw_path,
        "conditions_before": ran.around.before,
        "conditions_after": ran.around.after,
        "conditions_during": tuple(ran.around.during),
        "verdict": verdict.word,
        "verdict_reasons": verdict.reasons,
    }


def refused_record(
    job: JobRecord, purpose: Purpose, failure: Failure, argv: Sequence[str], raw_path: str, now: datetime
) -> RepetitionRecord:
    """Return the record of a failure for a job that was refused before any of its processes ran."""
    return RepetitionRecord(
        run_id=job.run_id,
        job_number=job.number,
        index=0,
        purpose=purpose,
        started_utc=now,
        finished_utc=now,
        duration_s=0.0,
        argv=tuple(argv),
        status="failed",
        failure_kind=failure.kind.value,
        failure_message=failure.message,
        exit_code=None,
        raw_path=raw_path,
        measurement={},
    )


def operator_records(measured: Measurement) -> tuple[OperatorRecord, ...]:
    """Return the operators of both phases in run order; within a phase, a delegate's inner operators come last."""
    rows: list[OperatorRecord] = []
    # A delegate's partition has the name under which the delegate reports its nodes.
    delegates = {use.name.casefold() for use in measured.delegates}
    profiles: list[tuple[Any, Profile | None]] = [("init", measured.profile_init), ("runs", measured.profile_runs)]
    for phase, profile in profiles:
        if profile is None:
            continue
        inside = set(map(id, profile.delegate_ops))
        listed = set(map(id, profile.ops))
        # A delegate's own rows are in the main table or in a separate section.
        further = [op for op in profile.delegate_ops if id(op) not in listed]
        for position, op in enumerate([*profile.ops, *further]):
            rows.append(
                OperatorRecord(
                    phase=phase,
                    position=position,
                    type=op.type,
                    name=op.name,
                    node=op.node,
                    avg_ms=op.avg_ms,
                    first_ms=op.first_ms,
                    pct=op.pct,
                    mem_kb=op.mem_kb,
                    times_called=op.times_called,
                    inside_delegate=id(op) in inside,
                    is_partition=id(op) not in inside and op.type.casefold() in delegates,
                )
            )
    return tuple(rows[:_MAX_OPERATORS])
