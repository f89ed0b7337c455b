"""A front before an adb server that gives devices other serials: blanks in one, one for two boards.

Serials are translated in the server's list and in what clients ask for. A serial that stands for several devices is
refused with adb's own words; transport ids pass unchanged.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator, Mapping


class AdbFront:
    """Translates for clients of `port`; `shown` maps the server's serials to those that clients see."""

    def __init__(self, server_port: int, shown: Mapping[str, str]) -> None:
        self._server_port = server_port
        self._shown = shown
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, EOFError):
            upstream = socket.create_connection(("127.0.0.1", self._server_port))
            with upstream:
                self._relay(client, upstream)

    def _relay(self, client: socket.socket, upstream: socket.socket) -> None:
        while True:
            request = _text(client)
            for name in set(self._shown.values()):
                whose = [serial for serial, shown in self._shown.items() if shown == name]
                if re.search(f":{re.escape(name)}(:|$)", request):
                    if len(whose) > 1:
                        client.sendall(b"FAIL" + _block(b"more than one device/emulator"))
                        return
                    request = request.replace(name, whose[0])
            upstream.sendall(_block(request.encode()))
            if request.startswith(("host:devices", "host:track-devices")):
                client.sendall(_exactly(upstream, 4))
                while True:
                    client.sendall(_block(self._translated(_text(upstream))))
                    if request.startswith("host:devices"):
                        return
            if not request.startswith("host:transport"):
                break
            status = _exactly(upstream, 4)
            client.sendall(status)
            if status != b"OKAY":
                break
        threading.Thread(target=_pump, args=(upstream, client), daemon=True).start()
        _pump(client, upstream)

    def _translated(self, listing: str) -> bytes:
        lines = []
        for line in listing.splitlines():
            serial, rest = re.match(r"(\S+)(.*)", line).groups()  # type: ignore[union-attr]
            lines.append(f"{self._shown.get(serial, serial)}{rest}\n")
        return "".join(lines).encode()


@contextlib.contextmanager
def adb_front(server_port: int, shown: Mapping[str, str]) -> Iterator[int]:
    """Its port, while it runs."""
    front = AdbFront(server_port, shown)
    try:
        yield front.port
    finally:
        front.close()


def _exactly(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = source.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _text(source: socket.socket) -> str:
    return _exactly(source, int(_exactly(source, 4), 16)).decode()


def _block(text: bytes) -> bytes:
    return b"%04x" % len(text) + text


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
