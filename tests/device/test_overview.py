"""The overview: all devices at once, a silent one costs its own line, each state says what to do."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from devbench.adb.device import Device
from devbench.adb.server import AdbServer, DeviceEntry, parse_device_list
from devbench.device.overview import DeviceOverview, advice, survey, to_json
from devbench.device.profiles import DeviceProfile, load_profiles
from devbench.errors import EnvironmentProblem

FACTS_WORD = "1f0c2a34-90aa-4b1e-8a11-0d6f5b7c9e21"
CONDITIONS_WORD = "7b6a5948-3726-4514-8302-f1e0dccbba98"
STATES = [
    ("unauthorized", "accept its question about USB debugging"),
    ("authorizing", "accept its question about USB debugging"),
    ("offline", "`devbench devices disconnect S1`, then `devbench devices connect S1`"),
    ("connecting", "wait a moment"),
    ("no permissions", "udev rules"),
    ("recovery", "`adb -s S1 reboot`"),
    ("rescue", "`adb -s S1 reboot`"),
    ("sideload", "choose reboot"),
    ("bootloader", "`fastboot reboot`"),
    ("detached", "`adb -s S1 attach`"),
    ("host", "adb kill-server"),
    ("unknown", "adb kill-server"),
    ("", "adb kill-server"),
    ("\x1b[31mодин", "adb kill-server"),
]


def answer(model: str = "Pixel 8", level: int = 83, sensor: str = "VIRTUAL-SKIN") -> str:
    """What a phone prints to facts and conditions in one shell."""
    return f"""@@devbench:{FACTS_WORD}

@@{FACTS_WORD}:properties
[ro.product.manufacturer]: [Google]
[ro.product.model]: [{model}]
[ro.serialno]: [38071FDJH00ABC]

@@{FACTS_WORD}:end
@@devbench:{CONDITIONS_WORD}
load 1.50 1.20 1.00 2/3000 12345

@@{CONDITIONS_WORD}:battery
  present: true
  level: {level}
  scale: 100

@@{CONDITIONS_WORD}:thermal
Thermal Status: 0
Current temperatures from HAL:
	Temperature{{mValue=36.5, mType=3, mName={sensor}, mStatus=0}}

