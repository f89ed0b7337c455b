"""The `sync:` service of a virtual device: send, receive, stat and list, in both versions; knows no transport.

Format: AOSP packages/modules/adb/SYNC.TXT and file_sync_protocol.h. Requests are an id of four letters and a length;
version 2 has sizes and times of 64 bits. Compression is not offered.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
from pathlib import Path
from typing import BinaryIO

from devbench.virtual.transport import Stream
from devbench.virtual.userland import Userland

_REQUEST = struct.Struct("<4sI")
_STAT_V1 = struct.Struct("<4s3I")
_STAT_V2 = struct.Struct("<4sI2Q4IQ3q")
_DENT_V1 = struct.Struct("<4s4I")
_DENT_V2 = struct.Struct("<4sI2Q4IQ3qI")
_MAX_PATH = 1024
_MAX_BLOCK = 64 * 1024
_PERMISSIONS = 0o777


class _Refused(Exception):
    """A request that is answered with FAIL."""


async def serve_sync(stream: Stream, userland: Userland) -> None:
    """Answer requests until QUIT or the end of the stream."""
    while True:
        kind, length = _REQUEST.unpack(await stream.read_exactly(_REQUEST.size))
        if kind == b"QUIT":
            return
        if length > _MAX_PATH:
            await _fail(stream, "path too long")
            return
        name = (await stream.read_exactly(length)).decode("utf-8", "replace")
        try:
            await _answer(kind, name, stream, userland)
        except _Refused as refused:
            await _fail(stream, str(refused))


async def _answer(kind: bytes, name: str, stream: Stream, userland: Userland) -> None:
    if kind == b"STAT":
        await stream.write(_stat_v1(userland.host_path(name)))
    elif kind in (b"STA2", b"LST2"):
        await stream.write(_stat_v2(kind, userland.host_path(name), follow=kind == b"STA2"))
    elif kind in (b"LIST", b"LIS2"):
        await _list(userland.host_path(name), stream, v2=kind == b"LIS2")
    elif kind == b"SEND":
        path, _, mode = name.rpartition(",")
        await _take(path or name, int(mode) if mode.isdigit() else 0o644, stream, userland)
    elif kind == b"SND2":
        _, mode_bits, flags = struct.unpack("<4s2I", await stream.read_exactly(12))
        if flags & ~0x80000000:
            raise _Refused("compression is not supported")
        await _take(name, mode_bits, stream, userland)
    elif kind == b"RECV":
        await _give(userland.host_path(name), stream)
    elif kind == b"RCV2":
        _, flags = _REQUEST.unpack(await stream.read_exactly(_REQUEST.size))
        if flags:
            raise _Refused("compression is not supported")
        await _give(userland.host_path(name), stream)
    else:
        raise _Refused(f"unknown command {kind!r}")


async def _fail(stream: Stream, message: str) -> None:
    data = message.encode()
    await stream.write(_REQUEST.pack(b"FAIL", len(data)) + data)


def _stat_v1(path: Path) -> bytes:
    try:
        found = path.lstat()
    except OSError:
        return _STAT_V1.pack(b"STAT", 0, 0, 0)
    return _STAT_V1.pack(b"STAT", found.st_mode, found.st_size & 0xFFFFFFFF, int(found.st_mtime) & 0xFFFFFFFF)


def _stat_v2(kind: bytes, path: Path, *, follow: bool) -> bytes:
    try:
        found = path.stat() if follow else path.lstat()
    except OSError as error:
        return _STAT_V2.pack(kind, error.errno or errno.EIO, *[0] * 10)
    return _STAT_V2.pack(kind, 0, *_fields(found))


def _fields(found: os.stat_result) -> tuple[int, ...]:
    ids = (found.st_dev & (1 << 64) - 1, found.st_ino, found.st_mode, found.st_nlink, found.st_uid, found.st_gid)
    return (*ids, found.st_size, int(found.st_atime), int(found.st_mtime), int(found.st_ctime))


async def _list(path: Path, stream: Stream, *, v2: bool) -> None:
    entries: list[tuple[str, os.stat_result]] = []
    with contextlib.suppress(OSError):
        for name in (".", "..", *sorted(child.name for child in path.iterdir())):
            with contextlib.suppress(OSError):
                entries.append((name, (path / name).lstat()))
    for name, found in entries:
        data = name.encode()
        if v2:
            head = _DENT_V2.pack(b"DNT2", 0, *_fields(found), len(data))
        else:
            size, time = found.st_size & 0xFFFFFFFF, int(found.st_mtime) & 0xFFFFFFFF
            head = _DENT_V1.pack(b"DENT", found.st_mode, size, time, len(data))
        await stream.write(head + data)
    await stream.write(_DENT_V2.pack(b"DONE", *[0] * 12) if v2 else _DENT_V1.pack(b"DONE", 0, 0, 0, 0))


async def _give(path: Path, stream: Stream) -> None:
    try:
        file = path.open("rb", buffering=0)
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise _Refused("read failed: Is a directory")
    except OSError as error:
        raise _Refused(f"open failed: {error.strerror}") from None
    with file:
        while block := file.read(_MAX_BLOCK):
            await stream.write(_REQUEST.pack(b"DATA", len(block)) + block)
    await stream.write(_REQUEST.pack(b"DONE", 0))


async def _take(name: str, mode: int, stream: Stream, userland: Userland) -> None:
    """Receive a file. After an error the rest is still read, since the sender may read the answer only at the end."""
    path = userland.host_path(name)
    room = userland.free_bytes()
    problem = ""
    file: BinaryIO | None = None
    if stat.S_ISLNK(mode):
        problem = "symbolic links are not supported"
    else:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            file = path.open("wb", buffering=0)
        except OSError as error:
            problem = f"couldn't create file: {error.strerror}"
    try:
        while True:
            kind, length = _REQUEST.unpack(await stream.read_exactly(_REQUEST.size))
            if kind == b"DONE":
                break
            if kind != b"DATA" or length > _MAX_BLOCK:
                raise _Refused("invalid data message")
            block = await stream.read_exactly(length)
            if file is None or problem:
                continue
            if room is not None:
                room -= length
            try:
                if room is not None and room < 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                file.write(block)
            except OSError as error:
                problem = f"write failed: {error.strerror}"
    finally:
        if file is not None:
            file.close()
    if problem:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise _Refused(problem)
    # As in adbd: group and others get the owner's permissions.
    mode |= (mode >> 3) & 0o070
    mode |= (mode >> 3) & 0o007
    path.chmod(mode & _PERMISSIONS)
    os.utime(path, (length, length))
    await stream.write(_REQUEST.pack(b"OKAY", 0))
