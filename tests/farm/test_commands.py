"""Commands of `devbench farm`: what they take, refuse and print."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from devbench.bench.suite import read_suite, suite_plan
from devbench.cli.app import application
from devbench.errors import InputError
from devbench.farm.database import SCHEMA, farm_url, store_url
from devbench.farm.job import from_suite, plan_of, read, to_json
from devbench.farm.storage import Storage
from devbench.farm.submit import next_time, wanted_of
from devbench.tool.binaries import find
from tests.farm.made import MadeFarm
from tests.made.command import tool
from tests.waiting import wait_until


def _run(*words: str, url: str = "") -> Any:
    return CliRunner().invoke(application("farm"), ["farm", *words], env={"DEVBENCH_FARM": url or None})


def test_phones_are_chosen_by_facts_and_keys() -> None:
    assert wanted_of(["soc=SM8650*", "host=lab1"]) == {"soc": "SM8650*", "host": "lab1"}
    assert wanted_of(["R5CT*"]) == {"device": "R5CT*"}
    for texts in (["color=red"], ["soc="], ["soc=a", "soc=b"]):
        with pytest.raises(InputError, match="cannot be used"):
            wanted_of(texts)


def test_a_time_is_the_next_one() -> None:
    now = datetime.now().astimezone()
    at = next_time("01:00")
    assert at is not None
    assert (at.hour, at.minute) == (1, 0)
    assert timedelta(0) < at - now <= timedelta(days=1, hours=1)
    assert next_time("2026-12-01T01:00").isoformat().startswith("2026-12-01T01:00:00")  # type: ignore[union-attr]
    assert next_time(None) is None
    with pytest.raises(InputError, match="is not a time"):
        next_time("tonight")


@pytest.mark.parametrize("url", ["", "sqlite:///x.db", "results.db", "mysql://a/b", "postgresql://a@b@c/d"])
def test_only_a_url_of_postgresql_names_a_farm(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEVBENCH_FARM", raising=False)
    with pytest.raises(InputError, match=r"no farm is named|is not the URL of a farm"):
        farm_url(url)


def test_a_url_keeps_what_is_for_libpq() -> None:
    url = farm_url("postgresql+psycopg://u:p@h/d?sslmode=verify-full")
    assert url == "postgresql://u:p@h/d?sslmode=verify-full"
    assert store_url(url) == "postgresql+psycopg://u:p@h/d?sslmode=verify-full"


def test_a_farm_that_cannot_be_reached_is_one_line_without_the_password() -> None:
    done = _run("status", url="postgresql://ana:hush@127.0.0.1:1/farm")
    assert "hush" not in str(done.exception)
    assert getattr(done.exception, "exit_code", 0) == 3


class _Files:
    def put(self, file: Path) -> str:
        return "a" * 64

    def fetch(self, sha256: str) -> Path:
        raise NotImplementedError


def test_a_suite_that_names_files_of_a_host_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text('models = ["demo"]\ndelegates = ["cpu"]\ntool_flags = ["x=/data/local/tmp/y"]\n')
    suite = read_suite(file)
    with pytest.raises(InputError, match=r"suite .*s\.toml"):
        from_suite(suite, suite_plan(suite), _Files(), {})


def test_binary_delegates_and_inputs_travel_by_their_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job of one home is planned in another one, which has neither the tool nor the delegate."""
    library = tmp_path / "mine.bin"
    library.write_bytes(b"a graph")
    (tmp_path / "d.toml").write_text(
        '[mine]\ntitle = "My \\"own\\""\nfiles = ["mine.bin"]\nreported_as = ["EXTERNAL"]\n'
        'flags = { extra_file = "{files}/mine.bin", n = 3 }\nenv = { LD_LIBRARY_PATH = "{files}" }\n'
        '[mine.requires]\nabi = "arm64.*"\n'
    )
    np.save(tmp_path / "x.npy", np.zeros((1, 4), np.float32))
    file = tmp_path / "s.toml"
    binary = tool(tmp_path, "exit 0")
    file.write_text(
        f'models = ["demo"]\ndelegates = ["mine", "cpu"]\ndelegates_file = "d.toml"\nbinary = "{binary}"\n[inputs]\nx = "x.npy"\n'
    )
    (tmp_path / "storage").mkdir()
    suite = read_suite(file)
    here = suite_plan(suite)
    job = from_suite(suite, here, Storage(str(tmp_path / "storage"), tmp_path / "c1", 1 << 30), {})
    sent = json.dumps(to_json(job))
    assert str(tmp_path) not in sent
    monkeypatch.setenv("DEVBENCH_HOME", str(tmp_path / "host"))
    there = plan_of(read(json.loads(sent)), Storage(str(tmp_path / "storage"), tmp_path / "c2", 1 << 30))
    mine, cpu = (case.delegate for case in there.cases)
    was = here.cases[0].delegate
    assert (mine.title, mine.flags, mine.env, mine.reported_as) == (was.title, was.flags, was.env, was.reported_as)
    assert [Path(one).read_bytes() for one in mine.files] == [b"a graph"]
    assert Path(mine.files[0]).name == "mine.bin"
    assert cpu == here.cases[1].delegate
    assert there.binary_name is not None
    assert find(there.binary_name).sha256 == find(binary).sha256
    assert there.output_check is not None
    assert there.output_check.inputs["x"].read_bytes() == (tmp_path / "x.npy").read_bytes()


@pytest.mark.postgres
def test_the_doctor_names_what_is_wrong(farm: MadeFarm) -> None:
    lab = farm.open("lab1")
    worker = lab.call("hello", SCHEMA, "0.0.1", "now", 0)
    lab.call("offer", worker, '{"v1": {}}')
    done = _run("doctor", url=farm.urls["ana"])
    assert done.exit_code == 0
    assert "ana: submitter" in done.stdout
    assert "use one version on all hosts" in done.stdout
    assert "host lab2 was never seen" in done.stdout
    farm.open().rows("UPDATE farm.hosts SET seen_utc = now() - interval '1 day'")
    farm.open().rows("DELETE FROM farm.settings")
    done = _run("doctor", "--json", url=farm.urls["ana"])
    assert done.exit_code == 1
    assert "silent since" in done.stdout
    assert "no storage of files" in done.stdout
    assert _run("doctor", url=farm.urls["lab1"]).exit_code == 0


@pytest.mark.postgres
def test_a_later_submission_is_queued_when_it_is_due(farm: MadeFarm) -> None:
    lab = farm.open("lab1")
    worker = lab.call("hello", SCHEMA, "0", "now", 0)
    lab.call("offer", worker, '{"v1": {}}')
    made = farm.submit(farm.suite(), "--at", "2030-01-01T01:00", "--every", "night")
    assert made["jobs"] == 0
    assert "is due at 2030-01-01" in farm.command("status", user="ana")
    farm.open().rows("UPDATE farm.submissions SET due_utc = now() - interval '3 days 1 hour'")
    farm.keeper()
    wait_until(lambda: len(farm.jobs()) == 1)
    due = farm.open().rows("SELECT due_utc - now() AS left FROM farm.submissions")[0]["left"]
    assert timedelta(hours=22) < due < timedelta(hours=24)
    farm.command("cancel", made["submission"], "--rounds", user="ana")
    assert _run("cancel", str(made["submission"]), "--rounds", url=farm.urls["ana"]).exit_code == 1
    assert _run("retry", str(farm.jobs()[0]["id"]), url=farm.urls["ana"]).exit_code == 1
    assert _run("logs", "999", url=farm.urls["ana"]).exit_code != 0
