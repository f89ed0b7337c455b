"""The shell protocol v2 (`shell,v2,raw:`) over one connection; knows no caller.

A packet is one byte of id, four bytes of length (little-endian) and the data; ids: 0 stdin, 1 stdout, 2 stderr, 3 exit
code (one byte), 4 close stdin, 5 window size. The format is that of adb's shell_protocol.h.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from devbench import numbers
from devbench.adb.wire import Wire, WireClosed, WireTimeout

Stream = Literal["stdout", "stderr"]
Sink = Callable[[Stream, bytes], None]

_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = 0, 1, 2, 3, 4
_HEADER = struct.Struct("<BI")
_STDIN_BLOCK_BYTES = 64 * 1024
_MAX_PACKET_BYTES = 16 << 20
# The first line on standard error tells the process group of the command, for ending it; nothing else may look like it.
_GROUP_PREFIX = b"@@devbench-group:"
_GROUP_LINE_BYTES = 64


@dataclass(frozen=True, slots=True)
class ShellResult:
    """What a command on a device gave."""

    stdout: bytes
    stderr: bytes
    exit_code: int
    duration_s: float


def with_group_line(command: str) -> str:
    """The command, preceded by a line that tells its process group.

    adbd makes each shell the leader of a new session and process group, so that its `$$` is the group's id. The line is
    run before the shell reads on: it is printed even if the command has a syntax error.
    """
    return f"echo {_GROUP_PREFIX.decode()}$$ >&2\n{command}"


class ShellReader:
    """Takes the packets of one command apart, in pieces of any size."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._buffer = bytearray()
        self._head = bytearray()
        self._head_done = False
        self.group: int | None = None
        self.exit_code: int | None = None

    def feed(self, data: bytes) -> bool:
        """Take bytes in; true once the exit code has come.

        Raises:
            WireClosed: the bytes are no packets.
        """
        self._buffer += data
        at = 0
        while len(self._buffer) - at >= _HEADER.size:
            kind, size = _HEADER.unpack_from(self._buffer, at)
            if size > _MAX_PACKET_BYTES:
                raise WireClosed(f"sent a packet of {size} bytes")
            if len(self._buffer) - at < _HEADER.size + size:
                break
            start = at + _HEADER.size
            self._packet(kind, bytes(self._buffer[start : start + size]))
            at = start + size
            if self.exit_code is not None:
                break
        del self._buffer[:at]
        return self.exit_code is not None

    def _packet(self, kind: int, data: bytes) -> None:
        if kind == _STDOUT:
            self._sink("stdout", data)
        elif kind == _STDERR:
            self._stderr(data)
        elif kind == _EXIT:
            self.flush()
            self.exit_code = data[0] if data else 0

    def _stderr(self, data: bytes) -> None:
        if self._head_done:
            self._sink("stderr", data)
            return
        self._head += data
        if b"\n" in self._head:
            line, _, rest = bytes(self._head).partition(b"\n")
            word = line.strip().removeprefix(_GROUP_PREFIX)
            # A process group of 1 is everybody's; no kernel has more than 2^22 of them.
            group = numbers.whole(word, minimum=2, maximum=1 << 22) if line.startswith(_GROUP_PREFIX) else None
            if group is not None:
                self.group = group
                self._head = bytearray(rest)
            self.flush()
        elif len(self._head) > _GROUP_LINE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Give on what was held back while looking for the group's line."""
        if not self._head_done:
            self._head_done = True
            if self._head:
                self._sink("stderr", bytes(self._head))
            self._head.clear()


def start_stdin(wire: Wire, data: bytes) -> None:
    """Send all of standard input and close it; more than a buffer is sent while output is read.

    A command that writes while it is still being fed would otherwise wait for us as we wait for it.
    """
    if len(data) <= _STDIN_BLOCK_BYTES:
        _send_stdin(wire, data)
    else:
        threading.Thread(target=_send_stdin, args=(wire, data), daemon=True).start()


def _send_stdin(wire: Wire, data: bytes) -> None:
    try:
        for at in range(0, len(data), _STDIN_BLOCK_BYTES):
            block = data[at : at + _STDIN_BLOCK_BYTES]
            wire.send(_HEADER.pack(_STDIN, len(block)) + block)
        wire.send(_HEADER.pack(_CLOSE_STDIN, 0))
    except (WireClosed, WireTimeout):
        return  # a command may end without reading all of it; a deadline is the reader's to report
