"""The directory of a virtual device: its folders, its few Android commands, its paths; knows no protocol.

The device's shell is this machine's, without root: `/data/…` in a command line is changed into a path in the device's
directory, and the directory's name is removed from the output. Nothing that could look like a measurement is imitated:
there is no battery, and temperatures, clocks and load are those of this machine.
"""

from __future__ import annotations

import contextlib
import functools
import os
import posixpath
import re
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from devbench.virtual.faults import NOISE_VARIABLE, SEED_VARIABLE, SLOWER_VARIABLE, Faults

_TOP = "data|sdcard|system|vendor|product|odm|storage"
# A path of the device in a command line: not a part of a longer path or word.
_DEVICE_PATH = re.compile(rf"(?<![\w./~-])/(?={_TOP})(?=(?:{_TOP})(?:/|\b))")
_LOAD, _UPTIME, _BOOT = "/proc/loadavg", "/proc/uptime", "/proc/sys/kernel/random/boot_id"
# mksh is Android's shell; the others start fast, which matters since a run starts many.
_SHELLS = ("mksh", "dash", "sh")

_GETPROP = """#!/bin/sh
# One property, or all of them as Android lists them.
if [ $# -eq 0 ]; then exec cat "$DEVBENCH_VIRTUAL_ROOT/system/properties"
else sed -n "s/^$1=//p" "$DEVBENCH_VIRTUAL_ROOT/system/build.prop"; fi
"""
_DUMPSYS = """#!/bin/sh
case $1 in
battery) echo "Current Battery Service state:"; echo "  present: false";;
thermalservice)
  # A test may write a status while the device runs; it replaces the one of the start.
  status=$DEVBENCH_VIRTUAL_THERMAL
  [ -f "$DEVBENCH_VIRTUAL_ROOT/data/local/thermal" ] && read -r status < "$DEVBENCH_VIRTUAL_ROOT/data/local/thermal"
  [ -n "$status" ] && echo "Thermal Status: $status"
  # A skin temperature only where a test writes one.
  [ -f "$DEVBENCH_VIRTUAL_ROOT/data/local/skin" ] && read -r skin < "$DEVBENCH_VIRTUAL_ROOT/data/local/skin" &&
    echo "Current temperatures from HAL:" && echo "  Temperature{mValue=$skin, mType=3, mName=skin, mStatus=0}"
  true;;
*) echo "Can't find service: $1";;
esac
"""
_DF = """#!/bin/sh
# Only on a device whose room is limited; without it, the room is that of this machine.
used=$(du -sk "$DEVBENCH_VIRTUAL_ROOT/data" | { read -r kb rest; echo "$kb"; })
free=$((DEVBENCH_VIRTUAL_FREE / 1024 - used)); [ $free -lt 0 ] && free=0
echo "Filesystem     1K-blocks    Used Available Use% Mounted on"
echo "/dev/virtual   $((DEVBENCH_VIRTUAL_FREE / 1024)) $used $free 50% /data"
"""
# These commands only log their arguments.
_NOTHING = '#!/bin/sh\necho "${0##*/} $*" >> "$DEVBENCH_VIRTUAL_ROOT/data/local/commands.log"\n'
_CMD = _NOTHING.replace("\n", '\ncase "$1 $2" in "deviceidle get" | "gpu vkjson") exit 1;; esac\n', 1)
_SETTINGS = _NOTHING.replace("\n", '\n[ "$1" = get ] && { echo null; exit; }\n', 1)
_COMMANDS = {"getprop": _GETPROP, "dumpsys": _DUMPSYS, "cmd": _CMD, "settings": _SETTINGS}
_SILENT = ("svc", "am", "wm", "input", "setprop", "stop", "start")


@functools.lru_cache(maxsize=4)
def _shell(path: str | None) -> str:
    """The shell of a PATH; found once, since a device starts some ten shells."""
    return next((found for name in _SHELLS if (found := shutil.which(name, path=path))), "/bin/sh")


