"""A device or a server that goes away, hangs or talks nonsense: one clear error, within seconds."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devbench.adb.device import Device
from devbench.adb.errors import (
    DeviceLost,
    DeviceOffline,
    DeviceUnauthorized,
    NoSuchDevice,
    ServerUnavailable,
    ShellTimeout,
    SyncFailed,
)
from devbench.adb.server import AdbServer, Endpoint, endpoint_from_env, parse_device_list
from devbench.errors import DevbenchError, EnvironmentProblem, InputError
from devbench.virtual.faults import Faults, parse_faults
from devbench.virtual.phone import VirtualPhone
from tests.conftest import BenchPhone, connected_phone

# Below what the shells of this file would wait without the loss that they are to notice.
A_HANG_S = 80


@pytest.mark.timeout(A_HANG_S)
def test_a_virtual_device_unplugged_in_a_shell_is_lost(virtual_phone: VirtualPhone) -> None:
    device = Device(AdbServer(), virtual_phone.address)
    threading.Timer(0.5, virtual_phone.unplug).start()
    with pytest.raises(DeviceLost) as caught:
        device.shell("sleep 100", timeout_s=100, doing="measuring m.tflite")
    assert virtual_phone.address in caught.value.what
    assert "measuring m.tflite" in caught.value.what


def test_a_virtual_device_comes_back_with_its_files(virtual_phone: VirtualPhone, tmp_path: Path) -> None:
    server = AdbServer()
    device = Device(server, virtual_phone.address)
    file = tmp_path / "x"
    file.write_bytes(b"kept")
    device.push(file, "/data/local/tmp/x")
    virtual_phone.unplug()
    with pytest.raises((DeviceLost, DeviceOffline, NoSuchDevice)):
        device.shell("true", timeout_s=5)
    virtual_phone.plug_in()
    server.connect(virtual_phone.address)
    server.wait_for(virtual_phone.address, timeout_s=15)
    assert device.shell("cat /data/local/tmp/x", timeout_s=5).stdout == b"kept"


@pytest.mark.bench_phone
@pytest.mark.timeout(A_HANG_S)
def test_a_bench_phone_unplugged_in_a_shell_is_lost(bench_phone: BenchPhone) -> None:
    server = AdbServer()
    device = Device(server, bench_phone.serial)
    try:
        threading.Timer(0.5, bench_phone.unplug).start()
        with pytest.raises(DeviceLost) as caught:
            # Its processes may die a moment before its connection: the command has then ended, and the next one tells.
            while True:
                device.shell("sleep 100", timeout_s=100, doing="measuring m.tflite")
        assert bench_phone.serial in caught.value.what
    finally:
        time.sleep(0.5)
        bench_phone.replug()
        server.connect(bench_phone.serial)
        server.wait_for(bench_phone.serial, timeout_s=20)


@pytest.mark.parametrize("moment", [200_000, 1_500_000, 5_000_000])
def test_a_cable_pulled_at_a_byte_of_a_push_is_one_error(moment: int, tmp_path: Path, adb_server_port: int) -> None:
    file = tmp_path / "model"
    file.write_bytes(os.urandom(8_000_000))
    with connected_phone(Faults(disconnect_after_bytes=moment)) as phone:
        with pytest.raises(DeviceLost) as caught:
            Device(AdbServer(), phone.address).push(file, "/data/local/tmp/model")
        assert phone.address in caught.value.what
        assert "model" in caught.value.what


def test_a_device_that_hangs_meets_the_deadline(
    tmp_path: Path, adb_server_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devbench.adb.device._file_timeout_s", lambda size: 1.5)
    file = tmp_path / "model"
    file.write_bytes(os.urandom(4_000_000))
    with connected_phone(Faults(hang_service="sync:")) as phone:
        device = Device(AdbServer(), phone.address)
        with pytest.raises(SyncFailed, match=r"not done after 1\.5 s"):
            device.push(file, "/data/local/tmp/model")
        assert device.shell("echo still here", timeout_s=5).stdout == b"still here\n"


def test_a_link_that_hangs_after_some_bytes_meets_the_deadline(adb_server_port: int) -> None:
    with connected_phone(Faults(hang_after_bytes=100_000)) as phone:
        device = Device(AdbServer(), phone.address)
        with pytest.raises(ShellTimeout, match="no end after 2 s"):
            device.shell("head -c 1000000 /dev/zero", timeout_s=2)


def test_a_full_disk_is_named(tmp_path: Path, adb_server_port: int) -> None:
    from devbench.adb.errors import DeviceFull

    file = tmp_path / "model"
    file.write_bytes(os.urandom(3_000_000))
    with connected_phone(Faults(free_bytes=1_000_000)) as phone, pytest.raises(DeviceFull) as caught:
        Device(AdbServer(), phone.address).push(file, "/data/local/tmp/model")
    assert phone.address in caught.value.what


def test_a_slow_link_is_slow_and_works(tmp_path: Path, adb_server_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    delays: list[float] = []
    sleep = asyncio.sleep

    async def recorded(delay_s: float) -> None:
        delays.append(delay_s)
        await sleep(delay_s)

    monkeypatch.setattr(asyncio, "sleep", recorded)
    file = tmp_path / "model"
    file.write_bytes(os.urandom(400_000))
    with connected_phone(Faults(slow=400_000, latency_ms=5)) as phone:
        delays.clear()
        Device(AdbServer(), phone.address).push(file, "/data/local/tmp/model")
        assert 1.0 < sum(delays) < 2.0, "400,000 bytes at 400,000 bytes per second, and 5 ms per message"
        assert (phone.root / "data/local/tmp/model").read_bytes() == file.read_bytes()


def test_a_device_that_talks_garbage_is_one_error(adb_server_port: int) -> None:
    server = AdbServer()
    with VirtualPhone("garbage", faults=Faults(garbage=True)) as phone:
        try:
            server.connect(phone.address, timeout_s=5)
            with pytest.raises(EnvironmentProblem):
                Device(server, phone.address).shell("echo hello", timeout_s=4)
        finally:
            server.disconnect(phone.address)


def test_an_unauthorized_device_says_what_to_do(adb_server_port: int) -> None:
    server = AdbServer()
    with VirtualPhone("shy", faults=Faults(unauthorized=True)) as phone:
        try:
            try:
                server.connect(phone.address, timeout_s=5)
            except DevbenchError as error:
                assert "authenticate" in error.what or phone.address in error.what
            entry = next(entry for entry in server.list_devices() if entry.serial == phone.address)
            assert entry.state == "unauthorized"
            with pytest.raises(DeviceUnauthorized) as caught:
                Device(server, phone.address).shell("true", timeout_s=4)
            assert "debugging" in caught.value.hint
        finally:
            server.disconnect(phone.address)


def test_an_unknown_serial_names_the_known_ones(virtual_phone: VirtualPhone) -> None:
    with pytest.raises(NoSuchDevice) as caught:
        Device(AdbServer(), "R5CT0000000").shell("true", timeout_s=5)
    assert "R5CT0000000" in caught.value.what
    assert virtual_phone.address in str(caught.value)


def test_a_server_that_is_not_there_is_one_line() -> None:
    server = AdbServer(Endpoint("127.0.0.1", 9))
    with pytest.raises(ServerUnavailable, match=r"127.0.0.1:9"):
        server.list_devices()


@pytest.fixture
def nonsense_server() -> Iterator[int]:
    """A server that answers everything with bytes that are no protocol, then says nothing."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve() -> None:
        listener.settimeout(0.2)
        kept = []
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            kept.append(connection)
        for connection in kept:
            connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield int(listener.getsockname()[1])
    stop.set()
    thread.join()
    listener.close()


