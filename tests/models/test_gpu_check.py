"""What the rules say of single operators, and `devbench models inspect` and `gpu-check` as a person types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from devbench.cli.app import application
from devbench.errors import DevbenchError
from devbench.models.gpu.report import make_report
from devbench.models.gpu.rules import KNOWN
from devbench.models.graph.read import read_model
from tests.conftest import DATA
from tests.models.probe import Op, Tensor, build, constant, ints

CNN = DATA / "small_cnn.tflite"


def models(*words: object) -> Result:
    return CliRunner().invoke(application(), ["models", *map(str, words)])


def check(tmp_path: Path, *operators: Op) -> Any:
    path = tmp_path / "probe.tflite"
    path.write_bytes(build(list(operators)))
    return make_report(read_model(path), None, path=path)


X = (1, 8, 8, 4)
CASES = {
    "rank": (Op("ABS", [Tensor((1, 2, 2, 2, 4))], [Tensor((1, 2, 2, 2, 4))]), "cpu", ""),
    "version": (
        Op("SUB", [Tensor(X), Tensor(X)], [Tensor(X)], version=3, kind="SubOptions"), "cpu", "downgrade-versions",
    ),
    "gather-indices": (
        Op("GATHER", [constant((9, 4)), Tensor((1, 3), "INT32")], [Tensor((1, 3, 4))], kind="GatherOptions"),
        "cpu", "gather-to-conv",
    ),
    "unknown": (Op("FILL", [ints(2, 2), Tensor(())], [Tensor((2, 2))]), "cpu", ""),
    "program": (
        Op("FULLY_CONNECTED", [Tensor((1, 8)), constant((4, 8))], [Tensor((1, 4))], kind="FullyConnectedOptions"),
        "driver", "fc-one-row",
    ),
    "wrong-matmul-flag": (
        Op("BATCH_MATMUL", [Tensor((1, 2, 16, 8)), Tensor((1, 2, 16, 8))], [Tensor((1, 2, 16, 16))],
           kind="BatchMatMulOptions", options={"adjY": True}),
        "wrong", "attention-4d",
    ),
    "wrong-matmul-rows": (
        Op("BATCH_MATMUL", [Tensor((1, 2, 77, 8)), Tensor((1, 2, 8, 16))], [Tensor((1, 2, 77, 16))],
           kind="BatchMatMulOptions"),
        "wrong", "attention-4d",
    ),
    "wrong-widening": (
        Op("MUL", [Tensor((1, 8, 8, 1)), constant((32,))], [Tensor((1, 8, 8, 32))], kind="MulOptions"),
        "wrong", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_names_reason_and_fix(tmp_path: Path, rule: str) -> None:
    operator, effect, fix = CASES[rule]
    [refusal] = check(tmp_path, operator).refusals
    assert (refusal.rule.name, refusal.effect.value, refusal.fix) == (rule, effect, fix)
    assert refusal.detail and refusal.rule.says


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_an_operator_without_inputs_or_outputs_is_judged_too(tmp_path: Path, name: str) -> None:
    """A damaged model can have such an operator."""
    for inputs in ([], [None, None], [Tensor(X)], [Tensor(()), Tensor(()), Tensor(())]):
        for outputs in ([], [Tensor(X)], [Tensor(())]):
            report = check(tmp_path, Op(name, inputs, outputs))
            assert outputs or report.refusals


def test_what_is_taken_has_no_refusal(tmp_path: Path) -> None:
    operator = Op("CONV_2D", [Tensor(X), constant((8, 3, 3, 4)), constant((8,))], [Tensor((1, 8, 8, 8))],
                  kind="Conv2DOptions", options={"strideH": 1, "strideW": 1})  # fmt: skip
    report = check(tmp_path, operator)
    assert not report.refusals and report.estimate.complete


def test_inspect_counts_what_a_convolution_has(tmp_path: Path) -> None:
    path = tmp_path / "conv.tflite"
    operator = Op("CONV_2D", [Tensor(X), constant((8, 3, 3, 4)), constant((8,))], [Tensor((1, 8, 8, 8))],
                  kind="Conv2DOptions", options={"strideH": 1, "strideW": 1})  # fmt: skip
    path.write_bytes(build([operator]))
    said = json.loads(models("inspect", path, "--json").stdout)
    assert said["schema"] == "devbench.inspect/1" and said["operator_count"] == 1
    assert said["parameters"] == 8 * 3 * 3 * 4 + 8
    assert said["macs"] == 8 * 8 * 8 * 3 * 3 * 4
    assert said["weight_bytes"]["float32"] == 4 * said["parameters"]


def test_both_say_what_is_in_the_shipped_models() -> None:
    for path in (CNN, "demo"):
        shown = models("inspect", path).stdout
        assert "CONV_2D" in shown and "largest activations" in shown
        said = json.loads(models("gpu-check", path, "--json", "--no-analyzer").stdout)
        assert said["estimated"]["operators"] > 3 and said["rules_seen_on"].startswith("benchmark_model")
        assert "GPU (estimated)" in models("gpu-check", path, "--no-analyzer").stdout


@pytest.mark.campaign
def test_damaged_files_end_in_one_line(tmp_path: Path) -> None:
    whole, words = CNN.read_bytes(), np.random.default_rng(3)
    path = tmp_path / "damaged.tflite"
    for number in range(80):
        damaged = bytearray(whole)
        if number % 3 == 0:
            damaged = damaged[: int(words.integers(0, len(whole)))]
        else:
            for place in words.integers(0, len(whole), 6):
                damaged[place] = int(words.integers(0, 256))
        path.write_bytes(bytes(damaged))
        for command in (["inspect"], ["gpu-check", "--no-analyzer"]):
            done = models(*command, path)
            assert done.exit_code == 0 or isinstance(done.exception, DevbenchError), repr(done.exception)


def test_a_name_cannot_paint_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "odd.tflite"
    tensor = Tensor(X, name="\x1b[31m[bold]<script>\u202e")
    path.write_bytes(build([Op("ABS", [tensor], [Tensor(X)], kind="AbsOptions")]))
    shown = models("inspect", path).stdout
    assert "\x1b[31m" not in shown and "\u202e" not in shown and "[bold]<script>" in shown
