"""`devbench devices pair` and `reboot`, against a real adb server, and one that pairs."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator, Mapping

import pytest

from devbench.adb.server import AdbServer
from devbench.errors import EnvironmentProblem
from devbench.virtual.phone import VirtualPhone
from tests.made.command import devbench


class PairingServer:
    """An adb server that has the given answers to its services, and refuses others."""

    def __init__(self, answers: Mapping[str, str]) -> None:
        self.answers, self.asked = dict(answers), list[str]()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client:
                    size = int(client.recv(4, socket.MSG_WAITALL), 16)
                    service = client.recv(size, socket.MSG_WAITALL).decode()
                    self.asked.append(service)
                    found = self.answers.get(service)
                    status, text = (b"FAIL", "unknown host service") if found is None else (b"OKAY", found)
                    client.sendall(status + b"%04x" % len(text) + text.encode())

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def pairing(monkeypatch: pytest.MonkeyPatch) -> Iterator[PairingServer]:
    """A device that waits for a pairing code, and is connected to once it is paired."""
    services = (
        "adb-studio\t_adb-tls-pairing._tcp\t192.168.1.20:37099\n"
        "adb-R5-abc\t_adb-tls-connect._tcp\t192.168.1.20:41001\n"
        "broken line\n"
    )
    server = PairingServer(
        {
            "host:version": "0029",
            "host:mdns:services": services,
            "host:pair:482913:192.168.1.20:37099": "Successfully paired to 192.168.1.20:37099 [guid=adb-R5-abc]",
            "host:pair:000000:192.168.1.20:37099": "Failed: Wrong password or connection was dropped.",
            "host:devices-l": "adb-R5-abc._adb-tls-connect._tcp  device product:x model:Pixel_8 device:y",
        }
    )
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(server.port))
    yield server
    server.close()


def test_the_device_that_shows_a_code_is_found_paired_and_connected(pairing: PairingServer) -> None:
    done = devbench("devices", "pair", "--code", "482913")
    assert done.returncode == 0, done.stderr
    assert "192.168.1.20:37099: paired" in done.stdout
    assert "adb-R5-abc._adb-tls-connect._tcp: connected" in done.stdout


def test_a_wrong_code_is_refused_in_the_servers_words(pairing: PairingServer) -> None:
    done = devbench("devices", "pair", "192.168.1.20:37099", "--code", "000000")
    assert done.returncode == 3 and "wrong password or connection was dropped" in done.stderr


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["192.168.1.20", "--code", "482913"], "is not HOST:PORT"),
        (["--code", "12 34"], "is not a pairing code"),
        (["192.168.1.20:37099", "--code", "482913:evil"], "is not a pairing code"),
    ],
)
def test_only_an_address_and_a_code_reach_the_server(pairing: PairingServer, words: list[str], what: str) -> None:
    done = devbench("devices", "pair", *words)
    assert done.returncode == 2 and what in done.stderr
    assert not any(service.startswith("host:pair") for service in pairing.asked)


@pytest.mark.parametrize(
    ("services", "code", "what"),
    [("", 3, "no device on this network"), ("a\t_adb-tls-pairing._tcp\t10.0.0.1:1\nb\t_adb-tls-pairing._tcp\t10.0.0.2:1", 2, "2 devices")],
)  # fmt: skip
def test_without_an_address_one_device_has_to_wait_for_a_code(
    pairing: PairingServer, services: str, code: int, what: str
) -> None:
    pairing.answers["host:mdns:services"] = services
    done = devbench("devices", "pair", "--code", "482913")
    assert done.returncode == code and what in done.stderr


def test_a_real_server_refuses_to_pair_where_nothing_listens(adb_server_port: int) -> None:
    with pytest.raises(EnvironmentProblem, match=r"127\.0\.0\.1:9: unable to start pairing client"):
        AdbServer().pair("127.0.0.1:9", "482913")


def test_a_device_is_restarted_and_named(virtual_phone: VirtualPhone) -> None:
    done = devbench("devices", "reboot", virtual_phone.address, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["serial"] == virtual_phone.address
    assert (virtual_phone.root / "system" / "boot_id").exists(), "written at a restart"


def test_a_device_that_a_run_uses_is_not_restarted(virtual_phone: VirtualPhone) -> None:
    from devbench.adb.device import Device
    from devbench.bench.lease_keeper import holding

    with holding(Device(AdbServer(), virtual_phone.address)):
        done = devbench("devices", "reboot", virtual_phone.address)
    assert done.returncode == 3 and "is busy" in done.stderr
