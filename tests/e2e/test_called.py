"""Open shapes, several signatures and random outputs, end to end on a virtual device."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from devbench.notices import DERIVED, NoticeKind
from devbench.results.store import Store
from tests.made.models import random_model, two_signatures
from tests.models.probe import Op, Tensor, build

SHORT = (
    "-d", "virtual", "-r", "1", "--no-profile", "--no-report", "--num-runs", "2", "--min-secs", "0",
    "--warmup-min-secs", "0", "--unreliable-retries", "0",
)  # fmt: skip


def devbench(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "devbench", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


@pytest.fixture
def folder(tmp_path: Path, adb_server_port: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "200")
    x = Tensor((1, 1, 1, 3), signature=(1, -1, -1, 3), name="image")
    (tmp_path / "open.tflite").write_bytes(build([Op("ABS", [x], [Tensor((1, 1, 1, 3), signature=(1, -1, -1, 3))])]))
    (tmp_path / "two.tflite").write_bytes(two_signatures())
    (tmp_path / "random.tflite").write_bytes(random_model())
    return tmp_path


def read(file: Path) -> dict[str, Any]:
    """A run, with those of its notices that do not follow from what was measured."""
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    found["notices"] = [one for one in found["notices"] if NoticeKind(one["kind"]) not in DERIVED]
    return found


def run(folder: Path, name: str, *words: object) -> tuple[str, dict[str, Any]]:
    file = folder / "run.json"
    done = devbench("run", folder / f"{name}.tflite", *SHORT, "--json", file, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, read(file)


def test_a_model_with_open_shapes_is_measured_with_a_warning_and_wins_nothing(folder: Path) -> None:
    said, stored = run(folder, "open", "-D", "cpu,xnnpack")
    assert "input of open shape: image (1x?x?x3, measured as 1x1x1x3)" in said
    (notice,) = stored["notices"]
    assert (notice["kind"], notice["effect"], notice["subject"]) == ("open_shapes", "excluded", "open")
    assert "--input-shape 'image=1x?x?x3'" in notice["next_step"]


def test_shapes_of_a_suite_are_cases_of_their_own_in_every_form(folder: Path) -> None:
    suite = folder / "s.toml"
    suite.write_text(
        'models = ["open.tflite"]\nshapes = ["1x8x8x3", ["image=1x16x16x3"]]\ndelegates = ["cpu"]\n'
        "check_outputs = true\nrepetitions = 1\nprofile = false\nnum_runs = 2\nmin_secs = 0\nwarmup_min_secs = 0\n"
        "unreliable_retries = 0\ncold_starts = 0\n"
    )
    assert "open · shape 1x16x16x3" in devbench("suite", "check", suite).stdout
    files = [folder / name for name in ("run.json", "run.csv")]
    done = devbench("run", "--suite", suite, "-d", "virtual", "--json", files[0], "--csv", files[1], "--no-report")
    assert done.returncode == 0, done.stdout + done.stderr
    subjects = ["open · shape 1x8x8x3", "open · shape 1x16x16x3"]
    assert all(subject in done.stdout for subject in subjects)
    stored = read(files[0])
    assert [job["options"]["input_shapes"] for job in stored["jobs"]] == [
        [["image", [1, 8, 8, 3]]], [["image", [1, 16, 16, 3]]],
    ]  # fmt: skip
    assert stored["notices"] == []
    outputs = [one["outputs"][0] for job in stored["jobs"] for one in job["repetitions"] if one["purpose"] == "outputs"]
    assert [row["wrong"] for row in outputs] == [False, False]
    with files[1].open(newline="") as file:
        cases = {row["case"] for row in csv.DictReader(file)}
    assert cases == {f"open · cpu · shape {shape}" for shape in ("1x8x8x3", "1x16x16x3")}
    argv = stored["jobs"][1]["repetitions"][-1]["argv"]
    assert "--input_layer_shape=1,16,16,3" in argv
    known = devbench("suite", "check", suite).stdout
    assert "(guess)" not in known


def test_a_shape_that_contradicts_the_model_is_refused_before_any_device_is_asked(folder: Path) -> None:
    done = devbench("run", folder / "open.tflite", *SHORT, "--input-shape", "image=1x8x8x4")
    assert done.returncode == 2
    assert "contradicts the model's fixed dimensions" in done.stderr
    assert "Traceback" not in done.stderr


def test_of_several_signatures_the_main_one_is_measured_with_a_warning(folder: Path) -> None:
    said, stored = run(folder, "two", "-D", "cpu")
    assert "has 2 signatures (absolute, negated); only signature absolute is measured" in said
    assert [one["kind"] for one in stored["notices"]] == ["first_of_several_signatures"]
    assert "two · signature absolute on" in said


def test_every_signature_is_measured_and_its_outputs_are_its_own(folder: Path) -> None:
    said, stored = run(folder, "two", "-D", "cpu,xnnpack", "--signature", "all", "--check-outputs")
    assert stored["notices"] == []
    assert [job["options"]["signature"] for job in stored["jobs"]] == ["absolute", "absolute", "negated", "negated"]
    told = ["--signature_to_run_for=negated" in job["repetitions"][0]["argv"] for job in stored["jobs"]]
    assert told == [False, False, True, True]
    assert all(not row["wrong"] for job in stored["jobs"] for one in job["repetitions"] for row in one["outputs"])
    assert "two · signature negated" in said


def test_outputs_that_are_not_deterministic_are_said_and_are_not_wrong(folder: Path) -> None:
    said, stored = run(folder, "random", "-D", "cpu,xnnpack", "--check-outputs")
    assert "output noise differs from run to run" in said
    assert "not deterministic" in said
    assert [(one["kind"], one["effect"]) for one in stored["notices"]] == [("not_deterministic", "information")]
    rows = stored["jobs"][1]["repetitions"][0]["outputs"]
    of_host = {row["name"]: row for row in rows if row["against"] == "host"}
    assert {name: (row["deterministic"], row["wrong"]) for name, row in of_host.items()} == {
        "steady": (True, False), "noise": (False, False),
    }  # fmt: skip


def test_a_tool_that_cannot_choose_a_signature_is_refused_before_anything_is_timed(folder: Path) -> None:
    from devbench.tool.flags import refused

    failure = refused(["benchmark_model", "--signature_to_run_for=negated"], {"graph", "num_runs"}, "old")
    assert failure is not None
    assert "old has no --signature_to_run_for" in failure.message
    with Store() as store:
        assert store.runs() == []


def test_a_shell_offers_the_signatures_of_the_model(folder: Path) -> None:
    words = f"devbench run {folder / 'two.tflite'} --signature "
    env = {**os.environ, "_DEVBENCH_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "4"}
    call = "import sys; sys.argv = ['devbench']; from devbench.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", call], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == ["all", "absolute", "negated"], done.stderr
