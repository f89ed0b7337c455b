"""A job from its submission to the store, on one host with virtual devices as phones."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from devbench.farm.database import Farm
from devbench.results.store import Store
from tests.farm.made import MadeFarm
from tests.waiting import wait_until

pytestmark = pytest.mark.postgres


def test_a_suite_is_measured_on_each_phone_and_stored_once(farm: MadeFarm) -> None:
    host = farm.host("lab1", farm.phone("v1"), farm.phone("v2"))
    farm.keeper()
    host.start()
    wait_until(lambda: sum(row["present"] for row in farm.open().rows("SELECT present FROM farm.phones")) == 2)
    made = farm.submit(farm.suite(), "--label", "branch=main")
    assert made["jobs"] == 2
    farm.wait(lambda job: job["stored"])
    with Store(farm.store) as store:
        views = [store.run(run.run_id) for run in store.runs()]
    assert {view.run.host for view in views} == {"lab1"}
    assert {view.run.labels["branch"] for view in views} == {"main"}
    assert {view.status for view in views} == {"done"}
    assert [len(item.repetitions) for view in views for item in view.jobs] == [2, 2]
    assert {one.verdict != "" for view in views for item in view.jobs for one in item.repetitions} == {True}
    found = json.loads(farm.command("status", "--json", user="ana"))
    assert {phone["state"] for phone in found["phones"]} == {"idle"}
    assert found["jobs"][0]["expected_s"] > 0
    assert {phone["health"]["repetitions"] for phone in found["phones"]} == {2}
    assert "attempt 1 on lab1 begins" in farm.command("logs", farm.jobs()[0]["id"], user="bo")
    farm.command("logs", farm.jobs()[0]["id"], "--raw", farm.folder / "raw", user="bo")
    assert sorted(file.name for file in (farm.folder / "raw").iterdir()) == [
        "job0001-latency-000.txt.gz", "job0001-latency-001.txt.gz"
    ]  # fmt: skip
    assert host.worker is not None
    peak_kb = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{host.worker.pid}/status").read_text())
    assert peak_kb is not None
    assert int(peak_kb[1]) < 120_000
    assert host.stop() == 0
    assert {phone["state"] for phone in json.loads(farm.command("status", "--json", user="ana"))["phones"]} == {"away"}
    assert not list((host.home / "farm" / "spool").iterdir())


def test_what_the_worker_imports_is_small(farm: MadeFarm) -> None:
    code = "import sys, devbench.farm.worker; print(*{one.split('.')[0] for one in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"sqlalchemy", "numpy", "ai_edge_litert", "pandas", "scipy", "fsspec", "procrastinate"} & set(loaded)


def test_a_phone_in_quarantine_and_a_drained_host_get_no_job(farm: MadeFarm) -> None:
    with Farm(farm.urls["lab1"]) as lab:
        worker = lab.call("hello", 1, "0", "now", 0)
        assert sorted(lab.call("offer", worker, '{"v1": {}, "v2": {"soc": "SM8650"}}')) == ["v1", "v2"]
        farm.command("quarantine", "v1", "--why", "battery swollen")
        assert farm.submit(farm.suite("all"))["jobs"] == 1
        farm.command("quarantine", "v1", "--end")
        assert farm.submit(farm.suite("chosen"), "--devices", "soc=SM86*", "--any", 3)["jobs"] == 1
        farm.command("quarantine", "v2", "--why", "hot")
        assert lab.rows("SELECT * FROM farm.take(%s, %s)", worker, ["v1", "v2"]) == []
        farm.command("quarantine", "v2", "--end")
        farm.command("drain", "lab1")
        assert lab.rows("SELECT * FROM farm.take(%s, %s)", worker, ["v1", "v2"]) == []
        farm.command("drain", "lab1", "--end")
        assert lab.rows("SELECT * FROM farm.take(%s, %s)", worker, ["v1", "v2"])[0]["suite"] == "all"
