"""A verdict on a repetition: the cause, in a fixed order, and never a number under a delegate that did not run."""

from __future__ import annotations

from pathlib import Path

import pytest

from devbench.tool.case import Require
from devbench.tool.delegates import load_delegates
from devbench.tool.failures import classify
from devbench.tool.measurement import Failure, FailureKind
from devbench.tool.parse import parse_file, parse_text

LOGS = Path(__file__).parent / "logs"
DELEGATES = load_delegates()


def verdict(log: str, delegate: str = "cpu", exit_code: int | None = 0, require: Require = "any") -> Failure | None:
    return classify(parse_file(LOGS / log), delegate=DELEGATES[delegate], require=require, exit_code=exit_code)


def kind(log: str, delegate: str = "cpu", exit_code: int | None = 0, require: Require = "any") -> str | None:
    failure = verdict(log, delegate, exit_code, require)
    return failure.kind.value if failure else None


def test_a_good_run_is_no_failure() -> None:
    assert verdict("2.14-cpu.txt") is None
    assert verdict("2.14-xnnpack-full.txt", "xnnpack", require="full") is None
    assert verdict("2.14-gpu-partial.txt", "gpu") is None


@pytest.mark.parametrize(
    ("log", "exit_code", "expected"),
    [
        ("2.14-missing.txt", 1, "no_model"),
        ("2.14-bad.txt", 1, "invalid_model"),
        ("2.14-gpu-not-applied.txt", 1, "delegate_not_applied"),
        ("2.14-reqfull.txt", 1, "delegate_partly_applied"),
        ("2.14-elf.txt", 126, "binary_not_for_device"),
        ("2.14-missingbin.txt", 127, "binary_not_for_device"),
        ("2.14-crash.txt", 139, "crash"),
        ("2.14-killed.txt", 137, "killed"),
        ("2.14-failed-to-invoke.txt", 1, "failed_to_invoke"),
        ("2.14-inshape.txt", 1, "tool_error"),
    ],
)
def test_each_failure_of_the_stock_tool_has_its_kind(log: str, exit_code: int, expected: str) -> None:
    assert kind(log, "gpu", exit_code) == expected


def test_a_delegate_that_the_tool_never_mentions_was_not_applied() -> None:
    failure = verdict("2.14-cpu.txt", "gpu")
    assert failure is not None
    assert failure.kind is FailureKind.DELEGATE_NOT_APPLIED


def test_unconsumed_flags_count_before_the_missing_delegate() -> None:
    failure = verdict("2.14-unknown.txt", "gpu")
    assert failure == Failure(FailureKind.UNKNOWN_FLAG, "Unconsumed cmdline flags: --use_gpu --use_foo=true")


def test_a_part_of_the_graph_is_not_enough_where_all_was_required() -> None:
    failure = verdict("2.14-gpu-partial.txt", "gpu", require="full")
    assert failure is not None
    assert failure.kind is FailureKind.DELEGATE_PARTLY_APPLIED
    assert "9 of 180 nodes" in failure.message
    assert "TILE" in failure.message


def test_a_signal_counts_whatever_was_printed() -> None:
    assert kind("2.14-cpu.txt", exit_code=139) == "crash"
    assert kind("2.14-cpu.txt", exit_code=137) == "killed"
    assert kind("2.14-cpu.txt", exit_code=134) == "crash"


def test_an_exit_code_that_never_came_leaves_the_output_incomplete() -> None:
    assert kind("2.14-cpu.txt", exit_code=None) == "output_incomplete"
    cut = parse_text((LOGS / "2.14-cpu.txt").read_text()[:500])
    failure = classify(cut, delegate=DELEGATES["cpu"], require="any", exit_code=0)
    assert failure is not None
    assert failure.kind is FailureKind.OUTPUT_INCOMPLETE


def test_results_beside_a_bad_exit_code_are_no_results() -> None:
    assert kind("2.14-cpu.txt", exit_code=1) == "tool_error"


def test_a_nnapi_that_takes_nothing_was_not_applied() -> None:
    text = (LOGS / "2.14-cpu.txt").read_text()
    text += "INFO: Though GPU delegate is explicitly applied, the model graph will not be executed by the delegate.\n"
    failure = classify(parse_text(text), delegate=DELEGATES["gpu"], require="any", exit_code=0)
    assert failure is not None
    assert failure.kind is FailureKind.DELEGATE_NOT_APPLIED
    assert "will not be executed" in failure.message


def test_inferences_too_short_for_the_tools_clock_fail_only_where_their_latency_counts() -> None:
    measured = parse_text(
        "INFO: STARTING!\nINFO: count=1 curr=0\n"
        "INFO: Inference timings in us: Init: 443, First inference: 14, Warmup (avg): 14, Inference (avg): 0\n"
    )
    cpu = DELEGATES["cpu"]
    failure = classify(measured, delegate=cpu, require="any", exit_code=0)
    assert failure == Failure(
        FailureKind.OUTPUT_INCOMPLETE, "every inference took less than 1 µs, the tool's resolution"
    )
    assert classify(measured, delegate=cpu, require="any", exit_code=0, latency_needed=False) is None
    assert (measured.init_us, measured.first_inference_us) == (443, 14)
