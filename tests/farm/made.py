"""A farm for tests: a database with its roles, hosts with adb servers and homes of their own, virtual devices as phones."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devbench.adb.server import AdbServer, Endpoint
from devbench.farm.database import Farm, farm_url, init, store_url
from devbench.virtual.phone import VirtualPhone
from tests.made.adb_servers import adb_server
from tests.waiting import wait_until

USERS = {"host": ("lab1", "lab2"), "submitter": ("ana", "bo"), "keeper": ("keep",), "admin": ("root",)}
SUITE = """
name = "{name}"
models = ["demo"]
delegates = ["cpu"]
repetitions = {repetitions}
num_runs = 1
min_secs = {min_secs}
warmup_min_secs = 0.0
profile = false
cold_starts = 0
[conditions]
unreliable_retries = 0
cool_down = 0
"""


@dataclass
class Host:
    """A host: its adb server, its home, and its worker while it runs."""

    name: str
    url: str
    home: Path
    adb_port: int
    worker: subprocess.Popen[bytes] | None = None
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.home / "worker.log"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ, "DEVBENCH_HOME": str(self.home), "ANDROID_ADB_SERVER_PORT": str(self.adb_port),
            "DEVBENCH_FARM": self.url, "DEVBENCH_LEASE_S": "6",
        }  # fmt: skip

    def connect(self, *phones: VirtualPhone) -> None:
        for phone in phones:
            AdbServer(Endpoint(port=self.adb_port)).connect(phone.address)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            self.worker = subprocess.Popen(
                [sys.executable, "-m", "devbench", "farm", "worker", "--beat", "0.3", *words],
                env=self.environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        return self.worker

    def signal(self, number: int, *, group: bool = False) -> None:
        """To the worker, or to all of its processes."""
        assert self.worker is not None
        (os.killpg if group else os.kill)(self.worker.pid, number)

    def stop(self) -> int:
        """Drain it."""
        assert self.worker is not None
        self.worker.send_signal(signal.SIGTERM)
        return self.worker.wait(60)

    def end(self) -> None:
        if self.worker is not None:
            with contextlib.suppress(ProcessLookupError):
                self.signal(signal.SIGCONT, group=True)
                self.signal(signal.SIGKILL, group=True)
            self.worker.wait(30)

    @property
    def superseded(self) -> list[Path]:
        return list((self.home / "farm" / "superseded").glob("*/*.result"))


@dataclass
class MadeFarm:
    """A farm with two hosts `lab1` and `lab2`, users `ana` and `bo`, and the keeper `keep`."""

    admin_url: str
    urls: Mapping[str, str]
    folder: Path
    stack: contextlib.ExitStack
    phones: list[VirtualPhone] = field(default_factory=list)

    @property
    def storage(self) -> Path:
        return self.folder / "storage"

    @property
    def store(self) -> str:
        """The URL of the results store, as the admin."""
        return store_url(self.admin_url)

    def store_of(self, name: str) -> str:
        """The URL of the results store, as a user."""
        return store_url(self.urls[name])

    def open(self, name: str = "") -> Farm:
        """A connection of a user, or of the admin; closed at the end of the test."""
        return self.stack.enter_context(Farm(self.urls[name] if name else self.admin_url))

    def host(self, name: str, *phones: VirtualPhone) -> Host:
        home = self.folder / name
        home.mkdir()
        host = Host(name, self.urls[name], home, self.stack.enter_context(adb_server()))
        self.stack.callback(host.end)
        host.connect(*phones)
        return host

    def phone(self, name: str) -> VirtualPhone:
        self.phones.append(self.stack.enter_context(VirtualPhone(name)))
        return self.phones[-1]

    def keeper(self, silent_s: float = 2.0) -> None:
        """A keeper until the end of the test."""
        with (self.folder / "keeper.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "devbench", "farm", "keeper", "--silent", str(silent_s)],
                env={**os.environ, "DEVBENCH_FARM": self.urls["keep"], "DEVBENCH_HOME": str(self.folder / "keep")},
                stdout=log, stderr=log,
            )  # fmt: skip
        self.stack.callback(process.wait, 30)
        self.stack.callback(process.terminate)

    def suite(self, name: str = "camera", *, repetitions: int = 2, min_secs: float = 0.01) -> Path:
        file = self.folder / f"{name}.toml"
        file.write_text(SUITE.format(name=name, repetitions=repetitions, min_secs=min_secs))
        return file

    def submit(self, *words: object, user: str = "ana") -> dict[str, Any]:
        """`devbench farm submit … --json`; the first submission."""
        found = self.command("submit", *words, "--json", user=user)
        return dict(json.loads(found)[0])

    def command(self, *words: object, user: str = "") -> str:
        """The output of `devbench farm …`, in this process.

        Raises:
            AssertionError: it failed.
        """
        from typer.testing import CliRunner

        from devbench.cli.app import application

        url = self.urls[user] if user else self.admin_url
        done = CliRunner().invoke(application("farm"), ["farm", *map(str, words)], env={"DEVBENCH_FARM": url})
        assert done.exit_code == 0, (done.output, done.exception)
        return done.stdout

    def jobs(self) -> list[dict[str, Any]]:
        with Farm(self.admin_url) as farm:
            return farm.rows("SELECT * FROM farm.jobs_now ORDER BY id")

    def wait(self, done: Any, seconds: float = 60.0) -> None:
        """Wait until it holds of all jobs; shows the logs if it does not."""
        try:
            wait_until(lambda: all(map(done, self.jobs())), seconds=seconds, pause_s=0.2)
        except AssertionError:
            logs = "\n".join(f"{file}:\n{file.read_text()[-3000:]}" for file in self.folder.rglob("*.log"))
            raise AssertionError(f"{self.jobs()}\n{logs}") from None


@contextlib.contextmanager
def made_farm(url: str, folder: Path, users: Mapping[str, Sequence[str]] = USERS) -> Iterator[MadeFarm]:
    """A farm in an empty database, or in a copy of one that has a farm; `users` are names by role."""
    storage = folder / "storage"
    storage.mkdir()
    with contextlib.ExitStack() as stack:
        admin = stack.enter_context(Farm(farm_url(url)))
        if not admin.rows("SELECT 1 AS found FROM pg_namespace WHERE nspname = 'farm'"):
            init(farm_url(url), users, str(storage))
        admin.rows("UPDATE farm.settings SET value = %s", str(storage))
        # The tests' server asks for no passwords.
        urls = {name: farm_url(url).replace("devbench@", f"{name}@") for names in users.values() for name in names}
        yield MadeFarm(farm_url(url), urls, folder, stack)
