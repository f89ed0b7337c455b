"""What changed over the history: series out of a store, their changes, events of devices, every form."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

import devbench.results
from devbench.cli.app import application
from devbench.errors import InputError
from devbench.findings.changes import ChangesReport, ChangesSettings
from devbench.findings.changes_build import find_changes
from devbench.forms.markdown import markdown
from devbench.forms.terminal import print_document
from devbench.notices import VIRTUAL_NOTE
from devbench.results.store import Store
from devbench.sections.changes import changes_document
from tests.forms.compared import EVIL
from tests.made.json_schemas import NOTICE, NULL_NUMBER, WHOSE, several, strict
from tests.made.nights import START, Made, night

NIGHTS, UPDATE, SLOWER, GROWN = 40, 15, 27, 33
MODELS = ("a", "b", "c", "d")
SIDES = {
    "at_utc": {"type": "string"},
    "before_utc": {"type": "string"},
    "run_before": {"type": "string"},
    "run_after": {"type": "string"},
    "labels": {"type": "object", "additionalProperties": strict({"before": {"type": ["string", "null"]}, "after": {"type": ["string", "null"]}})},
    "facts": several({name: {"type": "string"} for name in ("at_utc", "fact", "before", "after")}),
}  # fmt: skip
MEMBERS = several(
    {
        **WHOSE,
        "metric": {"type": "string"},
        "unit": {"type": "string"},
        "operator_type": {"type": ["string", "null"]},
        **{name: SIDES[name] for name in ("at_utc", "run_before", "run_after")},
        "worse": {"type": "boolean"},
        "own": {"type": "boolean"},
        "index": {"type": "integer", "minimum": 1},
        "before": {"type": "number"},
        "after": {"type": "number"},
        "size": NULL_NUMBER,
        "direction": {"enum": ["up", "down"]},
        "p": {"type": "number"},
        "points_before": {"type": "integer", "minimum": 3},
        "points_after": {"type": "integer", "minimum": 3},
    }
)
EFFECT = {
    "metric": {"type": "string"},
    "direction": {"enum": ["up", "down"]},
    "size": NULL_NUMBER,
    "models": {"type": "integer"},
    "of": {"type": "integer"},
    "p": {"type": "number"},
}
SHIFT = {
    "metric": {"type": "string"},
    "operator_type": {"type": ["string", "null"]},
    "direction": {"enum": ["up", "down"]},
    "sizes": {"type": ["array", "null"]},
    "devices": {"type": "integer"},
    "cases": {"type": "integer"},
}
SCHEMA: dict[str, Any] = strict(
    {
        "format": {"const": "devbench-watch-2"},
        "virtual": {"type": "boolean"},
        "runs": {"type": "integer"},
        "series": {"type": "integer"},
        "first_utc": {"type": ["string", "null"]},
        "last_utc": {"type": ["string", "null"]},
        "drifts": several(
            {
                **{name: WHOSE[name] for name in ("device_key", "device", "virtual")},
                "metric": {"type": "string"},
                "size": {"type": "number"},
                "from_utc": {"type": "string"},
                "to_utc": {"type": "string"},
            }
        ),
        "notices": several(NOTICE),
        "events": several(
            {
                "device_key": {"type": "string"},
                "device": {"type": "string"},
                "virtual": {"type": "boolean"},
                "worse": {"type": "boolean"},
                **SIDES,
                "effects": several(EFFECT),
                "members": MEMBERS,
            }
        ),
        "models": several(
            {
                "model": {"type": "string"},
                "virtual": {"type": "boolean"},
                "worse": {"type": "boolean"},
                **SIDES,
                "shifts": several(SHIFT),
                "members": MEMBERS,
            }
        ),
    }
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Two devices and four models over 40 nights: one device is updated, one model becomes slower, one grows.

    A night is missing, another was hot, and each case missed a night of its own.
    """
    path = str(tmp_path_factory.mktemp("changes") / "r.db")
    rng = np.random.default_rng(3)
    with Store(path) as store:
        for number in range(NIGHTS):
            if number == 20:
                continue
            labels = {"build": str(100 + number), "branch": "main", "commit": "new" if number >= SLOWER else "old"}
            night(store, number, _night(number, rng), labels)
    yield path


