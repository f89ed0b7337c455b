"""The lease on a device: one run at a time measures there, whichever host it comes from; knows no tool and no store.

A lease is a symbolic link on the device whose name is a number and whose target says who holds it. Making a link is one
atomic step, so of two runs that want the same number one gets it. The highest number has the device. A lease ends at an
uptime of the device, which its owner moves forward; it needs no clock of a host. It also ends with a restart of the
device, and when its owner gives it back. Whoever takes the next number then ends the processes of the lower ones.

Files in the lease's folder, all named after the number N: `N.lease` (the link), `N.until.TOKEN` (boot id and uptime of
its end), `N.pid` (process group and start time of what the owner runs).
"""

from __future__ import annotations

import getpass
import os
import re
import secrets
import shlex
import socket
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from devbench.errors import DevbenchError, EnvironmentProblem

if TYPE_CHECKING:
    from devbench.adb.device import Device

# Long enough for a slow connection to be set up again, short enough for others to wait for.
LEASE_S = 60
# How long before its end a lease is renewed: after a third of its time.
RENEW_EVERY_S = LEASE_S / 3
_SHELL_TIMEOUT_S = 15.0
_MOST_FIELD = 64
_FORMAT = "devbench-lease-1"
_ODD = re.compile(r"[^A-Za-z0-9._@-]")
# Uptimes and numbers of leases: Android's shell computes with 32 bits.
_NUMBER = re.compile(r"[0-9]{1,9}")
TOKEN_VARIABLE = "DEVBENCH_LEASE_TOKEN"


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that holds a lease, as its host knows it.

    Attributes:
        host, user: names, for people.
        boot: the host's boot id, and `space` the namespace of its process ids: two containers may share a host name.
        pid, started: the process and the time of its start in whole seconds since 1970: process ids are used again.
    """

    host: str
    user: str
    boot: str
    space: str
    pid: int
    started: int


@dataclass(frozen=True, slots=True)
class Request:
    """Who wants a lease.

    Attributes:
        token: a random word; the same token takes its own lease again.
        owner: the process that will hold it.
        job, attempt: on a farm; a higher attempt of a job takes the lease of a lower one at once.
    """

    token: str
    owner: Owner
    job: str = ""
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Holder:
    """A lease as it is on a device. `since_s` ago it was taken, `left_s` it still lasts; below 0 it is over.

    `left_s` is `None` for a lease that its owner gave back.
    """

    number: int
    token: str
    owner: Owner
    job: str
    attempt: int
    since_s: int
    left_s: int | None

    @property
    def active(self) -> bool:
        return self.left_s is not None and self.left_s > 0

    @property
    def who(self) -> str:
        """The holder for people: `user@host, process 123`."""
        return f"{self.owner.user}@{self.owner.host}, process {self.owner.pid}"


class LeaseHeld(EnvironmentProblem):
    """Another run has the device; two would measure each other."""

    transient = True

    def __init__(self, serial: str, holder: Holder) -> None:
        super().__init__(
            f"{serial} is busy: {holder.who} has had it for {holder.since_s} s",
            hint="wait with --wait 10m, choose another --device, or `devbench devices release SERIAL`",
        )
        self.serial = serial
        self.holder = holder


class LeaseLost(EnvironmentProblem):
    """Another run took the device in the meantime; what was measured before is stored."""

    def __init__(self, serial: str) -> None:
        super().__init__(
            f"{serial}: the lease on the device was lost to another run or revoked; nothing more is measured there",
            hint="what was measured before is stored; `devbench devices` shows who has the device",
        )
        self.serial = serial


@lru_cache(maxsize=1)
def this_process() -> Owner:
    """The owner of leases that this process takes."""
    import psutil

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    started = int(psutil.Process().create_time())
    return Owner(_word(socket.gethostname()), _word(user), _host_boot(), _space(), os.getpid(), started)


def new_request() -> Request:
    """A request of this process, with the token that the environment gives or a random one."""
    return Request(_word(os.environ.get(TOKEN_VARIABLE, "")) or secrets.token_hex(8), this_process())


def _host_boot() -> str:
    if sys.platform.startswith("linux"):
        try:
            return _word(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip())
        except OSError:
            pass
    import psutil

    return _word(f"{socket.gethostname()}-{int(psutil.boot_time())}")


def _space() -> str:
    """The namespace of this process's ids, where the system has such; else the same word for all of this host."""
    try:
        return _word(str(Path("/proc/self/ns/pid").readlink()))
    except OSError:
        return "host"


