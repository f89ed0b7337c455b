"""The parser on texts that tempt it: foreign lines with the tool's words, torn rows, lost heads, wrapped and merged logs."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from devbench.tool.parse import parse_bytes, parse_text, to_json
from tests.calls import calls_of

LOGS = Path(__file__).parent / "logs"
H = "STARTING!\nGraph: [m.tflite]\nLoaded model m.tflite\n"
W = "count=16 first=35011 curr=31234 min=30911 max=35011 avg=31500.5 std=1001\n"
R = "count=50 first=31011 curr=31299 min=30811 max=33011 avg=31100.2 std=301\n"
S = "Inference timings in us: Init: 11500, First inference: 35011, Warmup (avg): 31500.5, Inference (avg): 31100.2\n"


def read(text: str) -> dict[str, Any]:
    return to_json(parse_text(text))


def test_microseconds_are_never_taken_for_litert_s_milliseconds() -> None:
    cut = read("p (avg): 31500.5, Inference (avg): 31100.2\n")
    assert cut["tool"] == "tflite"
    assert cut.get("inference_avg_us") in (None, 31100.2)
    foreign = read(H + W + R + "05-31 10:31:14.022  1000  1111 I MyApp: Warmup (avg): 12\n" + S)
    assert (foreign["tool"], foreign["warmup_avg_us"]) == ("tflite", 31500.5)
    wrapped = read(H + W + R + S.replace(": 31500.5", ":\n31500.5"))
    assert wrapped["tool"] == "tflite"
    assert wrapped.get("inference_avg_us") in (None, 31100.2)


@pytest.mark.parametrize(
    "line",
    [
        "01-02 10:11:14.000   800   901 D BatteryStats: wakelock count=12 avg=4\n",
        "                  4 threads: count=50 first=1 curr=2 min=1 max=3 avg=2 std=1\n",
        "count=9 first=1 curr=1\n",
    ],
)
def test_a_later_count_is_not_that_of_the_runs(line: str) -> None:
    assert read(H + W + R + S + line)["runs"]["count"] == 50
    assert read(H + W + R + S + line)["runs"]["avg_us"] == 31100.2


@pytest.mark.parametrize("text", ["seconds): count=1 curr=202\nMemory (bytes): count=0\n", "(bytes): count=0\n"])
def test_the_foot_of_a_profile_is_no_run(text: str) -> None:
    assert "runs" not in read(text)


def test_a_run_that_was_killed_before_its_summary_is_not_mixed_with_the_next() -> None:
    assert read("count=99 first=1 curr=1 min=1 max=1 avg=1 std=0\n" + H + W + R + S)["warmup"]["count"] == 16
    apk = "05-31 10:31:13.022 21767 21767 I tflite  : "
    first = (
        "Log parameter values verbosely: [0]\nGraph: [/a.tflite]\nLoaded model /a.tflite\ncount=99 first=35011 curr=1\n"
    )
    second = "Log parameter values verbosely: [0]\nGraph: [/b.tflite]\nLoaded model /b.tflite\n" + W + R + S
    found = read("".join(apk + line + "\n" for line in (first + second).splitlines()))
    assert (found["graph"], found["warmup"]["count"]) == ("/b.tflite", 16)
    assert "2 runs" in found["warnings"][0]


def test_a_run_that_was_kept_twice_is_one_run() -> None:
    doubled = "".join(
        f"{line}\n07-30 12:00:00.123  1234  1240 I tflite  : {line}\n"
        for line in (
            H + "Replacing 31 out of 31 node(s) with delegate (X) node, yielding 1 partitions for the whole graph.\n"
        ).splitlines()
    )
    found = read(doubled)
    assert found["delegates"] == [{"name": "X", "applied": "full", "nodes_delegated": 31, "nodes_total": 31}]


def test_a_profile_whose_first_heading_is_lost_is_initialisation_s() -> None:
    text = (LOGS / "2.14-cpu.txt").read_text()
    found = read(text[text.index("Benchmark Initialization:") + 30 :])
    whole = read(text)
    assert found["profile"]["runs"] == whole["profile"]["runs"]
    assert found["profile"]["init"] == whole["profile"]["init"]


@pytest.mark.parametrize(
    "text",
    [
        "count=50 first=31\x00\x0011 curr=5\n",
        "count=50 first=31…\n",
        "count=50 first=31[...]\n",
        "count=50 first=31\ufffd\ufffd std=1\n",
    ],
)
def test_a_number_before_a_gap_is_cut(text: str) -> None:
    stats = read(text)["runs"]
    assert stats["count"] == 50
    assert "first_us" not in stats


HEAD = "====== Run Order ======\n\t[node type]\t[start]\t[first]\t[avg ms]\t[%]\t[cdf%]\t[mem KB]\t[times called]\t[Name]\n"
ROW = "\tCONV_2D\t0.000\t4.269\t4.269\t0.107%\t0.107%\t0.000\t12\t[a]:0\n"


def test_a_row_that_lost_its_end_is_no_row() -> None:
    assert len(read(H + HEAD + ROW)["profile"]["runs"]["ops"]) == 1
    assert "profile" not in read(H + HEAD + ROW.replace("2\t[a]:0", ""))
    torn = read(H + W + R + HEAD + ROW.replace("[a]:0\n", "[MobilenetV1/ReluINFO: " + S))
    assert "profile" not in torn
    assert torn["inference_avg_us"] == 31100.2


def test_columns_are_told_by_the_row_where_their_heading_is_lost() -> None:
    found = read(H + HEAD.split("\n", 1)[0] + "\n" + ROW)
    assert found["profile"]["runs"]["ops"][0] == {
        "type": "CONV_2D", "name": "[a]", "node": 0, "start_ms": 0.0, "first_ms": 4.269, "avg_ms": 4.269,
        "pct": 0.107, "cdf_pct": 0.107, "mem_kb": 0.0, "times_called": 12,
    }  # fmt: skip


TAG = "01-02 10:11:12.000  1234  1234 I tflite  : "


@pytest.mark.parametrize(
    "line",
    [
        "01-02 10:11:13.000  9999  9999 F libc    : Fatal signal 11 (SIGSEGV), code 1, fault addr 0x0 in tid 9999 (com.foo)\n",
        "01-02 10:11:13.000   500   500 F ActivityManager: wtf something\n",
        "01-02 10:11:13.000   500   500 E ActivityManager: Failed to apply GPU delegate\n",
        "[  123.456789] lowmemorykiller: Killing 'com.foo' (1234), adj 900\n",
    ],
)
def test_another_program_s_crash_does_not_fail_a_good_run(line: str) -> None:
    log = "".join(TAG + row + "\n" for row in (H + W).splitlines())
    rest = "".join(TAG + row + "\n" for row in (R + S).splitlines())
    assert read(log + line + rest)["status"] == "ok"
    assert read(log + rest + line)["status"] == "ok"
    assert read(log + line)["status"] == "incomplete"


def test_the_tool_s_own_crash_in_a_logcat_fails_it() -> None:
    log = "".join(TAG + row + "\n" for row in (H + W).splitlines())
    crash = (
        "01-02 10:11:13.000  1234  1234 F libc    : Fatal signal 11 (SIGSEGV), code 1 in tid 1234 (benchmark_model)\n"
    )
    assert read(log + crash)["failure"]["kind"] == "crash"


def test_what_did_not_end_the_run_is_a_warning() -> None:
    line = "WARNING: [auto_registration.cc:45] NPU accelerator could not be loaded: kLiteRtStatusErrorFileIO.\n"
    assert read(H + line + W)["status"] == "incomplete"
    assert read(H + "ERROR: Failed to apply GPU delegate.\n" + W + R + S)["status"] == "ok"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("zsh: killed     ./benchmark_model --graph=m.tflite", "killed"),
        ("zsh: segmentation fault  ./benchmark_model --graph=m.tflite", "crash"),
        ("./run.sh: line 3: 12345 Segmentation fault      (core dumped) ./benchmark_model", "crash"),
        ("bash: line 1: 12345 Killed                  ./benchmark_model --graph=m.tflite", "killed"),
        ("[1]+  Killed                  ./benchmark_model --graph=m.tflite", "killed"),
        ("[1] + Segmentation fault    ./benchmark_model --graph=m.tflite", "crash"),
        ("Command terminated by signal 9", "killed"),
        ("Out of memory: Killed process 1234 (benchmark_model) total-vm:1kB", "killed"),
        ("==12==ERROR: AddressSanitizer: SEGV on unknown address", "crash"),
        ("error: only position independent executables (PIE) are supported.", "binary_not_for_device"),
        ("Aborted", "crash"),
        ("Killed ", "killed"),
    ],
)
def test_the_shell_s_own_words_are_known(line: str, kind: str) -> None:
    assert read(H + W + line + "\n")["failure"]["kind"] == kind


@pytest.mark.parametrize("line", ["Killed 3 stale workers", "Aborted by user request 12", "killed it today"])
def test_words_that_only_begin_like_the_shell_s_are_none(line: str) -> None:
    assert read(H + W + line + "\n")["status"] == "incomplete"


@pytest.mark.parametrize(
    "prefix",
    [
        "1719999999.345  1234  1240 E tflite  : ",
        "    12.345  1234  1240 E tflite  : ",
        "bench\tRun\t2024-01-02T10:11:12.3456789Z ERROR: ",
        "2020-01-02 10:11:12.345 1234-1240/? E/tflite: ",
        "2024-01-02 10:11:12.345  1234-1240  tflite   org.tensorflow.lite.benchmark   E  ",
        "[ERROR] ",
        "2024-01-02 10:11:12,345 - ERROR - ",
        "benchmark_1  | ",
        "Jan  2 10:11:12 host benchmark_model[123]: ",
        "(10:11:12) ",
        "log.txt:12:",
        "12: ",
        "\ufeff",
        "\t",
    ],
)
def test_more_ways_to_keep_a_log(prefix: str) -> None:
    text = "".join(
        f"{prefix}{line}\n" for line in (H + "Could not open 'm.tflite'.\nBenchmarking failed.\n").splitlines()
    )
    found = read(text)
    assert (found["status"], found["graph"]) == ("failed", "m.tflite")
    assert found["failure"]["kind"] == "no_model"


def test_a_csv_that_was_cut_is_incomplete() -> None:
    text = (LOGS / "2.14-profile.csv").read_text()
    cut = text[: text.index("Operator-wise") + 400]
    assert read(cut)["status"] == "incomplete"
    twice = read(text + text)
    assert len(twice["profile"]["runs"]["ops"]) == 180


def test_a_later_command_s_failure_is_not_this_run_s() -> None:
    found = read(H + W + R + S + "$ ./benchmark_model2\n/system/bin/sh: ./benchmark_model2: not found\n")
    assert (found["status"], found["inference_avg_us"]) == ("ok", 31100.2)


@pytest.mark.parametrize(
    "line",
    [
        "Replacing " + "1" * 5000 + " out of 5 node(s) with delegate (X) node, yielding 1 partitions\n",
        "1" * 5000 + " operations will run on the GPU, and the remaining 3 operations will run on the CPU.\n",
        "=== Run Order ===\nNumber of nodes executed: " + "1" * 5000 + "\n",
        "Inference (avg): 1e308 ms\n",
        "Inference timings in us: Init: " + "9" * 5000 + ", Inference (avg): 1e999\n",
    ],
)
def test_hostile_numbers_raise_nothing_and_stay_json(line: str) -> None:
    json.dumps(read(H + line), allow_nan=False)


@pytest.mark.parametrize(
    "line",
    ["=" * 19999, "count=" + "1" * 19900, "Unconsumed cmdline flags: --" + " " * 19900 + "x", "a" + " " * 19990 + "x",
     "\t" * 19998 + "x", "a" + " \t" * 9998 + "x", "benchmark_" * 1990, "a " * 9999, "1 " * 9999, "(" * 19999, "- " * 9999,
     "x | " * 4999, "0." * 9999, "1% " * 6000],
    ids=lambda line: line[:10],
)  # fmt: skip
@pytest.mark.timeout(60)
def test_no_line_is_slow(line: str) -> None:
    """Work that grows with the square of a line's length does not end in this time."""
    for head in (
        H,
        H + HEAD,
        H + "===== Summary by node type =====\n",
        H + "====== Run Order ======\nnode type, first, avg_ms\n",
    ):
        parse_text(head + f"{line}\n" * 10)


