"""devbench's own advice, followed on a bench phone: what gpu-check names is what gets a model on the delegate."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import BenchPhone
from tests.models.probe import Op, Tensor, build, constant

pytestmark = [pytest.mark.bench_phone, pytest.mark.timeout(600)]


def devbench(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "devbench.cli.app", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(autouse=True)
def tool(bench_phone: BenchPhone) -> None:
    assert devbench("binaries", "add", bench_phone.binary).returncode == 0


def run(model: Path, phone: BenchPhone, *words: object) -> subprocess.CompletedProcess[str]:
    return devbench(
        "run", model, "-d", phone.serial, "-D", "gpu", "--require", "full", "-r", "1", "--no-profile",
        "--cold-starts", "0", "--no-report", "--num-runs", "1", "--min-secs", "0", "--warmup-runs", "0", "-q", *words,
    )  # fmt: skip


def advice(model: object) -> list[str]:
    checked = json.loads(devbench("models", "gpu-check", model, "--json", "--no-analyzer").stdout)
    return sorted({refusal["fix"] for refusal in checked["refusals"] if refusal["fix"]})


def test_the_shipped_model_is_completely_delegated_after_the_advice(bench_phone: BenchPhone, tmp_path: Path) -> None:
    mobile = tmp_path / "demo.tflite"
    assert devbench("models", "rewrite", "demo", mobile, "--only", ",".join(advice("demo"))).returncode == 0
    done = run(mobile, bench_phone)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_model_with_an_operator_of_a_newer_runtime_loads_after_its_rewrite(
    bench_phone: BenchPhone, tmp_path: Path
) -> None:
    model, mobile = tmp_path / "new.tflite", tmp_path / "old.tflite"
    weights = Tensor((16, 32), "INT8", constant((16, 32), "INT8").data, scale=[0.01] * 16)
    layer = Op("FULLY_CONNECTED", [Tensor((1, 32)), weights], [Tensor((1, 16))], 12, "FullyConnectedOptions")
    model.write_bytes(build([layer]))
    assert advice(model) == ["fc-one-row"] and run(model, bench_phone).returncode != 0
    assert devbench("models", "rewrite", model, mobile).returncode == 0
    done = run(mobile, bench_phone)
    assert done.returncode == 0, done.stdout + done.stderr
