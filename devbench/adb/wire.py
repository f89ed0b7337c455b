"""A connection to the adb server with a wall-clock deadline over everything it does, and how a device is named there.

The protocol is that of adb's OVERVIEW.TXT and SERVICES.TXT: a request is four hexadecimal digits of length and the
text; the answer OKAY, or FAIL with a text of the same form. Knows no service of a device. Why this is not adbutils:
docs/decisions/adb-client.md.
"""

from __future__ import annotations

import re
import socket
import time
from types import TracebackType

_CONNECT_TIMEOUT_S = 5.0
_BUFFER_BYTES = 1 << 20
_MAX_TEXT_BYTES = 1 << 20
_LENGTH = re.compile(rb"[0-9a-fA-F]{4}")


class WireClosed(Exception):
    """The other end closed the connection, or the connection broke."""


class WireTimeout(Exception):
    """The deadline passed."""


class WireRefused(Exception):
    """The server answered FAIL; the text is its reason."""


def length_of(digits: bytes) -> int:
    """The length that four hexadecimal digits name.

    Raises:
        WireClosed: they are something else.
    """
    if not _LENGTH.fullmatch(digits):
        raise WireClosed(f"sent {digits!r} as a length")
    return int(digits, 16)


class Deadline:
    """A moment on the monotonic clock."""

    def __init__(self, timeout_s: float) -> None:
        self._end = time.monotonic() + timeout_s

    def left_s(self) -> float:
        """Seconds that are left.

        Raises:
            WireTimeout: none are left.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise WireTimeout
        return left


class Wire:
    """One TCP connection to the adb server."""

    def __init__(self, host: str, port: int, deadline: Deadline) -> None:
        try:
            self.socket = socket.create_connection((host, port), timeout=min(deadline.left_s(), _CONNECT_TIMEOUT_S))
        except OSError as error:
            raise WireClosed(str(error)) from None
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.deadline = deadline

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def ended(self) -> bool:
        """Whether the other end has closed the connection; drops what it has sent. Does not wait."""
        self.socket.setblocking(False)
        try:
            while self.socket.recv(_BUFFER_BYTES):
                pass
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def request(self, service: str) -> None:
        """Ask for a service and take its OKAY.

        Raises:
            WireRefused, WireClosed, WireTimeout.
        """
        data = service.encode()
        self.send(b"%04x" % len(data) + data)
        answer = self.receive(4)
        if answer == b"FAIL":
            raise WireRefused(self.text())
        if answer != b"OKAY":
            raise WireClosed(f"answered {answer!r} to {service.split(':')[0]}")

    def answer(self) -> str:
        """The answer of one of the server's own services. A service may still report a failure here.

        Raises:
            WireRefused, WireClosed, WireTimeout.
        """
        status = self.receive(4)
        if status == b"FAIL":
            raise WireRefused(self.text())
        return self.text() if status == b"OKAY" else self._text(status)

    def text(self) -> str:
        """A text behind four hexadecimal digits of length."""
        return self._text(self.receive(4))

    def _text(self, length: bytes) -> str:
        return self.receive(length_of(length)).decode("utf-8", "replace")

    def send(self, data: bytes | memoryview | bytearray) -> None:
        """Send all of `data`."""
        try:
            self.socket.settimeout(self.deadline.left_s())
            self.socket.sendall(data)
        except TimeoutError:
            raise WireTimeout from None
        except OSError as error:
            raise WireClosed(str(error)) from None

    def receive(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        if size > _MAX_TEXT_BYTES:
            raise WireClosed(f"announced {size} bytes at once")
        data = bytearray()
        while len(data) < size:
            data += self.receive_some(size - len(data))
        return bytes(data)

    def receive_some(self, max_bytes: int = _BUFFER_BYTES, within_s: float | None = None) -> bytes:
        """The bytes that have arrived, at least one.

        Args:
            max_bytes: how much to take at most.
            within_s: give up after this time, although the deadline is later.

        Raises:
            WireTimeout: the deadline, or `within_s`, passed.
            WireClosed: the other end closed the connection.
        """
        left = self.deadline.left_s()
        try:
            self.socket.settimeout(left if within_s is None else min(left, within_s))
            data = self.socket.recv(max_bytes)
        except TimeoutError:
            raise WireTimeout from None
        except OSError as error:
            raise WireClosed(str(error)) from None
        if not data:
            raise WireClosed("closed the connection")
        return data


_TIMEOUT_S = 8.0


class Route:
    """A device's address at a server.

    Attributes:
        serial: the serial by which the server knows it.
        transport_id: the server's number of the connection, if the serial does not tell the device apart.
    """

    def __init__(self, host: str, port: int, serial: str, transport_id: int | None = None) -> None:
        self.serial = serial
        self.transport_id = transport_id
        self._host, self._port = host, port
        self._watch: Wire | None = None

    @property
    def transport(self) -> str:
        """The service that connects to the device."""
        return (
            f"host:transport:{self.serial}" if self.transport_id is None else f"host:transport-id:{self.transport_id}"
        )

    def still_valid(self) -> bool:
        """Whether a transport id still means the same device: a restarted server assigns other numbers.

        A connection that stays open all the time tells whether it is still the same server.

        Raises:
            WireClosed, WireTimeout, WireRefused: the server is not there.
        """
        if self.transport_id is None:
            return True
        if self._watch is None:
            watch = Wire(self._host, self._port, Deadline(_TIMEOUT_S))
            try:
                watch.request("host:track-devices")
            except BaseException:
                watch.close()
                raise
            self._watch = watch
        return not self._watch.ended()

    def close(self) -> None:
        """Stop watching the server."""
        if self._watch is not None:
            self._watch.close()
