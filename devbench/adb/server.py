"""The adb server: found, started, asked for its devices; runs nothing on a device.

`ANDROID_ADB_SERVER_HOST` and `ANDROID_ADB_SERVER_PORT` (or `ADB_SERVER_SOCKET=tcp:host:port`) choose the server, as
they do for adb itself. An adb on PATH or in the Android SDK is preferred to the one in the adbutils wheel, so that two
versions do not fight over one server.

A line of its list of devices is a serial, a state and `key:value` words. The serial may contain blanks: wireless
debugging names a device `adb-EXAMPLE-abc (2)._adb-tls-connect._tcp`, and adb calls a device without a serial
`(no serial number)`. The states are those of `to_string(ConnectionState)` in adb's sources; `no permissions` has an
explanation behind it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from devbench import numbers
from devbench.adb.errors import AdbNotFound, DeviceOffline, DeviceUnauthorized, NoSuchDevice, ServerUnavailable
from devbench.adb.wire import Deadline, Wire, WireClosed, WireRefused, WireTimeout, length_of
from devbench.errors import EnvironmentProblem, InputError
from devbench.frozen import dataclass
from devbench.text import clean

READY = "device"
# Where adb connects to over the network.
ADDRESS = re.compile(r"[A-Za-z0-9._-]+:\d{1,5}|\[[0-9A-Fa-f:]+\]:\d{1,5}")
PAIRING, CONNECTING = "_adb-tls-pairing._tcp", "_adb-tls-connect._tcp"
_MAX_LINE = 1000
_MAX_SERVICES = 200
_GUID = re.compile(r"\[guid=([A-Za-z0-9._-]{1,80})\]")
# What adb prints in place of a serial: no service of its server finds a device by it.
_NO_SERIAL = frozenset({"(no serial number)", "????????????"})
_STATES = (
    "device", "offline", "bootloader", "host", "recovery", "rescue", "sideload", "unauthorized", "authorizing",
    "connecting", "detached", "unknown",
)  # fmt: skip
# The state is the first such word that is followed by `key:value` pairs or by nothing: a serial or a product's name
# may contain the same word.
_LINE = re.compile(rf"(?P<serial>\S.*?)\s+(?P<state>{'|'.join(_STATES)})(?P<rest>\s+[a-z_]+:.*|\s*)")
_NO_PERMISSIONS = re.compile(
    r"(?P<serial>\S.*?)\s+(?P<state>no permissions)\b(?P<detail>.*?)(?P<rest>(?:\s+[a-z_]+:\S*)*)\s*"
)
# A state of an adb that is newer than this list.
_OTHER = re.compile(r"(?P<serial>\S.*?)\s+(?P<state>\S+)(?P<rest>(?:\s+[a-z_]+:\S*)*)\s*")
_PAIR = re.compile(r"(?:^|\s)([a-z_]+):(.*?)(?=\s+[a-z_]+:|\s*$)")


@dataclass(frozen=True, slots=True)
class DeviceEntry:
    """A line of the server's list.

    Attributes:
        serial: as adb has it; several devices may share one.
        state: `device` when ready; else `offline`, `unauthorized`, …
        usb: where it is connected by USB, such as `1-4.2`; empty over a network.
        transport_id: the server's own number of the connection; another one after each reconnection.
        detail: the server's text about the state.
        by_id: the serial does not tell the device apart, only the transport id does.
    """

    serial: str
    state: str
    model: str = ""
    usb: str = ""
    transport_id: int | None = None
    detail: str = ""
    by_id: bool = False

    @property
    def name(self) -> str:
        """The serial, with the transport id if the serial is not unique: `0123456789ABCDEF#7`."""
        return f"{self.serial}#{self.transport_id}" if self.by_id else self.serial


@dataclass(frozen=True, slots=True)
class MdnsService:
    """What a device announces on the network: `PAIRING` while it shows a code, `CONNECTING` while debugging is on.

    `name`: the device's, such as `adb-EXAMPLE-abc`. `address`: `host:port`.
    """

    name: str
    kind: str
    address: str


def parse_device_list(text: str) -> list[DeviceEntry]:
    """The entries of the server's list, long or short; other lines are skipped."""
    entries = [entry for line in text.splitlines() if (entry := _entry(line[:_MAX_LINE].rstrip())) is not None]
    counts = Counter(entry.serial for entry in entries)
    return [
        replace(entry, by_id=True)
        if entry.transport_id is not None and (counts[entry.serial] > 1 or entry.serial in _NO_SERIAL)
        else entry
        for entry in entries
    ]


