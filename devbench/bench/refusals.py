"""Which jobs a device cannot run, known before anything is sent for them.

A binary's flags are read once on each device and remembered: its help does not change with the model. Stores no result
and shows nothing.
"""

from __future__ import annotations

import contextlib
import json
import platform
import shlex
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from devbench.adb.errors import ShellTimeout
from devbench.device.depot import Depot
from devbench.device.facts import DeviceFacts
from devbench.device.health import explaining
from devbench.errors import InputError
from devbench.host.paths import cache_dir
from devbench.models.compiled import fits_soc
from devbench.tool.binaries import Binary
from devbench.tool.case import Delegate
from devbench.tool.delegates import bare, unmet
from devbench.tool.flags import flags_of_help, missing_flags
from devbench.tool.libraries import DelegateFile, asked_of_device, check_delegate, not_for
from devbench.tool.manifest import VIRTUAL_ABI
from devbench.tool.measurement import Failure, FailureKind

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.bench.command import Commands
    from devbench.bench.plan import Case, JobProgress, Limits
    from devbench.results.records import Purpose


_TIMEOUT_S = 20.0


def _memory(binary: Binary, serial: str) -> Path | None:
    """The file with a device's answer; there is one per device, because devices may differ."""
    # The flags of the virtual device's tool depend on this machine, not on its file; an app has no help.
    if binary.abi == VIRTUAL_ABI or binary.is_apk:
        return None
    return cache_dir() / f"flags-{binary.sha256[:32]}-{sha256(serial.encode()).hexdigest()[:12]}.json"


def remembered_flags(binary: Binary, serial: str = "") -> frozenset[str] | None:
    """The binary's flags as read earlier on that device (on any device if empty); `None` if they were not read."""
    own = _memory(binary, serial)
    if own is None:
        return None
    for memory in [own] if serial else sorted(cache_dir().glob(f"flags-{binary.sha256[:32]}-*.json")):
        with contextlib.suppress(OSError, ValueError, TypeError):
            return frozenset(str(name) for name in json.loads(memory.read_text("utf-8")))
    return None


def read_flags(device: Device, binary: Binary) -> frozenset[str]:
    """The flags that the binary takes; empty if they are not known, such as those of an app or a user's virtual tool.

    Raises:
        DeviceLost and the errors of an unfit device.
    """
    if binary.is_apk or (binary.abi == VIRTUAL_ABI and binary.added_utc):
        return frozenset()
    if binary.abi == VIRTUAL_ABI:
        from devbench.virtual.benchmark_model.flags import known_flags
        from devbench.virtual.vulkan import vulkan_available

        return frozenset(known_flags(gpu=vulkan_available()))
    remembered = remembered_flags(binary, device.serial)
    if remembered is not None:
        return remembered
    memory = _memory(binary, device.serial)
    with explaining(device):
        remote = Depot(device).ensure(binary.path, sha256=binary.sha256, mode=0o755).remote
    try:
        done = device.shell(
            f"{shlex.quote(remote)} --help", timeout_s=_TIMEOUT_S, doing=f"asking {binary.name} for its flags"
        )
    except ShellTimeout:
        return frozenset()
    flags = flags_of_help((done.stdout + b"\n" + done.stderr).decode("utf-8", "replace"))
    if memory is not None and flags:
        with contextlib.suppress(OSError):
            memory.write_text(json.dumps(sorted(flags)), "utf-8")
    return flags


# Where Android's linker looks for a program of the shell, then where a bench phone's does.
_FOLDERS_64 = "/system/lib64 /vendor/lib64 /system_ext/lib64 /product/lib64 /odm/lib64 /apex/*/lib64 /apex/*/lib64/*"
_FOLDERS_32 = "/system/lib /vendor/lib /system_ext/lib /product/lib /odm/lib /apex/*/lib /apex/*/lib/*"
_FOLDERS_OTHERWISE = "/lib /lib64 /usr/lib /usr/lib64 /lib/*-linux-* /usr/lib/*-linux-*"
_HOST_ABIS = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64-v8a", "arm64": "arm64-v8a"}


