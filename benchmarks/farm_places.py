"""Hosts of a made farm for benchmarks: network namespaces with adb servers, and phones that log their tools.

Each host is a network namespace (as root on Linux) that reaches this machine by one address only; there, relays lead to
the database and to the host's virtual devices. Without root, a host is an adb server on a port of its own.

The tool of the phones is a shell script: it writes its process id, its start and the device's uptime to a file on the
device several times, then prints what the virtual device's tool printed once. Two tools whose times overlap are two at
once on one device. The start is there because process ids are used again.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from devbench.adb.server import find_adb
from devbench.virtual.phone import VirtualPhone
from tests.made.adb_servers import free_port

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "tests" / "data" / "small_cnn.tflite"
_LOG = "data/local/tmp/campaign.log"
_TOOL = """#!/bin/sh
log="$DEVBENCH_VIRTUAL_ROOT/{log}"
read -r began rest < /proc/uptime
beat() {{ read -r up rest < /proc/uptime; echo "$$-$began $up" >> "$log"; }}
n=0
while [ $n -lt {beats} ]; do beat; sleep {pause}; n=$((n + 1)); done
beat
cat {output}
"""
_LEASE_S = "6"


def write_tool(folder: Path, seconds: float) -> Path:
    """The tool: it takes that long."""
    words = [f"--graph={MODEL}", "--num_runs=5", "--min_secs=0.01", "--warmup_min_secs=0", "--use_xnnpack=false"]
    done = subprocess.run(
        [sys.executable, "-m", "devbench.virtual.benchmark_model", *words], capture_output=True, check=True, timeout=120
    )
    output, tool = folder / "tool.output", folder / "tool"
    output.write_bytes(done.stdout)
    # Each beat starts a process on this machine, so a long tool has no more than four.
    beats = max(2, min(4, round(seconds / 0.1)))
    tool.write_text(_TOOL.format(log=_LOG, beats=beats, pause=seconds / beats, output=output), "ascii")
    tool.chmod(0o755)
    return tool


@contextlib.contextmanager
def phone(name: str, tool: Path) -> Iterator[VirtualPhone]:
    """A virtual device with that tool."""
    with VirtualPhone(name) as made:
        land = made._userland
        environment = land.environment
        land.environment = lambda: {**environment(), "DEVBENCH_VIRTUAL_PYTHON": str(tool)}  # type: ignore[method-assign]
        yield made


def tools_of(one: VirtualPhone) -> list[tuple[float, float]]:
    """First and last uptime of each tool that ran on a phone, in order."""
    found: dict[str, list[float]] = defaultdict(list)
    with contextlib.suppress(FileNotFoundError):
        for line in (one.root / _LOG).read_text("ascii").splitlines():
            pid, up = line.split()
            found[pid].append(float(up))
    return sorted((min(times), max(times)) for times in found.values())


def overlaps(tools: Sequence[tuple[float, float]]) -> int:
    """How many tools began before an earlier one had ended."""
    return sum(later[0] < one[1] for one, later in itertools.pairwise(tools))


class Relay:
    """Leads connections to addresses of this machine's bridge to the same port on loopback."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def open(self, address: str, port: int) -> None:
        asyncio.run_coroutine_threadsafe(self._open(address, port), self._loop).result(10)

    async def _open(self, address: str, port: int) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                there, back = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(_copy(reader, back), _copy(there, writer))
                back.close()
            writer.close()

        await asyncio.start_server(serve, address, port)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    with contextlib.suppress(OSError):
        target.write_eof()


def can_have_namespaces() -> bool:
    return sys.platform == "linux" and os.geteuid() == 0 and shutil.which("ip") is not None


@dataclass
class Place:
    """A host: its namespace (empty for none), its adb server, its worker, and its phones."""

    name: str
    url: str
    home: Path
    phones: list[VirtualPhone]
    namespace: str = ""
    address: str = "127.0.0.1"
    adb_port: int = field(default_factory=free_port)
    worker: subprocess.Popen[bytes] | None = None
    busy: bool = False

    @property
    def inside(self) -> list[str]:
        return ["ip", "netns", "exec", self.namespace] if self.namespace else []

    def adb(self, *words: str) -> None:
        command = [*self.inside, str(find_adb()), "-P", str(self.adb_port), *words]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def begin(self) -> None:
        """Start the adb server and connect the phones."""
        self.adb("start-server")
        for one in self.phones:
            self.adb("connect", f"{self.address}:{one.port}")

    def start(self) -> None:
        """Start the worker, as systemd would."""
        variables = {
            **os.environ, "DEVBENCH_HOME": str(self.home), "ANDROID_ADB_SERVER_PORT": str(self.adb_port),
            "DEVBENCH_FARM": self.url, "DEVBENCH_LEASE_S": _LEASE_S, "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        with (self.home / "worker.log").open("ab") as log:
            self.worker = subprocess.Popen(
                [*self.inside, sys.executable, "-m", "devbench", "farm", "worker", "--beat", "0.5"],
                env=variables, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def signal(self, number: int) -> None:
        """To the worker and all that it started."""
        assert self.worker is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.worker.pid, number)

    def kill(self) -> None:
        """Kill the worker alone; what it started has to end by itself."""
        assert self.worker is not None
        self.worker.kill()
        self.worker.wait(30)

    def memory_mb(self) -> float:
        """Resident memory of the worker itself."""
        return psutil.Process(self.worker.pid).memory_info().rss / 1e6 if self.worker is not None else 0.0

    def end(self) -> None:
        if self.worker is not None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGKILL)
            self.worker.wait(30)
        with contextlib.suppress(subprocess.SubprocessError):
            self.adb("kill-server")


@contextlib.contextmanager
def namespace(number: int) -> Iterator[tuple[str, str]]:
    """A network namespace; its name, and this machine's address within it."""
    name = f"devbench-{os.getpid()}-{number}"
    outer, inner = f"db{os.getpid() % 100000}o{number}", f"db{os.getpid() % 100000}i{number}"
    # Two campaigns on one machine must not use the same addresses.
    network = f"10.{100 + os.getpid() % 100}.{number}"
    here, there = f"{network}.1", f"{network}.2"

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True, timeout=30)

    ip("netns", "add", name)
    try:
        ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name)
        ip("addr", "add", f"{here}/24", "dev", outer)
        ip("link", "set", outer, "up")
        for words in (
            ("addr", "add", f"{there}/24", "dev", inner),
            ("link", "set", inner, "up"),
            ("link", "set", "lo", "up"),
        ):
            ip("netns", "exec", name, "ip", *words)
        yield name, here
    finally:
        ip("netns", "del", name)
