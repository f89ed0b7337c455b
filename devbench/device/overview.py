"""All connected devices at once: facts, conditions and profile of each, asked at the same time, each by a deadline.

A device that hangs does not affect the others. For every state in which adb can list a device there is advice. Knows
no model and no run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from devbench.adb.device import Device
from devbench.adb.server import READY, AdbServer, DeviceEntry
from devbench.device import conditions as device_conditions
from devbench.device import facts as device_facts
from devbench.device import lease as device_lease
from devbench.device.boards import Board, ask_each, resolve_boards
from devbench.device.conditions import CONDITIONS_COMMAND, Conditions, parse_conditions
from devbench.device.facts import FACTS_COMMAND, parse_facts
from devbench.device.gauge import recall
from devbench.device.lease import Holder
from devbench.device.profiles import DeviceProfile, match_profile
from devbench.device.sections import clean
from devbench.errors import DevbenchError
from devbench.frozen import dataclass

_ADVICE = {
    "unauthorized": "unlock it and accept its question about USB debugging; if it asks nothing, revoke USB debugging "
    "authorisations in its developer options and reconnect it",
    "authorizing": "unlock it and accept its question about USB debugging",
    "offline": "reconnect its cable or reboot it; over the network: `devbench devices "
    "disconnect SERIAL`, then `devbench devices connect SERIAL`",
    "connecting": "wait a moment; if it stays so, reconnect its cable",
    "no permissions": "let your user open its USB device: install Android's udev rules (Debian: `android-sdk-platform-"
    "tools-common`), join the group plugdev, reconnect it",
    "recovery": "it is in recovery: `adb -s SERIAL reboot`",
    "rescue": "it is in rescue mode: `adb -s SERIAL reboot`",
    "sideload": "it waits for an update: choose reboot on its screen",
    "bootloader": "it is in its boot loader: `fastboot reboot`",
    "detached": "another program has taken it from adb: `adb -s SERIAL attach`",
}
_LEASE_COMMAND = f"{{ {device_lease.holder_command(device_lease.ROOT)}\n}} 2>/dev/null </dev/null"
_ADVICE_OTHERWISE = "reconnect it, or restart adb with `adb kill-server`"


@dataclass(frozen=True, slots=True)
class DeviceOverview(Board):
    """A device as adb lists it and, if it answers, its state; `name` is what `--device` takes for it.

    Attributes:
        problem: why there are no facts, for a person; empty if there are.
        advice: what to do about the problem.
        lease: who uses the device, or used it and did not give it back; `None` if there is no lease.
    """

    conditions: Conditions | None = None
    profile: DeviceProfile | None = None
    problem: str = ""
    advice: str = ""
    lease: Holder | None = None

    @property
    def ready(self) -> bool:
        return self.facts is not None

    @property
    def virtual(self) -> bool:
        return (self.facts is not None and self.facts.virtual) or (self.profile is not None and self.profile.virtual)


def advice(state: str, serial: str) -> str:
    """What to do about a device in that state; nothing for one that is ready."""
    return "" if state == READY else _ADVICE.get(state, _ADVICE_OTHERWISE).replace("SERIAL", serial)


def survey(
    server: AdbServer, entries: Sequence[DeviceEntry], profiles: Sequence[DeviceProfile], *, timeout_s: float = 5
) -> list[DeviceOverview]:
    """Read all ready devices in parallel, with one deadline for all; in the order of `entries`."""
    answers: dict[str, DeviceOverview] = {}

    def ask(entry: DeviceEntry) -> None:
        answers[entry.name] = _ask(server, entry, profiles, timeout_s)

    ask_each(ask, entries, timeout_s)
    found = [answers.get(entry.name) or _silent(entry, timeout_s) for entry in entries]
    return resolve_boards(server, found, timeout_s)


def to_json(overview: DeviceOverview) -> dict[str, Any]:
    """A JSON-ready mapping; `facts` and `conditions` are `None` for a device that is not ready."""
    entry = overview.entry
    profile: Mapping[str, str] | None = None
    if overview.profile is not None:
        profile = {"name": overview.profile.name, "title": overview.profile.title}
    return {
        "name": overview.name,
        "serial": entry.serial,
        "transport_id": entry.transport_id,
        "usb": entry.usb or None,
        "same_as": overview.same_as or None,
        "state": entry.state,
        "ready": overview.ready,
        "virtual": overview.virtual,
        "problem": overview.problem or None,
        "advice": overview.advice or None,
        "profile": profile,
        "lease": device_lease.to_json(overview.lease) if overview.lease else None,
        "facts": device_facts.to_json(overview.facts) if overview.facts else None,
        "conditions": device_conditions.to_json(overview.conditions) if overview.conditions else None,
    }


def _ask(server: AdbServer, entry: DeviceEntry, profiles: Sequence[DeviceProfile], timeout_s: float) -> DeviceOverview:
    taken_utc = datetime.now(timezone.utc)
    try:
        # All are read in one shell, because each shell costs a round trip and a process on the device.
        command = f"{FACTS_COMMAND}\n{CONDITIONS_COMMAND}\n{_LEASE_COMMAND}"
        result = Device.of(server, entry).shell(command, timeout_s=timeout_s, doing="telling its facts")
    except DevbenchError as error:
        return DeviceOverview(entry, problem=error.what, advice=error.hint or _ADVICE_OTHERWISE)
    first, rest = _halves(result.stdout.decode("utf-8", "replace"))
    second, third = _halves(rest)
    facts = parse_facts(first, entry.serial)
    profile = match_profile(facts, profiles)
    (conditions,) = recall(facts, profile).settle([parse_conditions(second, taken_utc)])
    return DeviceOverview(entry, facts, conditions=conditions, profile=profile, lease=device_lease.parse_lease(third))


def _halves(text: str) -> tuple[str, str]:
    """The first answer and the others. The first one ends with its own random word."""
    opening = re.search(r"^@@devbench:([0-9A-Za-z-]{1,64})[ \t\r]*$", text, re.MULTILINE)
    end = text.find(f"\n@@{opening.group(1)}:end", opening.end()) if opening else -1
    return (text, "") if end < 0 else (text[:end], text[end:])


def _silent(entry: DeviceEntry, timeout_s: float) -> DeviceOverview:
    if entry.state == READY:
        return DeviceOverview(entry, problem=f"no answer within {timeout_s:g} s", advice=advice("offline", entry.name))
    detail = f" {clean(entry.detail)}" if entry.detail and entry.state == "no permissions" else ""
    return DeviceOverview(entry, problem=f"{entry.state}{detail}", advice=advice(entry.state, entry.name))
