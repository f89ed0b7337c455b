"""Every form of everything that is shown of the made store (`tests/made/store.py`), as text that is the same everywhere.

Runs, comparisons, changes and pipelines are made by the command line, as a user makes them, so that a move of modules
does not concern them; a night needs devices, so its forms are called.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from typer.testing import CliRunner

import devbench
from devbench.cli.app import application
from devbench.errors import DeviceBusy, EnvironmentProblem
from devbench.results.store import Store
from tests.golden.page_text import page_text
from tests.made.store import Ids, make

WIDTHS = (80, 200)
_LONGEST_LINE = 150


def all_forms(folder: Path) -> dict[str, str]:
    """The text of each golden file by its path below `files`; `folder` is empty, for the store and what is written."""
    url = str(folder / "results.db")
    with Store(url) as store:
        ids = make(store)
    with mock.patch.dict(os.environ, {"DEVBENCH_STORE": url, "DEVBENCH_HOME": str(folder)}):
        found = {
            **_run(ids, folder / "run"),
            **_comparison(ids),
            **_changes(),
            **_pipeline(ids, folder / "pipeline"),
            **_night(ids, url, folder / "night"),
            **_charts(ids, url),
        }
    return {name: _normal(text, folder) for name, text in found.items()}


# -- subjects ---------------------------------------------------------------------------------------------------------


def _run(ids: Ids, folder: Path) -> dict[str, str]:
    _command("report", ids.candidate, "--format", "html,md,csv,json", "--out", str(folder))
    return {
        **_terminals("run", "show", ids.candidate),
        "run/show.json": _json(_command("show", ids.candidate, "--json")),
        "run/report.md": (folder / "report.md").read_text("utf-8"),
        "run/report.csv": (folder / "report.csv").read_text("utf-8"),
        "run/page.txt": page_text((folder / "report.html").read_text("utf-8")),
        "run/runs.txt": _command("runs", "--limit", "3"),
    }


def _comparison(ids: Ids) -> dict[str, str]:
    words = ("compare", ids.baseline, ids.candidate, "--fail-on", "never")
    return {
        **_terminals("comparison", *words),
        "comparison/all.txt": _command(*words, "--all"),
        "comparison/compare.md": _command(*words, "--format", "md"),
        "comparison/compare.json": _json(_command(*words, "--json")),
    }


def _changes() -> dict[str, str]:
    words = ("detect", "--label", "suite=nightly")
    return {
        **_terminals("changes", *words),
        "changes/detect.md": _command(*words, "--format", "md"),
        "changes/detect.json": _json(_command(*words, "--metric", "latency", "--json")),
    }


def _pipeline(ids: Ids, folder: Path) -> dict[str, str]:
    _command("report", ids.pipeline, "--format", "html", "--out", str(folder))
    return {
        **_terminals("pipeline", "show", ids.pipeline),
        "pipeline/show.json": _json(_command("show", ids.pipeline, "--json")),
        "pipeline/page.txt": page_text((folder / "pipeline.html").read_text("utf-8")),
    }


def _night(ids: Ids, url: str, folder: Path) -> dict[str, str]:
    import devbench.results
    from devbench.findings.changes import ChangesSettings
    from devbench.findings.changes_build import find_changes
    from devbench.findings.comparison_build import build_comparison
    from devbench.findings.night import NightResult
    from devbench.findings.run_build import build_report
    from devbench.findings.subject import readable
    from devbench.forms.files import write_files
    from devbench.sections.subjects import RunSubject
    from tests.made.night_forms import night_json, night_junit, night_lines, night_message, night_summary

    with Store(url) as store, devbench.results.open_history(url) as history:
        report = build_report(store.run(ids.candidate))
        comparison = build_comparison(history, [ids.baseline], [ids.candidate], titles=("the night before", "tonight"))
        changes = find_changes(history, ChangesSettings(labels={"suite": "nightly"}, metrics=("latency",)))
        write_files(RunSubject(report, comparison, changes), folder, ("html",), readable(store.artifacts.read))
        first = build_report(store.run(ids.baseline))
    absent = {"A54": EnvironmentProblem("A54 is not connected"), "S23": DeviceBusy("S23 is in use by run x")}
    night = NightResult("nightly", "2026-09-12", report, comparison, changes, absent, Path("reports", ids.candidate))
    values = night_json(night)
    # They are golden files of their own.
    for name, rows in (("comparison", "rows"), ("changes", "models")):
        values[name] = {"as in the golden file of its own, with": len(values[name][rows])}
    quiet = NightResult("nightly", "2026-09-11", replace(first, jobs=first.jobs[:2]))
    return {
        "night/terminal.txt": "\n".join(night_lines(night)) + "\n",
        "night/summary.md": night_summary(night),
        "night/message.txt": night_message(night, "https://ci.example/1") + "\n",
        "night/junit.xml": night_junit(night),
        "night/night.json": _json(json.dumps(values)),
        "night/page.txt": page_text((folder / "report.html").read_text("utf-8")),
        "night/first-summary.md": night_summary(quiet),
        "night/first-message.txt": night_message(quiet) + "\n",
    }


def _charts(ids: Ids, url: str) -> dict[str, str]:
    """The charts of each kind as data: the first of those that may be many."""
    from devbench.findings.changes import ChangesSettings
    from devbench.findings.subject import charted
    from devbench.sections.chart_kinds import charts_of
    from devbench.sections.charts import CHART_KINDS, plain

    settings = ChangesSettings(metrics=("latency", "peak_memory"), labels={"suite": "nightly"})

    def run(kind: str) -> str:
        return {"pipeline": ids.pipeline, "ablation": ids.ablation}.get(kind, ids.candidate)

    found = {
        kind: charts_of(kind, charted(kind, run(kind), ids.baseline, url, settings), "cpu") for kind in CHART_KINDS
    }
    return {
        f"charts/{kind}.json": _json(json.dumps(charts[:3], default=plain, ensure_ascii=False))
        for kind, charts in found.items()
    }


# -- how they are made and written ------------------------------------------------------------------------------------


def _command(*words: str, width: int = 140) -> str:
    env = {"COLUMNS": str(width), "NO_COLOR": "1", "TERM": "dumb"}
    done = CliRunner().invoke(application(), list(words), env=env)
    assert done.exit_code == 0, f"{words}: {done.output} {done.exception!r}"
    return done.stdout


def _terminals(subject: str, *words: str) -> dict[str, str]:
    return {f"{subject}/terminal-{width}.txt": _command(*words, width=width) for width in WIDTHS}


def _json(text: str) -> str:
    return _pretty(json.loads(text), "") + "\n"


def _pretty(value: Any, indent: str) -> str:
    """JSON in which what fits on a line is on one, with six digits: others differ from machine to machine."""
    flat = json.dumps(_rounded(value), ensure_ascii=False)
    if not isinstance(value, (dict, list)) or len(indent) + len(flat) <= _LONGEST_LINE:
        return flat
    deeper = indent + " "
    if isinstance(value, list):
        return "[\n" + ",\n".join(deeper + _pretty(one, deeper) for one in value) + f"\n{indent}]"
    lines: list[str] = []
    for key, one in value.items():
        text = f"{json.dumps(key, ensure_ascii=False)}: {_pretty(one, deeper)}"
        short = not isinstance(one, (dict, list))
        # Single values share lines.
        if short and lines and "\n" not in lines[-1] and len(lines[-1]) + len(text) < _LONGEST_LINE:
            lines[-1] += f", {text}"
        else:
            lines.append(deeper + text)
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value


def _normal(text: str, folder: Path) -> str:
    replaced: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
        (re.escape(str(folder)), "FOLDER"),
        (rf"devbench {re.escape(devbench.__version__)}", "devbench VERSION"),
        (r"[ \t]+$", ""),
        (r"\b([0-9a-f])\1{63}\b", lambda found: f"{found[1]}*64"),
    ]
    text = text.replace("\r\n", "\n")
    for pattern, by in replaced:
        text = re.sub(pattern, by, text, flags=re.MULTILINE)
    return text
