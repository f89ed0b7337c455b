"""`devbench compare` on runs of devices: a slower delegate, a device that drifts, a model with other operators."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import DATA, BenchPhone

NOISE = DATA / "noise_unet.json"
QUICK = (
    "--min-secs",
    "0",
    "--warmup-min-secs",
    "0",
    "--num-runs",
    "20",
    "--cold-starts",
    "0",
    "--quiet",
    "--no-report",
)


def devbench(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "devbench.cli.app", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


def measured(*words: object) -> None:
    done = devbench("run", *words)
    assert done.returncode == 0, done.stdout + done.stderr


def rows(done: subprocess.CompletedProcess[str]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["case"], row["metric"]): row for row in json.loads(done.stdout)["rows"]}


def test_a_slower_delegate_regresses_and_ends_with_exit_code_1(tmp_path: Path, adb_server_port: int) -> None:
    words = (
        DATA / "small_cnn.tflite",
        "-d",
        "virtual",
        "-D",
        "cpu,xnnpack",
        "--repetitions",
        "10",
        "--no-profile",
        *QUICK,
    )
    file = tmp_path / "baseline.json"
    measured(*words, "--fault", f"noise={NOISE},seed=1", "--json", file)
    measured(*words, "--fault", f"noise={NOISE},seed=2,slower=xnnpack:15")
    done = devbench("compare", "--json", "--metric", "latency", file, "latest")
    assert done.returncode == 1, done.stderr
    found = rows(done)
    assert found["small_cnn · xnnpack", "latency"]["verdict"] == "regressed"
    assert found["small_cnn · xnnpack", "latency"]["change"] == pytest.approx(0.15, abs=0.06)
    assert found["small_cnn · cpu", "latency"]["verdict"] != "regressed"
    assert json.loads(done.stdout)["virtual"] is True
    shown = devbench("compare", "--metric", "latency")
    assert shown.returncode == 1
    assert "virtual: measured on a computer" in shown.stdout
    assert devbench("compare", "latest", file, "--metric", "latency").returncode == 0


@pytest.mark.campaign
def test_the_reference_of_a_suite_takes_the_drift_of_a_device_off(tmp_path: Path, adb_server_port: int) -> None:
    suite = tmp_path / "drift.toml"
    suite.write_text(
        f'models = ["{DATA}/small_cnn.tflite", "{DATA}/tiny_conv.tflite"]\nreference = "tiny_conv"\n'
        'devices = ["virtual"]\ndelegates = ["xnnpack"]\nrepetitions = 20\nprofile = false\nnum_runs = 20\nmin_secs = 0\n'
        "warmup_min_secs = 0\ncold_starts = 0\n[conditions]\nunreliable_retries = 0\ncool_down = 0\n"
    )
    # The whole device is slower the second time: each of its cases is.
    for fault in (f"noise={NOISE},seed=1", f"noise={NOISE},seed=2,slower=xnnpack:15"):
        measured("--suite", suite, "--fault", fault, "--no-report", "--quiet")
    corrected = devbench("compare", "--metric", "latency")
    assert corrected.returncode == 0, corrected.stdout
    assert "speed drifted by +" in corrected.stdout
    assert "by the reference tiny_conv · xnnpack" in corrected.stdout
    assert devbench("compare", "--metric", "latency", "--reference", "none").returncode == 1
    suite.write_text(suite.read_text().replace('reference = "tiny_conv"', 'reference = "tiny_con"'))
    wrong = devbench("suite", "check", suite)
    assert wrong.returncode == 2
    assert "reference 'tiny_con' is not one of its models → use small_cnn, tiny_conv" in wrong.stderr


@pytest.mark.campaign
@pytest.mark.bench_phone
def test_operators_that_were_added_and_delegation_that_was_lost_are_named(
    tmp_path: Path, bench_phone: BenchPhone, adb_server_port: int
) -> None:
    assert devbench("binaries", "add", bench_phone.binary, "--version", "2.14.1").returncode == 0
    before, after = tmp_path / "before", tmp_path / "after"
    for folder in (before, after):
        folder.mkdir()
    # A convolution in parts is four convolutions more and a concatenation.
    shutil.copy(DATA / "small_cnn.tflite", before / "cnn.tflite")
    split = ("--only", "serialize-conv", "--weight-mib", "0.01")
    assert devbench("models", "rewrite", DATA / "small_cnn.tflite", after / "cnn.tflite", *split).returncode == 0
    # What the GPU delegate does not take of this one is rewritten in the other.
    demo = DATA.parents[1] / "devbench" / "models" / "data" / "small_unet.tflite"
    assert devbench("models", "rewrite", demo, before / "unet.tflite").returncode == 0
    shutil.copy(demo, after / "unet.tflite")
    for folder in (before, after):
        models = sorted(folder.glob("*.tflite"))
        measured(*models, "-d", bench_phone.serial, "-D", "xnnpack,gpu", "--threads", "1", "--repetitions", "8", *QUICK)
    # What explains a change is the same on a machine that is busy.
    done = devbench("compare", "--json", "--unreliable", "count")
    assert done.returncode == 1, done.stderr
    found = rows(done)
    latency = found["cnn · xnnpack · 1 thread", "latency"]
    # On a busy machine the difference may be undecided, and another operator may come first.
    assert latency["verdict"] in ("regressed", "undecided")
    shown = devbench("compare", "--unreliable", "count").stdout
    if latency["verdict"] == "regressed":
        split_up = next(cause for cause in latency["explanation"]["causes"] if "Convolution" in cause["name"])
        assert split_up["counts"][1] - split_up["counts"][0] == 4
        assert f"{split_up['counts'][0]} → {split_up['counts'][1]} operators" in shown
    share = found["unet · gpu · 1 thread", "delegated_node_share"]
    assert share["verdict"] == "regressed"
    taken = next(cause for cause in share["explanation"]["causes"] if cause["kind"] == "delegation")
    # The stock tool counts no nodes of a graph that the delegate takes whole.
    assert (taken["baseline"]["whole"], taken["candidate"]["whole"]) == (True, False)
    assert taken["candidate"]["nodes_delegated"] < taken["candidate"]["nodes_total"]
    assert "delegation: all nodes" in shown
