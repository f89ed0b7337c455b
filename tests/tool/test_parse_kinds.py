"""Kinds of text that people keep and paste: pages, lists, other systems' prefixes, tables in parts, failing operators."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from devbench.tool.parse import parse_bytes, parse_text, to_json

LOGS = Path(__file__).parent / "logs"
H = "STARTING!\nGraph: [m.tflite]\nLoaded model m.tflite\nInitialized session in 11.5ms.\n"
W = "count=16 first=35011 curr=31234 min=30911 max=35011 avg=31500.5 std=1001\n"
R = "count=50 first=31011 curr=31299 min=30811 max=33011 avg=31100.2 std=301\n"
S = "Inference timings in us: Init: 11500, First inference: 35011, Warmup (avg): 31500.5, Inference (avg): 31100.2\n"
M = "Memory footprint delta from the start of the tool (MB): init=5.5 overall=12.25\n"
GOOD = H + "Running benchmark for at least 1 iterations\n" + W + R + S + M


def read(text: str) -> dict[str, Any]:
    return to_json(parse_text(text))


def body(found: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key != "warnings"}


# -- around a line ----------------------------------------------------------------------------------------------------

AROUND = {
    "code": ("`", "`"),
    "list": ("- ", ""),
    "star": ("* ", ""),
    "plus": ("  + ", ""),
    "numbered": ("12. ", ""),
    "bullet": ("\u2022 ", ""),
    "list of code": ("- `", "`"),
    "quoted list of code": ("> * `", "`  "),
    "bold": ("**", "**"),
    "cell": ("| ", " |"),
    "paragraph": ("<p>", "</p>"),
    "break": ("", "<br>"),
    "break with slash": ("", "<br />"),
    "item": ("<li>", "</li>"),
    "item of code": ('  <li class="x"><code>', "</code></li>"),
    "row": ("<tr><td>", "</td></tr>"),
    "span": ('<span style="color: #fff">', "</span>"),
    "pre": ("<pre>", "</pre>"),
    "backslash": ("", "\\"),
    "windows path": ("INFO: [.\\litert\\tools\\benchmark_litert_model.h:63] ", ""),
    "windows drive": ("INFO: [C:\\src\\litert\\tools\\benchmark_litert_model.h:63] ", ""),
    "windows path and line in brackets": ("[.\\litert\\tools\\x.cc(63)] ", ""),
    "path": ("INFO: [litert/tools/benchmark_litert_model.h:63] ", ""),
    "glog with a windows path": ("I0730 12:00:00.123456  1234 litert\\tools\\x.cc:77] ", ""),
    "abseil before its start": ("I0000 00:00:1712345678.123456    1234 benchmark_litert_model.h:77] ", ""),
    "device farm": (
        "[01/May/2024:05:54:09 +10:00: profiler/info] [job_id: jabc123] [model.tflite] [tflite] ", "",
    ),
    "android studio without a date": ("13:52:45.328 20824-20847 tflite                                 I  ", ""),
    "android studio from the package on": ("org.tensorflow.lite.benchmark        I  ", ""),
    "logcat without process and thread": ("06-08 12:09:32.317 I tflite        : ", ""),
    "ios": ("2020-10-28 14:41:14.151361+0800 TFLiteBenchmark[3921:935759] ", ""),
    "docker": ('{"log":"', '\\n","stream":"stdout","time":"2024-01-02T10:11:12.345678901Z"}'),
}  # fmt: skip


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
@pytest.mark.parametrize("name", ["1.12.txt", "2.19-percentiles.txt"])
def test_what_people_paste_around_a_line_hides_nothing(around: tuple[str, str], name: str) -> None:
    text = (LOGS / name).read_text("utf-8")
    before, behind = around
    if "log" in before:
        lines = [before + json.dumps(line)[1:-1] + behind for line in text.splitlines()]
    else:
        lines = [before + line + behind for line in text.splitlines()]
    assert body(read("\n".join(lines) + "\n")) == body(read(text))


def test_a_page_without_line_ends_is_read() -> None:
    assert body(read("<p>" + GOOD.replace("\n", "<br>") + "</p>\n")) == body(read(GOOD))


def test_entities_of_a_page_are_read() -> None:
    text = "STARTING!\nGraph: [a&amp;b.tflite]<br>\n&gt; " + R + "&gt; <b>Inference timings in us:</b> " + S[25:]
    found = read(text)
    assert (found["graph"], found["inference_avg_us"]) == ("a&b.tflite", 31100.2)


def test_escaped_brackets_of_markdown_are_read() -> None:
    assert read(GOOD.replace("[m.tflite]", "\\[my\\_model.tflite\\]"))["graph"] == "my_model.tflite"


def test_output_as_python_shows_bytes_is_read() -> None:
    assert body(read(repr(GOOD.encode()) + "\n")) == body(read(GOOD))


def test_a_windows_path_of_the_model_stays_as_it_is() -> None:
    assert read(GOOD.replace("[m.tflite]", "[C:\\models\\new\\m.tflite]"))["graph"] == "C:\\models\\new\\m.tflite"


def test_a_first_line_behind_the_command_begins_a_run() -> None:
    found = read(GOOD + "$ ./benchmark_model --num_threads=4" + GOOD.replace("31100.2", "200.5"))
    assert found["inference_avg_us"] == 200.5
    assert "2 runs" in found["warnings"][0]


# -- tables in parts --------------------------------------------------------------------------------------------------

COLUMNS = "\t[node type]\t[first]\t[avg ms]\t[%]\t[cdf%]\t[mem KB]\t[times called]\t[Name]\n"
ROWS = (
    "\tCONV_2D\t4.269\t4.269\t10.000%\t10.000%\t0.000\t1\t[a]:0\n"
    "\tSOFTMAX\t1.000\t38.421\t90.000%\t100.000%\t0.000\t1\t[b]:1\n"
)
BY_TIME = (
    "\tSOFTMAX\t1.000\t38.421\t90.000%\t90.000%\t0.000\t1\t[b]:1\n"
    "\tCONV_2D\t4.269\t4.269\t10.000%\t100.000%\t0.000\t1\t[a]:0\n"
)
TYPES = (
    "\t[node type]\t[count]\t[avg ms]\t[avg %]\t[cdf %]\t[mem KB]\t[times called]\n"
    "\tSOFTMAX\t1\t38.421\t90.000%\t90.000%\t0.000\t1\n\tCONV_2D\t1\t4.269\t10.000%\t100.000%\t0.000\t1\n"
)


@pytest.mark.parametrize(
    "text",
    [
        COLUMNS + ROWS,
        COLUMNS + ROWS + "\n" + COLUMNS + BY_TIME,
        ROWS,
        ROWS + "\n" + BY_TIME,
        COLUMNS + ROWS.replace("\t", "    "),
        ROWS.replace("\t", "    "),
        "node type, first, avg_ms, %, cdf%, mem KB, times called, name\n"
        "CONV_2D, 4.269, 4.269, 10%, 10%, 0, 1, [a]:0\nSOFTMAX, 1, 38.421, 90%, 100%, 0, 1, [b]:1\n",
        "CONV_2D, 4.269, 4.269, 10%, 10%, 0, 1, [a]:0\nSOFTMAX, 1, 38.421, 90%, 100%, 0, 1, [b]:1\n",
    ],
)
def test_a_table_without_its_heading_is_that_of_the_run_order(text: str) -> None:
    ops = read(H + text)["profile"]["runs"]["ops"]
    assert [(op["type"], op["name"], op["node"], op["avg_ms"]) for op in ops] == [
        ("CONV_2D", "[a]", 0, 4.269),
        ("SOFTMAX", "[b]", 1, 38.421),
    ]


def test_a_row_of_a_table_without_heading_may_have_a_start() -> None:
    row = "  CONV_2D   0.000   4.269   4.269   100.000%   100.000%   0.000   1   [a]:0\n"
    assert read(row)["profile"]["runs"]["ops"][0]["start_ms"] == 0


def test_the_summary_by_type_is_told_by_its_columns() -> None:
    runs = read("Number of nodes executed: 2\n" + TYPES)["profile"]["runs"]
    assert [row["type"] for row in runs["by_type"]] == ["SOFTMAX", "CONV_2D"]
    assert runs["nodes_executed"] == 2


def test_the_middle_of_a_table_is_no_table() -> None:
    assert "profile" not in read(H + ROWS.splitlines()[1] + "\n")


def test_the_number_of_nodes_without_a_table_is_read() -> None:
    assert read(GOOD + "Number of nodes executed: 64\n")["profile"] == {"runs": {"nodes_executed": 64}}


# -- failures ---------------------------------------------------------------------------------------------------------

PREPARE = (
    "ERROR: tensorflow/lite/kernels/x.cc:40 axis was not true.\nERROR: Node number 5 (EXPAND_DIMS) failed to prepare.\n"
)
INVOKE = "ERROR: gather index out of bounds\nERROR: Node number 17 (GATHER) failed to invoke.\n"


def test_failed_to_prepare_is_a_kind_of_its_own() -> None:
    text = (
        "STARTING!\nGraph: [m.tflite]\n" + PREPARE + "ERROR: Failed to allocate tensors!\nERROR: Benchmarking failed.\n"
    )
    assert read(text)["failure"] == {
        "kind": "failed_to_prepare", "message": "Node number 5 (EXPAND_DIMS) failed to prepare.",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (INVOKE, "failed_to_invoke"),
        (PREPARE, "failed_to_prepare"),
        ("ERROR: x.cc:1 a != b (3 != 1)Node number 11 (CONCATENATION) failed to prepare.Node number 29 (WHILE) failed to invoke.\n",
         "failed_to_prepare"),
        ("E tflite  : Node number 256 (DELEGATE) failed to invoke.\n", "failed_to_invoke"),
        ("tensorflow/contrib/lite/kernels/conv.cc:201 filter->type != data_type (3 != 1)\nNode 1 failed to prepare.\n",
         "failed_to_prepare"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("rest", ["", W + R + S, "Benchmarking failed.\n"])
def test_an_old_tool_that_goes_on_after_a_failing_operator_has_no_latency(line: str, kind: str, rest: str) -> None:
    found = read(H + "Running benchmark for at least 1 iterations\n" + line * 3 + rest)
    assert (found["status"], found["failure"]["kind"]) == ("failed", kind)


def test_a_delegate_that_could_not_be_prepared_and_was_taken_back_is_no_failure_of_the_run() -> None:
    text = (
        "STARTING!\nGraph: [m.tflite]\nERROR: Node number 31 (TfLiteGpuDelegateV2) failed to prepare.\n"
        "ERROR: Restored original execution plan after delegate application failure.\nInitialized session in 1ms.\n"
    )
    assert read(text + W + R + S)["status"] == "ok"
    errors = "ERROR: Node number 31 (X) failed to prepare.\nERROR: Restored original execution plan after delegate\n"
    assert read(GOOD + errors)["status"] == "ok", "the errors of a stream that was kept behind the other"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("ERROR: [.\\litert\\tools\\benchmark_litert_model.h:301] Run failed", "failed_to_invoke"),
        ("ERROR: Failed to invoke the compiled model", "failed_to_invoke"),
        ("ERROR: Requesting full delegation and CPU acceleration are incompatible.", "delegate_partly_applied"),
    ],
)
def test_litert_s_own_failures(line: str, kind: str) -> None:
    assert read(H + line + "\nBenchmarking failed.\n")["failure"]["kind"] == kind


DELEGATE_FAILS = (
    "INFO: Created 0 GPU delegate kernels.\nERROR: TfLiteGpuDelegate Prepare: delegate is not initialized\n"
    "ERROR: Node number 42 (TfLiteGpuDelegateV2) failed to prepare.\n"
    "ERROR: Restored original execution plan after delegate application failure.\nERROR: Failed to apply GPU delegate.\n"
)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("ERROR: TfLiteGpuDelegate Init: BATCH_MATMUL: Not supported batched mat mul case\n",
         "TfLiteGpuDelegate Init: BATCH_MATMUL: Not supported batched mat mul case"),
        ("ERROR: No selector for floor\nERROR: Falling back to OpenGL\nERROR: TfLiteGpuDelegate Init: OpenGL-based API disabled\n",
         "No selector for floor"),
        ("ERROR: Can't open OpenCL library on this device - dlopen failed\nERROR: Falling back to OpenGL\n"
         "ERROR: TfLiteGpuDelegate Init: MEAN: Unsupported axes\n", "TfLiteGpuDelegate Init: MEAN: Unsupported axes"),
        ("ERROR: Can't open OpenCL library on this device - dlopen failed\nERROR: Falling back to OpenGL\n"
         "ERROR: TfLiteGpuDelegate Init: OpenGL-based API disabled\n", "Can't open OpenCL library on this device - dlopen failed"),
        ("ERROR: TfLiteGpuDelegate Init: OpenGL-based API disabled\n", "TfLiteGpuDelegate Init: OpenGL-based API disabled"),
        ("W tflite  : TfLiteGpuDelegate Init: MUL: Dimension can not be reduced to linear.\n",
         "TfLiteGpuDelegate Init: MUL: Dimension can not be reduced to linear."),
    ],
)  # fmt: skip
def test_the_reason_of_a_delegate_is_the_most_specific_line(lines: str, reason: str) -> None:
    found = read("STARTING!\nGraph: [m.tflite]\n" + lines + DELEGATE_FAILS + "ERROR: Benchmarking failed.\n")
    assert found["failure"] == {"kind": "delegate_not_applied", "message": reason}


@pytest.mark.parametrize(
    "line",
    [
        "[dispatch_delegate.cc:122] Failed to create a dispatch delegate kernel: No usable Dispatch runtime found",
        "Failed to create litert::ml_drift::DelegateKernelLiteRt: INVALID_ARGUMENT: Shape mismatch",
    ],
)
def test_litert_s_delegate_that_cannot_be_made_is_one_that_was_not_applied(line: str) -> None:
    text = f"STARTING!\nERROR: {line}\nERROR: [x.cc:1] Failed to compile model.\nERROR: Benchmarking failed.\n"
    found = read(text)["failure"]
    assert found["kind"] == "delegate_not_applied"
    assert found["message"] == line.partition("] ")[2] or found["message"] == line
    assert read(text.replace("ERROR: Benchmarking failed.", "") + W + R + S)["status"] == "ok", "the CPU took over"


def test_the_cause_of_another_error_is_more_than_the_news_of_it() -> None:
    text = "STARTING!\nERROR: Input tensor #0 should have 4 dimensions!\nERROR: Failed to allocate tensors!\nERROR: Benchmarking failed.\n"
    assert read(text)["failure"]["message"] == "Input tensor #0 should have 4 dimensions!"


# -- zero and impossible durations ------------------------------------------------------------------------------------


def test_zero_of_a_phase_that_was_not_run_is_no_measurement() -> None:
    found = read(
        H
        + "count=0\n"
        + R
        + "Inference timings in us: Init: 0, First inference: 0, Warmup (avg): 0, Inference (avg): 5\n"
    )
    assert not {"init_us", "first_inference_us", "warmup_avg_us"} & set(found)
    assert (found["status"], found["inference_avg_us"]) == ("ok", 5)
    litert = read("STARTING!\nModel initialization: 12.34 ms\nWarmup (first):       0.00 ms\nWarmup (avg):         0.00 ms (0 runs)\n"
                  "Inference (avg):      0.00 ms (0 runs)\nNo inference runs were performed.\n")  # fmt: skip
    assert litert["init_us"] == 12340
    assert not {"first_inference_us", "warmup_avg_us", "inference_avg_us"} & set(litert)
    assert litert["status"] == "ok"


def test_what_litert_cut_to_zero_is_taken_from_its_own_count() -> None:
    text = (
        H
        + W
        + R.replace("31100.2", "3.25")
        + "Inference (avg):      0.00 ms (2112 runs)\nInference (min):      0.00 ms\n"
    )
    assert read(text)["inference_avg_us"] == 3.25


@pytest.mark.parametrize("value", ["-22800", "-22.8", "1e300", "-1e3", "1e15"])
def test_a_latency_that_cannot_be_is_no_measurement(value: str) -> None:
    found = read(
        H + W + f"Inference timings in us: Init: 1, First inference: 2, Warmup (avg): 3, Inference (avg): {value}\n"
    )
    assert found["status"] == "failed"
    assert value in found["failure"]["message"]
    assert "inference_avg_us" not in found
    litert = read(f"STARTING!\nModel initialization: 12.34 ms\nInference (avg):      {value} ms (10 runs)\n")
    assert litert["status"] == "failed"
    assert "inference_avg_us" not in litert


def test_digits_that_are_not_ascii_are_no_numbers() -> None:
    found = read(
        H
        + "count=\u0665 first=\u00b2 curr=1\nReplacing \u0663 out of \u0665 node(s) with delegate (X) node, yielding 1 partitions\n"
    )
    assert found["status"] == "incomplete"
    assert "runs" not in found
    assert "warmup" not in found


# -- what is no output of the tool ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [b"", b"\n" * 5000, b"hello world\n" * 50, b"error: something failed\n" * 50, b"\x00" * 5000, b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20,
     base64.b64encode(bytes(range(256)) * 40), b"count the sheep; inference is fun\n", b"50% 60%\n"],
    ids=lambda data: repr(data[:12]),
)  # fmt: skip
def test_text_without_a_line_of_the_tool_is_not_recognised(data: bytes) -> None:
    measured = parse_bytes(data)
    assert not measured.recognised
    assert "recognised" not in to_json(measured)


@pytest.mark.parametrize("text", ["STARTING!\n", "STARTING!", "Graph: [m.tflite]\n", "INFO: Loaded model x\n", W, R, S])
def test_a_log_that_is_cut_is_recognised(text: str) -> None:
    assert parse_text(text).recognised


# -- the oldest forms -------------------------------------------------------------------------------------------------


def test_the_first_apk_puts_the_memory_right_behind_the_latency() -> None:
    line = (
        "01-02 10:11:12.345  1234  1234 E tflite  : Average inference timings in us: Warmup: 91471, Init: 4108, "
        "Inference: 80660.1Overall max resident set size = 24.5 MB, total malloc-ed size = 0 MB\n"
    )
    found = read(line)
    assert (found["inference_avg_us"], found["warmup_avg_us"], found["memory"]) == (
        80660.1,
        91471,
        {"overall_mb": 24.5},
    )


def test_the_first_tool_puts_the_latency_first() -> None:
    found = read("Average inference timings in us: 80660 , Warmup: 91471, \n")
    assert (found["status"], found["inference_avg_us"], found["warmup_avg_us"]) == ("ok", 80660, 91471)


def test_equal_times_are_marked_by_the_tool_and_read() -> None:
    text = H + "INFO: count=10 curr=30(all same) p5=30 median=30 p95=30\n" + R + S
    assert read(text)["warmup"] == {"count": 10, "curr_us": 30, "p5_us": 30, "median_us": 30, "p95_us": 30}


@pytest.mark.parametrize(
    "summary",
    [
        S.replace(", ", ",\n    ").replace("us: ", "us:\n    "),
        S.replace(", ", "\n    ").replace("us: ", "us:\n\n    "),
        S.replace("Inference (avg): ", "\nInference (avg): "),
    ],
)
def test_a_summary_that_somebody_broke_into_lines_is_read(summary: str) -> None:
    assert body(read(H + W + R + summary + M)) == body(read(H + W + R + S + M))


# -- several runs, sums of runs ---------------------------------------------------------------------------------------

OPTIONS = (
    "\n==============Summary of All Runs w/ Different Performance Options==============\n"
    "INFO:           cpu w/ 4 threads: count=50 first=34893 curr=33267 min=30791 max=37476 avg=33904.9 std=1780\n"
    "INFO: cpu w/ 4 threads (xnnpack): count=50 first=43192 curr=38624 min=33059 max=48052 avg=39220.2 std=2730\n"
)


def test_the_sum_of_all_runs_with_other_options_gives_its_first_row_where_the_runs_are_lost() -> None:
    found = read(OPTIONS)
    assert (found["status"], found["inference_avg_us"], found["runs"]["count"]) == ("ok", 33904.9, 50)
    assert "cpu w/ 4 threads" in found["warnings"][0]
    assert body(read(GOOD + OPTIONS)) == body(read(GOOD))


def test_many_runs_are_read_without_keeping_them() -> None:
    found = read(GOOD * 300 + H)
    assert found["inference_avg_us"] == 31100.2
    assert found["warnings"][0].startswith("301 runs of the tool in one text: this is number 300")
