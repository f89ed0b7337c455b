"""The virtual tool: the stock tool's words and exit codes, and a true profile from LiteRT."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from devbench.tool.measurement import Measurement
from devbench.tool.parse import parse_bytes, parse_file
from devbench.virtual.benchmark_model.flags import FlagError, parse_flags
from devbench.virtual.benchmark_model.report import stat_line
from tests.conftest import DATA

TINY = DATA / "tiny_groupnorm.tflite"
UNET = Path(__file__).parents[2] / "devbench" / "models" / "data" / "small_unet.tflite"
SHORT = ("--num_runs=5", "--min_secs=0", "--warmup_min_secs=0")


def run(*flags: str, expect: int = 0) -> Measurement:
    done = subprocess.run(
        [sys.executable, "-m", "devbench.virtual.benchmark_model", *flags], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == expect, done.stderr
    return parse_bytes(done.stdout + done.stderr)


def test_a_run_says_everything_that_the_stock_tool_says() -> None:
    found = run(f"--graph={TINY}", "--use_xnnpack=true", *SHORT, "--report_peak_memory_footprint=true")
    assert found.status == "ok"
    assert found.graph == str(TINY)
    assert found.init_us
    assert found.first_inference_us
    assert found.runs is not None
    assert found.runs.count == 5
    assert None not in (found.runs.p5_us, found.runs.median_us, found.runs.p95_us)
    assert found.memory.peak_mb
    assert [use.name for use in found.delegates] == ["XNNPACK"]


def test_xnnpack_s_partitions_are_those_that_litert_made() -> None:
    use = run(f"--graph={UNET}", "--use_xnnpack=true", *SHORT).delegates[0]
    assert (use.applied, use.kernels, use.nodes_delegated, use.nodes_total) == ("partial", 3, 178, 180)


def test_the_profile_holds_every_operator_once_and_adds_up_to_the_latency() -> None:
    found = run(f"--graph={UNET}", "--use_xnnpack=false", "--enable_op_profiling=true", "--num_runs=20", "--min_secs=0")
    profile = found.profile_runs
    assert profile is not None
    assert len(profile.ops) == profile.nodes_executed == 180
    assert [op.node for op in profile.ops] == list(range(180))
    assert profile.ops[0].name == "[functional_1/conv2d_1/convolution1]"
    total_us = sum(op.avg_ms or 0 for op in profile.ops) * 1000
    assert found.inference_avg_us is not None
    assert 0.7 < total_us / found.inference_avg_us <= 1.02


def test_xnnpack_s_own_operators_are_rows_inside_the_delegate() -> None:
    profile = run(f"--graph={UNET}", "--use_xnnpack=true", "--enable_op_profiling=true", *SHORT).profile_runs
    assert profile is not None
    assert {op.type for op in profile.ops if op not in profile.delegate_ops} == {"TILE"}
    assert any(op.type == "Convolution (NHWC, F32) IGEMM" for op in profile.delegate_ops)


def test_the_csv_profile_is_the_text_s(tmp_path: Path) -> None:
    run(
        f"--graph={TINY}",
        "--use_xnnpack=false",
        "--enable_op_profiling=true",
        f"--profiling_output_csv_file={tmp_path / 'p.csv'}",
        *SHORT,
    )
    profile = parse_file(tmp_path / "p.csv").profile_runs
    assert profile is not None
    assert len(profile.ops) == 15


def test_outputs_are_written_and_the_same_under_both_kernels(tmp_path: Path) -> None:
    import numpy as np

    for name, flag in (("cpu", "false"), ("xnnpack", "true")):
        run(f"--graph={UNET}", f"--use_xnnpack={flag}", f"--output_filepath={tmp_path / name}", *SHORT)
    cpu, xnnpack = (np.fromfile(tmp_path / name, np.float32) for name in ("cpu", "xnnpack"))
    assert cpu.size == 32 * 32 * 4
    assert np.allclose(cpu, xnnpack, atol=1e-3)


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        (("--graph=/none.tflite",), "no_model"),
        ((), "no_model"),
        ((f"--graph={__file__}",), "invalid_model"),
        ((f"--graph={TINY}", "--num_runs=many"), "tool_error"),
        ((f"--graph={UNET}", "--use_xnnpack=true", "--require_full_delegation=true"), "delegate_partly_applied"),
        (("--help",), "tool_error"),
    ],
)
def test_failures_are_the_stock_tool_s(flags: tuple[str, ...], kind: str) -> None:
    found = run(*flags, expect=1)
    assert found.failure is not None
    assert found.failure.kind.value == kind


def test_unknown_flags_are_warned_about_and_ignored() -> None:
    found = run(f"--graph={TINY}", "--use_nnapi=true", "--use_xnnpack", "--use_hexagon=true", *SHORT)
    assert found.unknown_flags == ("--use_nnapi=true", "--use_xnnpack", "--use_hexagon=true")
    assert found.status == "ok"


def test_flags_are_parsed_as_the_stock_tool_parses_them() -> None:
    flags = parse_flags(["--use_xnnpack=1", "--num_runs=7", "--graph=a=b", "x"], gpu=False)
    assert (flags.yes("use_xnnpack"), flags.whole("num_runs"), flags.text("graph")) == (True, 7, "a=b")
    assert flags.unconsumed == ("x",)
    with pytest.raises(FlagError, match="Failed to parse flag 'use_xnnpack' against argv '--use_xnnpack=maybe'"):
        parse_flags(["--use_xnnpack=maybe"], gpu=False)


def test_statistics_are_printed_as_the_stock_tool_does() -> None:
    assert stat_line([]) == "count=0"
    assert stat_line([7]) == "count=1 curr=7"
    assert stat_line([4050, 3534, 3600]) == (
        "count=3 first=4050 curr=3600 min=3534 max=4050 avg=3728 std=229 p5=3534 median=3600 p95=4050"
    )
