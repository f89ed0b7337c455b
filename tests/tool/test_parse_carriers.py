"""Output of the tool as other systems keep it: loggers, runners, line numbers, differences, texts within programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from devbench.tool.parse import parse_text, to_json

TEXT = (
    "STARTING!\nGraph: [m.tflite]\nINFO: count=13 first=3678 curr=3790 min=3270 max=5473 avg=3751.66 std=334\n"
    "INFO: count=50 first=3078 curr=3090 min=3070 max=5473 avg=3051.66 std=34\n"
    "INFO: Inference timings in us: Init: 5388, First inference: 3678, Warmup (avg): 3751.66, Inference (avg): 3051.66\n"
    "INFO: Memory footprint delta from the start of the tool (MB): init=8.44922 overall=10.8789\n"
    "INFO: Operator-wise Profiling Info for Regular Benchmark Runs:\n============ Run Order ============\n"
    "\t   [node type]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]\n"
    "\t       SOFTMAX\t    0.243\t    0.271\t  7.464%\t  7.464%\t     0.000\t        1\t[Softmax]:31\n"
    "\tTfLiteXNNPackDelegate\t 7.000\t    7.000\t 92.536%\t100.000%\t     0.000\t        1\t[a, b]:32\n"
    "\nNumber of nodes executed: 2\n"
)
LINES = TEXT.splitlines()


def before(prefix: str) -> str:
    return "".join(f"{prefix}{line}\n" for line in LINES)


def numbered(form: str) -> str:
    return "".join(f"{form.format(number)}{line}\n" for number, line in enumerate(LINES, 1))


CARRIERS: dict[str, str] = {
    "indented by tabs": before("\t\t"),
    "quoted and indented": before("> \t"),
    "list and tab": before("-\t"),
    "comment": before("// "),
    "added lines": before("+"),
    "azure": before("##[debug]"),
    "buildkite": before("\x1b_bk;t=1712745670157\x07"),
    "gitlab": before("2026-04-10T11:41:10.157123Z 01O "),
    "kubernetes": before("2026-04-10T11:41:10.157123456Z stdout F "),
    "xcode": before("2026-04-10 11:41:10.157 TFLiteBenchmark[3921:935759] "),
    "logging": before("2026-04-10 11:41:10,157 INFO bench: "),
    "logging with dashes": before("2026-04-10 11:41:10,157 - bench - INFO - "),
    "basic logging": before("INFO:root:"),
    "pytest": before("INFO     bench:run.py:31 "),
    "loguru": before("2026-04-10 11:41:10.157 | INFO     | bench.run:main:31 - "),
    "cat -n": numbered("{:6d}\t"),
    "an editor": numbered("{:5d}  "),
    "grep -n": numbered("{}:"),
    "grep of files": before("run1.log:"),
    "a page's table": "".join(f"<tr><td>{n}</td><td>{line}</td></tr>\n" for n, line in enumerate(LINES)),
    "json": json.dumps([{"id": "b96", "output": TEXT, "status": "ended"}]),
    "json over lines": json.dumps({"returncode": 0, "stdout": TEXT}, indent=1),
    "json list": json.dumps({"stdout": LINES}, indent=1),
    "python": f"CompletedProcess(args=['adb'], returncode=0, stdout={TEXT!r}, stderr='')\n",
    "python list": f"{LINES!r}\n",
    "c": "".join("    " + json.dumps(line + "\n") + "\n" for line in LINES),
    "blanks that do not break": TEXT.replace(" ", "\u00a0"),
}


def body(text: str) -> dict[str, Any]:
    return {key: value for key, value in to_json(parse_text(text)).items() if key != "warnings"}


@pytest.mark.parametrize("name", CARRIERS)
def test_what_carries_the_output_hides_nothing_of_it(name: str) -> None:
    expected = body(TEXT)
    assert len(expected["profile"]["runs"]["ops"]) == 2
    assert body(CARRIERS[name]) == expected


@pytest.mark.parametrize("spell", [str, json.dumps], ids=["plain", "json"])
def test_a_path_with_backslashes_is_no_line_end(spell: Callable[[str], str]) -> None:
    text = TEXT.replace("[m.tflite]", "[C:\\new\\tiny.tflite]")
    assert body(text)["graph"] == "C:\\new\\tiny.tflite"
    assert body(spell(text))["inference_avg_us"] == 3051.66


def test_counts_at_the_start_of_a_line_are_no_numbers_of_lines() -> None:
    text = "STARTING!\n29 operations will run on the GPU, and the remaining 2 operations will run on the CPU.\n"
    assert body(text)["delegates"] == [{"name": "GPU", "applied": "partial", "nodes_delegated": 29, "nodes_total": 31}]
