"""How a virtual device misbehaves on request; knows no protocol and no tool.

Tests of rankings need realistic noise and a known difference. The noise is recorded from real processes of the
virtual tool (`DEVBENCH_VIRTUAL_RECORD=FILE` makes it write the latencies of its main phase) and replayed under the
fault `noise`. The fault `slower` adds the difference. A noise file is JSON: a list of processes, each a list of single
inferences in microseconds, above zero.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import get_type_hints

from devbench.errors import InputError
from devbench.text import near

NOISE_VARIABLE = "DEVBENCH_VIRTUAL_NOISE"
SLOWER_VARIABLE = "DEVBENCH_VIRTUAL_SLOWER"
SEED_VARIABLE = "DEVBENCH_VIRTUAL_SEED"
RECORD_VARIABLE = "DEVBENCH_VIRTUAL_RECORD"
SLOWER_DELEGATES = ("cpu", "xnnpack", "gpu")
_MAX_BYTES = 64 << 20
_MAX_PCT = 1000.0


@dataclass(frozen=True, slots=True)
class Faults:
    """Each field is one kind of fault; by default there is none.

    Attributes:
        slow: the link's bytes per second.
        latency_ms: the delay of each message.
        disconnect_after_bytes: the cable is pulled after this number of bytes on the link.
        disconnect_after_s: the cable is pulled this time after the first connection.
        reconnect_after_s: a pulled cable is plugged in again after this time; never without it.
        restart: a device whose cable is pulled restarts: it has another boot id and a small uptime afterwards.
        hang_after_bytes: the device stops answering after this number of bytes on the link.
        hang_service: the device never answers services that begin with this (`sync:`, `shell`).
        offline: the device accepts connections and never sends its banner.
        unauthorized: the device waits for its user to allow USB debugging.
        boot_s: a device that restarts is not reachable for this time.
        free_bytes: room on the device; beyond it the disk is full.
        garbage: the device answers with bytes that do not follow the protocol.
        thermal: the thermal status that it reports, 0 to 6.
        quiet: the device shows no load, whatever this machine does.
        noise: a file of recorded latencies; the tool replays a random process of it and runs nothing.
        slower: `NAME:PCT`: inferences under this delegate take PCT percent longer.
        seed: makes `noise` replay the same processes in every run on this device.
    """

    slow: int | None = None
    latency_ms: float = 0.0
    disconnect_after_bytes: int | None = None
    disconnect_after_s: float | None = None
    reconnect_after_s: float | None = None
    restart: bool = False
    hang_after_bytes: int | None = None
    hang_service: str = ""
    offline: bool = False
    unauthorized: bool = False
    boot_s: float = 0.5
    free_bytes: int | None = None
    garbage: bool = False
    thermal: int | None = None
    quiet: bool = False
    noise: str = ""
    slower: str = ""
    seed: int | None = None


def parse_faults(text: str) -> Faults:
    """Faults from text: `slow=1000000,thermal=3,offline`; names may have dashes.

    Raises:
        InputError: an unknown fault, or an invalid value.
    """
    kinds = get_type_hints(Faults)
    known = {field.name: kinds[field.name] for field in fields(Faults)}
    values: dict[str, bool | int | float | str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        name = name.strip().replace("-", "_")
        kind = known.get(name)
        if kind is None:
            raise InputError(f"--fault {part!r} is unknown", hint=near(name, known, "docs/virtual.md lists all"))
        try:
            if kind is bool:
                values[name] = not equals or {"true": True, "false": False, "1": True, "0": False}[value]
            elif kind is str:
                values[name] = value
            elif kind == int | None:
                values[name] = int(value)
            else:
                values[name] = float(value)
        except (ValueError, KeyError):
            raise InputError(f"--fault {part!r}: invalid value {value!r}", hint="give a number") from None
    faults = Faults(**values)  # type: ignore[arg-type]
    return replace(faults, noise=_checked(faults))


def _checked(faults: Faults) -> str:
    """The absolute path of the noise file, after the file and `slower` were checked."""
    path = Path(faults.noise).expanduser().absolute() if faults.noise else None
    name = "slower"
    try:
        if faults.slower:
            parse_slower(faults.slower)
        name = "noise"
        if path is not None:
            read_noise(path)
    except NoiseError as problem:
        raise InputError(f"--fault {name}: {problem}", hint="see docs/virtual.md") from None
    return str(path or "")


class NoiseError(ValueError):
    """An invalid noise file or slow-down; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Slower:
    """A delegate whose inferences take `pct` percent longer."""

    delegate: str
    pct: float


def parse_slower(text: str) -> Slower:
    """`NAME:PCT`, such as `gpu:5`.

    Raises:
        NoiseError: the text has another form.
    """
    name, _, value = text.partition(":")
    try:
        pct = float(value.removesuffix("%"))
    except ValueError:
        pct = math.nan
    if name not in SLOWER_DELEGATES or not 0 <= pct <= _MAX_PCT:
        raise NoiseError(f"{text!r} is not NAME:PCT, such as gpu:5, with NAME one of {', '.join(SLOWER_DELEGATES)}")
    return Slower(name, pct)


def read_noise(path: Path) -> tuple[tuple[float, ...], ...]:
    """The processes of a noise file, each with its single inferences in microseconds.

    Raises:
        NoiseError: the file is missing, too large, or does not contain such a list.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise NoiseError(f"{path} is larger than {_MAX_BYTES >> 20} MiB")
        found = json.loads(path.read_text("utf-8"))
    except OSError as problem:
        raise NoiseError(f"{path}: {problem.strerror}") from None
    except (ValueError, RecursionError) as problem:
        raise problem if isinstance(problem, NoiseError) else NoiseError(f"{path} is not JSON") from None
    if not isinstance(found, list) or not found:
        raise NoiseError(f"{path} is not a list of processes")
    for process in found:
        if not isinstance(process, list) or not process or not all(_is_latency(value) for value in process):
            raise NoiseError(f"{path}: a process is not a list of microseconds above zero")
    return tuple(tuple(map(float, process)) for process in found)


def _is_latency(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


class Replay:
    """One recorded process instead of inferences; each inference advances its clock.

    Args:
        latencies_us: the latencies of single inferences; after the last one, the first follows again.
        factor: latencies are multiplied by it.
    """

    def __init__(self, latencies_us: Sequence[float], factor: float = 1.0) -> None:
        self._latencies_us = latencies_us
        self._factor = factor
        self._next = 0
        self._now_ns = 0.0

    def clock_ns(self) -> int:
        """Nanoseconds since the process began."""
        return int(self._now_ns)

    def run(self) -> None:
        """One inference, which only advances the clock."""
        self._now_ns += 1000 * self._factor * self._latencies_us[self._next]
        self._next = (self._next + 1) % len(self._latencies_us)


def draw(processes: int, seed: int | None, counter: Path | None) -> int:
    """The number of the recorded process to replay, drawn at random with replacement.

    Args:
        processes: their number.
        seed: makes the device's processes draw the same sequence in every run; `None` for a new sequence.
        counter: a file of the device that grows by one byte per process; `None` outside of a device.
    """
    if seed is None:
        return random.randrange(processes)
    if counter is None:
        return random.Random(seed).randrange(processes)
    with counter.open("ab") as file:
        file.write(b".")
        file.flush()
        count = file.tell()
    return random.Random(f"{seed}/{count}").randrange(processes)
