"""Charts of a page in a real browser: no violation of its policy, keys and pointer read values, filters and legends work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from devbench.analysis.changes import ChangePoint
from devbench.findings.changes import Change, ChangesReport, MeasuredSeries, Sides
from devbench.findings.run_build import build_report
from devbench.forms.html import html
from devbench.results.counting import JobView, RunView
from devbench.sections.changes import changes_document
from devbench.sections.document import Charts, Document, Section
from devbench.sections.waterfall import Step, waterfall
from tests.browser.chromium import Chromium
from tests.made.phones import phone_view
from tests.made.shown import run_page
from tests.made.views import EVIL, view

pytestmark = pytest.mark.browser
NIGHTS = 200


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as one:
        yield one


def shown(browser: Chromium, page: str, folder: Path, section: str) -> None:
    """Open a page and go to a section; wait until its first chart is drawn."""
    path = folder / "page.html"
    path.write_text(page, "utf-8")
    browser.complaints.clear()
    browser.open(path.as_uri())
    browser.run(f"document.querySelector('#{section} .plot').scrollIntoView()")
    browser.wait(f"document.querySelector('#{section} .plot').dataset.drawn === 'yes'")


def history() -> ChangesReport:
    """Two delegates in 200 nights; the second one changes in night 100, with the commit."""
    start = datetime(2026, 3, 1, tzinfo=timezone.utc)
    times = tuple(start + timedelta(days=n) for n in range(NIGHTS))
    runs = tuple(f"run-{n}" for n in range(NIGHTS))
    series = []
    for delegate, level in (("cpu", 60.0), ("xnnpack", 17.0), ("gpu", 9.0)):
        step = delegate == "gpu"
        values = tuple(level + n % 3 / 10 + (4.0 if step and n >= 100 else 0.0) for n in range(NIGHTS))
        point = ChangePoint(100, 9.1, 13.1, 4 / 9, "up", 0.0, 100, 100) if step else None
        sides = Sides(times[100], times[99], runs[99], runs[100], {"commit": ("4f2a91b", "91bc07d")})
        changes = (Change(point, sides, worse=True, own=True),) if point else ()
        lows, highs = (tuple(value + by for value in values) for by in (-0.2, 0.2))
        series.append(
            MeasuredSeries("K", "Pixel 8", False, f"unet · {delegate}", "unet", delegate, None, "latency", "ms", "",
                           times, runs, values, changes, lows, highs)
        )  # fmt: skip
    labels = {run: {"commit": f"c0ffee{n}"} for n, run in enumerate(runs)}
    return ChangesReport(tuple(series), (), (), (), NIGHTS, times[0], times[-1], False, run_labels=labels)


def history_page() -> str:
    return html(changes_document(history(), "html"))


def two_devices() -> RunView:
    base = phone_view()
    device = replace(base.jobs[0].job.device, key="OTHER", title="Galaxy S24")
    more = tuple(
        JobView(replace(one.job, number=one.job.number + 10, device=device),
                tuple(replace(r, job_number=one.job.number + 10) for r in one.repetitions))
        for one in base.jobs
    )  # fmt: skip
    return replace(base, jobs=base.jobs + more)


def test_all_charts_are_drawn_without_a_violation_of_the_policy(browser: Chromium, tmp_path: Path) -> None:
    shown(browser, run_page(build_report(phone_view())), tmp_path, "latency")
    count = browser.run("document.querySelectorAll('.plot').length")
    assert count == 5
    for number in range(count):
        browser.run(f"document.querySelectorAll('.plot')[{number}].scrollIntoView()")
        browser.wait(f"document.querySelectorAll('.plot')[{number}].dataset.drawn === 'yes'")
    assert browser.complaints == []
    policy = browser.run("document.querySelector('meta[http-equiv]').content")
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_arrow_keys_read_all_values_of_a_night_with_its_commit(browser: Chromium, tmp_path: Path) -> None:
    shown(browser, history_page(), tmp_path, "history")
    browser.run("document.querySelector('.plot').focus()")
    browser.press("ArrowLeft")
    said = "document.querySelector('[aria-live].unseen').textContent"
    browser.wait(said + ".includes('commit c0ffee199')")
    told = browser.run(said)
    assert "xnnpack 17.1 16.9 to 17.3" in told
    assert "gpu 13.1" in told
    browser.wait("document.querySelector('.tip')?.textContent.includes('c0ffee199')")
    browser.press("ArrowLeft")
    browser.wait(said + ".includes('commit c0ffee198')")
    browser.press("Escape")
    assert browser.complaints == []


def test_the_pointer_shows_all_values_of_a_night(browser: Chromium, tmp_path: Path) -> None:
    shown(browser, history_page(), tmp_path, "history")
    box = json.loads(
        browser.run("(b => JSON.stringify([b.left, b.top, b.width, b.height]))(document.querySelector('.plot').getBoundingClientRect())")
    )  # fmt: skip
    browser.move(box[0] + 0.5 * box[2], box[1] + 0.5 * box[3])
    browser.wait("document.querySelector('.tip')?.textContent.includes('commit c0ffee')")
    tip = browser.run("document.querySelector('.tip').textContent")
    assert "gpu" in tip and "xnnpack" in tip and "run run-" in tip
    assert browser.complaints == []


def test_a_series_is_hidden_and_shown_and_the_slow_cpu_is_hidden_at_first(browser: Chromium, tmp_path: Path) -> None:
    shown(browser, history_page(), tmp_path, "history")
    ends = (
        "[...document.querySelectorAll('.plot svg text')].map(t => t.textContent).filter(t => /  [0-9]/.test(t)).sort()"
    )
    browser.wait(ends + ".length === 2")
    assert [text.split()[0] for text in browser.run(ends)] == ["gpu", "xnnpack"]
    browser.run("[...document.querySelectorAll('.key button')].find(b => b.textContent === 'cpu').focus()")
    browser.press("Enter")
    browser.wait(ends + ".length === 3")
    assert browser.complaints == []


def test_filters_of_a_table_choose_the_rows_of_charts(browser: Chromium, tmp_path: Path) -> None:
    shown(browser, run_page(build_report(two_devices())), tmp_path, "latency")
    labels = "[...document.querySelectorAll('#latency .panel:not([hidden]) h4')].map(t => t.textContent)"
    browser.wait(labels + ".length === 2")
    browser.run(
        "(s => { s.value = 'Galaxy S24'; s.dispatchEvent(new Event('change', {bubbles: true})); })"
        "([...document.querySelectorAll('[data-table=jobs] label')].find(l => /^device/i.test(l.textContent)).querySelector('select'))"
    )
    browser.wait("!" + labels + ".some(t => t.startsWith('Pixel'))")
    assert browser.run(labels) == ["Galaxy S24"]
    assert browser.complaints == []


def test_each_chart_has_a_table(browser: Chromium, tmp_path: Path) -> None:
    shown(browser, history_page(), tmp_path, "history")
    browser.run("document.querySelector('.chart details').open = true")
    browser.wait("document.querySelectorAll('.chart details tbody tr').length === 200")
    last = browser.run("[...document.querySelector('.chart details tbody').lastChild.children].map(c => c.textContent)")
    assert last[1:] == ["run run-199 · commit c0ffee199", "60.1", "17.1", "13.1"]


def test_hostile_names_are_text(browser: Chromium, tmp_path: Path) -> None:
    shown(browser, run_page(build_report(view(name=EVIL, title=EVIL))), tmp_path, "latency")
    browser.run("document.querySelector('.plot').focus()")
    browser.press("ArrowDown")
    browser.wait("document.querySelector('.tip')")
    browser.run("document.querySelectorAll('.chart details').forEach(d => d.open = true)")
    assert browser.run("document.querySelectorAll('.plot script, .chart details script').length") == 0
    assert browser.complaints == []


@pytest.mark.parametrize("width", [390, 1400])
def test_a_chart_follows_the_width_of_the_window(browser: Chromium, tmp_path: Path, width: int) -> None:
    browser.size(width, 900)
    try:
        shown(browser, history_page(), tmp_path, "history")
        assert browser.run("document.documentElement.scrollWidth") <= width
        right = (
            "Math.max(...[...document.querySelectorAll('.plot svg text')].map(t => t.getBoundingClientRect().right))"
        )
        assert browser.run(right) <= width
        browser.size(700, 900)
        browser.wait(
            "Math.abs(document.querySelector('.plot svg').clientWidth - document.querySelector('.plot').clientWidth) < 2"
        )
    finally:
        browser.size(1280, 900)


def test_without_scripts_the_first_charts_are_pictures(browser: Chromium, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(run_page(build_report(phone_view())), "utf-8")
    browser.complaints.clear()
    browser.scripts(False)
    try:
        browser.open_without_waiting(path.as_uri())
        shown_widths = browser.images()
        assert len(shown_widths) == 3
        assert all(width > 200 for width in shown_widths)
    finally:
        browser.scripts(True)
    assert browser.complaints == []


def test_dark_charts_are_printed_on_light_paper(browser: Chromium, tmp_path: Path) -> None:
    browser.scheme("dark")
    try:
        shown(browser, run_page(build_report(phone_view())), tmp_path, "latency")
        fill = "document.querySelector('#latency .plot svg text').getAttribute('fill')"
        dark = browser.run(fill)
        browser.run("dispatchEvent(new Event('beforeprint'))")
        assert browser.run(fill) != dark
        assert browser.run("document.querySelector('#latency .plot svg').clientWidth") <= 680
        browser.run("dispatchEvent(new Event('afterprint'))")
        browser.wait(f"{fill} === '{dark}'")
    finally:
        browser.scheme("light")


def test_a_bar_of_a_waterfall_begins_where_the_one_before_ended(browser: Chromium, tmp_path: Path) -> None:
    changes = [Step("baseline", 3.0, "3 s"), Step("refused", None, "failed"), Step("slower", 4.0, "4 s"),
               Step("faster", 1.0, "1 s")]  # fmt: skip
    section = Section("levers", "Levers", (Charts((waterfall("levers", "Levers", "s", changes, last="in all"),)),))
    shown(browser, html(Document("Levers", "", sections=(section,))), tmp_path, "levers")
    boxes = browser.run(
        "JSON.stringify([...document.querySelectorAll('#levers .plot svg path')]"
        ".filter(p => !/none|transparent|,0\\)/.test(p.getAttribute('fill') || 'none')).map(p => p.getBBox())"
        ".filter(b => Math.round(b.height) === 11).map(b => [b.y, b.x, b.x + b.width]))"
    )
    (baseline, slower, faster, last) = [bar[1:] for bar in sorted(json.loads(boxes))]
    second = (baseline[1] - baseline[0]) / 3
    assert [baseline[0], last[0]] == pytest.approx([baseline[0]] * 2)
    assert slower == pytest.approx([baseline[1], baseline[1] + second], abs=1)
    assert faster == pytest.approx([baseline[0] + second, slower[1]], abs=1)
    assert last[1] == pytest.approx(baseline[0] + second, abs=1)
    assert browser.complaints == []
