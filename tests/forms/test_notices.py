"""Every kind of notice, in every form of everything that shows it; a new kind is tested by itself.

The kinds are those of the catalogue. Each finding gets one notice of each kind, and each notice's text is looked for in
every form of that finding. That the findings make these notices is tested in `tests/findings/test_notices.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

import devbench.results
from devbench.findings.changes import ChangesSettings
from devbench.findings.changes_build import find_changes
from devbench.findings.comparison_build import build_comparison
from devbench.findings.night import NightResult
from devbench.findings.pipeline import PipelineReport, build_pipeline_report
from devbench.findings.run import ReportData
from devbench.findings.run_build import build_report
from devbench.forms.html import html
from devbench.forms.json import json_text
from devbench.forms.markdown import markdown
from devbench.forms.terminal import terminal_text
from devbench.notices import Effect, Notice, NoticeKind
from devbench.results.counting import RunView
from devbench.results.run_files import run_to_json
from devbench.results.store import Store
from devbench.sections.changes import changes_document
from devbench.sections.comparison import comparison_document
from devbench.sections.document import Document
from devbench.sections.night import night_sentence
from devbench.sections.pipeline import pipeline_document
from devbench.sections.run import run_document
from devbench.sections.subjects import RunSubject
from tests.made.night_forms import night_json, night_junit, night_lines, night_message, night_summary
from tests.made.store import PIXEL, make

TEXT = "the <moon> of {} was in the *way*"
STEP = "wait for another moon"


class Shown:
    """The made store's findings."""

    def __init__(self, url: str) -> None:
        with Store(url) as store, devbench.results.open_history(url) as history:
            ids = make(store)
            self.view = store.run(ids.candidate)
            self.comparison = build_comparison(history, [ids.baseline], [ids.candidate])
            self.changes = find_changes(history, ChangesSettings(metrics=("latency",)))
            view = store.run(ids.pipeline)
            self.pipeline = build_pipeline_report(view, store.pipeline_sessions(ids.pipeline))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return Shown(str(tmp_path_factory.mktemp("notices") / "results.db"))


def page(report: ReportData, **beside: Any) -> str:
    return html(run_document(RunSubject(report, **beside), "html"))


def with_notices(one: Any, notices: tuple[Notice, ...]) -> Any:
    if isinstance(one, PipelineReport):
        return replace(one, view=with_notices(one.view, notices))
    return replace(one, notices=notices)


def texts(document: Callable[[Any, Any], Document], one: Any) -> dict[str, str]:
    """The forms that a document has by itself."""
    return {
        "terminal": terminal_text(document(one, "terminal"), 400),
        "markdown": markdown(document(one, "markdown")),
        "page": html(document(one, "html")),
        **({"json": json_text(found)} if (found := document(one, "json")).data else {}),
    }


def run_forms(view: RunView) -> dict[str, str]:
    report = build_report(view)
    return {**texts(run_document, RunSubject(report)), "json of the run": json.dumps(run_to_json(view))}


def beside_forms(name: str, document: Callable[[Any, Any], Document], one: Any, run: ReportData) -> dict[str, str]:
    return {**texts(document, one), "page of a run": page(run, **{name: one})}


def night_forms(result: NightResult) -> dict[str, str]:
    return {
        "terminal": "\n".join(night_lines(result)),
        "summary": night_summary(result),
        "message": night_message(result),
        "junit": night_junit(result),
        "json": json.dumps(night_json(result)),
    }


def plain(text: str) -> str:
    """A form's text without its way of making text harmless."""
    text = text if text.startswith("{") else text.replace("\\", "")
    return unescape(unescape(text.replace("\u2060", "")))


