"""The id on a device: written once, read by every connection, of its own for each board; nothing without a folder."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from devbench.adb.device import Device
from devbench.device.facts import read_facts
from devbench.device.identity import IDENTITY_FILE, Identity, parse_identity, renew, same_board

FOLDER = IDENTITY_FILE.rpartition("/")[0]


def sh(device: Device, command: str) -> str:
    return device.shell(command, timeout_s=20).stdout.decode()


def test_the_id_is_written_at_first_use_and_stays(device: Device) -> None:
    sh(device, f"rm -rf {FOLDER}")
    first = read_facts(device).identity
    assert len(first.written) == 36
    assert first.boot
    assert first.file
    assert read_facts(device).identity == first
    assert sh(device, f"cat {IDENTITY_FILE}").strip() == first.written
    assert sh(device, f"ls {FOLDER}").split() == ["identity"], "nothing else is left behind"


def test_many_that_come_at_once_agree_on_one_id(device: Device) -> None:
    sh(device, f"rm -rf {FOLDER}")
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: read_facts(device).identity.written, range(6)))
    assert len(set(found)) == 1


def test_an_empty_file_of_a_full_disk_is_written_anew(device: Device) -> None:
    sh(device, f"mkdir -p {FOLDER}; : > {IDENTITY_FILE}")
    assert len(read_facts(device).identity.written) == 36


def test_a_folder_that_cannot_be_written_is_no_failure(device: Device) -> None:
    sh(device, f"rm -rf {FOLDER}; echo in the way > {FOLDER}")
    try:
        facts = read_facts(device)
        assert facts.identity.written == ""
        assert facts.identity.boot
    finally:
        sh(device, f"rm -f {FOLDER}")


def test_a_new_id_replaces_only_the_one_that_was_seen(device: Device) -> None:
    old = read_facts(device).identity
    renew(device, Identity("another one", old.boot))
    assert read_facts(device).identity == old
    renew(device, old)
    new = read_facts(device).identity
    assert len(new.written) == 36
    assert new.written != old.written


def test_hostile_lines_are_no_identity() -> None:
    assert parse_identity(["boot \x1b[31m", "file 1:2; rm", "id", "x" * 9999]) == Identity()
    long = parse_identity(["id " + "z" * 5000])
    assert len(long.written) <= 100
    assert len(long.digits) == 6


def test_nothing_known_is_never_the_same_board() -> None:
    assert not same_board(Identity(), Identity())
    assert not same_board(Identity("a", ""), Identity("a", ""))
    assert same_board(Identity("a", "b0b0b0b0"), Identity("a", "b0b0b0b0"))
