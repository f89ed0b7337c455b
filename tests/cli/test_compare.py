"""`devbench compare`: how sides are named, exit codes, its JSON against its schema, files, filters, thresholds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner, Result

from devbench.cli.app import application
from devbench.errors import DevbenchError, InputError
from devbench.results.run_files import write_json
from devbench.results.store import Store
from tests.made.json_schemas import NOTICE, NULL_NUMBER, WHOSE, several, strict
from tests.made.nights import Made, night, noisy

SAMPLE = {
    "type": "object",
    "required": ["median", "n", "values"],
    "additionalProperties": False,
    "properties": {"median": NULL_NUMBER, "n": {"type": "integer"}, "values": {"type": "array"}},
}
DELEGATION = {
    "type": ["object", "null"],
    "required": ["nodes_delegated", "nodes_total", "partitions", "whole"],
    "additionalProperties": {"type": ["integer", "boolean", "null"]},
}
CAUSE = {
    "kind": {"enum": ["slower", "faster", "new", "gone", "moved to cpu", "moved to delegate", "delegation"]},
    "name": {"type": "string"},
    "baseline_ms": NULL_NUMBER,
    "candidate_ms": NULL_NUMBER,
    "change_ms": {"type": "number"},
    "share": NULL_NUMBER,
    "baseline": DELEGATION,
    "candidate": DELEGATION,
    "counts": {"type": ["array", "null"]},
}
SIDE = strict(
    {
        "title": {"type": "string"},
        "run_ids": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "first_utc": {"type": "string"},
        "last_utc": {"type": "string"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    }
)
FAILURE = {
    **WHOSE,
    "kind": {"type": "string"},
    "message": {"type": "string"},
    "failed": {"type": "integer"},
    "of": {"type": "integer"},
}
SCHEMA: dict[str, Any] = strict(
    {
        "format": {"const": "devbench-comparison-3"},
        "virtual": {"type": "boolean"},
        "regressed": {"type": "boolean"},
        "counts": strict(
            {
                name: {"type": "integer"}
                for name in (
                    "regressed", "improved", "undecided", "unchanged", "small_changes", "unreliable", "failures",
                    "fixed", "one_sided",
                )
            }
        ),
        "observations": {"enum": ["repetitions", "runs"]},
        "baseline": SIDE,
        "candidate": SIDE,
        "rows": several(
            {
                **WHOSE,
                "metric": {"type": "string"},
                "unit": {"type": "string"},
                "operator_type": {"type": ["string", "null"]},
                "verdict": {"enum": ["regressed", "improved", "undecided", "unchanged"]},
                "reason": {"type": ["string", "null"]},
                "direction": {"enum": ["worse", "better", None]},
                "threshold": {"type": "number"},
                "beyond_threshold": {"type": ["boolean", "null"]},
                "change": NULL_NUMBER,
                "interval": {"type": ["array", "null"], "minItems": 2, "maxItems": 2},
                "p": NULL_NUMBER,
                "q": NULL_NUMBER,
                "more_repetitions": {"type": ["integer", "null"]},
                "drift": NULL_NUMBER,
                "baseline": SAMPLE,
                "candidate": SAMPLE,
                "explanation": {
                    "oneOf": [
                        {"type": "null"},
                        strict({"change_ms": {"type": "number"}, "unexplained_ms": NULL_NUMBER, "causes": several(CAUSE)}),
                    ]
                },
            }
        ),
        "failures": several(FAILURE),
        "fixed": several(FAILURE),
        "one_sided": several({**WHOSE, "side": {"enum": ["baseline", "candidate"]}}),
        "drifts": several(
            {
                "device_key": {"type": "string"},
                "device": {"type": "string"},
                "reference": {"type": "string"},
                "metric": {"type": "string"},
                "change": {"type": "number"},
                "cases": {"type": "integer"},
            }
        ),
        "notes": {"type": "array", "items": {"type": "string"}},
        "notices": several(NOTICE),
    }
)  # fmt: skip


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(tmp_path / "r.db")


@pytest.fixture
def runs(url: str) -> Iterator[list[str]]:
    """Three nights: as it was, the same again (on another device too), slower."""
    with Store(url) as store:
        steady = [Made(noisy(20, seed=9), model="other")]
        yield [
            night(store, 0, [Made(noisy(10)), *steady], {"branch": "main", "build": "1"}),
            night(store, 1, [Made(noisy(10, seed=2)), Made(noisy(5), device="B")], {"branch": "main", "build": "2"}),
            night(store, 2, [Made(noisy(11, seed=3)), *steady], {"branch": "new", "build": "3"}),
        ]


def compare(url: str, *words: str) -> Result:
    return CliRunner().invoke(application(), ["compare", *words, "--store", url])


def whole(url: str, *words: str) -> dict[str, Any]:
    done = compare(url, *words, "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(found, SCHEMA)
    return found


def refused(url: str, *words: str) -> InputError:
    error = compare(url, *words).exception
    assert isinstance(error, InputError), (words, error)
    return error


def test_a_regression_ends_with_one_and_none_with_zero(url: str, runs: list[str]) -> None:
    slower = compare(url, runs[0], runs[2])
    assert slower.exit_code == 1
    assert slower.stdout.startswith("1 regression: unet with GPU on Phone takes 11.0 ms instead of 10.0 ms (+10 %)")
    assert compare(url, runs[0], runs[2], "--fail-on", "never").exit_code == 0
    assert compare(url, runs[2], runs[0]).exit_code == 0
    assert compare(url, runs[2], runs[0], "--fail-on", "improved").exit_code == 1
    assert compare(url, runs[0], runs[1], "--metric", "latency").exit_code == 0
    assert compare(url, runs[0], runs[1], "--metric", "latency", "--fail-on", "regressed,missing").exit_code == 1
    assert compare(url, runs[0], runs[1], "--metric", "peak_memory", "--fail-on", "undecided").exit_code == 1


@pytest.mark.parametrize(
    ("sides", "titles", "ids"),
    [
        ((), ("previous", "latest"), (1, 2)),
        (("build=1",), ("build=1", "latest"), (0, 2)),
        (("branch=main", "branch=new"), ("branch=main", "branch=new"), (0, 2)),
        (("2026-09-01", "2026-09-03"), ("2026-09-01", "2026-09-03"), (0, 2)),
        (("2026-09-01..2026-09-02", "latest"), ("2026-09-01..2026-09-02", "latest"), (0, 2)),
        (("previous", "build=2"), ("previous", "build=2"), (0, 1)),
    ],
)
def test_sides_are_named_in_many_ways(
    url: str, runs: list[str], sides: tuple[str, ...], titles: tuple[str, str], ids: tuple[int, int]
) -> None:
    found = whole(url, *sides)
    assert (found["baseline"]["title"], found["candidate"]["title"]) == titles
    assert found["baseline"]["run_ids"][0] == runs[ids[0]]
    assert found["candidate"]["run_ids"] == [runs[ids[1]]]


def test_the_json_holds_what_was_judged(url: str, runs: list[str]) -> None:
    found = whole(url, runs[0], runs[2])
    assert found["regressed"]
    assert found["virtual"] is False
    slower = next(row for row in found["rows"] if (row["case"], row["metric"]) == ("unet · gpu", "latency"))
    assert slower["verdict"] == "regressed"
    assert slower["interval"][0] < 0.1 < slower["interval"][1]
    assert slower["baseline"]["n"] == len(slower["baseline"]["values"]) == 8
    assert slower["explanation"]["causes"] == []


def test_a_file_stands_for_a_run(url: str, runs: list[str], tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    with Store(url) as store:
        view = store.run(runs[0])
        write_json(view, file)
    from_store, from_file = whole(url, runs[0], runs[2]), whole(url, str(file), runs[2])
    assert from_file["baseline"].pop("title") == "baseline.json"
    from_store["baseline"].pop("title")
    assert from_file == from_store
    other = tmp_path / "candidate.json"
    with Store(url) as store:
        write_json(replace(store.run(runs[2]), status="done"), other)
    assert whole(str(tmp_path / "none.db"), str(file), str(other))["rows"] == from_store["rows"]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_folder_of_an_export_stands_for_its_runs(url: str, runs: list[str], tmp_path: Path, form: str) -> None:
    folder = tmp_path / "exported"
    done = CliRunner().invoke(
        application(), ["export", str(folder), "--run", runs[0], "--format", form, "--store", url]
    )
    assert done.exit_code == 0, done.output
    from_store, from_folder = whole(url, runs[0], runs[2]), whole(url, str(folder), runs[2])
    assert from_folder["baseline"]["run_ids"] == [runs[0]]
    assert from_folder["rows"] == from_store["rows"]
    assert str(tmp_path) in refused(url, str(tmp_path), "latest").what


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": "devbench-run-3"}', "\x00", "[" * 5000])
def test_a_file_that_is_no_run_is_one_line(url: str, runs: list[str], tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.json"
    file.write_text(text)
    assert str(file) in refused(url, str(file), "latest").what


def test_a_damaged_run_in_a_file_is_one_line(url: str, runs: list[str], tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    with Store(url) as store:
        write_json(store.run(runs[0]), file)
    good = json.loads(file.read_text())
    for key, value in (
        ("latency_avg_us", "fast"),
        ("started_utc", 7),
        ("verdict", None),
        ("argv", "x"),
        ("index", True),
    ):
        bad = json.loads(json.dumps(good))
        bad["jobs"][0]["repetitions"][0][key] = value
        file.write_text(json.dumps(bad))
        assert "damaged" in refused(url, str(file), "latest").what
    del good["jobs"][0]["model"]["sha256"]
    file.write_text(json.dumps(good))
    assert "damaged" in refused(url, str(file), "latest").what


def test_thresholds_metrics_and_filters(url: str, runs: list[str]) -> None:
    assert compare(url, runs[0], runs[2], "--threshold", "latency=15%", "--metric", "latency").exit_code == 0
    found = whole(url, runs[0], runs[2], "--metric", "latency,init", "--model", "unet", "--device", "phone")
    assert {(row["metric"], row["model"]) for row in found["rows"]} == {("latency", "unet"), ("init", "unet")}
    assert whole(url, runs[0], runs[2], "--delegate", "gpu", "--device", "KEY")["rows"]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["nothing", "latest"], "no run"),
        (["latest", "latest"], "both sides"),
        (["build=9", "latest"], "build=9"),
        (["nofile.json", "latest"], "no file"),
        (["--metric", "latncy"], "latncy"),
        (["--threshold", "latency"], "METRIC=PCT"),
        (["--threshold", "latency=2"], "METRIC=PCT"),
        (["--threshold", "speed=2%"], "speed"),
        (["--alpha", "2"], "--alpha"),
        (["--fail-on", "worse"], "--fail-on"),
        (["--fail-on", "never,regressed"], "--fail-on"),
        (["--format", "pdf"], "--format"),
        (["--device", "fridge"], "fridge"),
        (["--model", "none"], "no model 'none'"),
        (["--out", "/nothing/x.md"], "/nothing"),
    ],
)
def test_wrong_input_is_one_line_with_exit_code_2(url: str, runs: list[str], words: list[str], part: str) -> None:
    error = refused(url, *words)
    assert part in error.what
    assert error.exit_code == 2
    assert error.hint


def test_markdown_and_text_go_to_a_file(url: str, runs: list[str], tmp_path: Path) -> None:
    for form, first in (("md", "# 1 regression: "), ("text", "1 regression: "), ("json", "{")):
        out = tmp_path / f"out.{form}"
        assert compare(url, runs[0], runs[2], "--format", form, "--out", str(out)).exit_code == 1
        assert out.read_text().startswith(first)


def test_the_command_as_typed_has_no_colour_where_nobody_sees_it(url: str, runs: list[str]) -> None:
    command = [sys.executable, "-m", "devbench.cli.app", "compare", runs[0], runs[2], "--store", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "NO_COLOR": "1"})
    assert done.returncode == 1, done.stderr
    assert "\x1b" not in done.stdout
    assert "1 regression: unet with GPU on Phone" in done.stdout


def test_no_store_is_one_line(tmp_path: Path) -> None:
    error = compare(str(tmp_path / "no.db")).exception
    assert isinstance(error, DevbenchError)
    assert error.exit_code == 2


def test_a_side_that_is_all_unreliable_fails_nothing_unless_it_counts(url: str) -> None:
    with Store(url) as store:
        runs = [night(store, 0, [Made(noisy(10))]), night(store, 1, [Made(noisy(15, seed=2), unreliable=8)])]
    found = whole(url, *runs)
    assert (found["regressed"], found["counts"]["regressed"], len(found["notices"])) == (False, 0, 2)
    assert compare(url, *runs).exit_code == 0
    assert "all 8 repetitions of the candidate are unreliable" in compare(url, *runs).stdout.replace("\n", " ")
    assert compare(url, *runs, "--fail-on", "undecided").exit_code == 1
    assert compare(url, *runs, "--unreliable", "count").exit_code == 1
    assert whole(url, *runs, "--unreliable", "count")["regressed"]
    assert "--unreliable 'maybe' is unknown" in str(refused(url, *runs, "--unreliable", "maybe"))


def test_a_change_smaller_than_the_threshold_is_shown_and_fails_nothing(url: str) -> None:
    with Store(url) as store:
        runs = [night(store, k, [Made(noisy(level, 30, 0.002, k))]) for k, level in enumerate((10, 10.04))]
    done = compare(url, *runs, "--metric", "latency")
    assert done.exit_code == 0
    assert done.stdout.startswith("No regressions against ")
    (found,) = whole(url, *runs, "--metric", "latency")["rows"]
    assert (found["verdict"], found["direction"], found["beyond_threshold"]) == ("unchanged", "worse", False)
    assert compare(url, *runs, "--metric", "latency", "--threshold", "latency=0.2%").exit_code == 1
