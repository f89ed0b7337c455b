"""The two services of a device over one connection: shell and files. Knows nothing of what they are used for.

The shell protocol v2 (`shell,v2,raw:`) is that of adb's shell_protocol.h: a packet is one byte of id, four bytes of
length (little-endian) and the data; ids: 0 stdin, 1 stdout, 2 stderr, 3 exit code (one byte), 4 close stdin, 5 window
size. The sync protocol (push, pull) is that of adb's SYNC.TXT and file_sync_protocol.h: four letters and four bytes
(little-endian). Files are sent uncompressed in large writes of many 64 KiB blocks: devices on USB 3 and TCP take them
faster than a phone decompresses.
"""

from __future__ import annotations

import select
import stat as stat_bits
import struct
from collections.abc import Callable
from typing import BinaryIO, Literal

from devbench import numbers
from devbench.adb.wire import Wire, WireClosed
from devbench.frozen import dataclass

Stream = Literal["stdout", "stderr"]
Sink = Callable[[Stream, bytes], None]

_STDOUT, _STDERR, _EXIT = 1, 2, 3
_HEADER = struct.Struct("<BI")
# Ends the standard input of a command, which is always empty.
CLOSE_STDIN = _HEADER.pack(4, 0)
_MAX_PACKET_BYTES = 16 << 20
# The first line on standard error gives the process group of the command, which is needed to end it. Only the first
# line is read this way, so output of the command cannot be taken for it.
_GROUP_PREFIX = b"@@devbench-group:"
_GROUP_LINE_BYTES = 64


@dataclass(frozen=True, slots=True)
class ShellResult:
    """The result of a command on a device."""

    stdout: bytes
    stderr: bytes
    exit_code: int


def with_group_line(command: str) -> str:
    """The command, preceded by a line that tells its process group.

    adbd makes each shell the leader of a new session and process group, so that its `$$` is the group's id. The line is
    run before the shell reads on: it is printed even if the command has a syntax error.
    """
    return f"echo {_GROUP_PREFIX.decode()}$$ >&2\n{command}"


class ShellReader:
    """Splits the output of one command into its packets; the input may come in pieces of any size."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._buffer = bytearray()
        self._head = bytearray()
        self._head_done = False
        self.group: int | None = None
        self.exit_code: int | None = None

    def feed(self, data: bytes) -> bool:
        """Read more bytes; true once the exit code has come.

        Raises:
            WireClosed: the bytes are not packets.
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
            # Process group 1 is that of init and must not be ended; no kernel has ids above 2^22.
            group = numbers.whole(word, minimum=2, maximum=1 << 22) if line.startswith(_GROUP_PREFIX) else None
            if group is not None:
                self.group = group
                self._head = bytearray(rest)
            self.flush()
        elif len(self._head) > _GROUP_LINE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Pass on the output that was kept back while the group's line was searched."""
        if not self._head_done:
            self._head_done = True
            if self._head:
                self._sink("stderr", bytes(self._head))
            self._head.clear()


BLOCK_BYTES = 64 * 1024
_BLOCKS_A_WRITE = 16
_SYNC_HEADER = struct.Struct("<4sI")
_MAX_REASON_BYTES = 64 * 1024


class SyncRefused(Exception):
    """The device answered FAIL; the text is its reason."""


def send_file(
    wire: Wire, source: BinaryIO, size: int, remote: str, mode: int, mtime_s: int, progress: Callable[[int, int], None]
) -> None:
    """Send all of `source` to `remote`; if the file grows meanwhile, not much more than `size` bytes.

    Raises:
        SyncRefused: the device's own reason, also if it comes in the middle of the file.
        WireClosed, WireTimeout: the connection.
    """
    target = f"{remote},{stat_bits.S_IFREG | mode}".encode()
    wire.send(_SYNC_HEADER.pack(b"SEND", len(target)) + target)
    # One write for many blocks: headers and data share a buffer that is reused.
    room = bytearray(_BLOCKS_A_WRITE * (_SYNC_HEADER.size + BLOCK_BYTES))
    view = memoryview(room)
    done = 0
    while done <= size:
        filled = 0
        for _ in range(_BLOCKS_A_WRITE):
            start = filled + _SYNC_HEADER.size
            got = source.readinto(view[start : start + BLOCK_BYTES])  # type: ignore[attr-defined]
            if not got:
                break
            _SYNC_HEADER.pack_into(room, filled, b"DATA", got)
            filled = start + got
            done += got
        if not filled:
            break
        _send_or_reason(wire, view[:filled])
        progress(done, size)
        _raise_early_failure(wire)
    _send_or_reason(wire, _SYNC_HEADER.pack(b"DONE", mtime_s & 0xFFFFFFFF))
    _take_okay(wire)


def _send_or_reason(wire: Wire, data: bytes | memoryview) -> None:
    """Send; if the device closed the connection, raise the reason that it gave."""
    try:
        wire.send(data)
    except WireClosed:
        _raise_early_failure(wire)
        raise


def _raise_early_failure(wire: Wire) -> None:
    """Notice a FAIL that comes while data is still being sent, for instance of a full disk."""
    if select.select([wire.socket], [], [], 0)[0]:
        _take_okay(wire)
        raise WireClosed("answered before the file was complete")


def _take_okay(wire: Wire) -> None:
    kind, size = _SYNC_HEADER.unpack(wire.receive(_SYNC_HEADER.size))
    if kind == b"FAIL":
        raise SyncRefused(_reason(wire, size))
    if kind != b"OKAY":
        raise WireClosed(f"answered {kind!r} to a file")


def _reason(wire: Wire, size: int) -> str:
    return wire.receive(min(size, _MAX_REASON_BYTES)).decode("utf-8", "replace")


def receive_file(wire: Wire, remote: str, sink: Callable[[bytes], object], max_bytes: int) -> int:
    """Receive `remote`, `max_bytes` of it at most; gives its size in bytes.

    Raises:
        SyncRefused: the device's own reason, or it sends more than that.
        WireClosed, WireTimeout.
    """
    name = remote.encode()
    wire.send(_SYNC_HEADER.pack(b"RECV", len(name)) + name)
    done = 0
    while True:
        kind, size = _SYNC_HEADER.unpack(wire.receive(_SYNC_HEADER.size))
        if kind == b"DONE":
            return done
        if kind == b"FAIL":
            raise SyncRefused(_reason(wire, size))
        if kind != b"DATA" or size > BLOCK_BYTES:
            raise WireClosed(f"sent {kind!r} of {size} bytes in a file")
        if done + size > max_bytes:
            raise SyncRefused(f"the device sends more than the {max_bytes:,} bytes that the file may have")
        left = size
        while left:
            data = wire.receive_some(left)
            left -= len(data)
            sink(data)
        done += size
