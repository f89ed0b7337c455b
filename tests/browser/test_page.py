"""A run's page in a real browser: nothing complains, tables sort and filter, keys and themes work, hostile text is text."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devbench.findings.run_build import build_report
from devbench.results.counting import JobView, RunView
from devbench.results.records import DeviceRecord, ModelRecord
from tests.browser.chromium import Chromium
from tests.made.phones import phone_view
from tests.made.shown import run_page
from tests.made.views import EVIL, view

pytestmark = pytest.mark.browser

RAW = f"INFO: a line\n\x1b[31mred\x1b[0m {EVIL}\n"
_ROWS = "[...document.querySelectorAll('[data-table={0}] tbody tr')].map(r => r.children[{1}].textContent)"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as one:
        yield one


def written(folder: Path, run: RunView) -> str:
    path = folder / "report.html"
    path.write_text(run_page(build_report(run), lambda path: RAW.encode()), "utf-8")
    return path.as_uri()


def many(count: int) -> RunView:
    """A run of so many jobs on ten devices."""
    base = view()
    first = base.jobs[0]
    devices = [DeviceRecord(f"K{n}", f"S{n}", f"Phone {n}", False, "p", {}) for n in range(10)]
    jobs = []
    for n in range(count):
        model = ModelRecord(f"{n // 50:064x}", f"model_{n // 50}", 1_000_000)
        job = replace(first.job, number=n + 1, device=devices[n % 10], model=model, threads=n // 10 % 5 + 1)
        us = 1000.0 + 37 * (n * 7919 % count)
        repetitions = tuple(
            replace(r, job_number=n + 1, latency_avg_us=us + r.index if r.latency_avg_us else None)
            for r in first.repetitions
        )
        jobs.append(JobView(job, repetitions))
    return replace(base, jobs=tuple(jobs))


def column(browser: Chromium, table: str, number: int) -> list[str]:
    return list(browser.run(_ROWS.format(table, number)))


def choose(browser: Chromium, device: str) -> None:
    browser.run(
        f"(s => {{ s.value = '{device}'; s.dispatchEvent(new Event('change')); }})"
        "(document.querySelector('[data-table=jobs] select'))"
    )


def unfold(browser: Chromium) -> None:
    """The table of many jobs is folded."""
    browser.run("document.querySelectorAll('#jobs > details').forEach(d => d.open = true)")


def head(table: str, title: str) -> str:
    return f"[...document.querySelectorAll('[data-table={table}] th button')].find(b => b.textContent === '{title}')"


def test_nothing_complains_and_the_theme_follows_the_system_and_the_switch(browser: Chromium, tmp_path: Path) -> None:
    browser.complaints.clear()
    browser.scheme("light")
    browser.open(written(tmp_path, phone_view()))
    paper = "getComputedStyle(document.body).backgroundColor"
    browser.run("document.querySelector('.plot').scrollIntoView()")
    browser.wait("document.querySelector('.plot[data-drawn] svg text')")
    bar = "document.querySelector('.plot svg text').getAttribute('fill')"
    light = (browser.run(paper), browser.run(bar))
    browser.scheme("dark")
    browser.wait(f"{bar} !== '{light[1]}'")
    dark = (browser.run(paper), browser.run(bar))
    assert light[0] != dark[0]
    assert light[1] != dark[1]
    browser.run("document.getElementById('theme').click()")
    browser.wait(f"{bar} === '{light[1]}'")
    assert browser.run(paper) == light[0], "the switch says light, whatever the system says"
    browser.scheme("light")
    browser.run("document.getElementById('theme').click()")
    assert browser.run(paper) == dark[0]
    assert browser.complaints == []


def test_a_table_sorts_both_ways_by_its_numbers_and_says_so(browser: Chromium, tmp_path: Path) -> None:
    browser.open(written(tmp_path, phone_view()))
    browser.run(head("jobs", "latency ms") + ".click()")
    numbers = "[...document.querySelectorAll('[data-table=jobs] th')].map(t => t.getAttribute('aria-sort'))"
    browser.wait(numbers + ".includes('ascending')")
    names = browser.run("[...document.querySelectorAll('[data-table=jobs] th')].map(t => t.textContent)")
    latency = names.index("latency ms")
    up = [float(text) for text in column(browser, "jobs", latency)]
    browser.run(head("jobs", "latency ms") + ".click()")
    browser.wait(numbers + ".includes('descending')")
    down = [float(text) for text in column(browser, "jobs", latency)]
    assert up == sorted(up)
    assert down == sorted(up, reverse=True)


def test_filters_hide_rows_and_tell_how_many_are_left(browser: Chromium, tmp_path: Path) -> None:
    browser.open(written(tmp_path, many(100)))
    status = "document.querySelector('[data-table=jobs] [role=status]').textContent"
    unfold(browser)
    browser.run("document.querySelector('[data-table=jobs] input').focus()")
    browser.write("model_1")
    browser.wait(status + " === '50 of 100 rows'")
    choose(browser, "Phone 3")
    browser.wait(status + " === '5 of 100 rows'")
    assert set(column(browser, "jobs", 1)) == {"Phone 3"}


def test_keys_alone_reach_the_content_and_sort(browser: Chromium, tmp_path: Path) -> None:
    browser.open(written(tmp_path, phone_view()))
    browser.press("Tab")
    assert browser.run("document.activeElement.className") == "skip"
    browser.press("Enter")
    assert browser.run("location.hash") == "#main"
    browser.run(head("jobs", "init ms") + ".focus()")
    browser.press("Enter")
    browser.wait("document.activeElement.closest('th').getAttribute('aria-sort') === 'ascending'")
    browser.press("Tab")
    assert browser.run("document.activeElement.textContent") == "first ms"
    assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_landmarks_names_and_words_for_those_who_do_not_see_it(browser: Chromium, tmp_path: Path) -> None:
    browser.open(written(tmp_path, phone_view()))
    assert browser.run("['header','main','footer','nav'].every(t => document.querySelectorAll(t).length === 1)")
    assert browser.run(
        "[...document.querySelectorAll('section')].every(s => document.getElementById(s.getAttribute('aria-labelledby')))"
    )
    assert browser.run("[...document.querySelectorAll('.plot')].every(s => s.getAttribute('aria-label').length > 20)")
    assert browser.run("[...document.querySelectorAll('input,select')].every(i => i.labels.length === 1)")
    assert browser.run(
        "[...document.querySelectorAll('a[href^=\"#\"]')].every(a => document.getElementById(a.hash.slice(1)))"
    )


def test_hostile_text_is_shown_and_runs_nothing(browser: Chromium, tmp_path: Path) -> None:
    browser.complaints.clear()
    browser.open(written(tmp_path, view(name=EVIL, title=EVIL)))
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    browser.wait("[...document.querySelectorAll('pre')].every(p => p.textContent.includes('INFO'))")
    raw = browser.run("document.querySelector('pre').textContent")
    assert "<script>alert(1)</script>" in raw
    assert "␛[31mred" in raw
    assert "⟨U+202E⟩" in raw
    browser.run("[...document.querySelectorAll('th button')].forEach(b => b.click())")
    text = browser.run("document.body.innerText")
    assert "<script>alert(1)</script>" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert browser.run("document.scripts.length") == browser.run(
        "document.querySelectorAll('script[type=\"application/gzip\"]').length + 2 + (window.echarts ? 1 : 0)"
    )
    assert browser.complaints == []


def test_a_script_that_is_not_the_page_s_own_is_refused(browser: Chromium, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    written(tmp_path, phone_view())
    page.write_text(page.read_text("utf-8").replace("</main>", "<script>window.evil = 1</script></main>"), "utf-8")
    browser.complaints.clear()
    browser.open(page.as_uri())
    assert browser.run("window.evil === undefined")
    assert any("Content Security Policy" in words for words in browser.complaints)
    browser.complaints.clear()


def test_without_scripts_charts_tables_and_details_are_there(browser: Chromium, tmp_path: Path) -> None:
    browser.scripts(False)
    try:
        browser.open_without_waiting(written(tmp_path, phone_view()))
        text = browser.text()
        assert "Pixel 8 Pro" in text
        assert "Where the time goes" in text
        assert "XNNPACK" in text
        assert "data:image/svg+xml" in (tmp_path / "report.html").read_text("utf-8")
    finally:
        browser.scripts(True)


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_is_never_wider_than_the_window(browser: Chromium, tmp_path: Path, width: int) -> None:
    browser.size(width, 900)
    browser.open(written(tmp_path, many(300)))
    time.sleep(0.2)
    assert browser.run("document.documentElement.scrollWidth") <= width
    browser.size(1280, 900)


def test_it_prints_as_light_text_on_pages(browser: Chromium, tmp_path: Path) -> None:
    browser.scheme("dark")
    browser.open(written(tmp_path, phone_view()))
    browser.printed(tmp_path / "report.pdf")
    browser.scheme("light")
    data = (tmp_path / "report.pdf").read_bytes()
    assert data.startswith(b"%PDF")
    assert 2 <= data.count(b"/Type /Page\n") <= 30


def test_paper_has_all_rows_that_the_filters_leave(browser: Chromium, tmp_path: Path) -> None:
    browser.open(written(tmp_path, many(100)))
    rows = "document.querySelectorAll('[data-table=jobs] tbody tr').length"
    unfold(browser)
    browser.run("document.querySelector('[data-table=jobs] input').focus()")
    browser.write("model_1")
    browser.wait("document.querySelector('[data-table=jobs] [role=status]').textContent === '50 of 100 rows'")
    browser.run("document.querySelector('[data-table=jobs] input').value = ''")
    browser.run("document.querySelector('[data-table=jobs] input').dispatchEvent(new Event('input'))")
    browser.wait("document.querySelector('[data-table=jobs] [role=status]').textContent === '100 rows'")
    assert browser.run(rows) == 50, "a screenful"
    browser.run("var printed = 0; addEventListener('beforeprint', () => { printed = " + rows + "; })")
    browser.printed(tmp_path / "report.pdf")
    assert browser.run("printed") == 100
    assert browser.run(rows) == 50


@pytest.mark.campaign
def test_paper_has_no_more_than_a_reader_would_turn(browser: Chromium, tmp_path: Path) -> None:
    browser.open(written(tmp_path, many(2500)))
    rows = "document.querySelectorAll('[data-table=jobs] tbody tr').length"
    unfold(browser)
    browser.wait(f"dispatchEvent(new Event('beforeprint')) && {rows} === 2000")
    note = "document.querySelector('[data-table=jobs]').lastChild.textContent"
    assert browser.run(note) == "The first 2,000 of 2,500 rows; a filter makes them fewer."
    browser.run("dispatchEvent(new Event('afterprint'))")
    assert browser.run(rows) == 50


def test_eight_devices_two_models_and_six_cases_fit_on_five_screens(browser: Chromium, tmp_path: Path) -> None:
    base = view()
    first = base.jobs[0].job
    of_cases = [(delegate, threads) for delegate in ("cpu", "xnnpack") for threads in (1, 2, 4)]
    jobs: list[JobView] = []
    for device in [DeviceRecord(f"K{n}", f"S{n}", f"Phone {n}", False, "p", {}) for n in range(8)]:
        for model in [ModelRecord(f"{n:064x}", f"model_{n}", 1_000_000) for n in range(2)]:
            for delegate, threads in of_cases:
                number = len(jobs) + 1
                job = replace(first, number=number, device=device, model=model, delegate=delegate, threads=threads)
                repetitions = tuple(replace(r, job_number=number) for r in base.jobs[0].repetitions)
                jobs.append(JobView(job, repetitions))
    address = written(tmp_path, replace(base, jobs=tuple(jobs)))
    plots = "[...document.querySelectorAll('#latency .plot')]"
    for width, height, screens in ((1400, 900, 5), (390, 844, 10)):
        browser.size(width, height)
        browser.open(address)
        # A chart is drawn, and has its height, once it is seen.
        for plot in range(browser.run(plots + ".length")):
            browser.run(f"{plots}[{plot}].scrollIntoView()")
            browser.wait(f"{plots}[{plot}].querySelector('svg text') !== null")
        assert browser.run("document.documentElement.scrollHeight / innerHeight") <= screens
        assert browser.run("document.documentElement.scrollWidth") == width
    browser.size(1280, 900)


@pytest.mark.campaign
def test_five_thousand_jobs_open_at_once_and_each_has_its_details(browser: Chromium, tmp_path: Path) -> None:
    browser.complaints.clear()
    address = written(tmp_path, many(5000))
    assert (tmp_path / "report.html").stat().st_size < 15_000_000
    browser.open(address)
    assert browser.run("document.querySelectorAll('*').length") < 40_000
    unfold(browser)
    browser.run("document.getElementById('jobs').scrollIntoView()")
    status = "document.querySelector('[data-table=jobs] [role=status]').textContent"
    browser.wait("document.querySelectorAll('[data-table=jobs] .pager button').length === 2")
    browser.run("document.querySelector('[data-table=jobs] input').focus()")
    browser.write("model_42")
    browser.wait(status + " === '50 of 5,000 rows'")
    choose(browser, "Phone 7")
    browser.wait(status + " === '5 of 5,000 rows'")
    browser.run("location.hash = '#job-4321'")
    browser.wait("document.querySelector('#job-detail h3')?.textContent.startsWith('4321')")
    browser.run("document.querySelector('#job-detail details').open = true")
    browser.wait("document.querySelector('#job-detail details pre').textContent.length > 20")
    assert browser.complaints == []
