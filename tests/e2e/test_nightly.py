"""`devbench nightly` as cron calls it: what is due, who is missing, what it leaves for people and for a CI."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from devbench.nightly.due import Period
from devbench.nightly.night import only_nightly
from devbench.results import schema
from devbench.results.store import Store
from tests.conftest import DATA
from tests.made.command import tool
from tests.made.webhook import SECRET, Hook, hook
from tests.waiting import wait_until

__all__ = ["hook"]
LINE = "Inference timings in us: Init: 1000, First inference: 900, Warmup (avg): 800, Inference (avg): 700"


@pytest.fixture
def suite(tmp_path: Path, adb_server_port: int) -> Path:
    tool(tmp_path, f'[ -f "{tmp_path}/slow" ] && sleep 30; sleep 0.1; echo "{LINE}"')
    path = tmp_path / "suite.toml"
    path.write_text(
        f'name = "nights"\nmodels = ["{DATA}/tiny_groupnorm.tflite"]\ndevices = ["virtual"]\ndelegates = ["cpu"]\n'
        'binary = "benchmark_model"\nrepetitions = 3\nunreliable_retries = 0\ncool_down = 0\n'
        '[nightly]\nreports = "out"\njunit = "ci/junit.xml"\n'
    )
    return path


def start(suite: Path, *words: str, **env: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "devbench.cli.app", "nightly", str(suite), *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, cwd=suite.parent, env={**os.environ, "COLUMNS": "200", **env}
    )


def nightly(suite: Path, *words: str, **env: str) -> tuple[int, str, str]:
    process = start(suite, *words, **env)
    out, err = process.communicate(timeout=110)
    return process.returncode, out, err


def runs() -> list[str]:
    with Store() as store:
        return [run.run_id for run in store.runs()]


def test_a_night_is_measured_once_and_again_with_force(suite: Path, hook: Hook) -> None:
    folder = suite.parent
    step = folder / "step.md"
    # Not judged by what else runs on this machine.
    quiet = ("--fault", "quiet")
    first = nightly(suite, *quiet, DEVBENCH_WEBHOOK=hook.url, GITHUB_STEP_SUMMARY=str(step))
    assert first[0] == 0, first
    assert "nothing to compare with yet" in first[1]
    assert nightly(suite, DEVBENCH_WEBHOOK=hook.url)[:2] == (0, f"nights: nothing is due; already measured for the night of {_night()}\n")  # fmt: skip
    assert len(runs()) == len(hook.got) == 1
    again = nightly(suite, *quiet, "--force", "--label", "why=again", DEVBENCH_WEBHOOK=hook.url)
    assert again[0] == 0, again
    assert again[1].startswith("No ")
    with Store() as store:
        views = [store.run(run_id) for run_id in runs()]
    assert views[0].run.labels == {"suite": "nights", "why": "again"}
    assert SECRET not in "".join(str(view.run) for view in views)
    assert SECRET not in "".join([*first[1:], *again[1:]])
    assert json.loads(hook.got[1][2])["text"].replace("\u2060", "").split("*")[1] == again[1].splitlines()[0]
    assert "Nightly “nights”" in step.read_text()
    for run_id in runs():
        assert {"report.html", "report.md", "summary.md", "junit.xml"} <= {
            p.name for p in (folder / "out" / run_id).iterdir()
        }
    root = ElementTree.parse(folder / "ci" / "junit.xml").getroot()
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("1", "0", "0")


def _night() -> str:
    return f"{Period().began(datetime.now().astimezone()):%Y-%m-%d}"


def test_a_device_that_is_missing_is_named_and_the_others_are_measured(suite: Path) -> None:
    code, out, _ = nightly(suite, "-d", "virtual,R5CT-AWAY")
    assert code == 3
    assert "1 device missing" in out
    assert "R5CT-AWAY" in out
    errors = ElementTree.parse(suite.parent / "ci" / "junit.xml").getroot().findall(".//error")
    assert [error.get("type") for error in errors] == ["device_missing"]
    code, out, _ = nightly(suite, "-d", "virtual,R5CT-AWAY")
    assert (code, out.count("nothing is due; connected devices are already measured")) == (3, 1)
    # It comes later the same night, and goes into the same run.
    code, out, _ = nightly(suite, "-d", "virtual:2")
    assert code == 0, out
    with Store() as store:
        (run_id,) = runs()
        assert [job.job.device.key for job in store.run(run_id).jobs] == ["virtual-1", "virtual-2"]


def test_old_raw_outputs_are_dropped_and_measurements_stay(suite: Path) -> None:
    assert nightly(suite)[0] == 0
    with Store() as store:
        view = store.run("latest")
        with store.database.writing() as connection:
            old = datetime.now().astimezone() - timedelta(days=40)
            connection.execute(schema.runs.update().values(started_utc=old))
    code, _, err = nightly(suite, "--keep-raw-days", "30")
    assert code == 0
    assert "dropped the raw outputs of 1 run, " in err
    with Store() as store:
        kept = store.run(view.run.run_id)
        assert kept.jobs == view.jobs
        assert not (store.artifacts.root / view.run.run_id).exists()
        assert (store.artifacts.root / runs()[0]).is_dir()


def test_several_suites_are_done_one_after_the_other_and_told_as_json(suite: Path) -> None:
    other = suite.parent / "other.toml"
    other.write_text(suite.read_text().replace("nights", "others").replace("ci/junit", "ci/other"))
    code, out, _ = nightly(suite, str(other), "--json")
    assert code == 0
    first, second = json.loads(out)
    assert (first["suite"], second["suite"], first["exit_code"]) == ("nights", "others", 0)
    assert [second["run_id"], first["run_id"]] == runs()
    assert Path(suite.parent, first["report"]).is_file()
    assert first["comparison"] is None
    assert (suite.parent / "ci" / "other.xml").is_file()


def test_a_night_without_any_device_is_reported_too(suite: Path, empty_adb_server: int) -> None:
    code, out, _ = nightly(suite, "-d", "R5CT-AWAY")
    assert code == 3
    assert "1 device missing" in out
    assert ElementTree.parse(suite.parent / "ci" / "junit.xml").getroot().get("errors") == "1"
    assert runs() == []


@pytest.mark.campaign
def test_a_device_whose_cable_is_pulled_goes_on_when_it_is_back(suite: Path) -> None:
    tool(suite.parent, f'sleep 0.8; echo "{LINE}"')
    code, out, _ = nightly(suite, "--fault", "disconnect-after-s=3")
    assert code == 1, out
    assert "1 device missing" in out
    with Store() as store:
        before = store.run("latest")
    assert before.jobs[0].repetitions[-1].failure_kind == "device_lost"
    code, out, _ = nightly(suite)
    assert code == 0, out
    with Store() as store:
        after = store.run("latest")
    assert after.run.run_id == before.run.run_id
    made = [(r.purpose, r.index) for r in after.jobs[0].repetitions]
    assert len(set(made)) == len(made) == 5
    ok = [r.purpose for r in after.jobs[0].repetitions if r.status == "ok"]
    assert sorted(ok) == ["latency", "latency", "latency", "profile"], "what was lost is made up for"
    text = (suite.parent / "ci" / "junit.xml").read_text()
    assert "device_lost (1×)" in text
    assert "<failure" not in text


def test_a_night_that_is_not_gone_on_with_is_closed(suite: Path) -> None:
    process = start(suite)
    wait_until(runs)
    process.kill()
    process.communicate()
    suite.write_text(suite.read_text().replace("repetitions = 3", "repetitions = 1"))
    assert nightly(suite)[0] == 0
    with Store() as store:
        assert [run.status for run in store.runs()] == ["done", "interrupted"]


def test_a_failed_job_is_a_failure_of_the_night(suite: Path) -> None:
    tool(suite.parent, "kill -SEGV $$")
    code, out, _ = nightly(suite)
    assert code == 1
    assert "1 failed job" in out
    (failure,) = ElementTree.parse(suite.parent / "ci" / "junit.xml").getroot().findall(".//failure")
    assert failure.get("type") == "crash"


def test_a_regression_is_a_failure_of_the_night_with_its_size(suite: Path) -> None:
    text = suite.read_text().replace('binary = "benchmark_model"\n', "num_runs = 20\n").replace("repetitions = 3", "repetitions = 8")  # fmt: skip
    suite.write_text(text)
    noise = f"noise={DATA / 'noise_unet.json'}"
    assert nightly(suite, "--fault", f"{noise},seed=1")[0] == 0
    code, out, _ = nightly(suite, "--fault", f"{noise},seed=2,slower=cpu:20", "--force")
    assert code == 1, out
    assert "1 regression" in out
    root = ElementTree.parse(suite.parent / "ci" / "junit.xml").getroot()
    messages = [str(one.get("message")) for one in root.iterfind(".//failure[@type='regression']")]
    assert any("latency" in message for message in messages), messages


def test_a_webhook_that_fails_loses_nothing(suite: Path) -> None:
    code, out, err = nightly(suite, "--webhook", f"http://127.0.0.1:9{SECRET}", NO_PROXY="127.0.0.1")
    assert code == 0, out
    assert "the webhook did not take the message" in err
    assert SECRET not in out + err
    with Store() as store:
        assert "--webhook ***" in store.run("latest").run.command.replace("'", "")


def test_a_second_nightly_ends_at_once_or_waits(suite: Path) -> None:
    with only_nightly(0):
        code, _, err = nightly(suite)
        assert code == 4
        assert "another `devbench nightly` is running" in err
        assert f"process {os.getpid()}" in err
        waiting = start(suite, "--wait", "60")
        time.sleep(2.5)
        assert waiting.poll() is None
    waiting.communicate(timeout=100)
    assert waiting.returncode == 0


def test_sigterm_ends_it_tidily_and_the_next_call_goes_on(suite: Path) -> None:
    slow = suite.parent / "slow"
    process = start(suite)

    def measured() -> bool:
        with Store() as store:
            return any(run.repetitions for run in store.runs())

    wait_until(measured)
    slow.touch()
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, out + err
    assert "Traceback" not in err
    slow.unlink()
    with Store() as store:
        before = store.run("latest")
    assert before.status == "interrupted"
    assert nightly(suite)[0] == 0
    with Store() as store:
        after = store.run("latest")
    assert (after.run.run_id, after.status, len(after.jobs[0].repetitions)) == (before.run.run_id, "done", 4)


@pytest.mark.parametrize("words", [["--period", "moon"], ["--webhook", "not a url"], ["nosuch.toml"]])
def test_what_is_wrong_is_said_before_anything_is_measured(words: list[str], suite: Path) -> None:
    code, _, err = nightly(suite, *words)
    assert code == 2
    assert "Traceback" not in err
    assert runs() == []
