"""`devbench detect --csv`: what it prints, its JSON, its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from devbench.cli.app import application
from devbench.errors import DevbenchError

NUMBER = {"type": "number"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["change_points", "changes", "column", "rows", "gaps"],
    "additionalProperties": False,
    "properties": {
        "change_points": {"type": "array", "items": {"type": "integer", "minimum": 1}, "uniqueItems": True},
        "changes": {
            "type": "array",
            "items": {
                "type": "object",
                "required": [
                    "index", "at", "direction", "size", "before", "after", "p", "confidence", "points_before",
                    "points_after",
                ],
                "additionalProperties": False,
                "properties": {
                    "index": {"type": "integer", "minimum": 1},
                    "at": {"type": ["string", "null"]},
                    "direction": {"enum": ["up", "down"]},
                    "size": {"type": ["number", "null"]},
                    "before": NUMBER,
                    "after": NUMBER,
                    "p": {"type": "number", "minimum": 0, "maximum": 1},
                    "confidence": {"type": "number", "minimum": 0, "maximum": 1},
                    "points_before": {"type": "integer", "minimum": 3},
                    "points_after": {"type": "integer", "minimum": 3},
                },
            },
        },
        "column": {"type": "string"},
        "rows": {"type": "integer", "minimum": 0},
        "gaps": {"type": "integer", "minimum": 0},
    },
}  # fmt: skip


def history(n: int = 80, at: int = 50, factor: float = 1.1) -> list[str]:
    values = np.exp(np.random.default_rng(2).normal(0, 0.01, n)) * np.where(np.arange(n) < at, 20, 20 * factor)
    return [f"{value:.4f}" for value in values]


def write(path: Path, cells: list[str], name: str = "latency_ms") -> Path:
    path.write_text("\n".join([f"date,{name}", *(f"2026-{i:03d},{cell}" for i, cell in enumerate(cells))]) + "\n")
    return path


def detect(*words: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(application(), ["detect", *words], input=stdin)


def found(*words: str, stdin: bytes | None = None) -> dict[str, Any]:
    done = detect(*words, "--json", stdin=stdin)
    assert done.exit_code == 0, done.output
    said: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(said, SCHEMA)
    assert said["change_points"] == [one["index"] for one in said["changes"]]
    return said


def test_the_json_has_the_index_of_the_first_point_after_each_change(tmp_path: Path) -> None:
    said = found("--csv", str(write(tmp_path / "x.csv", history())), "--column", "latency_ms", "--index", "date")
    assert said["change_points"] == [50]
    assert (said["rows"], said["gaps"], said["column"]) == (80, 0, "latency_ms")
    (one,) = said["changes"]
    assert (one["at"], one["direction"]) == ("2026-050", "up")
    assert one["size"] == pytest.approx(0.1, abs=0.01)


def test_no_change_is_an_empty_list(tmp_path: Path) -> None:
    said = found("--csv", str(write(tmp_path / "x.csv", history(factor=1.0))), "--column", "latency_ms")
    assert (said["change_points"], said["changes"]) == ([], [])
    assert "no change in latency_ms: 80 rows" in detect("--csv", str(tmp_path / "x.csv"), "--column", "2").stdout


@pytest.mark.parametrize("gap", ["", "NaN", " nan ", "NA", "null", "-", "inf"])
def test_gaps_keep_their_places(tmp_path: Path, gap: str) -> None:
    cells = history()
    for i in (0, 1, 20, 50, 51, 79):
        cells[i] = gap
    said = found("--csv", str(write(tmp_path / "x.csv", cells)), "--column", "latency_ms")
    assert (said["change_points"], said["gaps"], said["rows"]) == ([52], 6, 80)


def test_an_empty_line_is_a_gap_in_a_file_of_one_column(tmp_path: Path) -> None:
    cells = history()
    cells[10:13] = ["", "", ""]
    (tmp_path / "one.csv").write_text("\n\nlat\n" + "\n".join(cells) + "\n")
    said = found("--csv", str(tmp_path / "one.csv"))
    assert (said["change_points"], said["gaps"]) == ([50], 3)


def test_the_table_names_place_size_and_evidence(tmp_path: Path) -> None:
    done = detect("--csv", str(write(tmp_path / "x.csv", history())), "--column", "latency_ms", "--index", "date")
    assert done.exit_code == 0
    assert "1 change in latency_ms: 80 rows" in done.stdout
    row = next(line for line in done.stdout.splitlines() if "2026-050" in line).split()
    assert row[0] == "50"
    assert row[2].startswith("+")
    assert row[-3:] == ["50", "|", "30"]


@pytest.mark.parametrize(
    ("factor", "fail_on", "code"),
    [(1.1, "up", 1), (1.1, "down", 0), (1.1, "any", 1), (0.9, "down", 1), (1.0, "any", 0)],
)
def test_a_change_can_be_an_exit_code(tmp_path: Path, factor: float, fail_on: str, code: int) -> None:
    path = write(tmp_path / "x.csv", history(factor=factor))
    assert detect("--csv", str(path), "--column", "latency_ms", "--fail-on", fail_on).exit_code == code
    assert detect("--csv", str(path), "--column", "latency_ms").exit_code == 0


def test_what_counts_can_be_chosen(tmp_path: Path) -> None:
    path = str(write(tmp_path / "x.csv", history(factor=1.03)))
    assert found("--csv", path, "--column", "latency_ms")["change_points"] == [50]
    assert found("--csv", path, "--column", "latency_ms", "--smallest", "5%")["change_points"] == []


def test_other_marks_and_encodings_and_standard_input(tmp_path: Path) -> None:
    lines = ["night;Latency", *(f"{i};{cell}" for i, cell in enumerate(history()))]
    path = tmp_path / "x.csv"
    path.write_bytes("\r\n".join(lines).encode("utf-16"))
    assert found("--csv", str(path), "--column", "latency")["change_points"] == [50]
    tabs = "\n".join(lines).replace(";", "\t").encode("utf-8-sig")
    assert found("--csv", "-", "--column", "2", stdin=tabs)["change_points"] == [50]


def test_hostile_names_and_labels_show_as_text(tmp_path: Path) -> None:
    lines = ["x,\x1b[31m[red]lat[/red]\u202e", *(f"\x1b[2J[bold]{i},{cell}" for i, cell in enumerate(history()))]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(lines))
    done = detect("--csv", str(path), "--column", "2", "--index", "x")
    assert done.exit_code == 0
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout
    assert "[red]lat[/red]" in done.stdout
    assert "[bold]50" in done.stdout
    assert found("--csv", str(path), "--column", "2")["column"] == "[red]lat[/red]"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--csv", "none.csv"],
        ["--csv", "."],
        ["--csv", "FILE", "--column", "latency_ms", "--smallest", "much"],
        ["--csv", "FILE", "--column", "latency_ms", "--alpha", "2"],
        ["--csv", "FILE", "--column", "latency_ms", "--fail-on", "rain"],
    ],
)
def test_wrong_options_are_wrong_input(tmp_path: Path, words: list[str]) -> None:
    path = write(tmp_path / "x.csv", history())
    done = detect(*(str(path) if word == "FILE" else word for word in words))
    assert isinstance(done.exception, DevbenchError)
    assert done.exception.exit_code == 2
    assert done.exception.hint


def test_the_command_itself_ends_with_one_line_and_code_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "devbench.cli.app", "detect", "--csv", "none.csv"],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ}, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.strip().splitlines() == [
        "error: cannot read none.csv: No such file or directory → check the path"
    ]


def test_help_shows_examples() -> None:
    assert "devbench detect --csv nightly.csv" in detect("--help").stdout
