"""Files that change on the device or on this machine: what a run makes of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from devbench.adb.device import Device
from devbench.adb.server import AdbServer
from tests.conftest import DATA, connected_phone

MODEL = DATA / "small_cnn.tflite"
SHORT = [
    "-r", "1", "--no-profile", "--no-report", "--num-runs", "3", "--min-secs", "0", "--warmup-min-secs", "0",
    "--unreliable-retries", "0", "--cold-starts", "0",
]  # fmt: skip


def devbench(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "devbench.cli.app", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


def notices(file: Path) -> list[dict[str, object]]:
    found = json.loads(file.read_text())["notices"]
    return [one for one in found if one["kind"] == "depot_file_changed"]


def test_a_model_that_was_changed_in_the_depot_is_sent_again_and_the_run_says_so(
    tmp_path: Path, adb_server_port: int
) -> None:
    with connected_phone() as phone:
        run = ["run", MODEL, "-d", phone.address, "-D", "cpu", *SHORT, "--json", tmp_path / "r.json"]
        assert devbench(*run).returncode == 0
        assert notices(tmp_path / "r.json") == []
        job = json.loads((tmp_path / "r.json").read_text())["jobs"][0]
        remote = f"/data/local/tmp/devbench/sha256/{job['model']['sha256']}"
        Device(AdbServer(), phone.address).shell(f"printf XXXX 1<> {remote}", timeout_s=10, check=True)
        assert devbench(*run).returncode == 0
        (notice,) = notices(tmp_path / "r.json")
        assert (notice["subject"], notice["effect"]) == ("small_cnn.tflite", "information")


def test_a_model_that_is_changed_while_it_is_measured_makes_its_job_undecided(
    tmp_path: Path, adb_server_port: int
) -> None:
    tool = tmp_path / "benchmark_model"
    tool.write_text(
        '#!/bin/sh\n# devbench-virtual\nfor a in "$@"; do case $a in --graph=*) printf end >> "${a#*=}";; esac; done\n'
        'echo "Inference timings in us: Init: 1, First inference: 1, Warmup (avg): 1, Inference (avg): 5"\n'
    )
    tool.chmod(0o755)
    done = devbench(
        "run", MODEL, "-d", "virtual", "-D", "cpu", *SHORT, "--binary", tool, "--json", tmp_path / "r.json"
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (notice,) = notices(tmp_path / "r.json")
    assert (notice["subject"], notice["effect"], notice["job_number"]) == ("small_cnn", "undecided", 1)