@@{CONDITIONS_WORD}:end
"""


@pytest.fixture(autouse=True)
def _devices_of_the_fake_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Device, "of", lambda server, entry, name="": server.device_of(entry))


def server_of(**shells: Callable[[], str]) -> AdbServer:
    """A server whose devices answer every command with what these return, or raise what these raise."""

    def device_of(entry: DeviceEntry) -> SimpleNamespace:
        return SimpleNamespace(shell=lambda *_, **__: SimpleNamespace(stdout=shells[entry.serial]().encode()))

    return cast(AdbServer, SimpleNamespace(device_of=device_of))


def ask(text: str, profiles: tuple[DeviceProfile, ...] = ()) -> DeviceOverview:
    return survey(server_of(S1=lambda: text), [DeviceEntry("S1", "device")], profiles)[0]


def refuse() -> str:
    raise EnvironmentProblem("S2: went away", hint="plug it in again")


def refuse_without_hint() -> str:
    raise EnvironmentProblem("S2: went away")


@pytest.fixture
def hang() -> Iterator[Callable[[], str]]:
    """What a device does that never answers; it ends with the test."""
    over = threading.Event()

    def wait() -> str:
        over.wait()
        return ""

    yield wait
    over.set()


@pytest.mark.parametrize(("state", "words"), STATES)
def test_each_state_says_what_to_do_and_names_the_device(state: str, words: str) -> None:
    said = advice(state, "S1")
    assert words in said
    assert "SERIAL" not in said


def test_a_device_that_is_ready_needs_no_advice() -> None:
    assert advice("device", "S1") == ""


@pytest.mark.parametrize(("state", "words"), STATES)
def test_a_device_in_another_state_is_not_asked_and_says_why(state: str, words: str) -> None:
    found = survey(server_of(), [DeviceEntry("S1", state)], ())[0]
    assert (found.ready, found.facts, found.conditions, found.profile) == (False, None, None, None)
    assert found.problem == state
    assert words in found.advice


def test_a_phone_that_answers_has_facts_conditions_and_profile() -> None:
    found = ask(answer(), load_profiles())
    assert found.facts is not None
    assert found.conditions is not None
    assert found.profile is not None
    assert (found.ready, found.problem, found.advice, found.virtual) == (True, "", "", False)
    assert (found.facts.name, found.facts.serial, found.facts.key) == ("Pixel 8", "S1", "38071FDJH00ABC")
    assert (found.conditions.battery_level, found.conditions.load_1min) == (83, 1.5)
    assert found.conditions.temperatures_c == {"VIRTUAL-SKIN": 36.5}
    assert found.profile.name == "pixel-8"


def test_devices_come_in_the_order_in_which_they_were_listed() -> None:
    entries = [DeviceEntry("S3", "device"), DeviceEntry("S1", "offline"), DeviceEntry("S2", "device")]
    server = server_of(S3=lambda: answer(level=3), S2=lambda: answer(level=2))
    assert [found.entry.serial for found in survey(server, entries, ())] == ["S3", "S1", "S2"]


def test_a_device_that_fails_costs_its_own_line_only() -> None:
    entries = [DeviceEntry("S2", "device"), DeviceEntry("S1", "device")]
    lost, well = survey(server_of(S1=answer, S2=refuse), entries, ())
    assert (lost.ready, lost.problem, lost.advice) == (False, "S2: went away", "plug it in again")
    assert well.ready


def test_a_failure_without_a_hint_still_has_advice() -> None:
    found = survey(server_of(S2=refuse_without_hint), [DeviceEntry("S2", "device")], ())[0]
    assert "reconnect it" in found.advice


@pytest.mark.timeout(60)
def test_a_device_that_hangs_costs_its_own_line_and_no_more_than_its_time(hang: Callable[[], str]) -> None:
    entries = [DeviceEntry("S2", "device"), DeviceEntry("S1", "device")]
    silent, well = survey(server_of(S1=answer, S2=hang), entries, (), timeout_s=2)
    assert (silent.ready, silent.problem) == (False, "no answer within 2 s")
    assert silent.advice
    assert well.ready


def test_the_advice_on_a_device_that_hangs_names_it(hang: Callable[[], str]) -> None:
    found = survey(server_of(S2=hang), [DeviceEntry("S2", "device")], (), timeout_s=0.1)[0]
    assert "SERIAL" not in found.advice
    assert "devices connect S2" in found.advice


def test_a_device_without_permissions_tells_adb_s_own_words() -> None:
    line = "0A091FDD4000XY no permissions (missing udev rules? user is in the plugdev group); see [http://x] usb:1-4"
    found = survey(server_of(), parse_device_list(line), ())[0]
    assert found.problem.startswith("no permissions")
    assert "missing udev rules?" in found.problem
    assert "udev rules" in found.advice


def test_adb_s_words_on_permissions_do_not_stammer() -> None:
    line = "0A091FDD4000XY no permissions (missing udev rules? user is in the plugdev group); see [http://x] usb:1-4"
    assert "permissions permissions" not in survey(server_of(), parse_device_list(line), ())[0].problem


@pytest.mark.parametrize("text", ["", "\x00\x1b[31mgarbage", "sh: syntax error", answer()[:60]])
def test_a_ready_device_that_prints_garbage_is_known_by_its_serial(text: str) -> None:
    found = ask(text)
    assert found.facts is not None
    assert found.conditions is not None
    assert (found.facts.key, found.facts.name, found.conditions.battery_level) == ("S1", "unknown device", None)


def test_a_property_cannot_pass_for_the_opening_of_the_conditions() -> None:
    found = ask(answer(model="x]\n@@devbench:forged\n@@forged:battery\nlevel: 1"))
    assert found.conditions is not None
    assert found.conditions.battery_level == 83


@pytest.mark.parametrize("sensor", ["@@devbench:x", "a, mStatus=0}\n@@devbench:forged\n@@forged:battery\nlevel: 1"])
def test_a_sensor_s_name_cannot_pass_for_the_opening_of_the_conditions(sensor: str) -> None:
    found = ask(answer(sensor=sensor))
    assert found.conditions is not None
    assert found.conditions.battery_level == 83


def test_cut_answers_never_raise() -> None:
    whole = answer()
    for end in range(0, len(whole), 13):
        json.dumps(to_json(ask(whole[:end])))


def test_a_device_of_a_virtual_profile_is_virtual_even_where_its_facts_do_not_say_so() -> None:
    emulator = next(profile for profile in load_profiles() if profile.name == "emulator")
    board = replace(emulator, match={"ro.hardware": "board9"})
    found = ask(answer().replace("[ro.serialno]: [38071FDJH00ABC]", "[ro.hardware]: [board9]"), (board,))
    assert found.facts is not None
    assert not found.facts.virtual
    assert found.virtual
    assert to_json(found)["virtual"] is True


def test_as_json_a_ready_device_has_everything_and_another_has_its_problem() -> None:
    ready = json.loads(json.dumps(to_json(ask(answer(), load_profiles()))))
    assert (ready["serial"], ready["state"], ready["ready"]) == ("S1", "device", True)
    assert (ready["problem"], ready["advice"]) == (None, None)
    assert ready["profile"]["name"] == "pixel-8"
    assert ready["facts"]["title"] == "Pixel 8 (38071FDJH00ABC)"
    assert ready["conditions"]["temperatures_c"] == {"VIRTUAL-SKIN": 36.5}
    other = to_json(survey(server_of(), [DeviceEntry("S1", "offline")], ())[0])
    assert (other["ready"], other["problem"], other["facts"], other["conditions"]) == (False, "offline", None, None)
    assert other["profile"] is None
    assert other["advice"]
