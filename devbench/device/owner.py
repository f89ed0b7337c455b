"""The process that has a lease: how it is identified, and whether it still runs. Knows no device.

Host names, user names and process ids are not unique: containers share names, and ids are reused. A host's wall clock
may jump. A process is therefore identified by its host's boot id, the namespace of its process id and its start time,
counted since the boot.
"""

from __future__ import annotations

import getpass
import os
import re
import socket
import sys
from functools import lru_cache
from pathlib import Path

from devbench import numbers
from devbench.frozen import dataclass

_LINUX = sys.platform.startswith("linux")
_MAX_WORD = 64
_ODD = re.compile(r"[^A-Za-z0-9._@-]")
# Field 22 of /proc/PID/stat is the start; these are places after the name, which is in brackets.
_STATE, _STARTED = 0, 19
# A start time by the wall clock differs by fractions of a second between readings.
_SAME_START_S = 2


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that has a lease.

    Attributes:
        host, user: names, for people.
        boot: the host's boot id, and `space` the namespace of its process ids: two containers may share a host name.
        pid, started: the process and its start: on Linux in clock ticks since the host's boot, elsewhere in whole
            seconds since 1970.
    """

    host: str
    user: str
    boot: str
    space: str
    pid: int
    started: int


@lru_cache(maxsize=1)
def this_process() -> Owner:
    """The owner of leases that this process takes."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return Owner(word(socket.gethostname()), word(user), _host_boot(), _space(), os.getpid(), _started())


def is_dead(owner: Owner) -> bool:
    """Whether the owner was a process of this host that has ended; `False` if that cannot be determined."""
    me = this_process()
    if (owner.host, owner.boot, owner.space) != (me.host, me.boot, me.space) or owner.pid < 1:
        return False
    return _is_dead_on_linux(owner) if _LINUX else _is_dead_elsewhere(owner)


def word(text: str) -> str:
    """`text` as one short word without characters that a shell interprets."""
    return _ODD.sub("_", text)[:_MAX_WORD]


def _is_dead_on_linux(owner: Owner) -> bool:
    # A signal also reaches processes that /proc hides from this user (hidepid).
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass  # another user's
    found = _stat(str(owner.pid)) if _proc_is_ours() else None
    if found is None:
        return False
    return found[_STATE] in ("Z", "X") or numbers.whole(found[_STARTED]) != owner.started


def _is_dead_elsewhere(owner: Owner) -> bool:
    import psutil

    try:
        process = psutil.Process(owner.pid)
        late_s = abs(process.create_time() - owner.started)
        return late_s > _SAME_START_S or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def _started() -> int:
    found = _stat("self") if _LINUX else None
    if found is not None:
        return numbers.whole(found[_STARTED]) or 0
    import psutil

    return int(psutil.Process().create_time())


def _stat(process: str) -> list[str] | None:
    """The fields of /proc/PID/stat behind the process's name; `None` if it cannot be read."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    return fields if len(fields) > _STARTED else None


def _proc_is_ours() -> bool:
    """Whether /proc has the process ids of this namespace: a container may have its host's /proc."""
    try:
        return Path("/proc/self").readlink().name == str(os.getpid())
    except OSError:
        return False


def _host_boot() -> str:
    if _LINUX:
        try:
            return word(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip())
        except OSError:
            pass
    import psutil

    return word(f"{socket.gethostname()}-{int(psutil.boot_time())}")


def _space() -> str:
    """The namespace of this process's ids, if the system has namespaces; else a fixed word."""
    try:
        return word(str(Path("/proc/self/ns/pid").readlink()))
    except OSError:
        return "host"
