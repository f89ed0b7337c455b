"""A device that means harm: a virtual device whose adbd answers one kind of request wrongly, in one of many ways.

A `Mode` names the requests (a phase of a run, or sync requests) and what is done with their answers. `MODES` has all of
them. Everything else on the device works as on any virtual device. Knows nothing of what devbench makes of it.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from devbench.virtual.faults import Faults
from devbench.virtual.phone import VirtualPhone
from devbench.virtual.services import Services
from devbench.virtual.transport import Stream
from devbench.virtual.userland import Userland

_PACKET = struct.Struct("<BI")
_REQUEST = struct.Struct("<4sI")
_STDOUT, _STDERR, _EXIT = 1, 2, 3
_BLOCK = 1 << 16
_NOISE = random.Random(1).randbytes(1 << 20)

# A text that only the shell commands of that phase have.
PHASES: Mapping[str, re.Pattern[str]] = {
    "any": re.compile(""),
    "facts": re.compile(r"@@devbench:(?s:.)*getprop"),
    "lease": re.compile(r'echo "taken '),
    "enter": re.compile(r"\.try-\$\$"),
    "look": re.compile("echo missing"),
    "move": re.compile('echo "moved '),
    "tool": re.compile(r"_db_mark; _db_lease"),
}


@dataclass(frozen=True)
class Answer:
    """What the device would have said."""

    out: bytes = b""
    err: bytes = b""
    code: int = 0


Say = Callable[[int, bytes], Awaitable[None]]
Act = Callable[["Talk"], Awaitable[None]]


@dataclass
class Talk:
    """One request that is answered wrongly: its stream, and the true answer if it is asked for."""

    stream: Stream
    command: str
    true_answer: Callable[[], Awaitable[Answer]]
    phone: HostilePhone

    async def say(self, kind: int, data: bytes) -> None:
        for at in range(0, len(data), _BLOCK):
            block = data[at : at + _BLOCK]
            await self.stream.write(_PACKET.pack(kind, len(block)) + block)

    async def end(self, code: int = 0) -> None:
        await self.stream.write(_PACKET.pack(_EXIT, 1) + bytes([code]))


@dataclass(frozen=True)
class Mode:
    """One way to misbehave; `phase` is a key of `PHASES`, `sync`, `link` or `banner`."""

    phase: str
    how: str
    act: Act | None = None
    faults: Faults = field(default_factory=Faults)
    checks_outputs: bool = False

    @property
    def name(self) -> str:
        return f"{self.phase}: {self.how}"


# -- behaviours of a shell command -------------------------------------------------------------------------------------


def endless(data: bytes, kind: int = _STDOUT, *, after: bool = False) -> Act:
    async def act(talk: Talk) -> None:
        if after:
            answer = await talk.true_answer()
            await talk.say(_STDOUT, answer.out)
        block = data * (_BLOCK // len(data) or 1)
        while not talk.stream.closed:
            await talk.say(kind, block)

    return act


def raw(data: bytes, *, hang: bool = True) -> Act:
    """Bytes that are no packets, or the head of one."""

    async def act(talk: Talk) -> None:
        await talk.stream.write(data)
        if hang:
            await asyncio.sleep(3600)

    return act


def changed(how: Callable[[bytes], bytes], code: Callable[[int], int] = lambda code: code) -> Act:
    """The true answer, with its standard output and exit code changed."""

    async def act(talk: Talk) -> None:
        answer = await talk.true_answer()
        await talk.say(_STDERR, answer.err)
        await talk.say(_STDOUT, how(answer.out))
        await talk.end(code(answer.code))

    return act


async def hang(talk: Talk) -> None:
    await asyncio.sleep(3600)


async def hang_up(talk: Talk) -> None:
    await talk.true_answer()


async def unplug(talk: Talk) -> None:
    talk.phone.cut()


async def unplug_after(talk: Talk) -> None:
    answer = await talk.true_answer()
    await talk.say(_STDOUT, answer.out[: len(answer.out) // 2])
    talk.phone.cut()


async def drip(talk: Talk) -> None:
    answer = await talk.true_answer()
    for byte in answer.out or b"x" * 1000:
        await talk.say(_STDOUT, bytes([byte]))
        await asyncio.sleep(0.5)
    await talk.end(answer.code)


def digits(value: bytes) -> Callable[[bytes], bytes]:
    return lambda out: re.sub(rb"[0-9]+(?:\.[0-9]+)?", value, out)


def _ends(out: bytes) -> bytes:
    return re.sub(rb":exit \d+", b":exit 99999999999999999999999", out)


def _long_exit(out: bytes) -> bytes:
    return re.sub(rb":exit \d+", b":exit " + b"0" * 3_000_000, out)


def _marks(out: bytes) -> bytes:
    found = re.search(rb"^(\S+):tool$", out, re.MULTILINE)
    mark = found[1] if found else b"@@x"
    return out + b"".join(b"%b:%b\n" % (mark, name) for name in (b"tool", b"exit 0", b"memory", b"end")) * 50_000


def _without(words: bytes) -> Callable[[bytes], bytes]:
    return lambda out: re.sub(rb"^\S+:" + words + rb"[^\n]*\n", b"", out, flags=re.MULTILINE)


def _in_section(words: bytes, data: bytes) -> Callable[[bytes], bytes]:
    return lambda out: re.sub(rb"^(\S+:" + words + rb"[^\n]*\n)", lambda m: m[1] + data, out, flags=re.MULTILINE)


def _latency(text: bytes) -> Callable[[bytes], bytes]:
    return lambda out: re.sub(rb"(Inference \(avg\): )[0-9.]+", lambda m: m[1] + text, out)


SHELL: Mapping[str, Act] = {
    "lines without end": endless(b"again\n"),
    "a line without end": endless(b"x"),
    "empty lines without end": endless(b"\n"),
    "errors without end": endless(b"error: failed\n", _STDERR),
    "noise without end": endless(_NOISE[:_BLOCK]),
    "an answer, then output without end": endless(b"more\n", after=True),
    "bytes that are no packets": raw(_NOISE[:4096]),
    "a packet of 4 GB": raw(_PACKET.pack(_STDOUT, 0xFFFFFFFF) + b"x" * 1000),
    "half a packet": raw(_PACKET.pack(_STDOUT, 1000) + b"x"),
    "no answer": hang,
    "the stream closed": hang_up,
    "the cable pulled": unplug,
    "the cable pulled in the middle": unplug_after,
    "a byte each half second": drip,
    "nothing": changed(lambda out: b""),
    "nothing and a failure": changed(lambda out: b"", lambda code: 255),
    "a lying exit code": changed(lambda out: out, lambda code: 1 if code == 0 else 0),
    "huge numbers": changed(digits(b"9" * 400)),
    "numbers beyond 64 bits": changed(digits(b"18446744073709551616")),
    "negative numbers": changed(digits(b"-7")),
    "numbers that are none": changed(digits("²٣".encode())),
    "infinite numbers": changed(digits(b"1e999")),
    "noise for an answer": changed(lambda out: _NOISE[:300_000]),
    "an answer with flipped bits": changed(lambda out: bytes(byte ^ 0x11 for byte in out)),
    "an answer with control characters": changed(lambda out: out.replace(b" ", b" \x1b[2J\x00\xff")),
    "an answer a thousand times": changed(lambda out: (out * 1000)[: 6 << 20]),
    "half an answer": changed(lambda out: out[: len(out) // 2]),
}
TOOL: Mapping[str, Act] = {
    "an exit code that is none": changed(_ends),
    "an exit line of 3 MB": changed(_long_exit),
    "200,000 forged markers": changed(_marks),
    "no exit marker": changed(_without(b"exit")),
    "no end marker": changed(_without(b"end")),
    "no tool marker": changed(_without(b"tool")),
    "a forged loss of the lease": changed(lambda out: out.replace(b":end\n", b":lost\n")),
    "20 MB of conditions": changed(_in_section(b"after", b"temperature: 1\n" * 1_400_000)),
    "noise for conditions": changed(_in_section(b"before", _NOISE)),
    "20 MB of samples": changed(lambda out: out + b"\n" + b"@sample 1 0\n" * 1_700_000),
    "a negative latency": changed(_latency(b"-22.8")),
    "an infinite latency": changed(_latency(b"1e999")),
    "a latency of 400 digits": changed(_latency(b"9" * 400)),
    "50 MB of lines of the tool": changed(
        _in_section(b"tool", b"count=3 first=5 curr=4 min=4 max=5 avg=4.5 std=0\n" * 900_000)
    ),
    "an operator profile of 40 MB": changed(
        _in_section(
            b"tool",
            b"Operator-wise Profiling Info for Regular Benchmark Runs:\n"
            b"============================== Run Order ==============================\n"
            b"\t [node type]\t [first]\t [avg ms]\t [%]\t [cdf%]\t [mem KB]\t [times called]\t [Name]\n"
            + b"\t CONV_2D\t 0.1\t 0.1\t 1.0%\t 1.0%\t 0.0\t 1\t[a]:0\n"
            * 700_000,
        )
    ),
}


# -- sync --------------------------------------------------------------------------------------------------------------


def sync_raw(data: bytes, *, repeat: bool = False) -> Act:
    """Bytes for an answer to every sync request, once or without end."""

    async def act(talk: Talk) -> None:
        await talk.stream.write(data)
        while repeat and not talk.stream.closed:
            await talk.stream.write(data)
        await asyncio.sleep(3600)

    return act


async def sync_close(talk: Talk) -> None:
    return


_STAT = struct.Struct("<4sI2Q4IQ3q")
_DATA = _REQUEST.pack(b"DATA", _BLOCK) + b"x" * _BLOCK
SYNC: Mapping[str, Act] = {
    "no answer": hang,
    "the stream closed": sync_close,
    "the cable pulled": unplug,
    "noise": sync_raw(_NOISE[:4096]),
    "a refusal of 4 GB": sync_raw(_REQUEST.pack(b"FAIL", 0xFFFFFFFF) + b"no " * 10_000),
    "a refusal of many lines": sync_raw(_REQUEST.pack(b"FAIL", 30) + b"no\nno\x1b[2J\r\nerror: x\n" + b"." * 9),
    "an early OKAY": sync_raw(_REQUEST.pack(b"OKAY", 0)),
    "an early DONE": sync_raw(_REQUEST.pack(b"DONE", 0)),
    "data without end": sync_raw(_DATA, repeat=True),
    "empty blocks without end": sync_raw(_REQUEST.pack(b"DATA", 0) * 4000, repeat=True),
    "a block of 4 GB": sync_raw(_REQUEST.pack(b"DATA", 0xFFFFFFFF) + b"x" * 1000),
    "a size of 2^63": sync_raw(_STAT.pack(b"STA2", 0, 1, 1, 0o100644, 1, 0, 0, 1 << 63, 0, 0, 0)),
    "another size": sync_raw(_STAT.pack(b"STA2", 0, 1, 1, 0o100644, 1, 0, 0, 7, -1, -1, -1)),
    "a folder": sync_raw(_STAT.pack(b"STA2", 0, 1, 1, 0o040755, 1, 0, 0, 7, -1, -1, -1)),
}


def _modes() -> list[Mode]:
    found = [Mode(phase, how, act) for phase in ("facts", "tool") for how, act in SHELL.items()]
    few = ("lines without end", "noise without end", "no answer", "the stream closed", "the cable pulled", "nothing",
           "a lying exit code", "huge numbers", "numbers that are none", "noise for an answer")  # fmt: skip
    found += [Mode(phase, how, SHELL[how]) for phase in ("lease", "enter", "look", "move") for how in few]
    found += [Mode("any", how, SHELL[how]) for how in few if how not in ("the cable pulled", "no answer")]
    found += [Mode("tool", how, act) for how, act in TOOL.items()]
    found += [Mode("push", how, act) for how, act in SYNC.items()]
    pulled = ("no answer", "noise", "data without end", "a block of 4 GB", "a refusal of many lines", "an early DONE")
    found += [Mode("pull", how, SYNC[how], checks_outputs=True) for how in pulled]
    for after in (1_500, 3_000, 10_000, 20_000, 40_000, 80_000):
        found.append(Mode("link", f"cut after {after:,} bytes", faults=Faults(disconnect_after_bytes=after)))
    for after in (3_000, 10_000, 40_000):
        found.append(Mode("link", f"silent after {after:,} bytes", faults=Faults(hang_after_bytes=after)))
    found.append(Mode("link", "no protocol", faults=Faults(garbage=True)))
    return found


MODES: tuple[Mode, ...] = tuple(_modes())


# -- the device --------------------------------------------------------------------------------------------------------


class _Ear:
    """Stands in for a stream and keeps what a service writes to it; the client's input is passed on."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.heard = bytearray()
        self.closed = False

    async def read(self) -> bytes:
        return await self._stream.read()

    async def read_exactly(self, size: int) -> bytes:
        return await self._stream.read_exactly(size)

    async def write(self, data: bytes) -> None:
        self.heard += data

    def answer(self) -> Answer:
        parts: dict[int, bytearray] = {_STDOUT: bytearray(), _STDERR: bytearray(), _EXIT: bytearray()}
        at = 0
        while at + _PACKET.size <= len(self.heard):
            kind, size = _PACKET.unpack_from(self.heard, at)
            at += _PACKET.size
            parts[kind] += self.heard[at : at + size]
            at += size
        return Answer(bytes(parts[_STDOUT]), bytes(parts[_STDERR]), parts[_EXIT][0] if parts[_EXIT] else 0)


