"""The parser on logs of every age: real ones of the stock tool 2.14, others as their versions print them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devbench.tool.parse import parse_file, parse_text, to_json

LOGS = Path(__file__).parent / "logs"
ALL = sorted(path for path in LOGS.iterdir() if path.suffix == ".txt")


def read(name: str) -> dict[str, Any]:
    return to_json(parse_file(LOGS / name))


def text(name: str) -> str:
    return (LOGS / name).read_text("utf-8")


def test_the_oldest_summary_gives_the_same_values() -> None:
    found = read("1.12.txt")
    assert found["status"] == "ok"
    assert found["graph"] == "/data/local/tmp/mobilenet_quant_v1_224.tflite"
    assert (found["init_us"], found["warmup_avg_us"], found["inference_avg_us"]) == (9933, 76605.9, 66767.6)
    assert found["warmup"] == {"count": 1, "curr_us": 76605}
    assert found["runs"]["std_us"] == 315


def test_a_profile_without_heading_is_that_of_the_runs() -> None:
    found = read("1.14-profile.txt")
    ops = found["profile"]["runs"]["ops"]
    assert [op["type"] for op in ops] == ["CONV_2D", "DEPTHWISE_CONV_2D"]
    assert ops[1]["start_ms"] == 4.27
    assert "node" not in ops[0]
    assert "init" not in found["profile"]
    assert found["profile"]["runs"]["by_type"][0]["count"] == 15
    assert found["runs"]["avg_us"] == 79760.9, "the statistics under the profile are not those of the runs"


def test_old_delegate_lines_peak_label_and_scientific_numbers() -> None:
    found = read("2.3-nnapi.txt")
    assert found["delegates"] == [
        {"name": "NNAPI", "applied": "partial", "kernels": 3, "nodes_delegated": 120, "nodes_total": 126}
    ]
    assert found["first_inference_us"] == 10293000
    assert found["memory"] == {"init_mb": 5.98438, "overall_mb": 48.4023}, "that label is not a peak"
    assert any("ANEURALNETWORKS_BAD_DATA" in line for line in found["warnings"])
    assert found["status"] == "ok"


def test_the_oldest_list_of_refused_operations() -> None:
    found = read("2.1-gpu.txt")
    assert found["unsupported_ops"][1] == {"op": "RESIZE_BILINEAR", "reason": "Bilinear resize with align_corners"}
    assert len(found["unsupported_ops"]) == 3
    assert found["delegates"] == [{"name": "GPU", "applied": "partial", "nodes_delegated": 5, "nodes_total": 19}]


def test_percentiles_and_a_delegate_section_of_its_own() -> None:
    found = read("2.19-percentiles.txt")
    assert (found["runs"]["p5_us"], found["runs"]["median_us"], found["runs"]["p95_us"]) == (8020, 8155, 8810)
    assert found["delegates"] == [{"name": "XNNPACK", "applied": "full", "nodes_delegated": 49, "nodes_total": 49}]
    assert found["memory"]["peak_mb"] == 15.3984
    runs = found["profile"]["runs"]
    assert [op["type"] for op in runs["ops"]] == ["TfLiteXNNPackDelegate", "SOFTMAX"]
    assert runs["ops"][1]["name"] == "[output, with a comma]"
    assert runs["ops"][1]["node"] == 50
    assert [op["type"] for op in runs["delegate_ops"]] == [
        "Convolution (NHWC, QC8) DWConv",
        "Convolution (NHWC, QC8) IGEMM",
    ]
    assert runs["nodes_executed"] == 2
    assert found["profile"]["init"]["ops"][0]["mem_kb"] == 2048.0


def test_a_real_gpu_run_gives_partition_refusals_and_profile() -> None:
    found = read("2.14-gpu-partial.txt")
    assert found["delegates"] == [
        {"name": "GPU", "applied": "partial", "kernels": 1, "nodes_delegated": 9, "nodes_total": 180}
    ]
    assert {"op": "SUB", "reason": "Max version supported: 2. Requested version 3."} in found["unsupported_ops"]
    runs = found["profile"]["runs"]
    assert len(runs["ops"]) == runs["nodes_executed"] == 63
    assert any(op["type"] == "mat_mul_as_convolution 2" for op in runs["delegate_ops"])
    assert found["memory"] == {"init_mb": 382.332, "overall_mb": 397.273, "peak_mb": 404.832}


def test_litert_2_is_told_apart_and_converted_to_microseconds() -> None:
    found = read("litert2.txt")
    assert found["tool"] == "litert"
    assert found["status"] == "ok"
    assert (found["init_us"], found["first_inference_us"], found["inference_avg_us"]) == (12340, 3210, 460)
    assert found["runs"] == {"count": 2112, "min_us": 410, "max_us": 1900, "avg_us": 460, "std_us": 50}
    assert found["warmup"] == {"count": 960, "first_us": 3210, "avg_us": 520}
    assert found["memory"] == {"init_mb": 10.5, "overall_mb": 14.25, "peak_mb": 31.75}


def test_litert_s_own_profile_has_no_heading_and_no_tabs() -> None:
    found = to_json(parse_text(text("litert-profiler.txt")))
    runs = found["profile"]["runs"]
    assert len(runs["ops"]) == runs["nodes_executed"] == 14
    assert runs["ops"][0]["type"] == "Delegate/Convolution (NHWC, F32) IGEMM"
    assert runs["ops"][0]["name"] == "[Delegate]"
    assert len(runs["by_type"]) == 9


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("2.14-missing.txt", "no_model", "Could not open 'nope.tflite'."),
        ("2.14-bad.txt", "invalid_model", "The model is not a valid Flatbuffer buffer"),
        ("2.14-badbool.txt", "tool_error", "Failed to parse flag 'use_gpu' against argv '--use_gpu=maybe'"),
        ("2.14-inshape.txt", "tool_error", "Input tensor #0 should have 4 dimensions!"),
        ("2.14-reqfull.txt", "delegate_partly_applied", "Disallowed CPU fallback detected."),
        (
            "2.14-gpu-not-applied.txt",
            "delegate_not_applied",
            "Failed to build program executable - Build program failureerror: /data/.cache/pocl/kcache/"
            "tempfile_NIbANm.cl:67:46: use of undeclared identifier 'smp_zero'",
        ),
        ("2.14-failed-to-invoke.txt", "failed_to_invoke", "Node number 31 (TfLiteXNNPackDelegate) failed to invoke."),
        ("2.14-crash.txt", "crash", "Segmentation fault"),
        ("2.14-killed.txt", "killed", "Killed"),
        ("2.14-elf.txt", "binary_not_for_device", "E: /bin/sh: ./elf: not executable: 3840-bit ELF file"),
        ("2.14-missingbin.txt", "binary_not_for_device", "E: /bin/sh: ./nope: inaccessible or not found"),
    ],
)
def test_each_failure_has_its_kind_and_the_tool_s_own_line(name: str, kind: str, message: str) -> None:
    found = read(name)
    assert found["status"] == "failed"
    assert found["failure"] == {"kind": kind, "message": message}
    assert "inference_avg_us" not in found


def test_unknown_flags_are_listed_though_the_run_went_well() -> None:
    found = read("2.14-unknown.txt")
    assert found["unknown_flags"] == ["--use_gpu", "--use_foo=true"]
    assert found["status"] == "ok"


def test_zero_of_a_phase_that_was_not_run_is_no_measurement() -> None:
    found = read("2.14-dry.txt")
    assert found["status"] == "ok"
    assert not {"inference_avg_us", "first_inference_us", "warmup_avg_us"} & set(found)
    assert found["runs"] == {"count": 0}
    assert "peak_mb" not in found["memory"]


def test_two_runs_in_one_text_give_the_last_complete_one() -> None:
    both = text("2.14-cpu.txt") + text("2.14-xnnpack-full.txt")
    found = to_json(parse_text(both))
    assert found["inference_avg_us"] == read("2.14-xnnpack-full.txt")["inference_avg_us"]
    assert "2 runs" in found["warnings"][0]
    cut = to_json(parse_text(text("2.14-cpu.txt") + text("2.14-xnnpack-full.txt")[:700]))
    assert cut["inference_avg_us"] == read("2.14-cpu.txt")["inference_avg_us"]


def test_a_lost_head_leaves_the_only_statistics_to_the_runs() -> None:
    tail = "count=50 first=78210 curr=76400 min=76400 max=78210 avg=76587.9 std=315\n\n"
    tail += (
        "Inference timings in us: Init: 855, First inference: 49060, Warmup (avg): 34825.1, Inference (avg): 33209.4\n"
    )
    found = to_json(parse_text(tail))
    assert found["runs"]["count"] == 50
    assert "warmup" not in found
    whole = "STARTING!\nInitialized session in 1ms.\ncount=1 curr=204738\n"
    assert to_json(parse_text(whole))["warmup"] == {"count": 1, "curr_us": 204738}


PREFIXES = [
    "I tflite  : ",
    "07-30 12:00:00.123  1234  1240 I tflite  : ",
    "2026-07-30 12:00:00.123  u0_a12  1234  1240 I tflite  : ",
    "I/tflite  ( 1234): ",
    "07-30 12:00:00.123 I/tflite  ( 1234): ",
    "I/tflite: ",
    "I( 1234) ",
    "I0730 12:00:00.123456  1234 benchmark_model.cc:77] ",
    "2026-07-30T12:00:00.1234567Z ",
    "[2026-07-30 12:00:00] ",
    "> ",
    '"',
    "phone:/data/local/tmp $ ",
    "\x1b[32m",
]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("name", ["1.12.txt", "2.14-gpu-partial.txt", "2.19-percentiles.txt"])
def test_what_stands_before_each_line_hides_nothing(prefix: str, name: str) -> None:
    lines = [prefix + line for line in text(name).splitlines()]
    found, bare = to_json(parse_text("\n".join(lines) + "\n")), read(name)
    found.pop("warnings", None)
    bare.pop("warnings", None)
    assert found == bare


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
@pytest.mark.parametrize("ending", ["\r\n", "\r\r\n"])
def test_windows_line_ends_change_nothing(path: Path, ending: str) -> None:
    raw = path.read_text("utf-8")
    assert to_json(parse_text(raw.replace("\n", ending))) == to_json(parse_text(raw))


def test_foreign_lines_in_between_change_nothing() -> None:
    lines = text("2.14-gpu-partial.txt").splitlines()
    mixed = "".join(f"{line}\nD vendor.foo: heartbeat 12345 count 7\n" for line in lines)
    found, bare = to_json(parse_text(mixed)), read("2.14-gpu-partial.txt")
    assert found == bare


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_text_cut_anywhere_gives_only_values_of_the_whole(path: Path) -> None:
    """A property: whatever a prefix of the text yields, the whole text yields the same there."""
    raw = path.read_text("utf-8")
    whole = to_json(parse_text(raw))
    step = max(1, len(raw) // 400)
    for end in range(0, len(raw), step):
        cut = to_json(parse_text(raw[:end]))
        for key in ("init_us", "first_inference_us", "warmup_avg_us", "inference_avg_us", "graph", "memory", "runs"):
            _contained(cut.get(key), whole.get(key), f"{key} after {end}")
        for phase, profile in cut.get("profile", {}).items():
            for rows in ("ops", "by_type", "delegate_ops"):
                known = whole["profile"][phase].get(rows, [])
                assert profile.get(rows, []) == known[: len(profile.get(rows, []))], f"{rows} after {end}"
        if cut["status"] == "ok":
            assert cut.get("inference_avg_us") == whole.get("inference_avg_us")


def _contained(part: Any, whole: Any, where: str) -> None:
    if part is None:
        return
    if isinstance(part, dict):
        for key, value in part.items():
            _contained(value, (whole or {}).get(key), f"{where}.{key}")
    else:
        assert part == whole, where


@pytest.mark.parametrize(
    "line",
    [
        "count=" + "9" * 200_000,
        "Graph: [" * 50_000,
        " " * 300_000 + "1.0",
        "\t" * 100_000,
        "a: " * 100_000,
        "[" * 200_000,
        "Replacing " * 50_000,
        "1 " * 100_000,
        "E/" * 100_000,
    ],
    ids=lambda line: line[:12],
)
@pytest.mark.timeout(10)
def test_hostile_lines_cost_no_time(line: str) -> None:
    head = "STARTING!\n============================== Run Order ==============================\n"
    found = to_json(parse_text(head + line + "\n" + line))
    assert found["status"] == "incomplete"


def test_numbers_that_are_none_are_left_out() -> None:
    found = to_json(parse_text("INFO: STARTING!\nINFO: count=2 first=1e999 curr=nan min=inf max=3 avg=-nan std=0\n"))
    assert found["warmup"] == {"count": 2, "max_us": 3, "std_us": 0}


def test_hostile_names_are_names_and_no_statements() -> None:
    evil = text("2.14-cpu.txt").replace(
        "Graph: [", "Graph: [Inference timings in us: Init: 1, Inference (avg): 2 count=9 curr=9 "
    )
    found = to_json(parse_text(evil))
    assert found["inference_avg_us"] == read("2.14-cpu.txt")["inference_avg_us"]
    assert found["runs"] == read("2.14-cpu.txt")["runs"]