@pytest.mark.timeout(20)
def test_another_program_at_the_server_s_port_is_one_line(nonsense_server: int) -> None:
    with pytest.raises(EnvironmentProblem):
        AdbServer(Endpoint("127.0.0.1", nonsense_server)).list_devices(timeout_s=2)


def test_the_environment_chooses_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDROID_ADB_SERVER_HOST", "10.0.0.7")
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "5999")
    assert endpoint_from_env() == Endpoint("10.0.0.7", 5999)
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "many")
    with pytest.raises(InputError, match="'many' is not a port"):
        endpoint_from_env()


def test_every_state_of_the_server_s_list_is_read() -> None:
    text = (
        "R5CT1        device usb:1-1 product:o1s model:SM_G991B device:o1s transport_id:3\n"
        "R5CT2        unauthorized usb:1-2 transport_id:4\n"
        "R5CT3        no permissions (user in plugdev group; are your udev rules wrong?) usb:1-3\n"
        "127.0.0.1:1  offline transport_id:5\n\nnonsense\n"
    )
    entries = parse_device_list(text)
    assert [(entry.serial, entry.state) for entry in entries] == [
        ("R5CT1", "device"),
        ("R5CT2", "unauthorized"),
        ("R5CT3", "no permissions"),
        ("127.0.0.1:1", "offline"),
    ]
    assert entries[0].model == "SM G991B"


def test_faults_are_typed_in_words() -> None:
    assert parse_faults("slow=1000, disconnect-after-s=2.5,offline") == Faults(
        slow=1000, disconnect_after_s=2.5, offline=True
    )
    for text, words in (("warp=9", "unknown"), ("slow=fast", "invalid value")):
        with pytest.raises(InputError, match=words):
            parse_faults(text)
