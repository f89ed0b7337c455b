"""Fixtures that every room's tests share: a home of their own, an adb server of their own, bench phones.

A bench phone is a real adbd with the stock tool, made from a kit of three scripts (make-phone, start-phone,
stop-phone) outside this repository. Set DEVBENCH_PHONE_KIT to the folder of the kit and DEVBENCH_PHONE_DIR to a made
phone; without them the tests marked `bench_phone` skip with a reason, or fail where DEVBENCH_REQUIRE_BENCH_PHONES=1.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from tests.made.adb_servers import adb_server

# CI looks at the same examples every time; whoever works on the code at new ones.
settings.register_profile("ci", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.virtual.faults import Faults
    from devbench.virtual.phone import VirtualPhone

DATA = Path(__file__).parent / "data"
# TensorFlow takes seconds to import: a test imports it when it runs, not when it is collected.
NEEDS_TENSORFLOW = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="building models needs the extra `models`"
)


def pytest_configure() -> None:
    """Tests of Ctrl-C and of shells that hang up also work if the whole test run ignores those signals.

    `nohup` and background jobs ignore them. With a handler here, the signals have their default effect in the programs
    that a test starts, and the test run still does not end with its terminal.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
    # The tests start devbench some 400 times; without bytecode each process compiles it again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # The tests' adb servers leave USB alone. Where there is no USB, adb would wait three seconds for it.
    os.environ.update(ADB_USB="0", ADB_LIBUSB="0")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A worker without tests takes some from another one, so that all workers end at the same time."""
    if config.getoption("dist") != "load":
        return None
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's store, binaries or reports."""
    monkeypatch.setenv("DEVBENCH_HOME", str(tmp_path_factory.mktemp("home")))
    from devbench.results import engine
    from devbench.results.ci_labels import VARIABLES

    # A process looks for damage in all stores that it opened; a test must not look through those of the tests before it.
    monkeypatch.setattr(engine, "opened", set())
    monkeypatch.setattr(engine, "_replaced", {})
    for name in ("DEVBENCH_STORE", "DEVBENCH_DEBUG", "ANDROID_SERIAL", "FORCE_COLOR", "COLUMNS", *VARIABLES):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def adb_server_port() -> Iterator[int]:
    """Port of an adb server that belongs to this test session; also in ANDROID_ADB_SERVER_PORT."""
    before = {name: os.environ.get(name) for name in ("ANDROID_ADB_SERVER_PORT", "ANDROID_ADB_SERVER_HOST")}
    with adb_server() as port:
        os.environ["ANDROID_ADB_SERVER_PORT"] = str(port)
        os.environ.pop("ANDROID_ADB_SERVER_HOST", None)
        yield port
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture(scope="session")
def _second_server() -> Iterator[int]:
    with adb_server() as port:
        yield port


@pytest.fixture
def empty_adb_server(_second_server: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Port of an adb server to which nothing is connected but what the test itself connects."""
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(_second_server))
    monkeypatch.delenv("ANDROID_ADB_SERVER_HOST", raising=False)
    return _second_server


@dataclass(frozen=True)
class BenchPhone:
    """A running bench phone. `unplug` is what pulling its cable does; `replug` brings it back with its files."""

    kit: Path
    folder: Path
    port: int

    @property
    def serial(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def root(self) -> Path:
        """The phone's root directory as this machine sees it."""
        return self.folder / "phones" / str(self.port) / "root"

    @property
    def binary(self) -> Path:
        return self.kit / "bin" / "benchmark_model"

    def unplug(self, *, keep: bool = True) -> None:
        keep_flag = ["--keep"] if keep else []
        subprocess.run(
            [str(self.kit / "stop-phone"), str(self.folder), str(self.port), *keep_flag], check=False, timeout=60
        )

    def replug(self) -> None:
        subprocess.run(
            [str(self.kit / "start-phone"), str(self.folder), str(self.port)],
            check=True,
            timeout=60,
            stdout=subprocess.DEVNULL,
        )


def _phone_kit() -> tuple[Path, Path]:
    kit, folder = os.environ.get("DEVBENCH_PHONE_KIT"), os.environ.get("DEVBENCH_PHONE_DIR")
    why = ""
    if not kit or not folder:
        why = "no bench phone: set DEVBENCH_PHONE_KIT and DEVBENCH_PHONE_DIR"
    elif not Path(folder, ".ready").exists():
        why = f"no bench phone has been made in {folder}: run make-phone"
    elif os.geteuid() != 0:
        why = "a bench phone needs root"
    if why:
        if os.environ.get("DEVBENCH_REQUIRE_BENCH_PHONES") == "1":
            pytest.fail(why, pytrace=False)
        pytest.skip(why)
    assert kit and folder
    return Path(kit).resolve(), Path(folder).resolve()


@pytest.fixture(scope="session")
def bench_phones(adb_server_port: int) -> Iterator[tuple[BenchPhone, BenchPhone]]:
    """Two running bench phones, connected to this session's adb server."""
    kit, folder = _phone_kit()
    # Each worker of pytest-xdist has two phones of its own.
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = int(os.environ.get("DEVBENCH_PHONE_PORT", "16601")) + 2 * worker
    phones = (BenchPhone(kit, folder, first), BenchPhone(kit, folder, first + 1))
    try:
        for phone in phones:
            phone.unplug(keep=False)
            phone.replug()
            _connect(adb_server_port, phone.serial)
        yield phones
    finally:
        for phone in phones:
            phone.unplug(keep=False)


@pytest.fixture(scope="session")
def bench_phone(bench_phones: tuple[BenchPhone, BenchPhone]) -> BenchPhone:
    return bench_phones[0]


def _connect(port: int, serial: str) -> None:
    from devbench.adb.server import find_adb

    adb = [str(find_adb()), "-P", str(port)]
    subprocess.run([*adb, "connect", serial], check=True, timeout=20, capture_output=True)
    subprocess.run([*adb, "-s", serial, "wait-for-device"], check=True, timeout=20, capture_output=True)


@pytest.fixture
def virtual_phone(adb_server_port: int) -> Iterator[VirtualPhone]:
    """A virtual device that is connected to this session's adb server."""
    with connected_phone() as phone:
        yield phone


@contextlib.contextmanager
def connected_phone(faults: Faults | None = None, name: str = "virtual-test") -> Iterator[VirtualPhone]:
    """A virtual device with faults, connected to the adb server of the environment."""
    from devbench.adb.server import AdbServer
    from devbench.errors import DevbenchError
    from devbench.virtual.phone import VirtualPhone

    server = AdbServer()
    with VirtualPhone(name, faults=faults) as phone:
        server.connect(phone.address, timeout_s=10)
        server.wait_for(phone.address, timeout_s=10)
        try:
            yield phone
        finally:
            with contextlib.suppress(DevbenchError):
                server.disconnect(phone.address)


@pytest.fixture(params=["virtual", pytest.param("bench_phone", marks=pytest.mark.bench_phone)])
def device(request: pytest.FixtureRequest) -> Device:
    """A device of each kind: what holds for the one must hold for the other."""
    from devbench.adb.device import Device
    from devbench.adb.server import AdbServer

    if request.param == "virtual":
        serial = request.getfixturevalue("virtual_phone").address
    else:
        serial = request.getfixturevalue("bench_phone").serial
    return Device(AdbServer(), serial)
