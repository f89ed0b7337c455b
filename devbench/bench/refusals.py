"""Which jobs of a device are refused before anything is sent for them, and why; stores and shows nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from devbench.bench.delegate_check import cannot_run
from devbench.bench.tool_help import read_flags
from devbench.errors import InputError
from devbench.models.compiled import fits_soc
from devbench.tool.manifest import VIRTUAL_ABI
from devbench.tool.measurement import Failure, FailureKind

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.bench.command import Commands
    from devbench.bench.job_progress import JobProgress
    from devbench.bench.plan import Case, Limits
    from devbench.device.facts import DeviceFacts
    from devbench.results.records import Purpose
    from devbench.tool.binaries import Binary


def known_flags(device: Device, binary: Binary) -> frozenset[str]:
    """The flags that the binary takes; empty if they are not known, as those of a user's tool for a virtual device."""
    if binary.abi == VIRTUAL_ABI and binary.added_utc:
        return frozenset()
    return read_flags(device, binary)


def purposes_of(limits: Limits) -> list[Purpose]:
    """What the processes of a job are for, in the order in which they run; cold starts are left out."""
    counts: list[tuple[Purpose, int]] = [
        ("outputs", limits.output_repetitions),
        ("latency", limits.repetitions),
        ("profile", limits.profile_repetitions),
    ]
    return [purpose for purpose, count in counts if count]


def unfit_model(case: Case, soc_model: str = "") -> str:
    """Why a compiled model cannot run under the case's delegate, or on that SoC; empty if nothing is against it."""
    compiled = case.model.compiled
    if compiled is None:
        return ""
    if not _fits_delegate(compiled.needs, case):
        which = {"npu": "an npu delegate", "edgetpu": "the Edge TPU's delegate (external-edgetpu)"}.get(compiled.needs)
        return f"the model is {compiled.words} and needs {which or f'the delegate for {compiled.needs}'}"
    if not fits_soc(compiled, soc_model):
        return f"the model is {compiled.words}, the device has {soc_model}"
    return ""


def check_compiled(cases: Sequence[Case]) -> None:
    """Refuse a model that was compiled for an accelerator and is to run under none that could take it.

    Raises:
        InputError: names the model, what it was compiled for, and the delegates that were asked for.
    """
    by_model: dict[str, list[Case]] = {}
    for case in cases:
        by_model.setdefault(case.model.name, []).append(case)
    for name, those in by_model.items():
        said = [unfit_model(case) for case in those]
        if all(said):
            asked = ", ".join(dict.fromkeys(case.delegate.name for case in those))
            hint = f"it cannot run under {asked}; `devbench delegates` lists all delegates"
            raise InputError(f"model {name}: {said[0]}", hint=hint)


def _fits_delegate(needs: str, case: Case) -> bool:
    flags = dict((*case.delegate.flags, *case.delegate.litert_flags, *case.options.extra_flags))
    if needs == "npu":
        return flags.get("use_npu") == "true" or "dispatch_library_path" in flags
    return "external_delegate_path" in flags


def refusals(
    device: Device,
    commands: Commands,
    jobs: Sequence[JobProgress],
    purposes: Sequence[Purpose],
    *,
    facts: DeviceFacts,
    binary: Binary,
    flags: Collection[str],
) -> list[tuple[JobProgress, Failure]]:
    """The jobs that cannot run on the device, each with the reason.

    Args:
        flags: those of `known_flags`.

    Raises:
        DeviceLost and the errors of an unfit device.
    """
    waiting = [job for job in jobs if not job.stopped]
    delegates = list(dict.fromkeys(job.case.delegate for job in waiting))
    reasons = cannot_run(device, delegates, facts=facts, binary=binary, flags=flags)
    found = []
    for job in waiting:
        name = job.case.delegate.name
        failure = commands.refusal(job.case, purposes, flags)
        said = unfit_model(job.case, facts.soc_model)
        if failure is None and said:
            failure = Failure(FailureKind.REFUSED, said)
        if failure is None and reasons[name]:
            failure = Failure(FailureKind.REFUSED, f"{name}: {'; '.join(reasons[name])}")
        if failure is not None:
            found.append((job, failure))
    return found