def test_many_delegates_are_bounded() -> None:
    text = "".join(f"Applied d{number} delegate.\n" for number in range(20_000))
    few, more = (calls_of(lambda size=size: parse_text(text[:size])) for size in (len(text) // 10, len(text)))
    assert more < 11 * few
    found = parse_text(text)
    assert len(found.delegates) <= 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "INFO: TfLiteFlexDelegate delegate: 76 nodes delegated out of 5623 nodes with 51 partitions.\n",
            {"name": "Flex", "applied": "partial", "nodes_delegated": 76, "nodes_total": 5623},
        ),
        (
            "INFO: Hexagon delegate: 71 nodes delegated out of 71 nodes.\nApplied HEXAGON delegate, and the model graph will be completely executed w/ the delegate.\n",
            {"name": "Hexagon", "applied": "full", "nodes_delegated": 71, "nodes_total": 71},
        ),
        (
            "Replacing 71 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 3 partitions.\n",
            {"name": "XNNPACK", "nodes_delegated": 71},
        ),
        (
            "Replacing 31 out of 33 node(s) with delegate (TfLiteCoreMlDelegate) node, yielding 3 partitions.\n"
            "Explicitly applied COREML delegate, and the model graph will be partially executed by the delegate w/ 2 delegate kernels.\n",
            {"name": "COREML", "applied": "partial", "kernels": 2, "nodes_delegated": 31, "nodes_total": 33},
        ),
        (
            "Replacing 31 out of 31 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 1 partitions.\n"
            "ERROR: Restored original execution plan after delegate application failure.\nERROR: Failed to apply GPU delegate.\n",
            {"name": "GPU", "applied": "none"},
        ),
        (
            "Replacing 3 out of 4 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 2 partitions for subgraph 0.\n"
            "Replacing 5 out of 6 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 2 partitions for subgraph 1.\n",
            {"name": "XNNPACK", "applied": "partial", "nodes_delegated": 8, "nodes_total": 10},
        ),
    ],
)  # fmt: skip
def test_each_way_of_counting_delegated_nodes(text: str, expected: dict[str, Any]) -> None:
    assert read(H + text)["delegates"] == [expected]