def every_form(shown: Shown, *notices: Notice) -> dict[str, str]:
    bare = replace(build_report(shown.view), notices=())
    view = with_notices(shown.view, notices)
    comparison, changes = with_notices(shown.comparison, notices), with_notices(shown.changes, notices)
    pipeline = with_notices(shown.pipeline, notices)
    found = {
        "run": run_forms(view),
        "comparison": beside_forms("comparison", comparison_document, comparison, bare),
        "changes": beside_forms("changes", changes_document, changes, bare),
        "pipeline": beside_forms("pipelines", pipeline_document, pipeline, bare),
        "night of a run": night_forms(NightResult("s", "2026-09-12", with_notices(bare, notices))),
        "night of a comparison": night_forms(NightResult("s", "2026-09-12", bare, comparison)),
        "night of changes": night_forms(NightResult("s", "2026-09-12", bare, None, changes)),
    }
    return {f"{subject}: {form}": text for subject, forms in found.items() for form, text in forms.items()}


@pytest.fixture(scope="module")
def all_kinds(shown: Shown) -> dict[str, str]:
    """Every form of everything, with a notice of each kind. A short form shows five notices, so five are made at a time."""
    kinds, found = list(NoticeKind), {}
    for first in range(0, len(kinds), 5):
        notices = [
            Notice(
                kind,
                "Pixel 8 (37021FDJE)",
                TEXT.format(kind.value),
                f"{STEP} of {kind.value}",
                Effect.INFORMATION,
                PIXEL,
            )
            for kind in kinds[first : first + 5]
        ]
        for name, form in every_form(shown, *notices).items():
            found[f"{name} {first // 5}"] = plain(form)
    return found


@pytest.mark.parametrize("kind", list(NoticeKind))
def test_each_kind_is_in_every_form_of_everything(kind: NoticeKind, all_kinds: dict[str, str]) -> None:
    forms = {name: form for name, form in all_kinds.items() if name.endswith(f" {list(NoticeKind).index(kind) // 5}")}
    text, step = TEXT.format(kind.value), f"{STEP} of {kind.value}"
    missing = [name for name, form in forms.items() if text not in form or step not in form]
    assert len(forms) > 20
    assert missing == []


@pytest.mark.parametrize("kind", list(NoticeKind))
def test_no_night_is_all_well_if_no_verdict_is_possible(kind: NoticeKind, shown: Shown) -> None:
    failed = [item for item in shown.view.jobs if item.job.number in (1, 2)]
    view = replace(shown.view, jobs=tuple(failed))
    quiet = NightResult("s", "2026-09-12", build_report(replace(view, notices=())))
    assert night_sentence(quiet).endswith("times as fast as XNNPACK; nothing to compare with yet")
    assert night_message(quiet).startswith("✅")
    for subject in ("Pixel 8 (37021FDJE)", "portrait_unet", "results store"):
        notice = Notice(kind, subject, TEXT, STEP, Effect.UNDECIDED, "" if subject == "results store" else PIXEL)
        night = NightResult("s", "2026-09-12", build_report(replace(view, notices=(notice,))))
        assert "no verdict" in night_sentence(night)
        assert night_message(night).startswith("⚠️")
        assert night.exit_code == 0


def test_markup_of_a_notice_is_text(shown: Shown) -> None:
    notice = Notice(NoticeKind.LEASE_LOST, "[red]<b>x</b>*y*", "<script>[bold]\x1b[31m`z`", "<!channel>", device_key="")
    for name, text in every_form(shown, notice).items():
        assert "\x1b" not in text, name
        if "json" not in name and "terminal" not in name:
            assert "<script>" not in text.replace("\\<script\\>", "").split("</style>")[-1].split("<script>", 1)[0], (
                name
            )
            assert "<!channel>" not in text.replace("\\<\\!channel\\>", ""), name


def test_five_notices_are_shown_in_a_short_form_and_the_others_counted(shown: Shown, tmp_path: Path) -> None:
    notices = tuple(Notice(NoticeKind.STEP_NOT_APPLIED, f"device {n}", f"step {n} failed", "") for n in range(8))
    report = replace(build_report(shown.view), notices=notices)
    night = NightResult("s", "2026-09-12", report)
    for text in (night_message(night), night_summary(night)):
        assert "3 more notices" in text
        assert sum(f"step {n} failed" in text for n in range(8)) == 5
    for text in (*run_forms(replace(shown.view, notices=notices)).values(), night_junit(night)):
        assert all(f"step {n} failed" in text for n in range(8))
