"""What a person sees in a terminal of 80, 120 or 200 columns: lists, the display of a run, a page that is opened."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from devbench.bench.events import DeviceReady, NoticeGiven, RepetitionDone, RepetitionStarted
from devbench.cli.app import application
from devbench.cli.live import RunDisplay
from devbench.notices import Effect, Notice, NoticeKind
from devbench.results.records import DeviceRecord
from tests.conftest import connected_phone
from tests.made.phones import OTHER, RUN_ID, later, phone_view, stored
from tests.made.samples import job_record, repetition

WIDTHS = (80, 120, 200)


def call(*words: str, columns: int = 140) -> Result:
    env = {"COLUMNS": str(columns), "NO_COLOR": "1", "TERM": "dumb"}
    done = CliRunner().invoke(application(words[0]), list(words), env=env, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    view = phone_view(virtual=True)
    return stored(tmp_path_factory.mktemp("store") / "results.db", view, later(view))


@pytest.mark.parametrize("columns", WIDTHS)
def test_lists_fit_and_say_what_they_hide(columns: int, url: str, empty_adb_server: int) -> None:
    with connected_phone():
        devices = call("devices", columns=columns).stdout
    lists = (("runs", "--store", url), ("profiles", "list"), ("binaries", "list"), ("delegates",))
    for text in (devices, *(call(*words, columns=columns).stdout for words in lists)):
        table = [line.rstrip() for line in text.splitlines() if not line.startswith("hidden")]
        assert max(map(len, table)) <= columns
    hidden = [line for line in devices.splitlines() if line.startswith("hidden (terminal too narrow): ")]
    assert bool(hidden) == (columns == 80)
    assert "ready" in devices


def test_words_are_not_broken(url: str, empty_adb_server: int) -> None:
    text = call("devices", columns=80).stdout
    assert "developer options" in " ".join(text.split())
    names = call("profiles", "list", columns=80).stdout.split()
    assert "galaxy-s23" in names


@pytest.mark.parametrize("columns", WIDTHS)
def test_the_display_counts_unreliable_repetitions_and_keeps_the_time_left(columns: int) -> None:
    console = Console(width=columns, force_terminal=True, color_system=None)
    display = RunDisplay(console, ["serial-1"])
    device = DeviceRecord("key", "serial-1", "A device with a very long title indeed", False, "")
    job = job_record()
    display(DeviceReady("serial-1", device, 40))
    for number in range(30):
        display(RepetitionStarted("serial-1", job, "latency", number, 40))
        done = repetition(index=number, verdict="unreliable", verdict_reasons=("throttled: 47 °C",))
        display(RepetitionDone("serial-1", job, done))
    with console.capture() as shown:
        console.print(display.render())
    lines = shown.get().splitlines()
    assert max(map(len, lines)) <= columns
    assert "30/40" in lines[0] and " left" in lines[0]
    assert lines[1].split() == ["!", "30", "unreliable:", "throttled:", "47", "°C"]
    assert len(lines) == 3


def test_a_log_has_a_line_for_each_repetition_and_each_notice() -> None:
    console = Console(width=80, force_terminal=False, color_system=None)
    with console.capture() as shown:
        display = RunDisplay(console, ["serial-1"])
        for number in range(3):
            display(RepetitionDone("serial-1", job_record(), repetition(index=number)))
        notice = Notice(NoticeKind.VIRTUAL_DEVICE, "Pixel 8", "a text", "", Effect.INFORMATION)
        display(NoticeGiven("serial-1", notice))
    assert [line.split()[0] for line in shown.get().splitlines()] == ["✓", "✓", "✓", "i"]


def test_a_device_is_connected_and_disconnected_by_its_address(empty_adb_server: int) -> None:
    with connected_phone() as phone:
        assert call("devices", "disconnect", phone.address).stdout == f"{phone.address}: disconnected\n"
        assert phone.address not in call("devices").stdout
        assert call("devices", "connect", phone.address).stdout == f"{phone.address}: connected\n"
        assert phone.address in call("devices").stdout


@pytest.mark.parametrize("there", [True, False], ids=["browser", "no-browser"])
def test_a_page_is_opened_if_there_is_a_browser(
    there: bool, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or there)
    monkeypatch.chdir(tmp_path)
    done = call("report", "latest", "--store", url, "--out", "report", "--open")
    call("compare", RUN_ID, OTHER, "--store", url, "--open")
    call("detect", "--store", url, "--open")
    pages = [tmp_path / "report" / "report.html", tmp_path / "comparison.html", tmp_path / "changes.html"]
    assert opened == [page.as_uri() for page in pages]
    assert all(page.read_text("utf-8").startswith("<!doctype html>") for page in pages)
    assert ("no browser was found" in done.stderr) == (not there)


@pytest.mark.parametrize("word", ["-V", "--version"])
def test_the_version(word: str) -> None:
    assert CliRunner().invoke(application(), [word]).stdout.startswith("devbench ")