def _night(number: int, rng: np.random.Generator) -> list[Made]:
    jobs = []
    for device in ("A", "B"):
        for k, model in enumerate(MODELS):
            if number == 5 + k:
                continue
            level = 10.0 * (k + 1)
            level *= 1.12 if device == "A" and number >= UPDATE else 1
            level *= 1.05 if model == "c" and number >= SLOWER else 1
            level *= 1.4 if number == 23 else 1
            values = level * np.exp(rng.normal(0, 0.004, 3))
            size, sha = (1_200_000, "e") if model == "d" and number >= GROWN else (1_000_000, "a")
            facts = {"build": "AP2" if number >= UPDATE else "AP1"} if device == "A" else {}
            types = {"CONV_2D": (0.9 * level, 3), "ADD": (0.1 * level, 2)}
            jobs.append(Made(tuple(values), model=model, device=device, size=size, sha=sha, facts=facts, types=types))
    return jobs


def changes_of(url: str, **settings: Any) -> ChangesReport:
    with devbench.results.open_history(url) as history:
        return find_changes(history, ChangesSettings(**settings))


def terminal(report: ChangesReport, width: int = 80) -> str:
    file = io.StringIO()
    print_document(changes_document(report, "terminal"), Console(file=file, width=width, color_system=None))
    return file.getvalue()


def test_an_update_of_a_device_is_one_event_with_what_was_updated(url: str) -> None:
    report = changes_of(url)
    (event,) = report.events
    assert event.device == "Phone (A)"
    assert event.sides.at_utc == START + timedelta(days=UPDATE)
    assert event.sides.before_utc == START + timedelta(days=UPDATE - 1)
    latency = next(effect for effect in event.effects if effect.metric == "latency")
    assert (latency.models, latency.of, latency.direction) == (4, 4, "up")
    assert latency.size == pytest.approx(0.12, abs=0.01)
    assert event.worse
    assert [(fact.fact, fact.before, fact.after) for fact in event.sides.facts] == [("build", "AP1", "AP2")]
    assert event.sides.labels == {"build": ("114", "115")}


def test_a_slower_model_is_one_change_on_all_devices_with_the_labels_on_both_sides(url: str) -> None:
    report = changes_of(url)
    slower, grown = report.models
    assert slower.model == "c"
    assert slower.sides.at_utc == START + timedelta(days=SLOWER)
    assert slower.sides.labels == {"build": ("126", "127"), "commit": ("old", "new")}
    shift = next(one for one in slower.shifts if one.metric == "latency")
    assert (shift.devices, shift.cases) == (2, 1)
    assert shift.sizes == (pytest.approx(0.05, abs=0.01), pytest.approx(0.05, abs=0.01))
    assert (grown.model, [one.metric for one in grown.shifts]) == ("d", ["model_size"])
    assert grown.sides.at_utc == START + timedelta(days=GROWN)
    assert report.runs == NIGHTS - 1


def test_filters_and_what_changed_since(url: str) -> None:
    assert changes_of(url, devices=("B",)).events == ()
    assert {one.metric for one in changes_of(url, metrics=("latency",)).series} == {"latency"}
    late = changes_of(url, changed_since=START + timedelta(days=30))
    assert (late.events, [one.model for one in late.models]) == ((), ["d"])
    assert changes_of(url, until=START + timedelta(days=10)).models == ()
    only = changes_of(url, metrics=("operator_time",), models=("c",), devices=("B",))
    assert {one.operator_type for one in only.series} == {"CONV_2D", "ADD"}
    assert {shift.operator_type for shift in only.models[0].shifts} == {"CONV_2D", "ADD"}


