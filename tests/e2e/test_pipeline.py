"""A pipeline end to end as a person types it, in all three residencies, on a virtual device and on a bench phone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from devbench.results.store import Store
from devbench.virtual.faults import Faults
from tests.conftest import DATA, BenchPhone, connected_phone
from tests.made.command import tool

# Stages of one size: what a residency saves must be seen in the peak, however short the session is.
PIPELINE = f"""
name = "small <b>"
steps = 12
[[stage]]
name = "text_encoder"
model = "demo"
[[stage]]
name = "unet"
model = "demo"
runs = "steps"
[[stage]]
name = "decoder"
model = "{DATA.parents[1]}/devbench/models/data/small_unet.tflite"
"""


def devbench(*words: object, cwd: Path, timeout: float = 100) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "devbench.cli.app", *map(str, words)],
        capture_output=True, text=True, timeout=timeout, cwd=cwd, check=False,
    )  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(PIPELINE)
    return path


def check(values: dict[str, Any], *, virtual: bool, delegates: list[str], rounds: int) -> None:
    assert values["virtual"] is virtual
    assert [one["delegate"] for one in values["pipelines"]] == delegates
    for one in values["pipelines"]:
        assert [stage["runs"] for stage in one["stages"]] == [1, 12, 1]
        [copied] = one["copies"]
        assert (copied["stage"], copied["runs"], copied["gpu_us"]) == ("unet", 12, None)
        assert copied["image_bytes"] == 12 * (copied["in_bytes"] + copied["out_bytes"]) > 0 < copied["host_us"]
        assert [whole["residency"] for whole in one["residencies"]] == ["resident", "sequential", "pipelined"]
        for whole in one["residencies"]:
            assert whole["sessions"] == rounds
            assert whole["latency_ms"] > 0
            assert sum(part["ms"] for part in whole["composed"]) == pytest.approx(whole["estimate_ms"], abs=0.1)
            assert whole["estimate_off"] == pytest.approx(whole["estimate_ms"] / whole["latency_ms"] - 1, abs=0.01)
            assert {(f["steps"], f["guidance"]) for f in whole["fewer_steps_estimated"]} >= {(50, True), (12, False)}


@pytest.mark.campaign
def test_a_pipeline_in_all_residencies_on_a_virtual_device(tmp_path: Path, file: Path, adb_server_port: int) -> None:
    done = devbench(
        "run", "--pipeline", file, "-d", "virtual", "-D", "cpu,xnnpack", "-r", "2", "--json", tmp_path / "r.json",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "virtual: measured on a computer" in done.stdout
    assert "composed estimates, not measured" in done.stdout
    values = json.loads((tmp_path / "r.json").read_text())
    check(values, virtual=True, delegates=["cpu", "xnnpack"], rounds=2)
    folder = next((tmp_path / "reports").iterdir())
    assert {path.name for path in folder.iterdir()} == {
        "pipeline.html",
        "pipeline.json",
        "pipeline.png",
        "pipeline-2.png",
    }
    html = (folder / "pipeline.html").read_text()
    assert "small &lt;b&gt;" in html and "small <b>" not in html
    assert "not representative of any phone" in html
    with Store() as store:
        view = store.run("latest")
        sessions = store.pipeline_sessions(view.run.run_id)
        assert len(sessions) == 2 * 2 * (3 + 3)
        assert {stage.name for one in sessions for stage in one.stages} == {"text_encoder", "unet", "decoder"}
        assert max(sample.pss_kb or 0 for one in sessions for sample in one.samples) > 1000
        assert view.run.options["steps"] == 12
        for session in sessions:
            assert store.artifacts.read(session.raw_path).startswith(b"S")
            assert session.conditions_before is not None
    shown = devbench("show", "latest", cwd=tmp_path)
    assert "pipelined" in shown.stdout
    assert devbench("report", "latest", "--out", tmp_path / "again", cwd=tmp_path).returncode == 0
    assert (tmp_path / "again" / "pipeline.html").exists()


@pytest.mark.bench_phone
def test_a_pipeline_in_all_residencies_on_a_bench_phone(tmp_path: Path, file: Path, bench_phone: BenchPhone) -> None:
    done = devbench(
        "run", "--pipeline", file, "-d", bench_phone.serial, "-D", "cpu,gpu", "--binary", bench_phone.binary,
        "-r", "2", "--json", tmp_path / "r.json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    values = json.loads((tmp_path / "r.json").read_text())
    for one in values["pipelines"]:
        # Compiling kernels takes the GPU's driver 20 MB more or less from run to run, as much as such stages save.
        assert one["residencies"][2]["peak_under_resident"] > (0.15 if one["delegate"] == "cpu" else 0.0)
    assert values["virtual"] is False
    assert {whole["memory_kind"] for one in values["pipelines"] for whole in one["residencies"]} == {"pss"}
    held = {stage["held_by"] for session in values["sessions"] for stage in session["stages"]}
    assert held == {"", "output"}


def test_options_count_for_more_than_the_file(tmp_path: Path, file: Path, adb_server_port: int) -> None:
    done = devbench(
        "run", "--pipeline", file, "-d", "virtual", "-D", "cpu", "-r", "1", "--steps", "3", "--guidance",
        "--residency", "pipelined", "--json", tmp_path / "r.json", "--no-report", "-q", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (one,) = json.loads((tmp_path / "r.json").read_text())["pipelines"]
    assert (one["steps"], one["guidance"], one["stages"][1]["runs"]) == (3, True, 6)
    assert [whole["residency"] for whole in one["residencies"]] == ["pipelined"]
    assert not (tmp_path / "reports").exists()


def test_what_makes_no_sense_beside_a_pipeline_is_refused(tmp_path: Path, file: Path, empty_adb_server: int) -> None:
    for words, said in (
        (["demo", "--pipeline", file], "models with --pipeline"),
        (["--pipeline", file, "--via", "apk"], "--via with --pipeline"),
        (["--pipeline", file, "--residency", "pipelind"], "'pipelind' is unknown"),
        (["demo", "--steps", "3"], "--steps is for pipelines"),
        (["--pipeline", tmp_path / "none.toml"], "none.toml"),
    ):
        done = devbench("run", *words, cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert said in done.stderr


def test_a_stage_that_fails_gives_no_latency(tmp_path: Path, file: Path, adb_server_port: int) -> None:
    broken = tool(tmp_path, 'echo "INFO: STARTING!"; echo "ERROR: Failed to apply XNNPACK delegate." >&2; exit 1')
    done = devbench(
        "run",
        "--pipeline",
        file,
        "-d",
        "virtual",
        "-D",
        "xnnpack",
        "--binary",
        broken,
        "-r",
        "2",
        "--no-report",
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    with Store() as store:
        sessions = store.pipeline_sessions(store.run("latest").run.run_id)
    assert [(one.status, one.latency_ms) for one in sessions] == [("failed", None)]
    assert "text_encoder" in (sessions[0].failure_message or "")


def test_ctrl_c_ends_the_stages_on_the_device_and_keeps_what_was_measured(
    tmp_path: Path, file: Path, adb_server_port: int
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "devbench.cli.app", "run", "--pipeline", str(file), "-d", "virtual", "-D", "cpu",
         "-r", "1", "--steps", "10000", "--residency", "resident", "--no-report"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "DEVBENCH_MARK": tmp_path.name},
    )  # fmt: skip
    assert process.stderr is not None
    while "decoder alone" not in process.stderr.readline():
        pass
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130, out
    assert "Interrupted" in out
    with Store() as store:
        sessions = store.pipeline_sessions(store.run("latest").run.run_id)
    assert [one.residency for one in sessions] == ["alone"] * 3
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "--warmup_runs=0 --num_runs=10000" not in left


def test_a_session_that_restarts_the_device_says_so_with_its_uptime(
    tmp_path: Path, file: Path, adb_server_port: int
) -> None:
    with connected_phone(Faults(restart=True)) as phone:
        process = subprocess.Popen(
            [sys.executable, "-m", "devbench.cli.app", "run", "--pipeline", str(file), "-d", phone.address, "-D", "cpu",
             "-r", "1", "--steps", "10000", "--residency", "resident", "--no-report"],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stderr is not None
        while "decoder alone" not in process.stderr.readline():
            pass
        time.sleep(1.5)
        phone.unplug()
        time.sleep(1.0)
        phone.plug_in()
        _, err = process.communicate(timeout=60)
    said = "the device restarted while running small <b> · cpu · resident · 1/1 (uptime "
    assert process.returncode == 3 and said in err, err
    with Store() as store:
        *alone, whole = store.pipeline_sessions(store.run("latest").run.run_id)
    assert [one.status for one in alone] == ["ok"] * 3
    assert whole.failure_kind == "device_lost" and said in (whole.failure_message or "")
    uptime_s = float((whole.failure_message or "").split("(uptime ")[1].split(" s")[0])
    assert uptime_s < 60


def test_three_images_in_one_session_in_both_orders(tmp_path: Path, file: Path, adb_server_port: int) -> None:
    done = devbench(
        "run", "--pipeline", file, "-d", "virtual", "-D", "cpu", "-r", "1", "--images", "3", "--residency",
        "pipelined,pipelined-early", "--json", tmp_path / "r.json", "--no-report", "-q", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (one,) = json.loads((tmp_path / "r.json").read_text())["pipelines"]
    assert [stage["runs"] for stage in one["stages"]] == [1, 12, 1]
    for whole, name in zip(one["residencies"], ("pipelined x3", "pipelined-early x3"), strict=True):
        assert whole["residency"] == name and f"{name}: first image" in done.stdout
        images = whole["images"]
        assert [image["number"] for image in images] == [1, 2, 3]
        assert sum(image["latency_ms"] for image in images) == pytest.approx(whole["latency_ms"], rel=0.01)
        assert sum(image["estimate_ms"] for image in images) == pytest.approx(whole["estimate_ms"], rel=0.01)
        assert whole["peak_kb"] > 0
