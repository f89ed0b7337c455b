"""Two boards with one serial, a serial with blanks, one board twice: through a real server behind a front."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devbench.adb.errors import DeviceLost
from devbench.adb.server import AdbServer
from devbench.bench.targets import find_present, open_names, open_targets, typed_names
from devbench.device.boards import add_tags
from devbench.device.identity import IDENTITY_FILE
from devbench.errors import InputError
from devbench.results.store import Store
from devbench.virtual.phone import VirtualPhone
from tests.adb.front import adb_front
from tests.conftest import DATA, BenchPhone, connected_phone

SHARED = "0123456789ABCDEF"
BLANKS = "adb-EXAMPLE-abc (2)._adb-tls-connect._tcp"
MODEL = DATA / "small_cnn.tflite"
QUICK = ("--repetitions", "1", "--no-profile", "--cold-starts", "0", "--no-report", "--min-secs", "0.05")


def devbench(*words: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "devbench.cli.app", *map(str, words)]
    environment = {**os.environ, "COLUMNS": "250"}
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, env=environment)


@pytest.fixture
def phones(empty_adb_server: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[VirtualPhone, ...]]:
    """Two boards with one serial and one with blanks in its own."""
    with (
        connected_phone(name="board-one") as one,
        connected_phone(name="board-two") as two,
        connected_phone(name="wireless") as third,
    ):
        shown = {one.address: SHARED, two.address: SHARED, third.address: BLANKS}
        with adb_front(empty_adb_server, shown) as port:
            monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
            yield one, two, third


def test_two_boards_with_one_serial_and_one_with_blanks_are_measured_each(
    phones: tuple[VirtualPhone, ...], tmp_path: Path
) -> None:
    done = devbench("run", MODEL, "-d", "all", "-D", "cpu", *QUICK, "--json", tmp_path / "run.json")
    assert done.returncode == 0, done.stderr
    with Store() as store:
        jobs = store.run().jobs
    assert sorted(job.job.device.key for job in jobs) == ["board-one", "board-two", "wireless"]
    assert {job.job.device.key: job.job.device.serial for job in jobs} == {
        "board-one": SHARED, "board-two": SHARED, "wireless": BLANKS,
    }  # fmt: skip
    assert all(job.repetitions[0].status == "ok" for job in jobs)
    for name in ("board-one", "board-two", "wireless"):
        assert name in done.stdout, "tables say which is which"
        assert name in done.stderr, "progress says which is which"


@pytest.mark.parametrize(
    ("word", "key"), [("board-two", "board-two"), (BLANKS, "wireless"), ("wire", "wireless"), ("tagged", "board-one")]
)
def test_every_shown_name_is_taken(phones: tuple[VirtualPhone, ...], word: str, key: str) -> None:
    add_tags("board-one", ["tagged"])
    with open_targets([word]) as devices:
        (device,) = devices
        assert device.shell("getprop ro.serialno", timeout_s=20).stdout.decode().strip() == key


def test_a_serial_that_two_boards_have_is_an_error_that_lists_both(phones: tuple[VirtualPhone, ...]) -> None:
    done = devbench("run", MODEL, "-d", SHARED, "-D", "cpu", *QUICK)
    assert done.returncode == 2
    (line, _) = done.stderr.strip().split("\n", 1) if "\n" in done.stderr.strip() else (done.stderr, "")
    assert "board-one" in line
    assert "board-two" in line
    assert "Traceback" not in done.stderr
    for words in (("devices", "tag", SHARED, "x"), ("delegates", "-d", SHARED), ("profiles", "new", SHARED)):
        assert devbench(*words).returncode == 2, words


def test_doctor_looks_into_the_depot_of_each_of_two_boards(phones: tuple[VirtualPhone, ...]) -> None:
    said = devbench("doctor").stdout
    for name in ("board-one", "board-two", BLANKS):
        (line,) = [line for line in said.splitlines() if f"{name} depot" in line]
        assert "0 files" in line


def test_lists_and_completion_say_which_is_which(phones: tuple[VirtualPhone, ...]) -> None:
    listed = json.loads(devbench("devices", "--json").stdout)
    assert {(each["name"], each["serial"]) for each in listed} == {
        ("board-one", SHARED), ("board-two", SHARED), (BLANKS, BLANKS),
    }  # fmt: skip
    table = devbench("devices").stdout
    assert all(name in table for name in ("board-one", "board-two", BLANKS))
    assert sorted(typed_names(AdbServer(), 5.0)) == ["board-one", "board-two", "wireless"]


def test_a_nightly_knows_each_of_them_by_a_name_that_stays(phones: tuple[VirtualPhone, ...]) -> None:
    names = find_present(["all"]).names
    assert set(names) == {"board-one", "board-two", BLANKS}
    with open_names(names) as devices:
        asked = {name: device.shell("getprop ro.serialno", timeout_s=20) for name, device in devices.items()}
    found = {name: result.stdout.decode().strip() for name, result in asked.items()}
    assert found == {"board-one": "board-one", "board-two": "board-two", BLANKS: "wireless"}


def test_files_go_to_the_right_one_of_two_boards(phones: tuple[VirtualPhone, ...], tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"two")
    with open_targets(["board-two"]) as devices:
        devices[0].push(tmp_path / "x", "/data/local/tmp/x")
    assert (phones[1].root / "data/local/tmp/x").read_bytes() == b"two"
    assert not (phones[0].root / "data/local/tmp/x").exists()


def test_a_board_that_is_connected_twice_is_measured_once(empty_adb_server: int) -> None:
    server = AdbServer()
    with connected_phone(name="twice") as phone:
        other = phone.address.replace("127.0.0.1", "localhost")
        server.connect(other)
        server.wait_for(other, timeout_s=10)
        try:
            with open_targets(["all"]) as devices:
                assert len(devices) == 1
            with open_targets([f"{phone.address},{other}"]) as devices:
                assert len(devices) == 1
            with open_targets(["twice"]) as devices:
                assert len(devices) == 1
            assert find_present([other, "all"]).names == (other,)
            listed = json.loads(devbench("devices", "--json").stdout)
            assert sorted((each["same_as"] is None) for each in listed) == [False, True]
            assert len({each["facts"]["key"] for each in listed}) == 1
            assert "same board as" in devbench("devices").stdout
        finally:
            server.disconnect(other)


def test_transport_ids_of_a_server_that_was_restarted_are_not_believed(phones: tuple[VirtualPhone, ...]) -> None:
    with open_targets(["board-two"]) as devices:
        device = devices[0]
        assert device.shell("echo", timeout_s=20).exit_code == 0
        assert device._route._watch is not None
        # What the end of the server does to all of its connections.
        device._route._watch.socket.shutdown(2)
        with pytest.raises(DeviceLost):
            device.shell("echo", timeout_s=20)


@pytest.mark.bench_phone
def test_two_bench_phones_with_one_serial_are_two_histories(
    bench_phones: tuple[BenchPhone, BenchPhone], adb_server_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    props = [phone.root / "system/build.prop" for phone in bench_phones]
    before = [prop.read_text() for prop in props]
    shown = {phone.serial: SHARED for phone in bench_phones}
    try:
        for phone, prop, text in zip(bench_phones, props, before, strict=True):
            prop.write_text(text.replace(f"BENCHPHONE{phone.port}", SHARED))
        # One id on both, as a copied image has it.
        files = [phone.root / IDENTITY_FILE.lstrip("/") for phone in bench_phones]
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("5f2d7c1a-1111-4111-8111-111111111111\n")
        with adb_front(adb_server_port, shown) as port:
            monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
            listed = json.loads(devbench("devices", "--json").stdout)
            keys = {each["facts"]["key"] for each in listed if each["serial"] == SHARED}
            assert len(keys) == 2
            assert all(key.startswith(f"{SHARED}-") for key in keys)
            assert len({file.read_text() for file in files}) == 2, "the second got a new one"
            again = json.loads(devbench("devices", "--json").stdout)
            assert {each["facts"]["key"] for each in again if each["serial"] == SHARED} == keys
            with pytest.raises(InputError, match="means 2 devices"), open_targets([SHARED]):
                pass
            with open_targets(sorted(keys)) as devices:
                assert sorted(device.serial for device in devices) == sorted(keys)
    finally:
        for prop, text in zip(props, before, strict=True):
            prop.write_text(text)


@pytest.mark.bench_phone
def test_a_bench_phone_over_two_connections_is_one_board(bench_phone: BenchPhone) -> None:
    server = AdbServer()
    other = f"localhost:{bench_phone.port}"
    server.connect(other)
    server.wait_for(other, timeout_s=10)
    try:
        with open_targets([f"{bench_phone.serial},{other}"]) as devices:
            assert len(devices) == 1
    finally:
        server.disconnect(other)
