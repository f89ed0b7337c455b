"""How a virtual device misbehaves when it is told to; knows no protocol."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import get_type_hints

from devbench.errors import InputError
from devbench.virtual.noise import NoiseError, parse_slower, read_noise


@dataclass(frozen=True, slots=True)
class Faults:
    """Each field is one kind of trouble; the defaults are none.

    Attributes:
        slow: the link carries so many bytes per second.
        latency_ms: the device answers each message that much later.
        disconnect_after_bytes: the cable is pulled once so many bytes have crossed the link.
        disconnect_after_s: the cable is pulled that long after the first connection.
        reconnect_after_s: a pulled cable is back after that time; without it, it stays out.
        hang_after_bytes: the device says nothing more once so many bytes have crossed the link.
        hang_service: the device never answers services that begin with this (`sync:`, `shell`).
        offline: the device takes connections and never says who it is.
        unauthorized: the device waits for its user to allow USB debugging.
        free_bytes: room on the device; more is refused as a full disk.
        garbage: the device answers with bytes that are no protocol.
        thermal: the thermal status that it reports, 0 to 6.
        quiet: the device shows no load, whatever else this machine does.
        noise: a file of recorded latencies; the tool replays a process of it, drawn at random, and runs nothing.
        slower: `NAME:PCT`, the delegate whose inferences take so many percent longer.
        seed: what `noise` draws is the same in every run on this device.
    """

    slow: int | None = None
    latency_ms: float = 0.0
    disconnect_after_bytes: int | None = None
    disconnect_after_s: float | None = None
    reconnect_after_s: float | None = None
    hang_after_bytes: int | None = None
    hang_service: str = ""
    offline: bool = False
    unauthorized: bool = False
    free_bytes: int | None = None
    garbage: bool = False
    thermal: int | None = None
    quiet: bool = False
    noise: str = ""
    slower: str = ""
    seed: int | None = None


def parse_faults(text: str) -> Faults:
    """Faults as typed: `slow=1000000,thermal=3,offline`; names may be written with dashes.

    Raises:
        InputError: there is no such fault, or its value makes no sense.
    """
    kinds = get_type_hints(Faults)
    known = {field.name: kinds[field.name] for field in fields(Faults)}
    values: dict[str, bool | int | float | str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        name = name.strip().replace("-", "_")
        kind = known.get(name)
        if kind is None:
            raise InputError(f"--fault {part!r} is unknown", hint=f"known: {', '.join(sorted(known))}")
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
            raise InputError(f"--fault {part!r}: {value!r} makes no sense there", hint="give a number") from None
    faults = Faults(**values)  # type: ignore[arg-type]
    return replace(faults, noise=_checked(faults))


def _checked(faults: Faults) -> str:
    """The absolute path of the noise, refused here where it or the slow-down makes no sense."""
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