def _entry(line: str) -> DeviceEntry | None:
    found = _NO_PERMISSIONS.fullmatch(line) or _LINE.fullmatch(line) or _OTHER.fullmatch(line)
    if found is None:
        return None
    pairs = {key: value.strip() for key, value in _PAIR.findall(found["rest"])}
    return DeviceEntry(
        serial=found["serial"],
        state=found["state"],
        model=pairs.get("model", "").replace("_", " "),
        usb=pairs.get("usb", ""),
        transport_id=numbers.whole(pairs.get("transport_id", "")),
        detail=found.groupdict().get("detail", "").strip(),
    )


_DEFAULT_PORT = 5037
_LOCAL = {"127.0.0.1", "localhost", "::1"}
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Endpoint:
    host: str = "127.0.0.1"
    port: int = _DEFAULT_PORT


def endpoint_from_env() -> Endpoint:
    """Where the server is, by the environment.

    Raises:
        InputError: a variable is not a port.
    """
    whole = os.environ.get("ADB_SERVER_SOCKET", "")
    if whole:
        host, _, port = whole.removeprefix("tcp:").rpartition(":")
        return Endpoint(host or "127.0.0.1", _port(port, "ADB_SERVER_SOCKET"))
    host = os.environ.get("ANDROID_ADB_SERVER_HOST") or "127.0.0.1"
    text = os.environ.get("ANDROID_ADB_SERVER_PORT")
    return Endpoint(host, _port(text, "ANDROID_ADB_SERVER_PORT") if text else _DEFAULT_PORT)


def _port(text: str, variable: str) -> int:
    port = numbers.whole(text, minimum=1, maximum=65535)
    if port is not None:
        return port
    raise InputError(f"{variable}: {text!r} is not a port", hint="for example 5037")


def find_adb() -> Path:
    """The adb binary: on PATH, in the Android SDK, or the one that adbutils' wheel carries.

    Raises:
        AdbNotFound: no adb was found.
    """
    name = "adb.exe" if sys.platform == "win32" else "adb"
    on_path = shutil.which("adb")
    if on_path:
        return Path(on_path)
    for variable in ("ANDROID_HOME", "ANDROID_SDK_ROOT"):
        sdk = os.environ.get(variable)
        if sdk and (Path(sdk) / "platform-tools" / name).is_file():
            return Path(sdk) / "platform-tools" / name
    from adbutils import AdbError, adb_path

    try:
        return Path(adb_path())
    except AdbError:
        raise AdbNotFound from None


