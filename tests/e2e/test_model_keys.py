"""Models that share a file name, end to end: two rows, two JUnit cases, two pairs, wherever they are shown."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import devbench.results
from tests.conftest import DATA

KEYS = ["text_encoder/model", "unet/model"]
OPTIONS = (
    'devices = ["virtual"]\ndelegates = ["cpu"]\nrepetitions = 1\nprofile = false\nnum_runs = 2\nmin_secs = 0\n'
    "warmup_min_secs = 0\nunreliable_retries = 0\n"
)


def call(*words: object) -> str:
    command = [sys.executable, "-m", "devbench.cli.app", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def suite(tmp_path: Path, adb_server_port: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "200")
    for folder, source in (("text_encoder", "tiny_conv"), ("unet", "small_cnn")):
        (tmp_path / folder).mkdir()
        shutil.copy(DATA / f"{source}.tflite", tmp_path / folder / "model.tflite")
    path = tmp_path / "night.toml"
    path.write_text(f'models = ["*/model.tflite"]\n{OPTIONS}[nightly]\nreports = "{tmp_path}/reports"\n')
    return path


def test_models_that_share_a_file_name_are_told_apart_in_every_form(suite: Path, tmp_path: Path) -> None:
    (night,) = json.loads(call("nightly", suite, "--json", "--quiet"))
    folder = Path(night["report"]).parent
    assert [case.get("name") for case in ElementTree.parse(folder / "junit.xml").iter("testcase")] == [
        f"{key} · CPU" for key in KEYS
    ]
    call("report", "latest", "--format", "html,md,csv,json,svg", "--out", folder)
    for name in ("report.html", "report.md"):
        text = (folder / name).read_text("utf-8")
        for key in KEYS:
            assert key in text, (name, key)
    rows = list(csv.DictReader(io.StringIO((folder / "report.csv").read_text("utf-8"))))
    assert {row["model"] for row in rows} == set(KEYS)
    run = json.loads((folder / "report.json").read_text("utf-8"))
    assert [job["model"]["name"] for job in run["jobs"]] == KEYS
    assert len({job["model"]["sha256"] for job in run["jobs"]}) == 2
    assert all(key in call(*words) for key in KEYS for words in (("show",), ("runs",), ("suite", "check", suite)))


def test_cases_pair_by_the_key_and_never_across_models(suite: Path, tmp_path: Path) -> None:
    for _ in range(2):
        call("run", "--suite", suite, "--no-report", "--quiet")
    compared = json.loads(call("compare", "previous", "latest", "--json", "--metric", "model_size"))
    assert {row["model"]: (row["baseline"]["median"], row["verdict"]) for row in compared["rows"]} == {
        key: ((suite.parent / f"{key}.tflite").stat().st_size, "unchanged") for key in KEYS
    }
    only = json.loads(
        call("compare", "previous", "latest", "--json", "--metric", "model_size", "--model", "unet/model")
    )
    assert [row["model"] for row in only["rows"]] == ["unet/model"]
    with devbench.results.open_history() as history:
        assert history.model_names() == KEYS
        series = history.series(("latency",))
    assert series.groupby("model").size().to_dict() == dict.fromkeys(KEYS, 2)


def test_one_file_under_two_names_is_measured_and_exported_under_both(suite: Path, tmp_path: Path) -> None:
    shutil.copy(suite.parent / "unet" / "model.tflite", suite.parent / "text_encoder" / "model.tflite")
    call("run", "--suite", suite, "--no-report", "--quiet")
    call("export", tmp_path / "out")
    call("import", tmp_path / "out", "--store", tmp_path / "other.db")
    with devbench.results.open_history(str(tmp_path / "other.db")) as history:
        jobs = history.jobs()
    assert list(jobs["model"]) == KEYS
    assert jobs["model_sha256"].nunique() == 1