def _word(text: str) -> str:
    return _ODD.sub("_", text)[:_MOST_FIELD]


def _is_dead(owner: Owner) -> bool:
    """Whether the owner was a process of this host that has ended; `False` for whatever cannot be seen from here."""
    me = this_process()
    if (owner.host, owner.boot, owner.space) != (me.host, me.boot, me.space):
        return False
    import psutil

    try:
        process = psutil.Process(owner.pid)
        return abs(process.create_time() - owner.started) > 2 or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


# -- on the device ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that this process has taken.

    Attributes:
        folder: the device's folder of leases.
        number, token: of this one.
    """

    folder: str
    number: int
    token: str

    @property
    def pid_file(self) -> str:
        """The file on the device that names what the owner runs; scripts keep more files of that start beside it."""
        return f"{self.folder}/{self.number}.pid"

    def shell_functions(self) -> str:
        """Shell text that defines `_db_lease SECONDS` and `_db_mark`; neither starts a process.

        `_db_lease` succeeds while the lease is held, and then lets it last for that long from now on. `_db_mark` names
        the shell as what the owner runs. A script has to mark itself before it asks for the lease: then whoever takes
        the device in between ends it.
        """
        folder, until = shlex.quote(self.folder), shlex.quote(f"{self.folder}/{self.number}.until.{self.token}")
        return f"""_db_lease() {{
[ -f {until} ] || return 1
for _db_f in {folder}/*.lease; do
_db_k=${{_db_f##*/}}; _db_k=${{_db_k%.lease}}
case $_db_k in *[!0-9]*|'') continue;; esac
[ "$_db_k" -gt {self.number} ] && return 1
done
read -r _db_boot < /proc/sys/kernel/random/boot_id; read -r _db_was _db_end < {until}
[ "$_db_was" = "$_db_boot" ] || return 1
read -r _db_up _db_rest < /proc/uptime && echo "$_db_boot $((${{_db_up%.*}} + $1))" > {until}
}}
_db_mark() {{ {_mark(shlex.quote(self.pid_file))}; }}"""


def _mark(pid_file: str) -> str:
    """Shell text that writes the shell's process id and start time (field 22 of its stat) to a file."""
    return (
        "read -r _db_stat < /proc/$$/stat; _db_stat=${_db_stat##*) }; set -- $_db_stat; "
        f'shift 19; echo "$$ $1" > {pid_file}'
    )


def take(device: Device, root: str, request: Request) -> Lease:
    """Take the lease on a device; end what the lease before left running.

    Args:
        device: an adb connection.
        root: the folder of everything on the device.
        request: who wants it.

    Raises:
        LeaseHeld: another run has the device.
        CommandFailed: the folder cannot be written.
        ShellTimeout, DeviceLost and the errors of an unfit device.
    """
    folder = f"{root}/lease"
    over = 0
    for _ in range(20):
        done = device.shell(
            _take_script(folder, request, over), timeout_s=_SHELL_TIMEOUT_S, check=True, doing="taking the device"
        )
        text = done.stdout.decode("utf-8", "replace")
        taken = re.search(r"^taken ([0-9]{1,9})$", text, re.MULTILINE)
        if taken is not None:
            return Lease(folder, int(taken[1]), request.token)
        holder = _highest(text)
        if holder is None:
            continue
        if holder.token == request.token:
            return Lease(folder, holder.number, request.token)
        replaces = holder.job and holder.job == request.job and holder.attempt < request.attempt
        if holder.active and not replaces and not _is_dead(holder.owner):
            raise LeaseHeld(device.serial, holder)
        over = holder.number
    raise EnvironmentProblem(
        f"{device.serial}: the lease on the device cannot be taken", hint=f"remove {folder} on the device and try again"
    )


