"""The lease on a device: one run at a time measures there, from any host; knows no tool and no store.

A lease is a symbolic link on the device. Its name is a number, its target describes the owner. Making a link is atomic,
so only one of two runs gets a number. The highest number is the current lease. A lease ends at an uptime of the device,
which its owner moves forward; no clock of a host is needed. It also ends with a restart of the device, and when its
owner gives it back. A run that takes the next number ends the processes of the lower ones.

The shell text is in `lease_script.py`, which also names the files.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from devbench import numbers
from devbench.adb.errors import CommandFailed
from devbench.device import lease_script
from devbench.device.owner import Owner, is_dead, this_process
from devbench.errors import DevbenchError, DeviceBusy, EnvironmentProblem, InputError
from devbench.frozen import dataclass

if TYPE_CHECKING:
    from devbench.adb.device import Device

# The folder of everything that devbench keeps on a device.
ROOT = "/data/local/tmp/devbench"
# Long enough for a slow connection to be set up again, short enough for others to wait for.
_LEASE_S = 60
_MIN_LEASE_S, _MAX_LEASE_S = 3, 600
_SHELL_TIMEOUT_S = 15.0
_MAX_TRIES = 20
_KILLED = (137, -9)
_MAX_ATTEMPT = 999_999_999
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_JOB = re.compile(r"[A-Za-z0-9._@-]{1,64}")
# Uptimes and numbers of leases: Android's shell computes with 32 bits.
_NUMBER = re.compile(r"[0-9]{1,9}")
TOKEN_VARIABLE = "DEVBENCH_LEASE_TOKEN"
JOB_VARIABLE = "DEVBENCH_LEASE_JOB"
ATTEMPT_VARIABLE = "DEVBENCH_LEASE_ATTEMPT"
SECONDS_VARIABLE = "DEVBENCH_LEASE_S"


@dataclass(frozen=True, slots=True)
class Request:
    """A request for a lease.

    Attributes:
        token: a random word; a process with the same token takes over the lease at once.
        owner: the process that will have it.
        job, attempt: for a farm; a higher attempt of a job takes over the lease of a lower one at once.
    """

    token: str
    owner: Owner
    job: str = ""
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Holder:
    """A lease as it is on a device.

    `since_s`: seconds since it was taken. `left_s`: seconds until it ends, negative after its end; `None` for a lease
    that its owner gave back.
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

    @property
    def since(self) -> str:
        """For how long it has been in use, for people: `45 s`, `12 min`, `3 h 5 min`."""
        minutes = self.since_s // 60
        if minutes < 1:
            return f"{self.since_s} s"
        return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class LeaseHeld(DeviceBusy):
    """Another run uses the device; two at once would disturb each other's measurements."""

    def __init__(self, serial: str, holder: Holder) -> None:
        super().__init__(
            f"{serial} is busy: in use by {holder.who} for {holder.since}",
            hint="wait with --wait 10m, choose another --device, or end that run: "
            f"`devbench devices release {shlex.quote(serial)}`",
        )
        self.serial = serial
        self.holder = holder


class ProcessStays(DeviceBusy):
    """A process of an earlier run cannot be ended; it would disturb every measurement."""

    def __init__(self, serial: str, pid: int) -> None:
        super().__init__(
            f"{serial} is busy: process {pid} of an earlier run cannot be ended",
            hint="it may belong to root: `adb root` and run again, or restart the device",
        )
        self.serial = serial


# The errors of a device that cannot be taken.
REFUSALS = (LeaseHeld, ProcessStays)


class LeaseLost(DeviceBusy):
    """Another run has taken the device; what was measured before is stored."""

    def __init__(self, serial: str) -> None:
        super().__init__(
            f"{serial}: the lease on the device was lost to another run or revoked; measurement stopped",
            hint="earlier results are stored; `devbench devices` shows who uses the device",
        )
        self.serial = serial


def lease_s() -> int:
    """How long a lease lasts without being renewed, in seconds; DEVBENCH_LEASE_S changes it within limits.

    Raises:
        InputError: the variable is not a valid number.
    """
    text = os.environ.get(SECONDS_VARIABLE, "")
    found = numbers.whole(text, minimum=_MIN_LEASE_S, maximum=_MAX_LEASE_S) if text else _LEASE_S
    if found is None:
        raise InputError(
            f"{SECONDS_VARIABLE}={text[:80]!r} is not a valid lease time",
            hint=f"give seconds from {_MIN_LEASE_S} to {_MAX_LEASE_S}, or leave it out",
        )
    return found


