"""docs/farm.md from nothing to three hosts: its commands are ten, and those of devbench make a farm that measures."""

from __future__ import annotations

import configparser
import contextlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from devbench.farm.database import Farm, farm_url, store_url
from devbench.results.store import Store
from devbench.virtual.phone import VirtualPhone
from tests.docs.blocks import ROOT, blocks_of, commands_of
from tests.farm.made import SUITE, Host
from tests.made.adb_servers import adb_server
from tests.results.conftest import fresh_database
from tests.waiting import wait_until

PAGE = ROOT / "docs" / "farm.md"
EXAMPLES = ROOT / "docs" / "examples"


def recipe() -> list[str]:
    return commands_of(next(block for block in blocks_of(PAGE) if "farm init" in block.text).text)


@pytest.mark.postgres
def test_the_recipe_makes_a_farm_of_three_hosts(postgres_url: str, tmp_path: Path) -> None:
    assert len(recipe()) == 10
    commands = {words[2]: words for line in recipe() if (words := shlex.split(line))[0] == "devbench"}
    assert list(commands) == ["init", "keeper", "worker", "submit"]
    url, storage = farm_url(fresh_database(postgres_url)), tmp_path / "storage"
    storage.mkdir()
    init = list(commands["init"])
    init[init.index("--url") + 1], init[init.index("--storage") + 1] = url, str(storage)
    lines = devbench(init, tmp_path / "boss").splitlines()
    urls = {
        name: at
        for line in lines
        if (found := re.match(r"\w+ (\w+): DEVBENCH_FARM=(.+)", line))
        for name, at in [found.groups()]
    }
    assert set(urls) == {"lab1", "lab2", "lab3", "ana", "keep"}
    with contextlib.ExitStack() as stack:
        with (tmp_path / "keeper.log").open("ab") as log:
            keeper = subprocess.Popen(
                [sys.executable, "-m", *commands["keeper"]], stdout=log, stderr=log,
                env={**os.environ, "DEVBENCH_FARM": urls["keep"], "DEVBENCH_HOME": str(tmp_path / "keep")},
            )  # fmt: skip
        stack.callback(keeper.wait, 30)
        stack.callback(keeper.terminate)
        for name in ("lab1", "lab2", "lab3"):
            (tmp_path / name).mkdir()
            host = Host(name, urls[name], tmp_path / name, stack.enter_context(adb_server()))
            stack.callback(host.end)
            host.connect(stack.enter_context(VirtualPhone(f"{name}-phone")))
            host.start(*commands["worker"][3:])
        admin = stack.enter_context(Farm(url))
        wait_until(lambda: admin.rows("SELECT count(*) AS n FROM farm.phones WHERE present")[0]["n"] == 3, seconds=90)
        suite = tmp_path / "camera.toml"
        suite.write_text(SUITE.format(name="camera", repetitions=1, min_secs=0.01))
        every = commands["submit"][commands["submit"].index("--every") :]
        assert "due at" in devbench(["devbench", "farm", "submit", str(suite), *every], tmp_path / "ana", urls["ana"])
        assert "3 jobs queued" in devbench(["devbench", "farm", "submit", str(suite)], tmp_path / "ana", urls["ana"])
        wait_until(
            lambda: admin.rows("SELECT count(*) AS n FROM farm.jobs WHERE stored")[0]["n"] == 3,
            seconds=120,
            pause_s=0.2,
        )
    with Store(store_url(url)) as store:
        assert {(run.host, run.status) for run in store.runs()} == {(f"lab{n}", "done") for n in (1, 2, 3)}
        # A host's results can be dropped.
        store.drop_host("lab2")
        assert {run.host for run in store.runs()} == {"lab1", "lab3"}


def devbench(words: list[str], home: Path, url: str = "") -> str:
    """The output of a command, as of another user."""
    env = {**os.environ, "DEVBENCH_HOME": str(home), "DEVBENCH_FARM": url}
    done = subprocess.run(
        [sys.executable, "-m", *words], env=env, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.mark.parametrize("name", ["worker", "keeper"])
def test_the_units_start_the_command_again_and_keep_its_address_out_of_the_list_of_processes(name: str) -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string((EXAMPLES / f"devbench-farm-{name}.service").read_text("utf-8"))
    service = unit["Service"]
    assert service["ExecStart"].endswith(f"/devbench farm {name}")
    assert (service["Restart"], service["RestartSec"]) == ("always", "1")
    assert "EnvironmentFile" in service and "postgresql" not in service["ExecStart"]
    assert name == "keeper" or service["KillMode"] == "mixed"
