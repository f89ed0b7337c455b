"""Which delegates a device cannot run, known before anything is sent there; knows no plan and no store."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from devbench.errors import InputError
from devbench.tool.delegates import bare, unmet
from devbench.tool.help import missing_flags
from devbench.tool.libraries import DelegateFile, asked_of_device, check_delegate, not_for
from devbench.tool.manifest import VIRTUAL_ABI

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.device.facts import DeviceFacts
    from devbench.tool.binaries import Binary
    from devbench.tool.case import Delegate

_TIMEOUT_S = 15.0
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
    """Why each delegate cannot run on the device, in words; nothing is known against one whose list is empty.

    Args:
        flags: those that the binary takes; empty if that is not known.
        known_failures: of the device's profile.

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
    """What to do about a library that has the wanted name only within itself."""
    found = next((file.name for file in files if file.library is not None and file.library.soname == name), "")
    return f"; rename {found} to that" if found else ""


def _present(device: Device, paths: Sequence[str], libraries: Sequence[str], *, wide: bool) -> set[str]:
    """Those of the paths and libraries that are on the device; one round trip, none if there is nothing to ask.

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