def test_every_form_says_it(url: str) -> None:
    report = changes_of(url)
    for text in (terminal(report), markdown(changes_document(report, "markdown")).replace("\\", "")):
        for part in ("1 event of a device, 2 changes of models in 39 runs", "2026-09-16", "the whole device Phone (A)",
                     "latency +12.", "(4 of 4 models)", "the device: build AP1 → AP2", "commit old → new",
                     "on Phone (A), Phone (B): c · gpu", "model size +20.0 %"):  # fmt: skip
            assert part in text, part


def test_drift_that_all_models_of_a_device_share_is_taken_off_and_told(tmp_path: Path) -> None:
    """8 % in 25 nights, on top of it an update of 10 % and a model that becomes 6 % slower."""
    rng = np.random.default_rng(4)
    with Store(str(tmp_path / "r.db")) as store:
        for number in range(60):
            drift = 1 + 0.08 * min(max(number - 15, 0), 25) / 25
            jobs = []
            for k in range(6):
                level = 10.0 * (k + 1) * drift * (1.1 if number >= 48 else 1) * (1.06 if k == 2 and number >= 30 else 1)
                jobs.append(Made(tuple(level * np.exp(rng.normal(0, 0.006, 3))), model=f"m{k}"))
            night(store, number, jobs)
    report = changes_of(str(tmp_path / "r.db"), metrics=("latency",))
    (drift_found,) = report.drifts
    assert drift_found.size == pytest.approx(0.08, abs=0.015)
    assert [event.sides.at_utc for event in report.events] == [START + timedelta(days=48)]
    assert [(one.model, one.sides.at_utc) for one in report.models] == [("m2", START + timedelta(days=30))]
    assert "Phone (KEY): latency drifted by +" in terminal(report)
    assert "drifted" in markdown(changes_document(report, "markdown"))


def test_text_from_outside_is_text_and_virtual_devices_say_so(tmp_path: Path) -> None:
    with Store(str(tmp_path / "r.db")) as store:
        for number in range(20):
            level = 10 if number < 10 else 15
            made = Made((level, level, level), model=EVIL, virtual=True)
            night(store, number, [made], {"commit": EVIL if number < 10 else "x"})
    report = changes_of(str(tmp_path / "r.db"))
    assert report.models
    shown = terminal(report)
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert VIRTUAL_NOTE in shown
    assert "<script>" not in markdown(changes_document(report, "markdown"))


def detect(url: str, *words: str) -> Result:
    return CliRunner().invoke(application(), ["detect", "--store", url, *words])


def test_the_command_gives_json_and_exit_codes(url: str) -> None:
    done = detect(url, "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    jsonschema.validate(found, SCHEMA)
    assert len(found["events"]) == 1
    assert found["events"][0]["members"][0]["own"] is False
    assert detect(url, "--fail-on", "worse").exit_code == 1
    assert detect(url, "--fail-on", "down").exit_code == 0
    assert detect(url, "--fail-on", "any", "--changed-since", "2026-10-07").exit_code == 0
    assert detect(url, "--format", "md").stdout.startswith("# 1 event")
    assert "the whole device" in detect(url, "--device", "phone (a)", "--label", "branch=main").stdout


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--since", "soon"], "--since"),
        (["--metric", "speed"], "speed"),
        (["--device", "fridge"], "fridge"),
        (["--model", "none"], "no model 'none' in the store"),
        (["--label", "x"], "--label"),
        (["--column", "1"], "--column"),
        (["--fail-on", "regressed"], "--fail-on"),
        (["--format", "pdf"], "--format"),
        (["--csv", "x.csv", "--metric", "latency"], "--metric"),
    ],
)
def test_wrong_input_is_one_line_with_exit_code_2(url: str, words: list[str], part: str) -> None:
    error = detect(url, *words).exception
    assert isinstance(error, InputError)
    assert part in error.what
    assert error.hint
