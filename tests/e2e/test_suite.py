"""`devbench run --suite` and `devbench suite check`, with a model from a local HTTP server."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from devbench.results.store import Store
from tests.conftest import DATA


def devbench(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "devbench.cli.app", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


@pytest.fixture
def address() -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(DATA)))
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listener.server_port}"
    listener.shutdown()
    listener.server_close()


def write(path: Path, address: str, sha256: str = "") -> Path:
    digest = sha256 or hashlib.sha256((DATA / "small_cnn.tflite").read_bytes()).hexdigest()
    path.write_text(
        f'models = ["{DATA}/tiny_conv.tflite", {{ url = "{address}/small_cnn.tflite", sha256 = "{digest}" }}]\n'
        'devices = ["virtual"]\ndelegates = ["cpu", "xnnpack"]\nrepetitions = 1\nprofile = false\nnum_runs = 3\nmin_secs = 0\n'
        'warmup_min_secs = 0\nunreliable_retries = 0\n[labels]\nteam = "camera"\n'
    )
    return path


def test_a_suite_is_run_whole_and_its_labels_are_kept(tmp_path: Path, address: str, adb_server_port: int) -> None:
    file = write(tmp_path / "nightly.toml", address)
    guess = devbench("suite", "check", file)
    assert guess.returncode == 0, guess.stderr
    assert "4 jobs on each device (virtual)" in guess.stdout
    assert "(guess)" in guess.stdout
    done = devbench("run", "--suite", file, "--no-report", "--label", "build=7")
    assert done.returncode == 0, done.stderr
    with Store() as store:
        view = store.run("latest")
    assert view.run.labels == {"suite": "nightly", "team": "camera", "build": "7"}
    assert [(job.job.model.name, job.job.delegate) for job in view.jobs] == [
        ("tiny_conv", "cpu"),
        ("tiny_conv", "xnnpack"),
        ("small_cnn", "cpu"),
        ("small_cnn", "xnnpack"),
    ]
    known = devbench("suite", "check", file).stdout
    assert "guess" not in known, "history knows now"
    assert "labels" in devbench("runs").stdout
    # Another model has no history: its jobs are guesses, the others are not.
    grown = file.read_text().replace("models = [", f'models = ["{DATA}/many_edges.tflite", ')
    file.write_text(grown)
    partly = devbench("suite", "check", file).stdout
    assert partly.count("(guess)") == 2
    assert "2 of 6 jobs have no earlier run" in partly


def test_a_model_with_another_hash_is_not_used(tmp_path: Path, address: str, adb_server_port: int) -> None:
    done = devbench("run", "--suite", write(tmp_path / "s.toml", address, "0" * 64))
    assert done.returncode == 3
    assert "is not the suite's" in done.stderr


def test_limits_tags_conditions_and_inputs_of_a_suite_reach_the_results(tmp_path: Path, adb_server_port: int) -> None:
    np.save(tmp_path / "minuend.npy", np.full((1, 6), 2.0, np.float32))
    file = tmp_path / "strict.toml"
    file.write_text(
        f'models = ["{DATA}/many_edges.tflite"]\ndevices = ["virtual"]\ndelegates = ["cpu"]\nrepetitions = 1\n'
        'profile = false\nnum_runs = 3\nmin_secs = 0\nwarmup_min_secs = 0\ntags = ["camera", "night"]\n'
        '[conditions]\nunreliable_retries = 0\ncool_down = 0\n[inputs]\nminuend = "minuend.npy"\n'
        "[accuracy.float32]\nleast_snr_db = 90\n[accuracy.int8]\nmost_steps = 1\n"
    )
    done = devbench("run", "--suite", file, "--no-report")
    assert done.returncode == 0, done.stdout + done.stderr
    with Store() as store:
        view = store.run("latest")
    assert view.run.labels == {"suite": "strict", "tags": "camera,night"}
    limits = {row["dtype"]: row["limits"] for row in view.jobs[0].repetitions[0].outputs}
    assert limits["float32"] == {"least_snr_db": 90, "least_cosine": 0.99}
    assert (limits["int8"], limits["uint8"], limits["int32"]) == (
        {"most_steps": 1},
        {"most_steps": 3},
        {"most_steps": 0},
    )


def test_history_is_that_of_the_same_threads_where_there_is_one(
    tmp_path: Path, address: str, adb_server_port: int
) -> None:
    file = write(tmp_path / "s.toml", address)
    assert devbench("run", "--suite", file, "--no-report").returncode == 0
    with Store() as store:
        model = store.run("latest").jobs[0].job.model.name
        known = store.typical_duration_s(model, "cpu")
        assert known is not None
        assert store.typical_duration_s(model, "cpu", case=f"{model} · cpu") == known
        assert store.typical_duration_s(model, "cpu", case=f"{model} · cpu · 4 threads") is None
        assert store.typical_duration_s(model, "gpu") is None


def test_what_is_measured_stands_in_one_place(tmp_path: Path, address: str, empty_adb_server: int) -> None:
    file = write(tmp_path / "s.toml", address)
    for words, said in ((["-r", "3"], "--repetitions with --suite"), (["x.tflite"], "models with --suite")):
        done = devbench("run", *words, "--suite", file)
        assert done.returncode == 2
        assert said in done.stderr
    nothing = devbench("run")
    assert nothing.returncode == 2
    assert "devbench run needs a model" in nothing.stderr


def test_the_schema_is_json() -> None:
    assert json.loads(devbench("suite", "schema").stdout)["title"] == "devbench suite"