class _Services(Services):
    def __init__(self, userland: Userland, phone: HostilePhone) -> None:
        super().__init__(userland, lambda: None)
        self._phone = phone

    async def serve(self, name: str, stream: Stream) -> bool:
        mode = self._phone.mode
        kind, _, command = name.partition(":")
        pattern = PHASES.get(mode.phase)
        if mode.act is None:
            return await super().serve(name, stream)
        if pattern is not None and kind.startswith("shell") and pattern.search(command):
            await mode.act(self._talk(command, stream))
            return True
        if kind == "sync" and mode.phase in ("push", "pull"):
            first = await stream.read_exactly(_REQUEST.size)
            wanted = (b"RECV", b"RCV2") if mode.phase == "pull" else (b"SEND", b"SND2", b"STAT", b"STA2")
            if first[:4] in wanted:
                await stream.read_exactly(_REQUEST.unpack(first)[1])
                drinking = asyncio.create_task(_drink(stream))
                try:
                    await mode.act(self._talk("", stream))
                finally:
                    drinking.cancel()
                return True
            stream._rest = first + stream._rest
        return await super().serve(name, stream)

    def _talk(self, command: str, stream: Stream) -> Talk:
        async def true_answer() -> Answer:
            ear = _Ear(stream)
            await self._shell_v2(command, ear)  # type: ignore[arg-type]
            return ear.answer()

        return Talk(stream, command, true_answer, self._phone)


async def _drink(stream: Stream) -> None:
    """Take in whatever is sent, so that the other side can go on sending."""
    while await stream.read():
        pass


class HostilePhone(VirtualPhone):
    """A virtual device that misbehaves in one way, for use as a context."""

    def __init__(self, mode: Mode) -> None:
        super().__init__(f"hostile-{os.urandom(4).hex()}", mode.faults)
        self.mode = mode

    def __enter__(self) -> HostilePhone:
        super().__enter__()
        # No connection is made before somebody knows the port.
        self._services = _Services(self._userland, self)
        return self

    def cut(self) -> None:
        """Pull the cable for good; for use in the device's thread."""
        self._cutting = asyncio.ensure_future(self._cut())
