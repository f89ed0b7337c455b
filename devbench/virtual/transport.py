"""The device's side of adb's transport: messages, streams with their windows, the banner; knows no service.

Format: AOSP packages/modules/adb/protocol.txt. A message is six little-endian words (command, two arguments, length,
checksum, the command's complement) and its payload. Without the feature `delayed_ack`, which is not offered, a stream
has one unacknowledged WRTE in each direction; a WRTE is acknowledged when its data has been consumed.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from devbench.virtual.faults import Faults

_HEADER = struct.Struct("<6I")
VERSION = 0x01000001
MAX_DATA = 1 << 20
_MAX_STREAMS = 256
_AUTH_TOKEN, _AUTH_SIGNATURE = 1, 2
_TOKEN = bytes(range(20))
FEATURES = "shell_v2,cmd,stat_v2,ls_v2,fixed_push_mkdir,fixed_push_symlink_timestamp,sendrecv_v2"


def _word(name: bytes) -> int:
    return int.from_bytes(name, "little")


CNXN, OPEN, OKAY, WRTE, CLSE, AUTH = (_word(name) for name in (b"CNXN", b"OPEN", b"OKAY", b"WRTE", b"CLSE", b"AUTH"))


class Unplugged(Exception):
    """The link has ended."""


@dataclass(frozen=True, slots=True)
class Message:
    command: int
    first: int
    second: int
    data: bytes


class Stream:
    """The stream of one open service, for the service."""

    def __init__(self, transport: Transport, local: int, remote: int) -> None:
        self._transport = transport
        self._local = local
        self._remote = remote
        self._incoming: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._writable = asyncio.Event()
        self._writable.set()
        self._rest = b""
        self.closed = False

    async def read(self) -> bytes:
        """The next data, acknowledged; empty at the end of the stream."""
        if self._rest:
            data, self._rest = self._rest, b""
            return data
        received = None if self.closed and self._incoming.empty() else await self._incoming.get()
        if received is None:
            return b""
        await self._transport.send(OKAY, self._local, self._remote)
        return received

    async def read_exactly(self, size: int) -> bytes:
        """Exactly that many bytes.

        Raises:
            EOFError: the stream ends earlier.
        """
        parts: list[bytes] = []
        have = 0
        while have < size:
            data = await self.read()
            if not data:
                raise EOFError
            parts.append(data)
            have += len(data)
        whole = b"".join(parts)
        self._rest = whole[size:]
        return whole[:size]

    async def write(self, data: bytes) -> None:
        """Send data after the peer has consumed the data before.

        Raises:
            EOFError: the peer has closed the stream.
        """
        view = memoryview(data)
        for start in range(0, len(view), self._transport.max_data):
            await self._writable.wait()
            if self.closed:
                raise EOFError
            self._writable.clear()
            await self._transport.send(
                WRTE, self._local, self._remote, bytes(view[start : start + self._transport.max_data])
            )

    async def close(self) -> None:
        """Close the stream after the peer has consumed everything."""
        if not self.closed:
            await self._writable.wait()
        if not self.closed:
            self.end()
            await self._transport.send(CLSE, self._local, self._remote)

    # -- called by the transport --------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        self._incoming.put_nowait(data)

    def acknowledged(self) -> None:
        self._writable.set()

    def end(self) -> None:
        self.closed = True
        self._incoming.put_nowait(None)
        self._writable.set()


Service = Callable[[str, Stream], Awaitable[bool]]


class Transport:
    """One connection of an adb server to the device.

    Args:
        reader, writer: the socket.
        banner: the device's description of itself.
        serve: runs a service on a stream; False if there is no such service.
        faults: how to misbehave.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, banner: str, serve: Service, faults: Faults
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._banner = banner
        self._serve = serve
        self._faults = faults
        self._streams: dict[int, Stream] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._next = 1
        self._crossed = 0
        self._hanging = asyncio.Event()
        self.max_data = MAX_DATA

    async def run(self) -> None:
        """Serve until the link ends."""
        try:
            while True:
                await self._handle(await self._receive())
        except (Unplugged, asyncio.IncompleteReadError, ConnectionError, OSError):
            pass
        finally:
            for stream in list(self._streams.values()):
                stream.end()
            for task in self._tasks:
                task.cancel()
            self._writer.close()

    async def send(self, command: int, first: int, second: int, data: bytes = b"") -> None:
        """Send one message."""
        head = _HEADER.pack(command, first, second, len(data), 0, command ^ 0xFFFFFFFF)
        if self._faults.garbage and command != CNXN:
            head = bytes(byte ^ 0xA5 for byte in head)
        await self._cross(len(head) + len(data))
        try:
            self._writer.write(head)
            if data:
                self._writer.write(data)
            await self._writer.drain()
        except (ConnectionError, RuntimeError):
            raise Unplugged from None

    async def _receive(self) -> Message:
        words = _HEADER.unpack(await self._reader.readexactly(_HEADER.size))
        command, first, second, length = words[:4]
        if command ^ 0xFFFFFFFF != words[5] or length > MAX_DATA:
            raise Unplugged
        data = await self._reader.readexactly(length) if length else b""
        await self._cross(_HEADER.size + length)
        return Message(command, first, second, data)

    async def _cross(self, size: int) -> None:
        """Apply the faults of the link to a number of bytes."""
        faults = self._faults
        self._crossed += size
        if faults.disconnect_after_bytes is not None and self._crossed > faults.disconnect_after_bytes:
            self._writer.transport.abort()
            raise Unplugged
        if faults.hang_after_bytes is not None and self._crossed > faults.hang_after_bytes:
            await self._hanging.wait()
        delay_s = faults.latency_ms / 1000 + (size / faults.slow if faults.slow else 0.0)
        if delay_s:
            await asyncio.sleep(delay_s)

    async def _handle(self, message: Message) -> None:
        stream = self._streams.get(message.second)
        if message.command == CNXN:
            await self._greet(message)
        elif message.command == AUTH and message.first == _AUTH_SIGNATURE:
            # The device accepts no key: the server tries its next key, then waits for the user.
            await self.send(AUTH, _AUTH_TOKEN, 0, _TOKEN)
        elif message.command == OPEN:
            await self._open(message)
        elif message.command == WRTE:
            if stream is None or stream.closed:
                await self.send(CLSE, 0, message.first)
            else:
                stream.receive(message.data)
        elif message.command == OKAY and stream is not None:
            stream.acknowledged()
        elif message.command == CLSE and stream is not None:
            stream.end()

    async def _greet(self, message: Message) -> None:
        if self._faults.offline:
            return
        if self._faults.unauthorized:
            await self.send(AUTH, _AUTH_TOKEN, 0, _TOKEN)
            return
        self.max_data = max(4096, min(MAX_DATA, message.second))
        await self.send(CNXN, VERSION, MAX_DATA, self._banner.encode())

    async def _open(self, message: Message) -> None:
        name = message.data.rstrip(b"\x00").decode("utf-8", "replace")
        hangs = self._faults.hang_service and name.startswith(self._faults.hang_service)
        if hangs:
            return
        if len(self._streams) >= _MAX_STREAMS:
            await self.send(CLSE, 0, message.first)
            return
        local, self._next = self._next, self._next + 1
        stream = self._streams[local] = Stream(self, local, message.first)
        await self.send(OKAY, local, message.first)
        task = asyncio.create_task(self._run_service(name, stream, local))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_service(self, name: str, stream: Stream, local: int) -> None:
        try:
            with contextlib.suppress(EOFError, Unplugged, ConnectionError):
                await self._serve(name, stream)
                await stream.close()
        finally:
            stream.end()
            self._streams.pop(local, None)