def renew(device: Device, lease: Lease) -> bool:
    """Let a lease last for LEASE_S from now; gives whether it is still held."""
    script = f"{lease.shell_functions()}\n_db_lease {LEASE_S} && echo held"
    done = device.shell(script, timeout_s=_SHELL_TIMEOUT_S, doing="renewing the lease")
    return done.stdout.strip() == b"held"


def end_process(device: Device, lease: Lease) -> None:
    """End the process group that runs under a lease, if the device is still there."""
    _try(device, f"{_KILL}\n_db_kill {shlex.quote(lease.pid_file)}")


def leave(device: Device, lease: Lease) -> None:
    """Give a lease back, if the device is still there."""
    folder = shlex.quote(lease.folder)
    until = shlex.quote(f"{lease.folder}/{lease.number}.until.{lease.token}")
    # The link stays: its number must not be given out again.
    _try(device, f"[ -f {until} ] && echo '- 0' > {until}; rm -f {folder}/{lease.number}.pid*; true")


def look(device: Device, root: str) -> Holder | None:
    """The lease of a device, active or over; `None` if nobody ever had one, or it was given back."""
    script = f"{_header(f'{root}/lease')}\n{_SHOW}"
    done = device.shell(script, timeout_s=_SHELL_TIMEOUT_S, doing="reading the lease")
    holder = _highest(done.stdout.decode("utf-8", "replace"))
    return None if holder is None or holder.left_s is None else holder


def revoke(device: Device, root: str) -> Holder | None:
    """End the lease of whoever has the device, and what runs under it; gives who had it."""
    holder = look(device, root)
    if holder is None:
        return None
    request = new_request()
    script = _take_script(f"{root}/lease", request, holder.number)
    done = device.shell(script, timeout_s=_SHELL_TIMEOUT_S, check=True, doing="releasing the device")
    taken = re.search(rb"^taken ([0-9]{1,9})$", done.stdout, re.MULTILINE)
    if taken is not None:
        leave(device, Lease(f"{root}/lease", int(taken[1]), request.token))
    return holder


def _try(device: Device, script: str) -> None:
    try:
        device.shell(script, timeout_s=5.0, doing="tidying up")
    except DevbenchError:
        # The device is gone; the lease ends by itself, and the next run ends what is left.
        return


# Ends a process group if it is still the one that the file names.
_KILL = """_db_kill() {
read -r _db_p _db_s < "$1" || return 0
case "$_db_p$_db_s" in ''|*[!0-9]*) return 0;; esac
[ "$_db_p" -gt 1 ] || return 0
read -r _db_stat < /proc/$_db_p/stat || return 0
_db_stat=${_db_stat##*) }; set -- $_db_stat; shift 19
[ "$1" = "$_db_s" ] && { kill -9 -$_db_p || kill -9 $_db_p; }
} 2>/dev/null"""

# Prints the time and the highest lease.
_SHOW = """echo "now $_db_boot $_db_up"
[ $_db_n -gt 0 ] && {
_db_target=$(readlink "$_db_dir/$_db_n.lease" | head -c 1024)
echo "lease $_db_n $_db_target"
for _db_f in "$_db_dir/$_db_n".until.*; do
[ -f "$_db_f" ] && read -r _db_b _db_e < "$_db_f" && echo "until ${_db_f##*.until.} $_db_b $_db_e"
done
}
true"""