def new_request() -> Request:
    """A request of this process, with the token, job and attempt that the environment gives, else a random token.

    Raises:
        InputError: a variable has a value that cannot be used.
    """
    token = _given(TOKEN_VARIABLE, _TOKEN, "up to 64 letters, digits, - and _")
    job = _given(JOB_VARIABLE, _JOB, "up to 64 letters, digits and . _ @ -")
    text = os.environ.get(ATTEMPT_VARIABLE, "")
    attempt = numbers.whole(text, minimum=0, maximum=_MAX_ATTEMPT) if text else 0
    if attempt is None:
        raise InputError(
            f"{ATTEMPT_VARIABLE}={text[:80]!r} is not a valid attempt", hint=f"give a number from 0 to {_MAX_ATTEMPT}"
        )
    return Request(token or secrets.token_hex(8), this_process(), job, attempt)


def _given(variable: str, allowed: re.Pattern[str], words: str) -> str:
    text = os.environ.get(variable, "")
    if text and not allowed.fullmatch(text):
        raise InputError(f"{variable}={text[:80]!r} cannot be used", hint=f"give {words}, or leave it out")
    return text


# -- on the device ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that this process has taken.

    Attributes:
        folder: the device's folder of leases.
        number, token: those of this lease.
    """

    folder: str
    number: int
    token: str

    @property
    def pid_file(self) -> str:
        """The file on the device that names what the owner runs; scripts keep more files of that prefix."""
        return f"{self.folder}/{self.number}.pid.{self.token}"

    @property
    def app_file(self) -> str:
        """The file on the device that names the app that the owner runs."""
        return f"{self.folder}/{self.number}.app.{self.token}"

    @property
    def until_file(self) -> str:
        """The file on the device with the end of the lease."""
        return f"{self.folder}/{self.number}.until.{self.token}"

    def shell_functions(self) -> str:
        """Shell text that defines `_db_lease SECONDS` and `_db_mark`; see `lease_script.functions`."""
        return lease_script.functions(self.folder, self.number, self.token)


def take(device: Device, root: str, request: Request) -> Lease:
    """Take the lease on a device; end what the previous owner left running.

    Args:
        device: an adb connection.
        root: the folder of everything on the device.
        request: who takes it.

    Raises:
        LeaseHeld: another run uses the device.
        ProcessStays: what an earlier run left running cannot be ended.
        CommandFailed: the folder cannot be written.
        ShellTimeout, DeviceLost and the errors of an unfit device.
    """
    folder = f"{root}/lease"
    over: list[int] = []
    for _ in range(_MAX_TRIES):
        taken, holder = _try_to_take(device, folder, request, over, "taking the device")
        if taken is not None:
            return taken
        if holder is None:
            continue
        if holder.active and (holder.token, holder.owner) == (request.token, request.owner):
            lease = Lease(folder, holder.number, request.token)
            if renew(device, lease):
                return lease
        if holder.active and not _may_replace(request, holder):
            raise LeaseHeld(device.serial, holder)
        over.append(holder.number)
    raise EnvironmentProblem(
        f"{device.serial}: the lease on the device cannot be taken", hint=f"remove {folder} on the device and try again"
    )


def _may_replace(request: Request, holder: Holder) -> bool:
    """Whether a request may take over an active lease."""
    higher = holder.job != "" and holder.job == request.job and holder.attempt < request.attempt
    return higher or holder.token == request.token or is_dead(holder.owner)


def _try_to_take(
    device: Device, folder: str, request: Request, over: Collection[int], doing: str
) -> tuple[Lease | None, Holder | None]:
    """The lease, or its holder; neither if another request came at the same moment."""
    owner = request.owner
    fields = (
        lease_script.FORMAT, request.token, owner.host, owner.user, owner.boot, owner.space, owner.pid, owner.started,
        request.job, request.attempt,
    )  # fmt: skip
    script = lease_script.take(folder, request.token, ",".join(map(str, fields)), over=over, lasts_s=lease_s())
    done = device.shell(script, timeout_s=_SHELL_TIMEOUT_S, doing=doing)
    if done.exit_code in _KILLED:
        # By another process that took the device at the same moment.
        return None, None
    if done.exit_code != 0:
        raise CommandFailed(device.serial, script, done.exit_code, done.stdout, done.stderr)
    text = done.stdout.decode("utf-8", "replace")
    taken = re.search(r"^taken ([0-9]{1,9})$", text, re.MULTILINE)
    if taken is not None:
        return Lease(folder, int(taken[1]), request.token), None
    stays = re.search(r"^stays ([0-9]{1,9})$", text, re.MULTILINE)
    if stays is not None:
        raise ProcessStays(device.serial, int(stays[1]))
    return None, parse_holder(text)


def renew(device: Device, lease: Lease) -> bool:
    """Extend a lease to `lease_s` from now; returns whether it is still held."""
    script = f"{lease.shell_functions()}\n_db_lease {lease_s()} && echo held"
    done = device.shell(script, timeout_s=_SHELL_TIMEOUT_S, doing="renewing the lease")
    return done.stdout.strip() == b"held"


def end_process(device: Device, lease: Lease) -> None:
    """End what runs under a lease, if the device is still there."""
    _try(device, lease_script.end_own(lease.folder, lease.number, lease.token))


def leave(device: Device, lease: Lease) -> None:
    """Give a lease back, if the device is still there."""
    # The link stays: its number must not be used again.
    until, pid, app = map(shlex.quote, (lease.until_file, lease.pid_file, lease.app_file))
    _try(device, f"[ -f {until} ] && echo '- 0' > {until}; rm -f {pid} {pid}.* {app}; true")


def read_holder(device: Device, root: str) -> Holder | None:
    """The lease of a device, active or over; `None` if there was none, or it was given back."""
    done = device.shell(holder_command(root), timeout_s=_SHELL_TIMEOUT_S, doing="reading the lease")
    return parse_lease(done.stdout.decode("utf-8", "replace"))


def holder_command(root: str) -> str:
    """Shell text whose output `parse_lease` reads; it changes nothing."""
    return f"{lease_script.header(f'{root}/lease')}\n{lease_script.SHOW}"


def parse_lease(text: str) -> Holder | None:
    """The lease that `holder_command` printed, active or over; `None` for no lease. Never raises."""
    holder = parse_holder(text)
    return None if holder is None or holder.left_s is None else holder


def revoke(device: Device, root: str, holder: Holder) -> bool:
    """End a lease and what runs under it; returns whether it was still that one.

    Raises:
        ProcessStays: what runs there cannot be ended.
        CommandFailed: the folder cannot be written.
        ShellTimeout, DeviceLost and the errors of an unfit device.
    """
    now = read_holder(device, root)
    if now is None or (now.number, now.token) != (holder.number, holder.token):
        return False
    request = Request(secrets.token_hex(8), this_process())
    over = [holder.number]
    for _ in range(_MAX_TRIES):
        taken, left = _try_to_take(device, f"{root}/lease", request, over, "releasing the device")
        if taken is not None:
            leave(device, taken)
            return True
        if left is None or left.number > holder.number:
            return False
        over.append(left.number)
    return False


def to_json(holder: Holder) -> Mapping[str, Any]:
    """A JSON-ready mapping."""
    return {
        "holder": holder.who,
        **{name: value for name, value in asdict(holder.owner).items() if name in ("host", "user", "pid")},
        "job": holder.job or None,
        "attempt": holder.attempt,
        "active": holder.active,
        "since_s": holder.since_s,
        "left_s": holder.left_s,
    }


def _try(device: Device, script: str) -> None:
    try:
        device.shell(script, timeout_s=5.0, doing="tidying up")
    except DevbenchError:
        # The device is gone: the lease ends by itself, and the next run ends what is left.
        return


def parse_holder(text: str) -> Holder | None:
    """The lease that the device's shell printed; `None` for anything else."""
    now = re.search(r"^now (\S{1,64}) ([0-9]{1,9})$", text, re.MULTILINE)
    lease = re.search(r"^lease ([0-9]{1,9}) (\S{0,1024})$", text, re.MULTILINE)
    if now is None or lease is None:
        return None
    fields = lease[2].split(",")
    if (
        len(fields) != 11
        or fields[0] != lease_script.FORMAT
        or any(not _NUMBER.fullmatch(fields[i]) for i in (6, 9, 10))
    ):
        fields = [lease_script.FORMAT, "", "unknown", "unknown", "", "", "0", "0", "", "0", "0"]
    _, token, host, user, boot, space, pid, started, job, attempt, since = fields
    owner = Owner(host[:64], user[:64], boot, space, int(pid), numbers.whole(started, minimum=0) or 0)
    until = re.search(rf"^until {re.escape(token)} (\S{{1,64}}) ([0-9]{{1,9}})$", text, re.MULTILINE)
    left: int | None = 0
    if until is not None and until[1] == "-":
        left = None
    elif until is not None and until[1] == now[1]:
        left = int(until[2]) - int(now[2])
        left = left if left <= lease_script.MAX_S else 0
    since_s = max(0, int(now[2]) - int(since))
    return Holder(int(lease[1]), token, owner, job, int(attempt), since_s, left)
