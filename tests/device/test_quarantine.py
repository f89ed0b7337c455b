"""Quarantine on one host: after three faults within a day, for a day, or as a person says; who it concerns."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from devbench.adb.errors import DeviceLost
from devbench.adb.server import AdbServer
from devbench.bench.runner import _note_fault
from devbench.bench.targets import find_present, open_targets
from devbench.device.boards import add_tags, identify_boards
from devbench.device.quarantine import Quarantined, end, in_quarantine, note_fault, put, quarantine_file
from devbench.errors import EnvironmentProblem, InputError
from devbench.virtual.phone import VirtualPhone
from tests.conftest import connected_phone
from tests.made.command import devbench

NOW = datetime(2026, 11, 28, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


def test_three_faults_within_a_day_leave_a_device_out_for_a_day() -> None:
    assert note_fault("KEY", "lost", NOW) is None
    assert note_fault("KEY", "lost", NOW + HOUR) is None
    assert in_quarantine(NOW + HOUR) == {}
    found = note_fault("KEY", "lost while sending\nm.tflite", NOW + 2 * HOUR)
    assert found is not None and "3 faults within a day; the last: lost while sending m.tflite" in found.words
    assert set(in_quarantine(NOW + 25 * HOUR)) == {"KEY"}
    assert in_quarantine(NOW + 26 * HOUR) == {}, "it ends by itself"
    assert note_fault("KEY", "lost", NOW + 27 * HOUR) is None, "and the faults of that day are over"


def test_faults_of_different_days_are_not_counted_together() -> None:
    for day in range(5):
        assert note_fault("KEY", "lost", NOW + 23 * day * HOUR) is None


def test_a_person_puts_a_device_into_quarantine_and_ends_it() -> None:
    put("KEY", "cable loose", None)
    assert in_quarantine()["KEY"].words == "in quarantine: cable loose"
    assert note_fault("KEY", "lost") is None and in_quarantine()["KEY"].why == "cable loose"
    assert end("KEY") and not end("KEY") and in_quarantine() == {}


@pytest.mark.parametrize(
    "text", ["[]", '{"K": 3}', '{"K": {"since": "x", "why": ""}}', '{"K": {"faults": ["2026-01-01"]}}', "{"]
)
def test_a_damaged_file_is_named(text: str) -> None:
    quarantine_file().write_text(text)
    with pytest.raises(InputError, match=r"quarantine\.json"):
        in_quarantine()


def test_only_a_phone_that_is_lost_is_at_fault() -> None:
    def session(virtual: bool) -> Any:
        return SimpleNamespace(serial="S", facts=SimpleNamespace(key="KEY", virtual=virtual))

    for _ in range(4):
        _note_fault(session(True), DeviceLost("S", "being asked"))
        _note_fault(session(False), EnvironmentProblem("the disk is full"))
        _note_fault(SimpleNamespace(serial="S", facts=None), DeviceLost("S", "being asked"))  # type: ignore[arg-type]
    assert in_quarantine() == {}
    for _ in range(3):
        _note_fault(session(False), DeviceLost("S", "being asked"))
    assert set(in_quarantine()) == {"KEY"}


def test_a_night_leaves_it_out_with_the_reason_and_a_run_only_from_lists(empty_adb_server: int) -> None:
    with connected_phone(name="good") as good, connected_phone(name="bad") as bad:
        server = AdbServer()
        (key,) = (
            board.key for board in identify_boards(server, server.list_devices()) if board.entry.serial == bad.address
        )
        for name in ("good", "bad"):
            add_tags(name, ["lab"])
        put(key, "cable loose", None)
        for words in (["all"], ["tag:lab"], [bad.address, good.address]):
            present = find_present(words)
            assert present.names == (good.address,)
            assert isinstance(present.absent[bad.address], Quarantined)
        for words in (["all"], ["tag:lab"]):
            with open_targets(words) as devices:
                assert [device.serial for device in devices] == [good.address]
        with open_targets([bad.address]) as devices:
            assert [device.serial for device in devices] == [bad.address]
        good.unplug()
        server.disconnect(good.address)
        with pytest.raises(Quarantined, match="cable loose"), open_targets(["all"]):
            pass


def test_the_command_and_the_list(virtual_phone: VirtualPhone) -> None:
    assert devbench("devices", "quarantine", virtual_phone.address).returncode == 2
    past = devbench("devices", "quarantine", virtual_phone.address, "--why", "x", "--until", "2020-01-01")
    assert past.returncode == 2 and "is in the past" in past.stderr
    assert devbench("devices", "quarantine", virtual_phone.address, "--why", "cable loose").returncode == 0
    listed = json.loads(devbench("devices", "--json").stdout)
    assert {"cable loose"} == {one["quarantine"]["why"] for one in listed if one["quarantine"]}
    assert "in quarantine: cable loose" in devbench("devices").stdout
    assert "used again" in devbench("devices", "quarantine", virtual_phone.address, "--end").stdout