def _header(folder: str) -> str:
    """Sets the folder, the boot id, the uptime, and the highest number of a lease."""
    return f"""_db_dir={shlex.quote(folder)}
read -r _db_boot < /proc/sys/kernel/random/boot_id; read -r _db_up _db_rest < /proc/uptime; _db_up=${{_db_up%.*}}
_db_highest() {{
_db_n=0
for _db_f in "$_db_dir"/*.lease; do
[ -L "$_db_f" ] || continue
_db_k=${{_db_f##*/}}; _db_k=${{_db_k%.lease}}
case $_db_k in *[!0-9]*|''|??????????*) continue;; esac
[ "$_db_k" -gt $_db_n ] && _db_n=$_db_k
done
}}
_db_highest"""


def _take_script(folder: str, request: Request, over: int) -> str:
    """Takes the next number if the highest lease is over, or is the number `over`; else prints the highest lease."""
    owner = request.owner
    fields = (
        _FORMAT, request.token, owner.host, owner.user, owner.boot, owner.space, owner.pid, owner.started,
        _word(request.job), request.attempt,
    )  # fmt: skip
    target = ",".join(map(str, fields))
    return f"""mkdir -p {shlex.quote(folder)} || exit 1
{_header(folder)}
{_KILL}
_db_free=1
if [ $_db_n -gt 0 ] && [ $_db_n != {over} ]; then
for _db_f in "$_db_dir/$_db_n".until.*; do
[ -f "$_db_f" ] && read -r _db_b _db_e < "$_db_f" && [ "$_db_b" = "$_db_boot" ] && [ "$_db_e" -gt $_db_up ] && _db_free=
done
fi
if [ -n "$_db_free" ]; then
_db_m=$((_db_n + 1)); _db_own="$_db_dir/$_db_m.until.{request.token}"
echo "$_db_boot $((_db_up + {LEASE_S}))" > "$_db_own" || exit 1
if ln -s "{target},$_db_up" "$_db_dir/$_db_m.lease" 2>/dev/null; then
_db_highest
if [ $_db_n = $_db_m ]; then
for _db_f in "$_db_dir"/*; do
_db_k=${{_db_f##*/}}; _db_k=${{_db_k%%.*}}
case $_db_k in *[!0-9]*|'') continue;; esac
[ "$_db_k" -lt $_db_m ] || continue
case $_db_f in *.pid) _db_kill "$_db_f";; esac
rm -f "$_db_f"
done
echo "taken $_db_m"
exit 0
fi
rm -f "$_db_dir/$_db_m.lease"
fi
rm -f "$_db_own"
_db_highest
fi
{_SHOW}"""


def _highest(text: str) -> Holder | None:
    """The lease that the device's shell printed; what does not look like one counts as none."""
    now = re.search(r"^now (\S{1,64}) ([0-9]{1,9})$", text, re.MULTILINE)
    lease = re.search(r"^lease ([0-9]{1,9}) (\S{1,1024})$", text, re.MULTILINE)
    if now is None or lease is None:
        return None
    fields = lease[2].split(",")
    if len(fields) != 11 or fields[0] != _FORMAT or any(not _NUMBER.fullmatch(fields[i]) for i in (6, 9, 10)):
        fields = [_FORMAT, "", "unknown", "unknown", "", "", "0", "0", "", "0", "0"]
    _, token, host, user, boot, space, pid, started, job, attempt, since = fields
    owner = Owner(host, user, boot, space, int(pid), int(started) if re.fullmatch(r"[0-9]{1,11}", started) else 0)
    until = re.search(rf"^until {re.escape(token)} (\S{{1,64}}) ([0-9]{{1,9}})$", text, re.MULTILINE)
    left: int | None = 0
    if until is not None and until[1] == "-":
        left = None
    elif until is not None and until[1] == now[1]:
        left = int(until[2]) - int(now[2])
    since_s = max(0, int(now[2]) - int(since))
    return Holder(int(lease[1]), token, owner, job, int(attempt), since_s, left)
