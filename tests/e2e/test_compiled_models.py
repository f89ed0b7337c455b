"""Compiled models: inspect shows them, run and suite check refuse a mismatch before anything is sent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.conftest import DATA
from tests.models.compiled_models import compiled

SHORT = ["-r", "1", "--no-profile", "--no-report", "--num-runs", "3", "--min-secs", "0", "--cold-starts", "0"]
SAID = "compiled for Qualcomm SM8750 by QNN"


def devbench(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "devbench.cli.app", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


def test_inspect_shows_for_what_a_model_was_compiled(tmp_path: Path) -> None:
    model = compiled(tmp_path / "npu.tflite", maker="Qualcomm", soc="SM8750", on_cpu=True)
    assert f"{SAID}: 1 of 2 operators; needs an npu delegate" in devbench("models", "inspect", model).stdout
    values = json.loads(devbench("models", "inspect", model, "--json").stdout)["compiled"]
    assert (values["maker"], values["soc"], values["needs"]) == ("Qualcomm", "SM8750", "npu")
    assert json.loads(devbench("models", "inspect", "demo", "--json").stdout)["compiled"] is None


def test_a_compiled_model_under_no_npu_is_refused_before_a_device_is_asked(tmp_path: Path) -> None:
    model = compiled(tmp_path / "npu.tflite", maker="Qualcomm", soc="SM8750")
    (tmp_path / "s.toml").write_text('models = ["npu.tflite"]\ndelegates = ["cpu", "gpu"]\n')
    for words in (["run", model, "-d", "no-such-device"], ["suite", "check", tmp_path / "s.toml"]):
        done = devbench(*words)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert f"model npu: the model is {SAID} and needs an npu delegate" in done.stderr


def test_next_to_other_delegates_and_models_only_the_compiled_model_s_job_is_refused(
    tmp_path: Path, adb_server_port: int
) -> None:
    compiled(tmp_path / "npu.tflite", maker="Qualcomm", soc="SM8750")
    (tmp_path / "mine.toml").write_text('[mine]\nflags = { use_npu = "true" }\nlitert_flags = { use_npu = "true" }\n')
    (tmp_path / "s.toml").write_text(
        f'models = ["npu.tflite", "{DATA / "small_cnn.tflite"}"]\ndelegates = ["cpu", "mine"]\n'
        'delegates_file = "mine.toml"\n'
    )
    assert "npu · cpu will be refused" in devbench("suite", "check", tmp_path / "s.toml").stdout
    models = [tmp_path / "npu.tflite", DATA / "small_cnn.tflite"]
    delegates = ["-D", "cpu,mine", "--delegates-file", tmp_path / "mine.toml"]
    devbench("run", *models, "-d", "virtual", *delegates, *SHORT, "--json", tmp_path / "r.json")
    jobs = json.loads((tmp_path / "r.json").read_text())["jobs"]
    found = {(job["model"]["name"], job["delegate"]): job["repetitions"] for job in jobs}
    (refused,) = found["npu", "cpu"]
    assert (refused["failure_kind"], refused["argv"]) == ("refused", [])
    assert SAID in refused["failure_message"]
    assert found["small_cnn", "cpu"][0]["status"] == "ok"
