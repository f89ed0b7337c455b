"""A binary's flags, asked on each device once and remembered: its help does not change with the model."""

from __future__ import annotations

import contextlib
import json
import shlex
from hashlib import sha256
from typing import TYPE_CHECKING

from devbench.adb.errors import ShellTimeout
from devbench.device.depot import Depot
from devbench.device.health import explaining
from devbench.host.paths import cache_dir
from devbench.tool.help import flags_of_help
from devbench.tool.manifest import VIRTUAL_ABI

if TYPE_CHECKING:
    from pathlib import Path

    from devbench.adb.device import Device
    from devbench.tool.binaries import Binary

_TIMEOUT_S = 20.0


def _memory(binary: Binary, serial: str) -> Path | None:
    """Where a device's answer is kept: one file per device, since devices may differ."""
    # The virtual device's tool has flags by what the machine can do, not by its bytes; an app has no help.
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
    """The flags that the binary takes; empty where its help does not say.

    Raises:
        DeviceLost and the errors of an unfit device.
    """
    if binary.is_apk:
        return frozenset()
    if binary.abi == VIRTUAL_ABI and not binary.added_utc:
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
