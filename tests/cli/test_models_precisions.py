"""`devbench models precisions` as a person types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "devbench" / "models" / "data" / "small_unet.tflite"


def precisions(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "devbench.cli.app", "models", "precisions", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.converter
def test_size_memory_and_error_stand_in_one_table(tmp_path: Path) -> None:
    pytest.importorskip("litert_quantizer", reason="int8 weights need the extra `models`")
    model = tmp_path / "unet.tflite"
    model.write_bytes(DEMO.read_bytes())
    done = precisions(model, "--json")
    assert done.returncode == 0, done.stderr
    [found] = json.loads(done.stdout)["models"]
    rows = {row["weights"]: row for row in found["precisions"]}
    assert [row["to_weight_only"] is None for row in found["precisions"]] == [True, True, True, False]
    # Weight-only and dynamic int8 have the same weights: what differs is the activations.
    assert 0 < rows["dynamic int8"]["to_weight_only"] < 0.2
    assert list(rows) == ["as it is", "fp16", "weight-only int8", "dynamic int8"]
    sizes = [row["size_bytes"] for row in rows.values()]
    assert sizes[0] == model.stat().st_size and sizes[1] < 0.6 * sizes[0] and sizes[2] < 0.6 * sizes[1]
    assert rows["as it is"]["relative"] == 0 and 0 < rows["fp16"]["relative"] < rows["dynamic int8"]["relative"] < 0.2
    assert all(row["peak_bytes"] > row["size_bytes"] and row["run_s"] > 0 for row in rows.values())
    assert [path.name for path in tmp_path.iterdir()] == ["unet.tflite"]


def test_a_file_that_is_none_is_one_line(tmp_path: Path) -> None:
    done = precisions(tmp_path / "no.tflite")
    assert done.returncode == 2 and "does not exist" in done.stderr and len(done.stderr.splitlines()) == 1
