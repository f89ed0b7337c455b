"""Edges of the parser: limits, lists that end, cut rows, values at a bound, what a single line of the tool gives."""

from __future__ import annotations

from typing import Any

import pytest

from devbench.tool.measurement import DelegateUse, FailureKind, UnsupportedOp
from devbench.tool.parse import parse_bytes, parse_text, to_json
from devbench.tool.parse.log import parse_blocks
from devbench.tool.parse.pipeline_log import StageLog, parse_session
from devbench.tool.parse.problems import names_reason, specificity
from devbench.tool.parse.proto import _message_class, _result_class

H = "STARTING!\nGraph: [m.tflite]\nLoaded model m.tflite\n"
S = "Inference timings in us: Init: 11500, First inference: 35011, Warmup (avg): 31500.5, Inference (avg): 31100.2\n"
LIST = "Following operations are not supported by GPU delegate:\n"


def read(text: str) -> dict[str, Any]:
    return to_json(parse_text(text))


def profiling(**phases: list[tuple[str, str, int, int]]) -> Any:
    """A protobuf profile: by phase its operators as type, name, microseconds per call and calls."""
    message = _message_class("profiling_info_pb2", "BenchmarkProfilingData")(model_name="m.tflite")
    for phase, operators in phases.items():
        graph = getattr(message, phase).subgraph_profiles.add(subgraph_index=0)
        for order, (kind, name, micros, calls) in enumerate(operators):
            op = graph.per_op_profiles.add(node_type=kind, name=name, times_called=calls, run_order=order)
            op.inference_microseconds.avg = micros
    return message


# -- lists of refused operators -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("others", "ops"), [(99, ["SOFTMAX"]), (100, [])])
def test_a_list_of_refused_operators_ends_after_a_hundred_other_lines(others: int, ops: list[str]) -> None:
    text = H + LIST + "some words\n" * others + "SOFTMAX: no such kernel\n"
    assert [op.op for op in parse_text(text).unsupported_ops] == ops


def test_empty_lines_count_as_other_lines_of_a_list_and_a_row_begins_the_count_again() -> None:
    row = "SOFTMAX: no such kernel\n"
    assert parse_text(H + LIST + " \n" * 100 + row).unsupported_ops == ()
    between = "some words\n" * 99
    found = parse_text(H + LIST + between + "ADD: too large\n" + between + row)
    assert [op.op for op in found.unsupported_ops] == ["ADD", "SOFTMAX"]


def test_a_list_ends_with_the_next_step_of_the_tool_and_has_no_lines_with_a_level() -> None:
    assert parse_text(H + LIST + "count=1 curr=5\nSOFTMAX: no such kernel\n").unsupported_ops == ()
    assert parse_text(H + LIST + "INFO: SOFTMAX\nADD\n").unsupported_ops == (UnsupportedOp("ADD", ""),)


def test_an_operator_that_is_refused_alone_is_kept_if_its_line_is_whole() -> None:
    line = "Operator CONV_2D (v3) refused by NNAPI delegate: Operand has unsupported type"
    refused = (UnsupportedOp("CONV_2D", "Operand has unsupported type"),)
    assert parse_text(H + line + "\n" + S).unsupported_ops == refused
    assert parse_text(H + line + "\n" + S).warnings == ()
    assert parse_text(H + line).unsupported_ops == ()


def test_a_gpu_that_runs_no_operation_runs_none_of_all() -> None:
    found = parse_text(H + "No operations will run on the GPU, and all 31 operations will run on the CPU.\n" + S)
    assert found.delegates == (DelegateUse("GPU", "none", None, 0, 31),)


# -- single lines of the tool ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "Replacing 3 out of 5 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 2 partitions.",
        "Memory footprint delta from the start of the tool (MB): init=1.5 overall=2.5",
        "Number of nodes executed: 3",
        "Benchmarking failed.",
        "Unconsumed cmdline flags: --use_foo=true",
    ],
)
def test_a_single_line_of_the_tool_is_recognised(line: str) -> None:
    assert parse_text(f"{line}\n").recognised


def test_lines_that_begin_with_dashes_are_warnings_unless_they_are_the_help() -> None:
    assert parse_text(H + "-- error: the file was not found\n" + S).warnings == ("-- error: the file was not found",)
    assert parse_text(H + "\t--fail=true     \tbool\trequired\terror on failure\n" + S).warnings == ()


