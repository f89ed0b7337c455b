"""The services of a virtual device: `shell:`, `shell,v2:`, `exec:`; knows no message of the transport.

The shell protocol v2 is that of AOSP packages/modules/adb/shell_protocol.h: packets of an id, a length (32 bits,
little-endian) and data; ids 0 stdin, 1 stdout, 2 stderr, 3 exit code, 4 close stdin, 5 window size.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import struct
from collections.abc import Awaitable, Callable

from devbench.virtual.sync_service import serve_sync
from devbench.virtual.transport import Stream
from devbench.virtual.userland import Userland

_PACKET = struct.Struct("<BI")
_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = 0, 1, 2, 3, 4
_BLOCK_BYTES = 1 << 16
_GONE_TIMEOUT_S = 2.0


class Services:
    """The services of one device and the processes that they started; `restart` is called to restart the device."""

    def __init__(self, userland: Userland, restart: Callable[[], None]) -> None:
        self._userland, self._restart = userland, restart
        self._groups: set[int] = set()
        self._running: set[asyncio.subprocess.Process] = set()

    async def serve(self, name: str, stream: Stream) -> bool:
        """Run the service with that name; False if there is none."""
        kind, _, rest = name.partition(":")
        words = kind.split(",")
        if words[0] == "shell" and "v2" in words:
            await self._shell_v2(rest, stream)
        elif words[0] in ("shell", "exec"):
            await self._raw(rest, stream)
        elif kind == "sync":
            await serve_sync(stream, self._userland)
        elif kind == "reboot":
            self._restart()
        elif kind in ("remount", "root", "unroot"):
            await stream.write(b"not on a virtual device\n")
        else:
            return False
        return True

    def kill_all(self) -> None:
        """Kill every process, as if the device lost its power."""
        for group in list(self._groups):
            _kill(group)

    async def gone(self) -> None:
        """Wait a short time for killed processes to end, and close their pipes."""
        with contextlib.suppress(asyncio.TimeoutError):
            waiting = [process.wait() for process in self._running]
            await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), _GONE_TIMEOUT_S)
        for process in self._running:
            process._transport.close()  # type: ignore[attr-defined]
        await asyncio.sleep(0)

    async def _start(self, command: str, *, merged: bool) -> asyncio.subprocess.Process:
        userland = self._userland
        arguments = ["-c", userland.host_command(command)] if command else []
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            userland.shell(),
            *arguments,
            stdin=pipe,
            stdout=pipe,
            stderr=asyncio.subprocess.STDOUT if merged else pipe,
            cwd=userland.root,
            env=userland.environment(),
            start_new_session=True,
            limit=_BLOCK_BYTES,
        )
        self._groups.add(process.pid)
        self._running.add(process)
        return process

    async def _shell_v2(self, command: str, stream: Stream) -> None:
        process = await self._start(command, merged=False)
        lock = asyncio.Lock()

        async def packet(kind: int, data: bytes) -> None:
            async with lock:
                await stream.write(_PACKET.pack(kind, len(data)) + data)

        feeding = asyncio.create_task(_feed_packets(stream, process))
        assert process.stdout and process.stderr
        try:
            await asyncio.gather(
                self._pass_on(process.stdout, lambda data: packet(_STDOUT, data)),
                self._pass_on(process.stderr, lambda data: packet(_STDERR, data)),
            )
            code = await process.wait()
            self._running.discard(process)
            await packet(_EXIT, bytes([code if code >= 0 else 128 - code]))
        finally:
            feeding.cancel()
            self._forget(process)

    async def _raw(self, command: str, stream: Stream) -> None:
        """Output and errors in one stream, without an exit code, as before the shell protocol."""
        process = await self._start(command, merged=True)
        feeding = asyncio.create_task(_feed_raw(stream, process))
        assert process.stdout
        try:
            await self._pass_on(process.stdout, stream.write)
            await process.wait()
            self._running.discard(process)
        finally:
            feeding.cancel()
            self._forget(process)

    async def _pass_on(self, source: asyncio.StreamReader, sink: Callable[[bytes], Awaitable[None]]) -> None:
        paths = self._userland.device_text()
        while data := await source.read(_BLOCK_BYTES):
            if shown := paths.feed(data):
                await sink(shown)
        if rest := paths.end():
            await sink(rest)

    def _forget(self, process: asyncio.subprocess.Process) -> None:
        """Hang up a process without a reader, as adbd does; its children may continue."""
        if process.returncode is None:
            _hang_up(process)
        elif not _has_members(process.pid):
            self._groups.discard(process.pid)


async def _feed_packets(stream: Stream, process: asyncio.subprocess.Process) -> None:
    assert process.stdin
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            kind, length = _PACKET.unpack(await stream.read_exactly(_PACKET.size))
            data = await stream.read_exactly(length) if length else b""
            if kind == _STDIN and data:
                process.stdin.write(data)
                await process.stdin.drain()
            elif kind == _CLOSE_STDIN:
                process.stdin.close()
    process.stdin.close()
    _hang_up(process)


async def _feed_raw(stream: Stream, process: asyncio.subprocess.Process) -> None:
    assert process.stdin
    with contextlib.suppress(EOFError, ConnectionError):
        while data := await stream.read():
            process.stdin.write(data)
            await process.stdin.drain()
    process.stdin.close()
    _hang_up(process)


def _hang_up(process: asyncio.subprocess.Process) -> None:
    """Close the output of a process, so that it notices that nobody reads it."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGHUP)


def _has_members(group: int) -> bool:
    """Whether processes of the group still run."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