def cannot_run(
    device: Device,
    delegates: Sequence[Delegate],
    *,
    facts: DeviceFacts,
    binary: Binary,
    flags: Collection[str],
    known_failures: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, list[str]]:
    """Why each delegate cannot run on the device, in words; an empty list if no reason is known.

    Args:
        flags: those that the binary takes; empty if that is not known.
        known_failures: those of the device's profile.

    Raises:
        DeviceLost and the errors of an unfit device.
    """
    files: dict[str, tuple[DelegateFile, ...]] = {}
    reasons: dict[str, list[str]] = {}
    for delegate in delegates:
        reasons[delegate.name] = []
        try:
            files[delegate.name] = check_delegate(delegate)
        except InputError as error:
            files[delegate.name] = ()
            # `unmet` has the reason, as text for a list of delegates.
            if delegate.files and "does not exist" not in error.what:
                reasons[delegate.name].append(error.what.partition(": ")[2])
    is_virtual = binary.abi == VIRTUAL_ABI
    abi = _HOST_ABIS.get(platform.machine().lower(), "") if is_virtual else binary.abi
    asked = {} if is_virtual else {name: asked_of_device(those) for name, those in files.items()}
    required = [path for delegate in delegates for path in delegate.requires.library]
    present = _present(device, required, [name for names in asked.values() for name in names], wide="64" in abi)
    for delegate in delegates:
        found = reasons[delegate.name]
        found[:0] = unmet(
            delegate,
            tool=binary.tool,
            abi=facts.abis[0] if facts.abis else "",
            soc=facts.soc,
            sdk=facts.sdk,
            present=present,
            known_failures=known_failures,
        )
        missing = missing_flags(bare(delegate), binary.tool, flags)
        if missing:
            found.append(f"{binary.name} has no flag {', '.join(missing)}")
        found += not_for(files[delegate.name], abi) if abi else []
        found += [
            f"{by} needs {name}, which is neither among its files nor on the device"
            f"{_rename(files[delegate.name], name)}"
            for name, by in asked.get(delegate.name, {}).items()
            if name not in present
        ]
    return reasons


def _rename(files: Sequence[DelegateFile], name: str) -> str:
    """What to do about a library whose file name differs from the name inside it."""
    found = next((file.name for file in files if file.library is not None and file.library.soname == name), "")
    return f"; rename {found} to that" if found else ""


def _present(device: Device, paths: Sequence[str], libraries: Sequence[str], *, wide: bool) -> set[str]:
    """The paths and libraries that exist on the device; one round trip, none if the list is empty.

    If the device does not let the shell look into its folder of libraries, all of them count as present.
    """
    wanted, names = list(dict.fromkeys(paths)), list(dict.fromkeys(libraries))
    if not wanted and not names:
        return set()
    tests = [f"[ -e {shlex.quote(path)} ] && echo p{number}" for number, path in enumerate(wanted)]
    if names:
        folders = f"{_FOLDERS_64 if wide else _FOLDERS_32} {_FOLDERS_OTHERWISE}"
        system = "/system/lib64 /vendor/lib64" if wide else "/system/lib /vendor/lib"
        tests.append(f"for d in {system}; do [ -d $d ] && [ ! -r $d ] && echo unreadable; done")
        tests += [
            f'for d in {folders}; do [ -e "$d"/{shlex.quote(name)} ] && echo n{number} && break; done'
            for number, name in enumerate(names)
        ]
    answer = device.shell("\n".join(tests), timeout_s=_TIMEOUT_S, doing="looking for libraries")
    words = set(answer.stdout.decode("ascii", "replace").split())
    found = {path for number, path in enumerate(wanted) if f"p{number}" in words}
    return found | {name for number, name in enumerate(names) if f"n{number}" in words or "unreadable" in words}


def purposes_of(limits: Limits) -> list[Purpose]:
    """The purposes of a job's processes in the order in which they run, without cold starts."""
    counts: list[tuple[Purpose, int]] = [
        ("outputs", limits.output_repetitions),
        ("latency", limits.repetitions),
        ("profile", limits.profile_repetitions),
    ]
    return [purpose for purpose, count in counts if count]


def unfit_model(case: Case, soc_model: str = "") -> str:
    """Why a compiled model cannot run under the case's delegate, or on that SoC; empty if it can."""
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
    """Refuse a model that was compiled for an accelerator if none of its delegates can use it.

    Raises:
        InputError: names the model, what it was compiled for, and the requested delegates.
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
        flags: those of `read_flags`.

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