def test_a_delegate_that_was_taken_back_is_no_failure_to_prepare() -> None:
    node = "Node number 3 (ADD) failed to prepare.\n"
    failed = parse_text(H + node)
    assert failed.failure is not None
    assert failed.failure.kind is FailureKind.FAILED_TO_PREPARE
    restored = "Restored original execution plan after delegate application failure.\n"
    assert parse_text(H + node + restored).status == "incomplete"


def test_after_a_thousand_errors_of_others_those_in_the_last_fifty_lines_before_the_end_are_read() -> None:
    noise = "".join(f"my app: error number {n}\n" for n in range(1200))
    quiet = "the weather is fine\n" * 10
    said = "ERROR: Unable to reach the chip\n"
    end = quiet + "ERROR: Benchmarking failed.\n"
    found = parse_text(H + noise + said + end)
    assert found.failure is not None
    assert (found.failure.kind, found.failure.message) == (FailureKind.TOOL_ERROR, "Unable to reach the chip")
    later = "".join(f"my app: error number {n}\n" for n in range(39))
    assert parse_text(H + noise + said + later + end).failure == found.failure
    lost = parse_text(H + noise + said + later + "my app: one more error\n" + end).failure
    assert lost is not None
    assert lost.message == "Benchmarking failed."


def test_the_rest_of_a_line_that_is_too_long_is_skipped_up_to_its_end() -> None:
    text = (H + "x" * 50_000 + " Inference (avg): 1\n" + S).encode()
    for size in (700, 1 << 18):
        found = parse_blocks(text[at : at + size] for at in range(0, len(text), size))
        assert (found.status, found.inference_avg_us) == ("ok", 31100.2)


def test_lines_of_one_message_in_json_are_lines() -> None:
    found = read('{"log": "Graph: [a.tflite]\\ncount=50 first=5 curr=5 min=5 max=9 avg=6 std=1"}\n' + S)
    assert found["graph"] == "a.tflite"
    assert found["runs"]["count"] == 50


# -- values ---------------------------------------------------------------------------------------------------------


def test_milliseconds_have_six_digits_of_a_microsecond() -> None:
    found = parse_text("Model initialization: 1.23456789012 ms\nInference (avg): 2.5 ms (50 runs)\n")
    assert (found.init_us, found.inference_avg_us) == (1234.56789, 2500)


@pytest.mark.parametrize(("value", "status"), [("-0.5", "failed"), ("0", "ok"), ("0.5", "ok"), ("1e14", "failed")])
def test_a_latency_below_zero_or_of_years_is_a_failure(value: str, status: str) -> None:
    assert parse_text(H + S.replace("31100.2", value)).status == status


def test_how_specific_a_reason_is() -> None:
    assert specificity("No selector for ADD") == 3
    assert names_reason("No selector for ADD")
    assert specificity("MUL: Not supported") == 4
    assert specificity("something else") == 2
    assert not names_reason("something else")


# -- tables of operators --------------------------------------------------------------------------------------------


def test_rows_after_a_section_without_columns_have_no_start() -> None:
    rows = "CONV_2D 0.5 0.4 80% 80% 0 1 [a]:0\nADD 0.2 0.1 20% 100% 0 1 [b]:1\n"
    runs = read(f"============================== Run Order ==============================\n{rows}")["profile"]["runs"]
    assert [(op["type"], op["first_ms"], op["avg_ms"], op["node"]) for op in runs["ops"]] == [
        ("CONV_2D", 0.5, 0.4, 0),
        ("ADD", 0.2, 0.1, 1),
    ]


def test_rows_before_the_runs_heading_are_those_of_initialisation() -> None:
    table = (
        "============================== Run Order ==============================\n\t{}\t0.5\t0.4\t100%\t100%\t0\t1\tx\n"
    )
    text = table.format("OTHER") + "Operator-wise Profiling Info for Regular Benchmark Runs:\n" + table.format("ADD")
    profile = read(text)["profile"]
    assert [op["type"] for op in profile["init"]["ops"]] == ["OTHER"]
    assert [op["type"] for op in profile["runs"]["ops"]] == ["ADD"]


@pytest.mark.parametrize(
    ("row", "types"), [("\tADD\t2\t0.3\t50%\t50%\t0\t2", ["ADD"]), ("\tADD\t2\t0.3\t50%\t50%\t0", [])]
)
def test_a_row_by_type_has_seven_fields(row: str, types: list[str]) -> None:
    text = f"{'=' * 30} Summary by node type {'=' * 30}\n{row}\n{row}\t0\t0\n"
    runs = read(text).get("profile", {}).get("runs", {})
    assert [one["type"] for one in runs.get("by_type", [])] == types


