"""The main job end to end on virtual devices, as a person types it."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from devbench.results.store import Store
from devbench.tool.parse import parse_bytes
from tests.conftest import DATA
from tests.made.command import devbench, tool
from tests.waiting import wait_until

MODEL = DATA / "tiny_groupnorm.tflite"
SHORT = ["--num-runs", "5", "--min-secs", "0", "--warmup-min-secs", "0"]


def test_a_run_ends_with_table_report_store_and_files(tmp_path: Path, adb_server_port: int) -> None:
    done = devbench(
        "run", MODEL, "--device", "virtual", "-D", "cpu,xnnpack", "-r", "2", *SHORT,
        "--json", tmp_path / "r.json", "--csv", tmp_path / "r.csv", "--label", "build=7", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "tiny_groupnorm on Virtual device" in done.stdout
    assert "virtual: measured on a computer" in done.stdout
    # Two processes are too few to choose, and a busy machine may make them unreliable.
    assert re.match(
        r"tiny_groupnorm on Virtual device: (measured twice: not enough to choose|no verdict: )", done.stdout
    ), done.stdout
    assert "Operators by time" in devbench("show", "latest", "--operators", cwd=tmp_path).stdout
    html = next((tmp_path / "reports").glob("*/report.html")).read_text()
    assert "not representative of any phone" in html
    values = json.loads((tmp_path / "r.json").read_text())
    assert values["virtual"] is True
    assert values["run"]["labels"] == {"build": "7"}
    for job in values["jobs"]:
        kinds = [repetition["purpose"] for repetition in job["repetitions"]]
        assert kinds == ["latency", "latency", "profile"]
        for repetition in job["repetitions"]:
            assert (repetition["latency_avg_us"] is None) == (repetition["purpose"] == "profile")
        assert job["repetitions"][2]["operators"]
        # A short process can end before its memory is read.
        assert max(repetition["vm_hwm_kb"] or 0 for repetition in job["repetitions"]) > 10_000
    rows = list(csv.DictReader((tmp_path / "r.csv").open()))
    assert len(rows) == 6
    assert {row["virtual"] for row in rows} == {"True"}


def test_everything_stored_can_be_parsed_again_to_the_same(tmp_path: Path, adb_server_port: int) -> None:
    assert (
        devbench("run", MODEL, "--device", "virtual", "-D", "xnnpack", "-r", "1", *SHORT, "--no-report").returncode == 0
    )
    with Store() as store:
        view = store.run("latest")
        for repetition in view.jobs[0].repetitions:
            from devbench.tool.parse import to_json

            assert to_json(parse_bytes(store.artifacts.read(repetition.raw_path))) == repetition.measurement
            assert b"@@" not in store.artifacts.read(repetition.raw_path), "the script's own lines are not the tool's"
            assert repetition.conditions_before is not None
            assert repetition.conditions_after is not None


def test_repetitions_of_jobs_take_turns(tmp_path: Path, adb_server_port: int) -> None:
    done = devbench(
        "run", MODEL, "-d", "virtual", "-D", "cpu,xnnpack", "-r", "2", "--no-profile", *SHORT, "--no-report"
    )
    assert done.returncode == 0, done.stderr
    with Store() as store:
        jobs = store.run("latest").jobs
    order = sorted((r.started_utc, job.job.delegate) for job in jobs for r in job.repetitions)
    assert [name for _, name in order] == ["cpu", "xnnpack", "xnnpack", "cpu"]


def test_four_devices_run_at_once(tmp_path: Path, adb_server_port: int) -> None:
    sleepy = tool(
        tmp_path,
        'sleep 4; echo "Inference timings in us: Init: 1, First inference: 1, Warmup (avg): 1, Inference (avg): 5"',
    )
    done = devbench(
        "run", MODEL, "-d", "virtual:4", "-D", "cpu", "--binary", sleepy, "-r", "1", "--no-profile", "--no-report"
    )
    assert done.returncode == 0, done.stderr
    with Store() as store:
        view = store.run("latest")
    assert len({job.job.device.key for job in view.jobs}) == 4
    assert [job.job.number for job in view.jobs] == [1, 2, 3, 4]
    first = [next(r for r in job.repetitions if r.purpose == "latency") for job in view.jobs]
    assert max(r.started_utc for r in first) < min(r.finished_utc for r in first), (
        "there was a moment when all four ran"
    )


FAILURES = [
    ('echo "ERROR: Could not open x" >&2; echo "Could not open \'x\'." >&2; exit 1', "no_model"),
    ("kill -SEGV $$", "crash"),
    ("kill -9 $$", "killed"),
    ('echo "INFO: STARTING!"; printf "INFO: count=5 first=12"', "output_incomplete"),
    (
        'echo "WARN: Unconsumed cmdline flags: --use_xnnpack=false"; echo "Inference timings in us: Init: 1, Inference (avg): 5"',
        "unknown_flag",
    ),
    ("exit 126", "binary_not_for_device"),
    ("sleep 30", "timeout"),
]


@pytest.mark.parametrize(("body", "kind"), FAILURES, ids=[kind for _, kind in FAILURES])
def test_each_failure_is_named_and_no_latency_is_stored(
    body: str, kind: str, tmp_path: Path, adb_server_port: int
) -> None:
    done = devbench(
        "run", MODEL, "-d", "virtual", "-D", "cpu", "--binary", tool(tmp_path, body), "-r", "1", "--no-profile",
        "--no-report", "--timeout", "2",
    )  # fmt: skip
    assert done.returncode == 1
    assert kind in done.stdout
    assert "Traceback" not in done.stderr
    with Store() as store:
        repetition = store.run("latest").jobs[0].repetitions[0]
    assert (repetition.status, repetition.failure_kind) == ("failed", kind)
    assert repetition.latency_avg_us is None
    assert repetition.failure_message


def test_a_delegate_that_did_not_run_gives_no_number(tmp_path: Path, adb_server_port: int) -> None:
    silent = tool(
        tmp_path, 'echo "Inference timings in us: Init: 1, First inference: 1, Warmup (avg): 1, Inference (avg): 5"'
    )
    done = devbench("run", MODEL, "-d", "virtual", "-D", "xnnpack", "--binary", silent, "-r", "3", "--no-report")
    assert done.returncode == 1
    with Store() as store:
        repetitions = store.run("latest").jobs[0].repetitions
    assert [r.failure_kind for r in repetitions] == ["delegate_not_applied"], "it would only fail again"
    assert repetitions[0].latency_avg_us is None


def test_full_delegation_can_be_required(adb_server_port: int) -> None:
    model = Path("devbench/models/data/small_unet.tflite").absolute()
    done = devbench(
        "run", model, "-d", "virtual", "-D", "xnnpack", "-r", "1", "--require", "full", *SHORT, "--no-report"
    )
    assert done.returncode == 1
    assert "delegate_partly_applied" in done.stdout


@pytest.mark.campaign
def test_a_device_that_stays_away_ends_its_run_after_the_wait_for_it_and_keeps_the_rest(
    tmp_path: Path, adb_server_port: int
) -> None:
    slow = tool(
        tmp_path,
        'sleep 0.7; echo "Inference timings in us: Init: 1, First inference: 1, Warmup (avg): 1, Inference (avg): 5"',
    )
    done = devbench(
        "run", MODEL, "-d", "virtual", "-D", "cpu", "--binary", slow, "-r", "20", "--no-profile", "--no-report",
        "--fault", "disconnect-after-s=3",
    )  # fmt: skip
    assert done.returncode == 3
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "127.0.0.1:" in errors[0]
    assert "running tiny_groupnorm · cpu" in errors[0]
    with Store() as store:
        view = store.run("latest")
    assert view.status == "failed"
    kinds = [r.failure_kind for r in view.jobs[0].repetitions]
    assert kinds[0] is None
    assert kinds[-1] == "device_lost"


def test_ctrl_c_stops_the_device_and_keeps_what_was_measured(tmp_path: Path, adb_server_port: int) -> None:
    mark = tmp_path / "alive"
    body = (
        f"echo $$ >> {mark}; sleep 0.6; [ $(wc -l < {mark}) -gt 2 ] && sleep 300; "
        'echo "Inference timings in us: Init: 1, First inference: 1, Warmup (avg): 1, Inference (avg): 5"'
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "devbench.cli.app", "run", str(MODEL), "-d", "virtual", "-D", "cpu", "--binary",
         tool(tmp_path, body), "-r", "9", "--no-profile", "--no-report"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until(lambda: mark.exists() and len(mark.read_text().split()) >= 3)
    time.sleep(0.8)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=50)
    assert process.returncode == 130
    assert "Interrupted" in stdout
    assert "Traceback" not in stderr
    with Store() as store:
        view = store.run("latest")
    assert view.status == "interrupted"
    assert len(view.jobs[0].repetitions) == 2
    pid = int(mark.read_text().split()[-1])
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]


def test_two_runs_never_share_a_device(tmp_path: Path, adb_server_port: int) -> None:
    from tests.conftest import connected_phone

    slow = tool(tmp_path, "sleep 8")
    with connected_phone() as phone:
        words = [sys.executable, "-m", "devbench.cli.app", "run", str(MODEL), "-d", phone.address, "-D", "cpu", "--binary", slow,
                 "-r", "1", "--no-profile", "--no-report"]  # fmt: skip
        first = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: list(phone.root.glob("data/local/tmp/devbench/lease/*.pid.*")))
        time.sleep(0.5)
        second = devbench(*words[3:])
        assert second.returncode == 3
        assert re.search(r"is busy: in use by \S+@\S+, process [0-9]+ for [0-9]+ s", second.stderr)
        with Store() as store:
            assert len(store.runs()) == 1, "a refused run is not stored"
        waiting = subprocess.Popen(
            [*words, "--wait", "1m"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        assert waiting.stderr is not None
        assert "waiting for" in waiting.stderr.readline()
        first.send_signal(signal.SIGINT)
        first.wait(30)
        waiting.send_signal(signal.SIGINT)
        waiting.communicate(timeout=30)
        third = devbench(*words[3:-1], "--quiet", "--no-report", "--timeout", "1")
        assert "busy" not in third.stderr


def test_the_gpu_is_refused_as_the_stock_tool_refuses_it(monkeypatch: pytest.MonkeyPatch, adb_server_port: int) -> None:
    monkeypatch.setenv("DEVBENCH_VIRTUAL_GPU", "0")
    done = devbench("run", MODEL, "-d", "virtual", "-D", "gpu", "-r", "1", *SHORT, "--no-report")
    assert done.returncode == 1
    assert "unknown_flag" in done.stdout
    assert "--use_gpu" in done.stdout
    left_out = devbench("run", MODEL, "-d", "virtual", "-r", "1", "--no-profile", *SHORT, "--no-report")
    assert left_out.returncode == 0
    assert "gpu is left out" in left_out.stderr


@pytest.mark.gpu
def test_the_gpu_runs_on_software_vulkan_and_tells_what_it_took(adb_server_port: int) -> None:
    from devbench.virtual.vulkan import vulkan_available

    if not vulkan_available():
        pytest.skip("no software Vulkan here: install chromium and libvulkan1")
    model = Path("devbench/models/data/small_unet.tflite").absolute()
    done = devbench("run", model, "-d", "virtual", "-D", "gpu", "-r", "1", *SHORT, "--no-report")
    assert done.returncode == 0, done.stdout + done.stderr
    with Store() as store:
        repetition = store.run("latest").jobs[0].repetitions[0]
    assert (repetition.delegate_applied, repetition.nodes_delegated, repetition.nodes_total) == ("partial", 9, 180)
    assert any(op["op"] == "RESHAPE" for op in repetition.measurement["unsupported_ops"])


def test_runs_show_and_report_tell_the_same_again(tmp_path: Path, adb_server_port: int) -> None:
    assert devbench("run", MODEL, "-d", "virtual", "-D", "cpu", "-r", "1", *SHORT, "--no-report").returncode == 0
    listed = json.loads(devbench("runs", "--json").stdout)
    run_id = listed[0]["run_id"]
    assert (listed[0]["jobs"], listed[0]["repetitions"], listed[0]["virtual"]) == (1, 2, True)
    assert run_id in devbench("runs").stdout
    shown = devbench("show", run_id[:13])
    assert "CPU" in shown.stdout
    assert "virtual:" in shown.stdout
    whole: dict[str, Any] = json.loads(devbench("show", "latest", "--json").stdout)
    assert whole["run"]["run_id"] == run_id
    written = devbench("report", run_id, "--out", str(tmp_path / "r"))
    assert written.returncode == 0
    assert (tmp_path / "r" / "report.md").read_text().startswith("# tiny_groupnorm on Virtual device: ")
    assert (tmp_path / "r" / "latency.png").read_bytes().startswith(b"\x89PNG")


def test_colours_are_off_where_nobody_sees_them(adb_server_port: int) -> None:
    done = devbench("devices")
    assert "\x1b" not in done.stdout + done.stderr
    assert os.environ.get("FORCE_COLOR") is None