class Userland:
    """The directory of one device.

    Args:
        root: an empty directory that belongs to the device.
        name: its serial number.
        faults: how it misbehaves.
    """

    def __init__(self, root: Path, name: str, faults: Faults) -> None:
        self.root = root
        self.name = name
        self.faults = faults
        self._mark = str(root).encode()
        # When the device was restarted, by this machine's clock.
        self._booted_s: float | None = None

    def make(self) -> None:
        """Make folders, commands and properties."""
        for folder in ("data/local/tmp", "sdcard", "system/bin", "vendor"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        full = {} if self.faults.free_bytes is None else {"df": _DF}
        commands = self.root / "system" / "bin"
        for name, text in {**_COMMANDS, **full, _SILENT[0]: _NOTHING}.items():
            path = commands / name
            path.write_text(text, "utf-8")
            path.chmod(0o755)
        for name in _SILENT[1:]:
            (commands / name).symlink_to(_SILENT[0])
        (self.root / "system" / "loadavg").write_text("0.00 0.00 0.00 1/1 1\n", "ascii")
        lines = [f"{key}={value}\n" for key, value in self.properties().items()]
        (self.root / "system" / "build.prop").write_text("".join(lines), "utf-8")
        # The output of `getprop` without arguments, so that it needs one process only.
        listed = [f"[{key}]: [{value}]\n" for key, value in self.properties().items()]
        (self.root / "system" / "properties").write_text("".join(listed), "utf-8")

    def properties(self) -> Mapping[str, str]:
        """The device's properties."""
        return {
            "ro.product.manufacturer": "devbench",
            "ro.product.brand": "devbench",
            "ro.product.model": "Virtual device",
            "ro.product.name": "devbench_virtual",
            "ro.product.device": "virtual",
            "ro.product.cpu.abi": "virtual",
            "ro.product.cpu.abilist": "virtual",
            "ro.build.type": "virtual",
            "ro.serialno": self.name,
            "ro.devbench.virtual": "1",
            "sys.boot_completed": "1",
        }

    # -- paths --------------------------------------------------------------------------------------------------

    def host_path(self, device_path: str) -> Path:
        """The path on this machine of a path on the device; always in the device's directory."""
        return self.root / posixpath.normpath("/" + device_path).lstrip("/")

    def host_command(self, command: str) -> str:
        """A command line with the device's paths made to point into its directory."""
        command = _DEVICE_PATH.sub(f"{self.root}/", command)
        if self.faults.noise or self.faults.quiet:
            # Replayed processes do not depend on this machine's load, so the load must not make them unreliable.
            command = command.replace(_LOAD, f"{self.root}/system/loadavg")
        if self._booted_s is not None:
            (self.root / "system" / "uptime").write_text(f"{time.monotonic() - self._booted_s:.2f} 0.00\n", "ascii")
            command = command.replace(_UPTIME, f"{self.root}/system/uptime")
            command = command.replace(_BOOT, f"{self.root}/system/boot_id")
        return command

    def restart(self) -> None:
        """Simulate a restart: a new boot id, and a new uptime, which each command reads at its start."""
        self._booted_s = time.monotonic()
        (self.root / "system" / "boot_id").write_text(f"{uuid4()}\n", "ascii")

    def device_text(self) -> PathFilter:
        """A filter that removes the device's folder from one stream of output."""
        return PathFilter(self._mark)

    # -- processes ----------------------------------------------------------------------------------------------

    def shell(self) -> str:
        """The shell of this machine that is most like Android's."""
        return _shell(os.environ.get("PATH"))

    def environment(self) -> dict[str, str]:
        """The environment of the device's processes: from the user's only the variables that programs need to run."""
        path = os.environ.get("PATH", "/usr/bin:/bin")
        kept = {
            name: os.environ[name]
            for name in ("LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "DEVBENCH_VIRTUAL_GPU")
            if name in os.environ
        }
        faults = self.faults
        return {
            **kept,
            "PATH": f"{self.root}/system/bin:{path}",
            "HOME": str(self.root),
            "TMPDIR": f"{self.root}/data/local/tmp",
            "LC_ALL": "C",
            "DEVBENCH_VIRTUAL_ROOT": str(self.root),
            "DEVBENCH_VIRTUAL_PYTHON": sys.executable,
            "DEVBENCH_VIRTUAL_THERMAL": "" if faults.thermal is None else str(faults.thermal),
            "DEVBENCH_VIRTUAL_FREE": "" if faults.free_bytes is None else str(faults.free_bytes),
            NOISE_VARIABLE: faults.noise,
            SLOWER_VARIABLE: faults.slower,
            SEED_VARIABLE: "" if faults.seed is None else str(faults.seed),
        }

    def free_bytes(self) -> int | None:
        """The free space, if the fault `free_bytes` limits it."""
        if self.faults.free_bytes is None:
            return None
        used = 0
        for place, _, names in os.walk(self.root / "data"):
            for name in names:
                with contextlib.suppress(OSError):
                    used += Path(place, name).stat().st_size
        return max(0, self.faults.free_bytes - used)


class PathFilter:
    """Removes the directory's name from a stream in pieces."""

    def __init__(self, mark: bytes) -> None:
        self._mark = mark
        self._kept = b""

    def feed(self, data: bytes) -> bytes:
        """The text without the name; what may be the start of the name at the end is kept for the next call."""
        text = (self._kept + data).replace(self._mark, b"")
        keep = next((n for n in range(min(len(self._mark) - 1, len(text)), 0, -1) if text.endswith(self._mark[:n])), 0)
        self._kept = text[len(text) - keep :]
        return text[: len(text) - keep]

    def end(self) -> bytes:
        """The rest of the text that was kept back."""
        kept, self._kept = self._kept, b""
        return kept
