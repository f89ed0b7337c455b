"""The depot: whole files only, never pushed twice, room made when it is short."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devbench.adb.device import Device
from devbench.adb.errors import DeviceFull, LocalFileChanged, SyncFailed
from devbench.adb.server import AdbServer
from devbench.device.depot import Depot
from devbench.device.sections import free_bytes
from devbench.virtual.faults import Faults
from tests.conftest import connected_phone

ROOT = "/data/local/tmp/depot test"


@pytest.fixture
def depot(device: Device) -> Iterator[Depot]:
    found = Depot(device, root=ROOT)
    yield found
    device.shell(f"rm -rf '{ROOT}'", timeout_s=20, check=True)


def make(path: Path, size: int) -> Path:
    path.write_bytes(os.urandom(size))
    return path


def test_a_file_lies_under_its_hash_and_is_whole(depot: Depot, device: Device, tmp_path: Path) -> None:
    file = make(tmp_path / "model.tflite", 300_000)
    entry = depot.ensure(file)
    assert entry.remote.endswith(hashlib.sha256(file.read_bytes()).hexdigest())
    assert entry.pushed
    back = tmp_path / "back"
    device.pull(entry.remote, back, max_bytes=1 << 30)
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


def overwrite_in_place(device: Device, remote: str) -> None:
    """Other bytes, the same size, inode and modification time."""
    device.shell(
        f"m=$(stat -c %Y '{remote}'); printf X 1<> '{remote}' && touch -d @$m '{remote}'",
        timeout_s=10,
        check=True,
    )


def test_a_depot_file_that_was_changed_with_the_same_size_and_time_is_pushed_again(
    depot: Depot, device: Device, tmp_path: Path
) -> None:
    file = make(tmp_path / "m", 50_000)
    entry = depot.ensure(file)
    overwrite_in_place(device, entry.remote)
    later = Depot(device, root=ROOT)
    again = later.ensure(file)
    assert (again.pushed, later.replaced) == (True, ["m"])
    back = tmp_path / "back"
    device.pull(again.remote, back, max_bytes=1 << 30)
    assert back.read_bytes() == file.read_bytes()
    assert not Depot(device, root=ROOT).ensure(file).pushed


@pytest.mark.parametrize("command", ["touch", "chmod 600", "rm -f ../stamps/$(basename '{remote}');:"])
def test_a_depot_file_with_another_stamp_and_the_same_bytes_is_not_pushed_again(
    depot: Depot, device: Device, tmp_path: Path, command: str
) -> None:
    file = make(tmp_path / "m", 50_000)
    remote = depot.ensure(file).remote
    command = command.format(remote=remote)
    device.shell(f"cd '{ROOT}/sha256' && {command} '{remote}'", timeout_s=10, check=True)
    again = Depot(device, root=ROOT).ensure(file)
    assert not again.pushed


def test_a_file_that_is_changed_while_a_session_uses_it_is_found(depot: Depot, device: Device, tmp_path: Path) -> None:
    same, other = depot.ensure(make(tmp_path / "a", 5_000)), depot.ensure(make(tmp_path / "b", 5_000))
    assert depot.changed_in_use() == []
    device.shell(f"touch '{same.remote}'", timeout_s=10, check=True)
    overwrite_in_place(device, other.remote)
    assert depot.changed_in_use() == [other.sha256]


def test_using_a_file_changes_neither_the_file_nor_its_times(depot: Depot, device: Device, tmp_path: Path) -> None:
    file = make(tmp_path / "m", 5_000)
    times = f"stat -c '%i %y %z' '{depot.ensure(file).remote}'"
    before = device.shell(times, timeout_s=10, check=True).stdout
    time.sleep(0.02)
    Depot(device, root=ROOT).ensure(file)
    assert device.shell(times, timeout_s=10, check=True).stdout == before


@pytest.mark.parametrize("change", ["grows", "shrinks", "is overwritten", "is removed"])
def test_a_file_that_changes_while_it_is_sent_is_reported_as_that(
    depot: Depot, tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = make(tmp_path / "growing.tflite", 3_000_000)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()

    def progress(done: int, total: int) -> None:
        if change == "grows":
            with file.open("ab") as handle:
                handle.write(b"more")
        elif change == "shrinks":
            os.truncate(file, 1_000_000)
        elif change == "is overwritten":
            with file.open("r+b") as handle:
                handle.seek(-1000, os.SEEK_END)
                handle.write(os.urandom(1000))
        elif file.exists():
            os.truncate(file, 0)
            file.unlink()

    with pytest.raises(LocalFileChanged, match=r"growing\.tflite changed on this machine while it was being sent to "):
        depot.ensure(file, sha256=digest, progress=progress)
    assert depot.entries() == []


@pytest.mark.parametrize("missing", ["stat", "sha256sum", "stat sha256sum"])
def test_a_device_without_stat_or_sha256sum_still_has_a_depot(
    depot: Depot, device: Device, tmp_path: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = device.shell
    without = "; ".join(f"{name}() {{ return 127; }}" for name in missing.split())

    def shell_without(command: str, **options: object) -> object:
        return shell(f"{without}\n{command.replace('TZ=UTC ', '')}", **options)  # type: ignore[arg-type]

    monkeypatch.setattr(device, "shell", shell_without)
    file = make(tmp_path / "m", 50_000)
    entry = depot.ensure(file)
    again = Depot(device, root=ROOT).ensure(file)
    assert not again.pushed
    device.shell(f"printf XY >> '{entry.remote}'", timeout_s=10)
    assert Depot(device, root=ROOT).ensure(file).pushed


def test_a_tool_is_executable_also_where_it_lay_there_as_data(depot: Depot, device: Device, tmp_path: Path) -> None:
    file = tmp_path / "tool"
    file.write_bytes(b"#!/bin/sh\necho ran\n")
    depot.ensure(file)
    entry = depot.ensure(file, mode=0o755)
    assert device.shell(f"'{entry.remote}'", timeout_s=10).stdout == b"ran\n"


def test_a_file_that_is_no_longer_the_one_that_was_hashed_is_not_kept(depot: Depot, tmp_path: Path) -> None:
    with pytest.raises(LocalFileChanged, match="after it was hashed, before it was sent"):
        depot.ensure(make(tmp_path / "m", 1_000), sha256="0" * 64)
    assert depot.entries() == []


def test_nothing_half_pushed_is_ever_in_place(
    depot: Depot, device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, half = make(tmp_path / "m", 100_000), make(tmp_path / "half", 50_000)
    push = device.push
    monkeypatch.setattr(device, "push", lambda local, remote, **options: push(half, remote, **options))
    with pytest.raises(SyncFailed, match="did not arrive whole"):
        depot.ensure(file)
    assert depot.entries() == []
    assert device.shell(f"ls {ROOT}/incoming", timeout_s=10).stdout == b""


def test_the_longest_unused_goes_first_and_what_is_in_use_stays(depot: Depot, device: Device, tmp_path: Path) -> None:
    old, new = make(tmp_path / "old", 10_000), make(tmp_path / "new", 10_000)
    oldest = depot.ensure(old).remote
    device.shell(f"touch -t 200101010000 '{oldest.replace('sha256', 'stamps')}'", timeout_s=10, check=True)
    depot.ensure(new)
    other = Depot(device, root=ROOT)
    assert other.evict(5_000) == 10_000
    assert [stored.remote == oldest for stored in other.entries()] == [False]
    assert depot.evict(1 << 40) == 0


def test_room_is_made_when_it_is_short_and_a_full_device_is_named(tmp_path: Path, adb_server_port: int) -> None:
    with connected_phone(Faults(free_bytes=60_000_000)) as phone:
        device = Device(AdbServer(), phone.address)
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
    assert free_bytes(text.splitlines()) == free