class AdbServer:
    """A client of one adb server; each call opens a connection, so that threads can share it."""

    def __init__(self, endpoint: Endpoint | None = None, adb: Path | None = None) -> None:
        self.endpoint = endpoint or endpoint_from_env()
        self._adb = adb

    def ensure_running(self, deadline_s: float = 20.0) -> int:
        """The server's version, after starting it if need be (only on this machine).

        Raises:
            ServerUnavailable, AdbNotFound.
        """
        try:
            return self.version()
        except ServerUnavailable:
            if self.endpoint.host not in _LOCAL:
                raise
        self._start(deadline_s)
        return self.version()

    def _start(self, deadline_s: float) -> None:
        adb = self._adb or find_adb()
        # The daemon keeps what it inherits: a pipe of ours would keep our caller's output open permanently.
        command = [str(adb), "-P", str(self.endpoint.port), "start-server"]
        try:
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=deadline_s,
                check=False,
                close_fds=True,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ServerUnavailable(
                self.endpoint.host, self.endpoint.port, f"{adb} does not start it: {error}"
            ) from None

    def version(self, timeout_s: float = 5.0) -> int:
        """The protocol version of the running server, such as 41."""
        answer = self._ask("host:version", timeout_s)
        try:
            return length_of(answer.encode())
        except WireClosed:
            raise ServerUnavailable(self.endpoint.host, self.endpoint.port, f"its version is {answer[:20]!r}") from None

    def list_devices(self, timeout_s: float = 5.0) -> list[DeviceEntry]:
        """All devices that the server lists, in any state."""
        return parse_device_list(self._ask("host:devices-l", timeout_s))

    def connect(self, address: str, timeout_s: float = 10.0) -> None:
        """Connect to a device over TCP; nothing happens if it is connected already.

        Raises:
            EnvironmentProblem: the server's message.
        """
        try:
            answer = self._ask(f"host:connect:{address}", timeout_s)
        except ServerUnavailable:
            # The server waits for the device. If the server answers this request, the device is the one that does not
            # answer.
            self.version()
            raise EnvironmentProblem(
                f"{address}: does not say who it is within {timeout_s:g} s",
                hint="unlock it and accept its question about USB debugging, or restart it",
            ) from None
        if not answer.startswith(("connected to", "already connected to")):
            # Example: failed to connect to '127.0.0.1:9999': Connection refused
            reason = clean(answer.removeprefix(f"failed to connect to '{address}': "), 200)
            hint = "check that the device is on, that it accepts adb over the network, and its address and port"
            raise EnvironmentProblem(f"{address}: {reason[:1].lower()}{reason[1:]}", hint=hint)

    def pair(self, address: str, code: str, timeout_s: float = 20.0) -> str:
        """Pair with a device that shows a pairing code under wireless debugging; gives its name in mDNS, or nothing.

        Raises:
            EnvironmentProblem: the server's own reason.
        """
        try:
            answer = self._ask(f"host:pair:{code}:{address}", timeout_s)
        except ServerUnavailable:
            raise
        except EnvironmentProblem as refused:
            answer = refused.what.removeprefix("adb server: ")
        if not answer.startswith("Successfully paired"):
            reason = clean(answer.removeprefix("Failed: "), 200)
            hint = "read address and code from the dialogue `Pair device with pairing code`, which stays open meanwhile"
            raise EnvironmentProblem(f"{address}: {reason[:1].lower()}{reason[1:]}", hint=hint)
        found = _GUID.search(answer)
        return found[1] if found else ""

    def mdns_services(self, timeout_s: float = 5.0) -> list[MdnsService]:
        """What devices on this network announce about wireless debugging.

        Raises:
            EnvironmentProblem: the server has no mDNS.
        """
        lines = [line.split() for line in self._ask("host:mdns:services", timeout_s).splitlines()[:_MAX_SERVICES]]
        return [MdnsService(*words) for words in lines if len(words) == 3 and ADDRESS.fullmatch(words[2])]

    def disconnect(self, address: str, timeout_s: float = 5.0) -> None:
        """Forget a device that was connected over TCP."""
        self._ask(f"host:disconnect:{address}", timeout_s)

    def wait_for(self, serial: str, timeout_s: float) -> None:
        """Wait until the device of an adb serial is ready.

        Raises:
            NoSuchDevice, DeviceOffline, DeviceUnauthorized: it is not, after that time.
        """
        end = time.monotonic() + timeout_s
        while True:
            known = self.list_devices(timeout_s=max(0.1, min(5.0, end - time.monotonic())))
            entry = next((entry for entry in known if entry.serial == serial), None)
            if entry is not None and entry.state == READY:
                return
            if time.monotonic() >= end:
                if entry is None:
                    raise NoSuchDevice(serial, [entry.serial for entry in known])
                raise DeviceUnauthorized(serial) if entry.state == "unauthorized" else DeviceOffline(serial)
            time.sleep(_POLL_S)

    def track(self) -> Iterator[list[DeviceEntry]]:
        """The list of devices, now and after each change.

        Raises:
            ServerUnavailable: the connection to the server was lost.
        """
        from adbutils import AdbClient, AdbError

        yield self.list_devices()
        try:
            for _ in AdbClient(self.endpoint.host, self.endpoint.port).track_devices():
                yield self.list_devices()
        except (AdbError, OSError) as error:
            raise ServerUnavailable(self.endpoint.host, self.endpoint.port, str(error)) from None

    def _ask(self, service: str, timeout_s: float) -> str:
        try:
            with Wire(self.endpoint.host, self.endpoint.port, Deadline(timeout_s)) as wire:
                wire.request(service)
                return wire.answer()
        except WireRefused as error:
            raise EnvironmentProblem(f"adb server: {error}") from None
        except WireTimeout:
            reason = f"no answer within {timeout_s:g} s"
            raise ServerUnavailable(self.endpoint.host, self.endpoint.port, reason) from None
        except WireClosed as error:
            raise ServerUnavailable(self.endpoint.host, self.endpoint.port, str(error)) from None
