"""adb's sync protocol: push, pull and stat over one connection; knows no reason why a file moves.

The format is that of adb's SYNC.TXT and file_sync_protocol.h: four letters and four bytes (little-endian). Sizes are
read with the second version of STAT, since the first has 32 bits for them. Files are sent uncompressed in
large writes of many 64 KiB blocks: devices on USB 3 and TCP take them faster than a phone decompresses.
"""

from __future__ import annotations

import select
import stat as stat_bits
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from devbench.adb.wire import Wire, WireClosed

Progress = Callable[[int, int], None]

BLOCK_BYTES = 64 * 1024
_BLOCKS_A_WRITE = 16
_HEADER = struct.Struct("<4sI")
_STAT_V2 = struct.Struct("<IQQIIIIQqqq")
_MAX_REASON_BYTES = 64 * 1024
_MAX_FILE_BYTES = 1 << 60
_ENOENT = 2


class SyncRefused(Exception):
    """The device answered FAIL; the text is its reason."""


@dataclass(frozen=True, slots=True)
class FileStat:
    """A file on the device. `mode` has type and permission bits as in `os.stat_result.st_mode`."""

    name: str
    mode: int
    size_bytes: int
    mtime_s: int


def send_file(
    wire: Wire, source: BinaryIO, size: int, remote: str, mode: int, mtime_s: int, progress: Progress
) -> None:
    """Send `source` to `remote`, whole; of a file that grows meanwhile not much more than `size` bytes.

    Raises:
        SyncRefused: the device's own reason, also where it comes in the middle.
        WireClosed, WireTimeout: the connection.
    """
    target = f"{remote},{stat_bits.S_IFREG | mode}".encode()
    wire.send(_HEADER.pack(b"SEND", len(target)) + target)
    # One write for many blocks: the headers lie between the data in a buffer that is used again and again.
    room = bytearray(_BLOCKS_A_WRITE * (_HEADER.size + BLOCK_BYTES))
    view = memoryview(room)
    done = 0
    while done <= size:
        filled = 0
        for _ in range(_BLOCKS_A_WRITE):
            start = filled + _HEADER.size
            got = source.readinto(view[start : start + BLOCK_BYTES])  # type: ignore[attr-defined]
            if not got:
                break
            _HEADER.pack_into(room, filled, b"DATA", got)
            filled = start + got
            done += got
        if not filled:
            break
        _send_or_reason(wire, view[:filled])
        progress(done, size)
        _raise_early_failure(wire)
    _send_or_reason(wire, _HEADER.pack(b"DONE", mtime_s & 0xFFFFFFFF))
    _take_okay(wire)


def _send_or_reason(wire: Wire, data: bytes | memoryview) -> None:
    """Send; where the device has hung up, its reason for it counts for more than the broken connection."""
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
    kind, size = _HEADER.unpack(wire.receive(_HEADER.size))
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
    wire.send(_HEADER.pack(b"RECV", len(name)) + name)
    done = 0
    while True:
        kind, size = _HEADER.unpack(wire.receive(_HEADER.size))
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


def stat_file(wire: Wire, remote: str, *, v2: bool) -> FileStat | None:
    """What is at `remote`, links followed where the device has version 2; `None` where nothing is.

    Raises:
        SyncRefused: it cannot be looked at, for a reason other than its absence.
    """
    name = remote.encode()
    if not v2:
        wire.send(_HEADER.pack(b"STAT", len(name)) + name)
        kind, mode, size, mtime = struct.unpack("<4sIII", wire.receive(16))
        if kind != b"STAT":
            raise WireClosed(f"answered {kind!r} to STAT")
        return FileStat(remote, mode, size, mtime) if mode else None
    wire.send(_HEADER.pack(b"STA2", len(name)) + name)
    kind = wire.receive(4)
    if kind != b"STA2":
        raise WireClosed(f"answered {kind!r} to STA2")
    error, _dev, _ino, mode, _links, _uid, _gid, size, _atime, mtime, _ctime = _STAT_V2.unpack(
        wire.receive(_STAT_V2.size)
    )
    if error == _ENOENT or (not error and not mode):
        return None
    if error:
        raise SyncRefused(f"cannot be looked at (errno {error})")
    return FileStat(remote, mode, _size(size), mtime)


def _size(size: int) -> int:
    """A size as the device reports it; none has an exabyte.

    Raises:
        WireClosed: it is no size of a file.
    """
    if size > _MAX_FILE_BYTES:
        raise WireClosed(f"said that a file has {size} bytes")
    return size
