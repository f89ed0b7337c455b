"""Which jobs of a device are refused before anything is sent for them, and why; stores and shows nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from devbench.bench.delegate_check import cannot_run
from devbench.bench.tool_help import read_flags
from devbench.tool.manifest import VIRTUAL_ABI
from devbench.tool.measurement import Failure, FailureKind

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.bench.command import Commands
    from devbench.bench.plan import Limits
    from devbench.bench.work import Work
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


def refusals(
    device: Device,
    commands: Commands,
    works: Sequence[Work],
    purposes: Sequence[Purpose],
    *,
    facts: DeviceFacts,
    binary: Binary,
    flags: Collection[str],
) -> list[tuple[Work, Failure]]:
    """The jobs that cannot run on the device, each with the reason.

    Args:
        flags: those of `known_flags`.

    Raises:
        DeviceLost and the errors of an unfit device.
    """
    waiting = [work for work in works if not work.stopped]
    delegates = list(dict.fromkeys(work.case.delegate for work in waiting))
    reasons = cannot_run(device, delegates, facts=facts, binary=binary, flags=flags)
    found = []
    for work in waiting:
        name = work.case.delegate.name
        failure = commands.refusal(work.case, purposes, flags)
        if failure is None and reasons[name]:
            failure = Failure(FailureKind.REFUSED, f"{name}: {'; '.join(reasons[name])}")
        if failure is not None:
            found.append((work, failure))
    return found
