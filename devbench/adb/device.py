"""One device: run a command, move a file, look at a file; each with a deadline and one clear error.

Each call opens a connection to the adb server, so that several threads may use one `Device`. Knows no tool, no
model and no store.
"""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Concatenate, ParamSpec, TypeVar

from devbench.adb.errors import (
    LOST,
    CommandFailed,
    DeviceFull,
    DeviceLost,
    DeviceOffline,
    DeviceUnauthorized,
    NoSuchDevice,
    OutputTooLong,
    ServerUnavailable,
    ShellTimeout,
    SyncFailed,
    running,
)
from devbench.adb.services import (
    CLOSE_STDIN,
    ShellReader,
    ShellResult,
    Stream,
    SyncRefused,
    receive_file,
    send_file,
    with_group_line,
)
from devbench.adb.wire import Deadline, Route, Wire, WireClosed, WireRefused, WireTimeout
from devbench.errors import DevbenchError, EnvironmentProblem, system_errors
from devbench.text import clean

if TYPE_CHECKING:
    from devbench.adb.server import AdbServer, DeviceEntry

# The longest answer that devbench asks for is a device's list of properties, some 60 KB.
_MAX_ANSWER_BYTES = 8 << 20
_KILL_TIMEOUT_S = 5.0
_REBOOT_TIMEOUT_S = 20.0
# After this time without output, the device is asked for an answer: a device can disappear without an error.
_SILENCE_S = 10.0
_PROBE_TIMEOUT_S = 8.0
# A file's deadline: the slowest USB 2 phones take some 2 MB/s.
_SLOWEST_BYTES_PER_S = 1_000_000
_FILE_TIMEOUT_S = 60.0
_NO_SPACE = ("no space left", "enospc", "disk quota")
# Errors of the server for a connection that is gone. It gives the last one if another board with that serial is there.
_GONE = ("not found", "offline", "no device with transport", "more than one device")

T = TypeVar("T")
P = ParamSpec("P")


def _retried(do: Callable[Concatenate[Device, P], T]) -> Callable[Concatenate[Device, P], T]:
    """A method that is called again after each lost connection that comes back."""

    @functools.wraps(do)
    def call(device: Device, /, *args: P.args, **kwargs: P.kwargs) -> T:
        while True:
            try:
                return do(device, *args, **kwargs)
            except LOST as error:
                if device.recover is None or not device.recover(error):
                    raise

    return call