def test_the_default_delegate_s_failure_is_a_warning() -> None:
    found = read(H + "ERROR: Failed to apply the default TensorFlow Lite delegate indexed at 0.\n" + W + R + S)
    assert "delegates" not in found
    assert found["warnings"] == ["Failed to apply the default TensorFlow Lite delegate indexed at 0."]


def test_the_list_of_refused_operations_takes_every_form_and_ends() -> None:
    text = "ERROR: Following operations are not supported by GPU delegate:\nCONV_2D: \nDEQUANTIZE:\nGATHER (v3): x\nADD, MUL: y\nCUSTOM Foo: z\n"
    ops = [op["op"] for op in read(H + text)["unsupported_ops"]]
    assert ops == ["CONV_2D", "DEQUANTIZE", "GATHER (v3)", "ADD", "MUL", "CUSTOM Foo"]
    after = read(H + text + W + R + S + "TEMP: 45 degrees\nPASS\nEXIT: 0\n")
    assert len(after["unsupported_ops"]) == 6


def test_a_flag_that_was_cut_is_not_taken() -> None:
    assert "unknown_flags" not in read("WARN: Unconsumed cmdline flags: --use_gp")
    assert read("WARN: Unconsumed cmdline flags: --a=b c --use_gp")["unknown_flags"] == ["--a=b c"]


def test_gzip_of_several_members_and_a_damaged_one() -> None:
    members = gzip.compress((H + W).encode()) + gzip.compress((R + S).encode())
    assert to_json(parse_bytes(members))["inference_avg_us"] == 31100.2
    import random

    long = (H + W).encode() + random.Random(1).randbytes(60_000).hex().encode()
    damaged = bytearray(gzip.compress(long))
    damaged[-9000:-8000] = b"\xff" * 1000
    assert parse_bytes(bytes(damaged)).graph == "m.tflite"


@pytest.mark.parametrize("rest", ['",', "<br>", " \\", "\x9b0m"])
def test_rubbish_behind_the_model_s_path_is_not_its_name(rest: str) -> None:
    assert read(f"STARTING!\nGraph: [m.tflite]{rest}\n")["graph"] == "m.tflite"
