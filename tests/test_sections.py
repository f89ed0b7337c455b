"""A section is added in one place: one that is not devbench's own is found in every form of every subject."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from html import unescape
from typing import Any

import pytest

from devbench.findings.changes_build import find_changes
from devbench.findings.comparison_build import build_comparison
from devbench.findings.night import NightResult
from devbench.findings.run_build import build_report
from devbench.findings.subject import pipelines_of
from devbench.forms.html import html
from devbench.forms.json import json_text
from devbench.forms.junit import junit
from devbench.forms.markdown import markdown
from devbench.forms.message import message
from devbench.forms.summary import summary
from devbench.forms.terminal import terminal_text
from devbench.results.history import History
from devbench.results.store import Store
from devbench.sections import changes, comparison, night, pipeline, run
from devbench.sections.document import Document, Facts, Line, Lines, Section, SectionOf
from devbench.sections.subjects import RunSubject
from devbench.sections.tables import Cell, Column, Form, table
from tests.golden.page_text import page_text
from tests.made.store import make

# Makes the document of a subject for a form, with these kinds of sections.
Make = Callable[[Form, Any], Document]


def _new(subject: object) -> Iterator[Section]:
    columns: tuple[Column[tuple[str, float]], ...] = (
        Column("maker", lambda row: row[0]),
        Column("score", lambda row: Cell(f"{row[1]:.1f}", row[1]), numeric=True),
    )
    found = table("makers", "scores of makers", columns, [("<Acme>", 41.5), ("Umbrella", 17.25)])
    lines = (Line("higher scores are better", "soft"), Line("it leaks", "warn", "Umbrella"))
    yield Section("scores", "Scores", (Facts((("judge", "nobody"),)), found, Lines(lines, "remarks")))


NEW: SectionOf[Any] = SectionOf(_new)


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Make, Any]]:
    url = str(tmp_path_factory.mktemp("sections") / "results.db")
    with Store(url) as store:
        ids = make(store)
    with History(url) as history:
        view = history.store.run(ids.pipeline)
        runs = RunSubject(build_report(history.store.run(ids.candidate)))
        compared = build_comparison(history, [ids.baseline], [ids.candidate])
        changed, pipelines = find_changes(history), pipelines_of(history.store, view)
    assert pipelines is not None
    result = NightResult("nightly", "2026-09-12", runs.report, compared, changed)
    return {
        "run": (lambda form, kinds: run.run_document(runs, form, kinds), run.SECTIONS),
        "comparison": (
            lambda form, kinds: comparison.comparison_document(compared, form, kinds=kinds),
            comparison.SECTIONS,
        ),
        "changes": (lambda form, kinds: changes.changes_document(changed, form, kinds), changes.SECTIONS),
        "night": (lambda form, kinds: night.night_document(result, form, kinds), night.SECTIONS),
        "pipeline": (lambda form, kinds: pipeline.pipeline_document(pipelines, form, kinds), pipeline.SECTIONS),
    }


SPELT: dict[Form, Callable[[Document], str]] = {
    "terminal": terminal_text,
    "markdown": lambda document: markdown(document).replace("\\", ""),
    "html": lambda document: page_text(html(document)),
    "json": json_text,
}


@pytest.mark.parametrize("form", SPELT)
@pytest.mark.parametrize("name", ["run", "comparison", "changes", "pipeline"])
def test_a_new_section_is_in_every_form(subjects: dict[str, tuple[Make, Any]], name: str, form: Form) -> None:
    make_document, kinds = subjects[name]
    text = SPELT[form](make_document(form, (*kinds, NEW)))
    for part in ("nobody", "<Acme>", "41.5", "Umbrella", "17.2", "higher scores are better", "it leaks"):
        assert part in text, part
    assert "Scores" in text or form == "json"
    assert "nobody" not in SPELT[form](make_document(form, kinds))


@pytest.mark.parametrize("form", ["terminal", "markdown", "message", "junit", "json"])
def test_a_new_section_is_in_every_form_of_a_night(subjects: dict[str, tuple[Make, Any]], form: Form) -> None:
    make_document, kinds = subjects["night"]
    spell: dict[str, Callable[[Document], str]] = {
        "terminal": terminal_text,
        "markdown": lambda document: summary(document).replace("\\", ""),
        "message": lambda document: message(document).replace("\u2060", ""),
        "junit": lambda document: unescape(junit(document)),
        "json": json_text,
    }
    text = spell[form](make_document(form, (*kinds, NEW)))
    for part in ("nobody", "Acme", "41.5", "Umbrella", "17.2", "higher scores are better", "it leaks"):
        assert part in text, part
    assert "nobody" not in spell[form](make_document(form, kinds))


def test_a_section_that_one_form_shows_is_in_no_other(subjects: dict[str, tuple[Make, Any]]) -> None:
    make_document, kinds = subjects["run"]
    only = SectionOf(_new, frozenset(["markdown"]))
    shown = {form for form, spell in SPELT.items() if "nobody" in spell(make_document(form, (*kinds, only)))}
    assert shown == {"markdown"}


def test_json_has_the_rows_of_a_new_section_by_its_key(subjects: dict[str, tuple[Make, Any]]) -> None:
    make_document, kinds = subjects["comparison"]
    found = json.loads(json_text(make_document("json", (*kinds, NEW))))["scores"]
    assert found["makers"][0] == {"maker": "<Acme>", "score": "41.5"}
    assert found["lines"] == ["higher scores are better", "Umbrella: it leaks"]


def test_a_table_too_wide_hides_columns_and_says_which() -> None:
    columns = tuple(Column(f"column {k}", lambda row, k=k: "x" * 12, hidden=k) for k in range(9))  # type: ignore[misc]
    document = Document("", sections=(Section("wide", "Wide", (table("wide", "wide", columns, [1]),)),))
    text = terminal_text(document, 60)
    assert "hidden (terminal too narrow): column 0, column 1" in text
    assert max(map(len, text.splitlines())) <= 120
