"""Who measures on a device: a small file there names the process and its owner, so that two runs never share it.

A run that died with its cable leaves its process on the device; the next run on the same machine ends it. Knows no
tool and no store.
"""

from __future__ import annotations

import shlex
import socket
from typing import TYPE_CHECKING

from devbench.errors import DevbenchError, EnvironmentProblem

if TYPE_CHECKING:
    from devbench.adb.device import Device

_SHELL_TIMEOUT_S = 15.0


class DeviceBusy(EnvironmentProblem):
    """Another run is measuring on the device; two would measure each other."""

    transient = True

    def __init__(self, serial: str, owner: str) -> None:
        super().__init__(
            f"{serial} is busy: another devbench is measuring on it ({owner})",
            hint="wait for that run to end, or choose another --device",
        )
        self.serial = serial
        self.owner = owner


def enter(device: Device, *, root: str, work_dir: str, pid_file: str, owner: str) -> bool:
    """Make the folders on the device, end what a dead run left behind, and take the device.

    Gives whether a dead run left changes of the device's settings behind (`run/undo.sh`).

    Raises:
        DeviceBusy: another run holds the device.
        CommandFailed: the folders cannot be made.
    """
    folder = shlex.quote(f"{root}/run")
    own = shlex.quote(pid_file)
    # A process id is believed only while its working directory is ours: ids are used again. Our own mark is set first
    # and taken back where somebody else is there: of two runs that come at once both see the other.
    script = f"""
mkdir -p {shlex.quote(work_dir)} {folder} || exit 1
echo {shlex.quote("0 " + owner)} > {own} || exit 1
for f in {folder}/*.pid; do
  [ -f "$f" ] && [ "$f" != {own} ] || continue
  read p o < "$f"
  if [ -n "$p" ] && [ "$p" != 0 ] && [ /proc/$p/cwd -ef {shlex.quote(work_dir)} ]; then echo "alive $p $o $f"
  else echo "idle 0 $o $f"; fi
done
[ -f {folder}/undo.sh ] && echo undo
true
"""
    result = device.shell(script, timeout_s=_SHELL_TIMEOUT_S, check=True, doing="preparing its folders")
    commands = []
    undo = False
    for line in result.stdout.decode("utf-8", "replace").splitlines():
        undo |= line == "undo"
        words = line.split(" ", 3)
        if len(words) != 4 or words[0] not in ("alive", "idle"):
            continue
        state, pid, holder, path = words
        if _held(state, holder, owner):
            leave(device, pid_file)
            raise DeviceBusy(device.serial, holder)
        if state == "alive" and pid.isdigit():
            commands.append(f"kill -9 -{pid} 2>/dev/null || kill -9 {pid} 2>/dev/null")
        commands.append(_removal(path))
    if commands:
        device.shell("\n".join(commands), timeout_s=_SHELL_TIMEOUT_S, doing="ending what a dead run left behind")
    return undo


def _held(state: str, holder: str, owner: str) -> bool:
    """Whether the run that left a file still has the device.

    On this machine its process tells; of another machine's run only a process on the device does.
    """
    host, _, pid = holder.rpartition(":")
    if host == socket.gethostname() and pid.isdigit():
        return holder != owner and _runs_here(int(pid))
    return state == "alive"


def _runs_here(pid: int) -> bool:
    import psutil

    return bool(psutil.pid_exists(pid))


def end_process(device: Device, pid_file: str) -> None:
    """End the process group that the file names, if the device is still there."""
    script = (
        f'read p o < {shlex.quote(pid_file)} && [ -n "$p" ] && [ "$p" != 0 ] && '
        "{ kill -9 -$p || kill -9 $p; } 2>/dev/null; true"
    )
    _try(device, script)


def leave(device: Device, pid_file: str) -> None:
    """Give the device back, if it is still there."""
    _try(device, _removal(pid_file))


def _removal(pid_file: str) -> str:
    """The command that removes a run's mark and what its scripts keep beside it."""
    return f"rm -f {shlex.join([pid_file, *(f'{pid_file}.{end}' for end in ('mem', 'during', 'stages'))])}"


def _try(device: Device, script: str) -> None:
    try:
        device.shell(script, timeout_s=5.0, doing="tidying up")
    except DevbenchError:
        # The device is gone; the next run on it ends what is left.
        return
