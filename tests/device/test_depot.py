"""The depot: whole files only, never pushed twice, room made when it is short."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devbench.adb.device import Device
from devbench.adb.errors import DeviceFull, SyncFailed
from devbench.adb.server import AdbServer
from devbench.device.depot import Depot, parse_df
from devbench.virtual.faults import Faults
from tests.conftest import connected_phone

ROOT = "/data/local/tmp/depot test"


@pytest.fixture
def depot(device: Device) -> Iterator[Depot]:
    found = Depot(device, root=ROOT)
    yield found
    found.clear()


def make(path: Path, size: int) -> Path:
    path.write_bytes(os.urandom(size))
    return path


def test_a_file_lies_under_its_hash_and_is_whole(depot: Depot, device: Device, tmp_path: Path) -> None:
    file = make(tmp_path / "model.tflite", 300_000)
    entry = depot.ensure(file)
    assert entry.remote.endswith(hashlib.sha256(file.read_bytes()).hexdigest())
    assert (entry.pushed, entry.hash_checked) == (True, True)
    back = tmp_path / "back"
    device.pull(entry.remote, back)
    assert back.read_bytes() == file.read_bytes()


def test_a_file_that_is_there_is_not_pushed_again(depot: Depot, device: Device, tmp_path: Path) -> None:
    file = make(tmp_path / "m", 50_000)
    depot.ensure(file)
    again = Depot(device, root=ROOT).ensure(file)
    assert not again.pushed
    assert [stored.size_bytes for stored in depot.entries()] == [50_000]


def test_a_damaged_file_is_pushed_again(depot: Depot, device: Device, tmp_path: Path) -> None:
    file = make(tmp_path / "m", 50_000)
    entry = depot.ensure(file)
    device.shell(f"head -c 100 /dev/zero > '{entry.remote}'", timeout_s=10, check=True)
    assert depot.ensure(file).pushed


def test_a_tool_is_executable_also_where_it_lay_there_as_data(depot: Depot, device: Device, tmp_path: Path) -> None:
    file = tmp_path / "tool"
    file.write_bytes(b"#!/bin/sh\necho ran\n")
    depot.ensure(file)
    entry = depot.ensure(file, mode=0o755)
    assert device.shell(f"'{entry.remote}'", timeout_s=10).stdout == b"ran\n"


def test_nothing_half_pushed_is_ever_in_place(depot: Depot, device: Device, tmp_path: Path) -> None:
    file = make(tmp_path / "m", 100_000)
    with pytest.raises(SyncFailed, match="did not arrive whole"):
        depot.ensure(file, sha256="0" * 64)
    assert depot.entries() == []
    assert device.list_dir(f"{ROOT}/incoming") == [] or all(
        entry.name in (".", "..") for entry in device.list_dir(f"{ROOT}/incoming")
    )


def test_the_longest_unused_goes_first_and_what_is_in_use_stays(depot: Depot, device: Device, tmp_path: Path) -> None:
    old, new = make(tmp_path / "old", 10_000), make(tmp_path / "new", 10_000)
    oldest = depot.ensure(old).remote
    device.shell(f"touch -t 200101010000 '{oldest}'", timeout_s=10, check=True)
    depot.ensure(new)
    other = Depot(device, root=ROOT)
    assert other.evict(5_000) == 10_000
    assert [stored.remote == oldest for stored in other.entries()] == [False]
    assert depot.evict(1 << 40) == 0


def test_room_is_made_when_it_is_short_and_a_full_device_is_named(tmp_path: Path, adb_server_port: int) -> None:
    with connected_phone(Faults(free_bytes=60_000_000)) as phone:
        device = AdbServer().device(phone.address)
        first = Depot(device)
        first.ensure(make(tmp_path / "a", 20_000_000))
        time.sleep(0.01)
        second = Depot(device)
        second.ensure(make(tmp_path / "b", 30_000_000))
        assert [stored.size_bytes for stored in second.entries()] == [30_000_000]
        with pytest.raises(DeviceFull) as caught:
            second.ensure(make(tmp_path / "too-large", 70_000_000))
        assert "too-large" in caught.value.what
        assert phone.address in caught.value.what


@pytest.mark.parametrize(
    ("text", "free"),
    [
        ("Filesystem     1K-blocks    Used Available Use% Mounted on\n/dev/fuse 100 60 40 60% /data\n", 40 * 1024),
        (
            "Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/block/long-name\n 100 60 40 60% /data\n",
            40 * 1024,
        ),
        ("df: no\n", None),
        ("", None),
    ],
)
def test_free_space_is_read_in_each_form(text: str, free: int | None) -> None:
    assert parse_df(text) == free