class Device:
    """A device behind an adb server. Constructing it sends nothing.

    Attributes:
        serial: its name in messages and events: the adb serial, or its key if several devices have that serial.
        recover: is called when the connection is lost; if it returns true, the interrupted call is repeated. A command
            whose output goes to a file is not repeated.
    """

    def __init__(self, server: AdbServer, serial: str, name: str = "", transport_id: int | None = None) -> None:
        self.server = server
        self.serial = name or serial
        self._route = Route(server.endpoint.host, server.endpoint.port, serial, transport_id)
        self.recover: Callable[[EnvironmentProblem], bool] | None = None
        self._seen = False

    @classmethod
    def of(cls, server: AdbServer, entry: DeviceEntry, name: str = "") -> Device:
        """The device of an entry of the server's list, by its transport id if several devices have its serial.

        `name`: for messages; by default the entry's own name.
        """
        return cls(server, entry.serial, name or entry.name, entry.transport_id if entry.by_id else None)

    @property
    def adb_serial(self) -> str:
        """The serial by which the server knows the device."""
        return self._route.serial

    def reconnected(self, serial: str, transport_id: int | None) -> None:
        """Use another connection to the same device from now on."""
        self._route.close()
        self._route = Route(self.server.endpoint.host, self.server.endpoint.port, serial, transport_id)

    def reboot(self) -> None:
        """Ask the device to restart; `bench/care.py` also waits for it.

        Raises:
            NoSuchDevice, DeviceOffline, DeviceUnauthorized: the request cannot be sent to it.
        """
        # The connection ends while the device goes down, at any point of the answer.
        with (
            contextlib.suppress(DeviceLost, WireClosed, WireTimeout),
            self._open("reboot:", Deadline(_REBOOT_TIMEOUT_S), "restarting") as wire,
        ):
            while True:
                wire.receive_some()

    # -- commands -----------------------------------------------------------------------------------------------

    @_retried
    def shell(self, command: str, *, timeout_s: float, check: bool = False, doing: str = "") -> ShellResult:
        """Run a command line of the device's `sh`; its output is kept in memory, 8 MiB at most.

        Args:
            command: text for the shell; quote what comes from elsewhere.
            timeout_s: wall-clock deadline; after it, the command's process group on the device is ended.
            check: raise for an exit code other than 0.
            doing: what this is for, in the error for a lost device ("reading facts").

        Raises:
            ShellTimeout, OutputTooLong, DeviceLost, NoSuchDevice, DeviceOffline, DeviceUnauthorized, CommandFailed.
        """
        doing = doing or running(command)
        kept: dict[Stream, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}

        def keep(stream: Stream, data: bytes) -> None:
            kept[stream] += data
            if sum(map(len, kept.values())) > _MAX_ANSWER_BYTES:
                raise OutputTooLong(self.serial, doing, _MAX_ANSWER_BYTES)

        code = self._execute(command, keep, timeout_s, doing)
        stdout, stderr = bytes(kept["stdout"]), bytes(kept["stderr"])
        if check and code != 0:
            raise CommandFailed(self.serial, command, code, stdout, stderr)
        return ShellResult(stdout, stderr, code)

    def shell_to_file(
        self, command: str, stdout: BinaryIO, stderr: BinaryIO, *, timeout_s: float, max_bytes: int, doing: str = ""
    ) -> int:
        """Run a command whose output goes to files as it comes, so that nothing is lost with the connection.

        What arrived before a deadline or a lost device is in the files, at most `max_bytes` in both together. Returns
        the exit code.

        Raises:
            EnvironmentProblem: the output cannot be written on this machine.
            OutputTooLong: there was more than `max_bytes`; the command has been ended.
            As `shell`.
        """
        files: dict[Stream, BinaryIO] = {"stdout": stdout, "stderr": stderr}
        left = max_bytes

        def keep(stream: Stream, data: bytes) -> None:
            nonlocal left
            try:
                files[stream].write(data[:left])
            except OSError as error:
                what = f"cannot keep the output of {self.serial}: {error.strerror or error}"
                raise EnvironmentProblem(what, hint="free some space, then run again") from None
            left -= len(data)
            if left < 0:
                raise OutputTooLong(self.serial, doing or running(command), max_bytes)

        return self._execute(command, keep, timeout_s, doing)

    def _execute(self, command: str, sink: Callable[[Stream, bytes], None], timeout_s: float, doing: str) -> int:
        """The command's exit code; its process group is ended if it does not end by itself."""
        doing = doing or running(command)
        reader = ShellReader(sink)
        try:
            with self._open(f"shell,v2,raw:{with_group_line(command)}", Deadline(timeout_s), doing) as wire:
                wire.send(CLOSE_STDIN)
                while not reader.feed(self._receive_some(wire)):
                    pass
        except WireTimeout:
            reader.flush()
            self._end_group(reader.group)
            raise ShellTimeout(self.serial, command, timeout_s) from None
        except WireClosed:
            reader.flush()
            raise self._lost_error(doing) from None
        except BaseException:
            self._end_group(reader.group)
            raise
        assert reader.exit_code is not None
        return reader.exit_code

    def _receive_some(self, wire: Wire) -> bytes:
        """The next bytes; if the device sends nothing for a while, it is asked whether it is still there."""
        while True:
            try:
                return wire.receive_some(within_s=_SILENCE_S)
            except WireTimeout:
                wire.deadline.left_s()
                if not self._answers():
                    raise WireClosed("no answer") from None

    def _answers(self) -> bool:
        # The device itself opens the service.
        with (
            contextlib.suppress(DevbenchError, WireTimeout),
            self._open("sync:", Deadline(_PROBE_TIMEOUT_S), "being asked"),
        ):
            return True
        return False

    def _end_group(self, group: int | None) -> None:
        """End a process group on the device, if the device is still there."""
        if group is None or group <= 1:
            return
        with contextlib.suppress(DevbenchError, WireTimeout, WireClosed):
            deadline = Deadline(_KILL_TIMEOUT_S)
            reader = ShellReader(lambda stream, data: None)
            command = f"kill -9 -{group} 2>/dev/null || kill -9 {group}"
            with self._open(f"shell,v2,raw:{command}", deadline, "ending a process") as wire:
                while not reader.feed(wire.receive_some()):
                    pass

    # -- files --------------------------------------------------------------------------------------------------

    @_retried
    def push(
        self,
        local: Path,
        remote: str,
        *,
        mode: int = 0o644,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Copy a file of this machine to the device.

        Args:
            local: the file.
            remote: its path on the device; an existing file is replaced.
            mode: permission bits.
            progress: is called with the bytes done and the bytes in all.

        Raises:
            InputError: `local` cannot be read.
            DeviceFull, SyncFailed, DeviceLost and the errors of an unfit device.
        """
        with system_errors(f"cannot read {local}"):
            source = local.open("rb", buffering=0)
        with source:
            info = os.fstat(source.fileno())
            with self._sync(remote, _file_timeout_s(info.st_size), f"receiving {local.name}") as wire:
                send_file(
                    wire, source, info.st_size, remote, mode, int(info.st_mtime), progress or (lambda done, total: None)
                )

    @_retried
    def pull(self, remote: str, local: Path, *, max_bytes: int) -> int:
        """Copy a file of the device to this machine; `local` appears only when it is complete. Returns its size.

        Args:
            remote: its path on the device.
            local: its path here.
            max_bytes: its size at most; of a larger file nothing is kept, whatever size the device reports.

        Raises:
            SyncFailed: it is not there, cannot be read or is larger.
            DeviceLost and the errors of an unfit device.
        """
        handle, name = tempfile.mkstemp(dir=local.parent, prefix=f".{local.name}.", suffix=".part")
        part = Path(name)
        try:
            with (
                os.fdopen(handle, "wb") as target,
                self._sync(remote, _file_timeout_s(max_bytes), f"sending {remote}") as wire,
            ):
                size = receive_file(wire, remote, target.write, max_bytes)
            part.replace(local)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return size

    # -- connections --------------------------------------------------------------------------------------------

    def _open(self, service: str, deadline: Deadline, doing: str) -> Wire:
        """A connection on which the device runs `service`."""
        endpoint = self.server.endpoint
        try:
            if not self._route.still_valid():
                raise DeviceLost(self.serial, doing)
            wire = Wire(endpoint.host, endpoint.port, deadline)
        except WireClosed as error:
            raise ServerUnavailable(endpoint.host, endpoint.port, str(error)) from None
        try:
            wire.request(self._route.transport)
            wire.request(service)
            self._seen = True
        except WireRefused as error:
            wire.close()
            raise self._refusal_error(str(error), doing) from None
        except WireClosed:
            wire.close()
            raise self._lost_error(doing) from None
        except BaseException:
            wire.close()
            raise
        return wire

    @contextlib.contextmanager
    def _sync(self, remote: str, timeout_s: float, doing: str) -> Iterator[Wire]:
        """A sync session; its errors are those of `adb/errors.py`."""
        try:
            with self._open("sync:", Deadline(timeout_s), doing) as wire:
                yield wire
        except SyncRefused as error:
            if any(words in str(error).lower() for words in _NO_SPACE):
                raise DeviceFull(self.serial, remote) from None
            raise SyncFailed(self.serial, remote, str(error)) from None
        except WireTimeout:
            raise SyncFailed(self.serial, remote, f"not done after {timeout_s:g} s") from None
        except WireClosed:
            raise self._lost_error(doing) from None

    def _refusal_error(self, reason: str, doing: str = "") -> EnvironmentProblem:
        """The error for a request that the server refused."""
        words = reason.lower()
        if self._seen and any(word in words for word in _GONE):
            # The file existed when the transfer began.
            return DeviceLost(self.serial, doing or "being asked")
        if "not found" in words:
            with contextlib.suppress(DevbenchError):
                return NoSuchDevice(self.serial, [entry.name for entry in self.server.list_devices()])
            return NoSuchDevice(self.serial)
        if "unauthorized" in words or "authorizing" in words:
            return DeviceUnauthorized(self.serial)
        if "offline" in words:
            return DeviceOffline(self.serial)
        if "closed" in words:
            return self._lost_error(doing)
        return EnvironmentProblem(f"{self.serial}: {clean(reason, 200)}")

    def _lost_error(self, doing: str) -> EnvironmentProblem:
        """The error for a connection that ended by itself: the server's end, or the device's."""
        try:
            self.server.version(timeout_s=2.0)
        except ServerUnavailable as error:
            return error
        return DeviceLost(self.serial, doing or "being asked")


def _file_timeout_s(size_bytes: int) -> float:
    return _FILE_TIMEOUT_S + size_bytes / _SLOWEST_BYTES_PER_S
