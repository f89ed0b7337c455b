"""Tags of devices: kept by the hardware key, found again over any transport, clear words where none fits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from devbench.adb.device import Device
from devbench.adb.server import AdbServer
from devbench.bench.targets import find_present, open_targets
from devbench.device.boards import add_tags, all_tags, load_tags, remove_tags, tags_file
from devbench.device.facts import read_facts
from devbench.errors import EnvironmentProblem, InputError
from devbench.virtual.phone import VirtualPhone
from tests.conftest import connected_phone


def devbench(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "devbench.cli.app", *map(str, words)]
    environment = {**os.environ, "COLUMNS": "250"}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)


def test_tags_come_and_go() -> None:
    assert load_tags() == {}
    assert add_tags("KEY1", ["nightly", "s23"]) == ("nightly", "s23")
    assert add_tags("KEY1", ["nightly", "a"]) == ("a", "nightly", "s23")
    add_tags("KEY2", ["b"])
    assert all_tags(load_tags()) == ["a", "b", "nightly", "s23"]
    assert remove_tags("KEY1", ["a"]) == ("nightly", "s23")
    assert remove_tags("KEY1", []) == ()
    assert load_tags() == {"KEY2": ("b",)}
    with pytest.raises(InputError, match="has no tag 'x'"):
        remove_tags("KEY2", ["x"])


@pytest.mark.parametrize("tag", ["", "a,b", "a b", "tag:x", "-x", "x" * 41, "a\n"])
def test_what_is_no_tag_is_refused_and_nothing_is_changed(tag: str) -> None:
    with pytest.raises(InputError, match="is not a tag"):
        add_tags("KEY", ["good", tag])
    assert load_tags() == {}


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 3}', '{"a": ["x y"]}', '{"a": [{}]}'])
def test_a_damaged_file_is_named_and_left_alone(text: str) -> None:
    tags_file().write_text(text)
    with pytest.raises(InputError, match=r"device_tags\.json"):
        load_tags()
    with pytest.raises(InputError, match=r"device_tags\.json"):
        add_tags("KEY", ["x"])
    assert tags_file().read_text() == text


def test_two_at_once_lose_nothing() -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: add_tags(f"KEY{number % 3}", [f"t{number}"]), range(40)))
    assert len(all_tags(load_tags())) == 40


def test_a_device_is_found_by_its_tag(virtual_phone: VirtualPhone) -> None:
    key = read_facts(Device(AdbServer(), virtual_phone.address)).key
    assert key != virtual_phone.address
    assert devbench("devices", "tag", virtual_phone.address, "nightly", "s23").returncode == 0
    assert load_tags() == {key: ("nightly", "s23")}
    with open_targets(["tag:nightly", "tag:s23"]) as devices:
        assert [device.serial for device in devices] == [virtual_phone.address]
    listed = json.loads(devbench("devices", "--json").stdout)
    assert {each["serial"]: each["tags"] for each in listed}[virtual_phone.address] == ["nightly", "s23"]
    assert "nightly, s23" in devbench("devices").stdout
    assert devbench("devices", "untag", virtual_phone.address).returncode == 0
    assert load_tags() == {}


def test_a_tag_that_fits_nothing_is_said_clearly(empty_adb_server: int) -> None:
    with pytest.raises(InputError, match="give it: devbench devices tag SERIAL nightly"), open_targets(["tag:nightly"]):
        pass
    add_tags("KEY1", ["weekly"])
    with pytest.raises(InputError, match="tags are weekly"), open_targets(["tag:nightly"]):
        pass
    with pytest.raises(EnvironmentProblem, match="KEY1 has it"), open_targets(["tag:weekly"]):
        pass
    done = devbench("devices", "tag", "nothing-there", "x")
    assert done.returncode == 3
    assert "no device 'nothing-there'" in done.stderr


def test_the_shell_completes_tags(empty_adb_server: int) -> None:
    from devbench.cli.choices import complete_serials

    add_tags("KEY1", ["weekly"])
    assert complete_serials("tag:w") == ["tag:weekly"]
    assert "all" in complete_serials("")


def test_those_that_are_away_are_no_reason_to_give_up(empty_adb_server: int) -> None:
    add_tags("virtual-test", ["night"])
    add_tags("R5CT-AWAY", ["night"])
    with connected_phone() as phone:
        found = find_present(["tag:night", "virtual:2", "10.255.255.1", "no-such-serial"])
    assert found.names == (phone.address, "virtual-1", "virtual-2")
    assert set(found.absent) == {"R5CT-AWAY", "10.255.255.1", "no-such-serial"}
    assert "tag:night" in found.absent["R5CT-AWAY"].what


def test_no_device_at_all_is_one_that_is_away(empty_adb_server: int) -> None:
    found = find_present([])
    assert found.names == ()
    assert set(found.absent) == {"the only device"}
