"""Reports: the same numbers in every form, virtual ones marked everywhere, text from outside harmless."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from devbench.findings.run import ReportData
from devbench.findings.run_build import build_report
from devbench.findings.subject import readable
from devbench.forms.charts.files import chart_file
from devbench.forms.files import write_files
from devbench.notices import VIRTUAL_NOTE
from devbench.results.counting import JobView
from devbench.results.run_files import write_csv, write_json
from devbench.results.store import Store
from devbench.sections.figures import ms, operator_name
from devbench.sections.subjects import RunSubject
from devbench.text import for_markdown
from tests.made.shown import run_markdown, run_page, run_pictures, run_terminal, svg_file
from tests.made.views import EVIL, op, view


def html_of(report: ReportData, raw: dict[str, str] | None = None) -> str:
    return run_page(report, lambda path: (raw or {}).get(path, "").encode())


def test_the_numbers_are_computed_once() -> None:
    report = build_report(view())
    job = report.jobs[0]
    assert job.latency is not None
    assert (job.latency.median, job.latency.low, job.latency.high) == (5.0, 4.9, 5.1)
    assert job.delegation == "partial (9 of 180 nodes, 1 partition)"
    assert [(kind.type, kind.total_ms) for kind in job.by_type] == [("CONV_2D", 2.0), ("ADD", 1.0)]
    assert job.by_type[0].share == pytest.approx(2 / 3)
    assert job.peak_memory_mb == 12.5
    assert report.jobs[1].failures == (("crash", "model", 1),)


def test_a_partition_and_the_rows_inside_it_are_counted_once() -> None:
    rows = (op(0, "TfLiteGpuDelegateV2", 8.0), op(1, "Convolution", 7.9, inside=True), op(2, "SOFTMAX", 2.0))
    base = view()
    changed = replace(base.jobs[0].repetitions[3], operators=rows)
    report = build_report(replace(base, jobs=(JobView(base.jobs[0].job, (changed,)),)))
    assert [(row.type, row.place) for row in report.jobs[0].operators] == [
        ("TfLiteGpuDelegateV2", "delegate"),
        ("SOFTMAX", "cpu"),
    ]
    assert report.jobs[0].operators[0].share == pytest.approx(0.8)


def test_without_a_partition_s_row_those_inside_stand_for_it() -> None:
    rows = (op(0, "softmax 3", 3.0, inside=True), op(1, "softmax 5", 1.0, inside=True), op(2, "MEAN", 1.0))
    base = view()
    changed = replace(base.jobs[0].repetitions[3], operators=rows)
    report = build_report(replace(base, jobs=(JobView(base.jobs[0].job, (changed,)),)))
    assert [(kind.type, kind.count, kind.place) for kind in report.jobs[0].by_type] == [
        ("softmax", 2, "delegate"),
        ("MEAN", 1, "cpu"),
    ]


@pytest.mark.parametrize("form", ["html", "markdown", "terminal", "chart"])
def test_a_virtual_device_is_marked_in_every_form(form: str) -> None:
    report = build_report(view(virtual=True))
    charts = run_pictures(report)
    texts = {
        "html": html_of(report),
        "markdown": run_markdown(report),
        "terminal": run_terminal(report),
        "chart": svg_file(charts[0]),
    }
    assert "virtual" in texts[form].lower()
    assert "VIRTUAL DEVICE" in svg_file(charts[1], "dark")


def test_exports_say_that_a_device_is_virtual(tmp_path: Path) -> None:
    write_json(view(virtual=True), tmp_path / "r.json")
    write_csv(view(virtual=True), tmp_path / "r.csv")
    assert json.loads((tmp_path / "r.json").read_text())["virtual"] is True
    assert {row["virtual"] for row in csv.DictReader((tmp_path / "r.csv").open())} == {"True"}


def test_a_phone_is_not_marked() -> None:
    assert "VIRTUAL" not in svg_file(run_pictures(build_report(view()))[0])
    assert VIRTUAL_NOTE not in html_of(build_report(view()))


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # The page's own script; data that it carries is none.
        if tag != "script" or dict(attrs).get("type") is None:
            self.seen.append(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            assert name not in ("href", "src", "action") or (value or "").startswith(("#", "data:image/"))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_hostile_text_is_shown_and_does_nothing() -> None:
    page = html_of(build_report(view(name=EVIL, title=EVIL)), {"x": EVIL})
    tags = Tags()
    tags.feed(page)
    assert tags.seen.count("script") == 2, "the page's and the charts' own"
    assert "<script>alert(1)</script>" in tags.text
    assert "{{7*7}}" in tags.text
    assert "\u202e" not in page
    assert "\x1b" not in page


def test_hostile_text_in_charts_is_text() -> None:
    charts = run_pictures(build_report(view(name=EVIL, title=EVIL)))
    assert "<script" not in svg_file(charts[0])
    assert chart_file(charts[0], "png").startswith(b"\x89PNG")


def test_markdown_escapes_only_what_would_be_more_than_text() -> None:
    assert for_markdown("small_unet (8 of 9), +3 % & _more_ - x") == "small_unet (8 of 9), +3 % & \\_more\\_ - x"
    assert for_markdown("- a [b](c) <i> &amp; *d* `e` a|b #1") == (
        "\\- a \\[b\\](c) \\<i\\> \\&amp; \\*d\\* \\`e\\` a\\|b \\#1"
    )


def test_hostile_text_in_markdown_and_terminal_is_inert(tmp_path: Path) -> None:
    report = build_report(view(name=EVIL, title=EVIL))
    text = run_markdown(report)
    assert "<script>" not in text
    assert not re.search(r"(?<!\\)\[x(?<!\\)\]\(", text)
    shown = run_terminal(report)
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_a_spreadsheet_runs_nothing(tmp_path: Path) -> None:
    write_csv(view(name="=HYPERLINK(1)"), tmp_path / "r.csv")
    rows = list(csv.DictReader((tmp_path / "r.csv").open()))
    assert rows[0]["model"] == "'=HYPERLINK(1)"


def test_the_page_needs_no_network() -> None:
    page = html_of(build_report(view()))
    without_data = re.sub(r"data:[^\"]+", "", page)
    assert not re.search(r"(?:src|href|srcset)=\"(?!\")[^\"]*https?:", without_data)
    assert "Content-Security-Policy" in page


def test_a_run_without_any_number_still_has_a_report(tmp_path: Path) -> None:
    base = view()
    empty = replace(base, jobs=(base.jobs[1],))
    with Store(str(tmp_path / "s.db")) as store:
        page, *_ = write_files(
            RunSubject(build_report(empty)), tmp_path / "out", ("html", "md", "png"), readable(store.artifacts.read)
        )
    assert "crash" in page.read_text()
    assert not (tmp_path / "out" / "latency.png").exists()


def test_numbers_are_short_and_right() -> None:
    assert [ms(value) for value in (None, 0.0, 0.00031, 0.0123, 0.05449, 2.7654, 27.654, 276.54, 1629.76)] == [
        "", "0.000", "0.00031", "0.012", "0.054", "2.77", "27.7", "277", "1,630",
    ]  # fmt: skip
    assert operator_name("[a/b;c]", 7) == "a/b;c #7"
