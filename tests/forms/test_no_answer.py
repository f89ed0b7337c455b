"""Unreliable or single measurements: no winner, no "all well", no regression and no improvement, in any form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

import devbench.results
from devbench.findings.changes import ChangesSettings
from devbench.findings.changes_build import find_changes
from devbench.findings.choice import choices
from devbench.findings.comparison_build import build_comparison
from devbench.findings.night import NightResult
from devbench.findings.run_build import build_report
from devbench.forms.html import html
from devbench.forms.json import json_text
from devbench.forms.markdown import markdown
from devbench.forms.terminal import terminal_text
from devbench.results.store import Store
from devbench.sections.changes import changes_document
from devbench.sections.comparison import comparison_document
from devbench.sections.run import run_document
from devbench.sections.subjects import RunSubject
from tests.made.night_forms import night_json, night_junit, night_lines, night_message, night_summary
from tests.made.nights import Made, night, noisy

# What a form says only if it has an answer.
ANSWERS = re.compile(
    r"times as fast|is the best delegate|Best delegate found|all well|✅|[1-9]\d* (?:regress|improve)|▲ \w|▼ \w"
    r"|No regressions|class=\"(?:n )?best\"|class=\"head good\"|class=\"win\"|\*\*(?:GPU|XNNPACK|CPU|\d)"
)


def jobs(level: float, n: int, bad: bool, seed: int) -> list[Made]:
    """A model under two delegates, far from each other, on a phone; another model on a second phone."""

    def made(factor: float, k: int, **more: str) -> Made:
        return Made(noisy(level * factor, n, seed=seed + k), unreliable=n if bad else 0, **more)

    return [made(1, 0), made(3, 1, delegate="xnnpack"), made(1, 2, model="other", device="B"),
            made(3, 3, model="other", device="B", delegate="cpu")]  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "r.db")) as opened:
        yield opened


@pytest.mark.parametrize(("n", "bad"), [(1, False), (2, False), (8, True), (1, True)])
@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_no_form_has_an_answer(store: Store, n: int, bad: bool, factor: float) -> None:
    before = night(store, 0, jobs(10, n, bad, 1))
    after = night(store, 1, jobs(10 * factor, n, bad, 11))
    with devbench.results.open_history(store.database.shown) as history:
        comparison = build_comparison(history, [before], [after])
        changes = find_changes(history, ChangesSettings(metrics=("latency",)))
    report = build_report(store.run(after))
    assert [one.winner for one in choices(report)] == [None, None]
    assert not comparison.regressed
    subject = RunSubject(report, comparison, changes, operators=True)
    nights = [
        NightResult("suite", "2026-09-02", report, comparison, changes),
        NightResult("suite", "2026-09-02", report),
    ]
    texts = {
        "page": html(run_document(subject, "html")),
        "page of the run": html(run_document(RunSubject(report), "html")),
        **{
            f"{name} as {form}": spell(document(form))
            for name, document in (
                ("run", lambda form: run_document(RunSubject(report, operators=True), form)),
                ("comparison", lambda form: comparison_document(comparison, form, everything=True)),
                ("changes", lambda form: changes_document(changes, form)),
            )
            for form, spell in (("terminal", terminal_text), ("markdown", markdown))
        },
        **{
            f"{spell.__name__} {k}": "\n".join(text) if isinstance(text := spell(one), list) else str(text)
            for k, one in enumerate(nights)
            for spell in (night_lines, night_message, night_summary, night_junit, night_json)
        },
        "json": json_text(comparison_document(comparison, "json")),
    }
    for name, text in texts.items():
        found = ANSWERS.search(without_style(text))
        assert found is None, (name, text[max(0, found.start() - 100) : found.end() + 100])
    assert all(one.exit_code == 0 for one in nights)
    assert night_message(nights[0]).startswith("⚠️")
    assert night_junit(nights[0]).count("<skipped") == 4, "each job, with the reason"


def without_style(text: str) -> str:
    text = re.sub(r"<(style|script).*?</\1>", "", text, flags=re.DOTALL)
    return unescape(text.replace("\\", "").replace("\u2060", ""))
