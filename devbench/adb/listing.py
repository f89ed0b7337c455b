"""The adb server's list of devices, read by its state words; knows no connection.

A line is a serial, a state and `key:value` words. The serial may contain blanks: wireless debugging names a device
`adb-EXAMPLE-abc (2)._adb-tls-connect._tcp`, and adb calls a device without a serial `(no serial number)`. The states
are those of `to_string(ConnectionState)` in adb's sources; `no permissions` brings an explanation with it.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace

from devbench import numbers

READY = "device"
_MAX_LINE = 1000
# What adb prints in place of a serial: no service of its server finds a device by it.
_NO_SERIAL = frozenset({"(no serial number)", "????????????"})
_STATES = (
    "device", "offline", "bootloader", "host", "recovery", "rescue", "sideload", "unauthorized", "authorizing",
    "connecting", "detached", "unknown",
)  # fmt: skip
# The first state word that is followed by pairs or nothing: a serial may contain such a word, a product's name too.
_LINE = re.compile(rf"(?P<serial>\S.*?)\s+(?P<state>{'|'.join(_STATES)})(?P<rest>\s+[a-z_]+:.*|\s*)")
_NO_PERMISSIONS = re.compile(
    r"(?P<serial>\S.*?)\s+(?P<state>no permissions)\b(?P<detail>.*?)(?P<rest>(?:\s+[a-z_]+:\S*)*)\s*"
)
# A state of an adb that is newer than this list.
_OTHER = re.compile(r"(?P<serial>\S.*?)\s+(?P<state>\S+)(?P<rest>(?:\s+[a-z_]+:\S*)*)\s*")
_PAIR = re.compile(r"(?:^|\s)([a-z_]+):(.*?)(?=\s+[a-z_]+:|\s*$)")


@dataclass(frozen=True, slots=True)
class DeviceEntry:
    """A line of the server's list.

    Attributes:
        serial: as adb has it; several devices may share one.
        state: `device` when ready; else `offline`, `unauthorized`, …
        usb: where it is connected by USB, such as `1-4.2`; empty over a network.
        transport_id: the server's own number of the connection; another one after each reconnection.
        detail: the server's text about the state.
        by_id: the serial does not tell the device apart, only the transport id does.
    """

    serial: str
    state: str
    product: str = ""
    model: str = ""
    device: str = ""
    usb: str = ""
    transport_id: int | None = None
    detail: str = ""
    by_id: bool = False

    @property
    def name(self) -> str:
        """The serial, with the transport id if the serial is not unique: `0123456789ABCDEF#7`."""
        return f"{self.serial}#{self.transport_id}" if self.by_id else self.serial


def parse_device_list(text: str) -> list[DeviceEntry]:
    """The entries of the server's list, long or short; lines that are none are skipped."""
    entries = [entry for line in text.splitlines() if (entry := _entry(line[:_MAX_LINE].rstrip())) is not None]
    counts = Counter(entry.serial for entry in entries)
    return [
        replace(entry, by_id=True)
        if entry.transport_id is not None and (counts[entry.serial] > 1 or entry.serial in _NO_SERIAL)
        else entry
        for entry in entries
    ]


def _entry(line: str) -> DeviceEntry | None:
    found = _NO_PERMISSIONS.fullmatch(line) or _LINE.fullmatch(line) or _OTHER.fullmatch(line)
    if found is None:
        return None
    pairs = {key: value.strip() for key, value in _PAIR.findall(found["rest"])}
    number = pairs.get("transport_id", "")
    return DeviceEntry(
        serial=found["serial"],
        state=found["state"],
        product=pairs.get("product", ""),
        model=pairs.get("model", "").replace("_", " "),
        device=pairs.get("device", ""),
        usb=pairs.get("usb", ""),
        transport_id=numbers.whole(number),
        detail=found.groupdict().get("detail", "").strip(),
    )
