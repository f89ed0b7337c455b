"""`devbench nightly --farm`: one night of all hosts, reported once, by whichever computer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devbench import results
from devbench.bench.suite import read_suite, suite_plan
from devbench.errors import EnvironmentProblem
from devbench.farm.database import SCHEMA, Farm
from devbench.farm.keeper import Keeper
from devbench.farm.night import run_farm_night
from devbench.findings.night import NightResult
from devbench.nightly.night import Asked, Screen
from devbench.options import NightlyOptions
from devbench.results.column_types import pack
from devbench.results.run_files import run_to_json
from devbench.results.store import Store
from tests.farm.made import MadeFarm
from tests.made.phones import phone_view

pytestmark = pytest.mark.postgres


def _night(farm: MadeFarm, file: Path, *, user: str = "ana", force: bool = False) -> NightResult:
    suite = read_suite(file)
    settings = NightlyOptions(reports=farm.folder / "reports", junit=farm.folder / "junit.xml", force=force)
    asked = Asked(suite.name, suite_plan(suite), (), settings, suite.labels)
    screen = Screen(lambda serials: contextlib.nullcontext(lambda event: None), print)
    with Store(farm.store_of(user), farm.folder / "artifacts") as store:
        history = lambda: results.open_history(farm.store_of(user))  # noqa: E731
        return run_farm_night(asked, suite, {}, farm.urls[user], store, history, screen, 0.0)


def _payload(device: str, number: int) -> bytes:
    values = json.loads(json.dumps(run_to_json(phone_view(rounds=4))))
    values["jobs"] = [values["jobs"][number]]
    values["devices"][0] |= {"key": device}
    for job in values["jobs"]:
        job["device"]["key"] = device
        job["model"]["name"] = "small_unet"
    return pack(values)


class _Lab:
    """A host that measures without a phone."""

    def __init__(self, farm: MadeFarm, name: str, device: str) -> None:
        self.connection, self.device = farm.open(name), device
        self.worker = self.connection.call("hello", SCHEMA, "0", "now", 0)
        self.connection.call("offer", self.worker, json.dumps({device: {}}))

    def measure(self, farm: MadeFarm) -> None:
        taken = self.connection.rows("SELECT * FROM farm.take(%s, %s)", self.worker, [self.device])[0]
        for number in range(3):
            self.connection.call("deliver", taken["token"], 1 + number, "latency", 0, _payload(self.device, number), "")
        self.connection.call("finish", taken["token"], "done", "", 0)
        with Farm(farm.urls["keep"]) as keep, Store(farm.store_of("keep"), farm.folder / "artifacts") as store:
            Keeper(farm.urls["keep"], 1e9, print).turn(keep, store)


@pytest.fixture
def labs(farm: MadeFarm) -> Iterator[tuple[_Lab, _Lab]]:
    yield _Lab(farm, "lab1", "v1"), _Lab(farm, "lab2", "v2")


def test_a_night_is_the_union_of_the_hosts_and_missing_ones_are_named(farm: MadeFarm, labs: tuple[_Lab, _Lab]) -> None:
    file = farm.suite()
    first = _night(farm, file)
    assert (first.exit_code, set(first.absent), first.report) == (3, {"v1", "v2"}, None)
    labs[0].measure(farm)
    second = _night(farm, file)
    assert second.report is not None
    assert (second.due, set(second.absent)) == (True, {"v2"})
    assert "v2 at lab2" in str(second.absent["v2"])
    assert {job.job.device.key for job in second.report.jobs} == {"v1"}
    assert "v2 at lab2: has not had its turn yet" in (farm.folder / "junit.xml").read_text()
    assert _night(farm, file, user="bo").due is False
    labs[1].measure(farm)
    last = _night(farm, file, user="bo")
    assert last.report is not None
    assert (last.exit_code, last.absent) == (0, {})
    assert {job.job.device.key for job in last.report.jobs} == {"v1", "v2"}
    assert len(list((farm.folder / "reports").glob("*/report.html"))) == 1
    assert len(farm.jobs()) == 2


def test_a_second_night_is_compared_with_the_first(farm: MadeFarm, labs: tuple[_Lab, _Lab]) -> None:
    file = farm.suite()
    for force in (False, True):
        _night(farm, file, force=force)
        for lab in labs:
            lab.measure(farm)
        if not force:
            _night(farm, file)
            farm.open().rows("UPDATE public.runs SET started_utc = started_utc - 86400000000")
            farm.open().rows("UPDATE farm.jobs SET created_utc = created_utc - interval '1 day'")
            farm.open().rows("UPDATE farm.submissions SET night = 'before', reported_utc = NULL")
    result = _night(farm, file)
    assert result.comparison is not None
    assert len(result.comparison.rows) > 0
    assert {row.device_key for row in result.comparison.rows} == {"v1", "v2"}


def test_a_farm_without_a_matching_phone_is_an_error(farm: MadeFarm) -> None:
    with pytest.raises(EnvironmentProblem, match="no phone of the farm matches"):
        _night(farm, farm.suite())


def test_the_command_reports_a_night(farm: MadeFarm, labs: tuple[_Lab, _Lab], monkeypatch: Any) -> None:
    from typer.testing import CliRunner

    from devbench.cli.app import application

    file = farm.suite()
    _night(farm, file)
    for lab in labs:
        lab.measure(farm)
    words = ["nightly", str(file), "--farm", "--farm-wait", "5s", "--reports", str(farm.folder / "r"), "--json", "-q"]
    done = CliRunner().invoke(application("nightly"), words, env={"DEVBENCH_FARM": farm.urls["ana"]})
    assert done.exit_code == 0, (done.output, done.exception)
    assert json.loads(done.stdout)[0]["suite"] == "camera"