# -- protobuf -------------------------------------------------------------------------------------------------------


def test_shares_of_a_protobuf_profile_count_every_call() -> None:
    operators = [
        ("ADD", "[a]:3", 100, 3),
        ("MUL", "[b]:500000000", 700, 1),
        ("ADD", "b:1000000001", 0, 0),
        ("SUB", "c", 0, 0),
    ]
    runs = read_proto(profiling(runtime_profile=operators))["runs"]
    assert [(op["name"], op.get("node"), op["pct"], op["cdf_pct"]) for op in runs["ops"]] == [
        ("[a]", 3, 30.0, 30.0),
        ("[b]", 500_000_000, 70.0, 100.0),
        ("b:1000000001", None, 0.0, 100.0),
        ("c", None, 0.0, 100.0),
    ]
    columns = ("type", "count", "avg_ms", "pct", "cdf_pct", "times_called")
    assert [tuple(row[column] for column in columns) for row in runs["by_type"]] == [
        ("MUL", 1, 0.7, 70.0, 70.0, 1),
        ("ADD", 2, pytest.approx(0.3), pytest.approx(30.0), 100.0, 3),
        ("SUB", 1, 0.0, 0.0, 100.0, 0),
    ]


def test_a_protobuf_profile_that_begins_like_text_is_read() -> None:
    message = profiling(runtime_profile=[("ADD", "[a]:3", 5, 1)])
    message.model_name = "m" * 4200
    found = parse_bytes(message.SerializeToString())
    assert found.graph == "m" * 4200
    assert found.profile_runs is not None


def test_a_result_file_may_have_times_below_a_millisecond_and_never_fewer_than_no_runs() -> None:
    message = _result_class()()
    message.latency.init, message.latency.avg, message.latency.first_inference = 0.5, 0.25, 0.75
    message.misc.num_runs, message.misc.num_warmup_runs = -5, -3
    found = parse_bytes(message.SerializeToString())
    assert (found.init_us, found.inference_avg_us, found.first_inference_us) == (500, 250, 750)
    assert found.runs is not None
    assert found.warmup is not None
    assert (found.runs.count, found.warmup.count) == (0, 0)


def read_proto(message: Any) -> dict[str, Any]:
    profile: dict[str, Any] = to_json(parse_bytes(message.SerializeToString()))["profile"]
    return profile


def test_operators_without_any_time_have_no_share() -> None:
    runs = read_proto(profiling(runtime_profile=[("ADD", "[a]:3", 0, 1)]))["runs"]
    assert "pct" not in runs["ops"][0]
    assert "cdf_pct" not in runs["ops"][0]
    assert "cdf_pct" not in runs["by_type"][0]


def test_a_protobuf_profile_may_have_one_phase_only_and_none_is_no_profile() -> None:
    assert set(read_proto(profiling(init_profile=[("ADD", "[a]:3", 5, 1)]))) == {"init"}
    assert set(read_proto(profiling(runtime_profile=[("ADD", "[a]:3", 5, 1)]))) == {"runs"}
    assert not parse_bytes(profiling().SerializeToString()).recognised


# -- pipelines ------------------------------------------------------------------------------------------------------


def test_a_stage_is_found_by_its_number() -> None:
    found = parse_session(["w 10.5 - begin", "w 11.0 0 start", "w 12.5 1 start"])
    assert found.stage(1) == StageLog(1, start_s=2.0)
    assert found.stage(5) == StageLog(5)
    assert found.began


def test_a_session_without_its_beginning_or_without_the_name_of_a_lost_mark() -> None:
    assert not parse_session(["w 11.0 0 start"]).began
    assert parse_session(["w 11.0 0 lost"]).lost is None
    assert parse_session(["w 11.0 0 lost ready", "w 12.0 1 lost go"]).lost == (0, "ready")


def test_a_sample_of_memory_has_at_most_a_petabyte() -> None:
    found = parse_session(["w 10.0 - begin", f"w 11.0 - memory 0:{1 << 40}:5:7 1:{(1 << 40) + 1}:6:8"])
    assert found.samples[0].pss_kb == {0: 1 << 40}
    assert found.samples[0].rss_kb == {0: 5, 1: 6}
    assert found.hwm_kb == {0: 7, 1: 8}
