"""`devbench report` in each form and `devbench chart`: real files, virtual ones marked, wrong input told in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from devbench.cli.app import application
from devbench.errors import InputError
from tests.made.phones import OTHER, RUN_ID, later, phone_view, stored

MAGIC = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    view = phone_view(virtual=True)
    return stored(tmp_path_factory.mktemp("store") / "results.db", view, later(view))


def run(*words: str) -> str:
    done = CliRunner().invoke(application(), list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_report_in_every_form_with_baseline_and_history(url: str, tmp_path: Path) -> None:
    run("report", OTHER, "--store", url, "--format", "html,md,csv,json", "--format", "png,svg,pdf",
        "--baseline", RUN_ID, "--history", "--out", str(tmp_path))  # fmt: skip
    page = (tmp_path / "report.html").read_text("utf-8")
    assert 'id="comparison"' in page
    assert 'id="history"' in page
    assert json.loads((tmp_path / "report.json").read_text())["virtual"] is True
    assert (tmp_path / "report.csv").read_text().count("\n") > 30
    for form, magic in MAGIC.items():
        for name in ("latency", "operators", "conditions"):
            assert (tmp_path / f"{name}.{form}").read_bytes().startswith(magic)


def test_a_verdict_on_unreliable_jobs_says_that_it_is_one(tmp_path: Path) -> None:
    base = phone_view()
    url = stored(tmp_path / "r.db", base, later(phone_view(unreliable_job="gpu")))
    run("report", OTHER, "--store", url, "--format", "html", "--baseline", RUN_ID, "--out", str(tmp_path))
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "no verdict: all 9 repetitions of the candidate are unreliable (battery low: 9 %)" in page


def test_by_default_a_report_is_page_markdown_and_pictures(url: str, tmp_path: Path) -> None:
    run("report", RUN_ID, "--store", url, "--out", str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.html", "report.md", "latency.png", "operators.png", "conditions.png",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["latency", "speedup", "operators", "startup", "memory", "conditions", "history"])
@pytest.mark.parametrize("form", ["svg", "png"])
def test_a_single_chart(url: str, tmp_path: Path, kind: str, form: str) -> None:
    path = tmp_path / f"chart.{form}"
    found = json.loads(
        run("chart", kind, *([RUN_ID] if kind != "history" else []), "--store", url, "--out", str(path), "--json")
    )
    assert found["virtual"] is True
    data = path.read_bytes()
    assert data.startswith(MAGIC[form])
    if form == "svg":
        assert b"VIRTUAL DEVICE: measured on a computer" in data


def test_a_history_chart_loads_nothing_that_takes_longer_than_drawing_it(url: str, tmp_path: Path) -> None:
    words = ["chart", "history", "--store", url, "--out", str(tmp_path / "h.png")]
    code = (
        f"import sys; sys.argv=['devbench', *{words!r}]\n"
        "from devbench.cli.app import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print(*sorted({'pandas', 'scipy', 'matplotlib.pyplot', 'pyarrow'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[1:] == ["", ""]


def test_size_and_resolution_are_as_asked(url: str, tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "c.png"
    run("chart", "latency", RUN_ID, "--store", url, "--width", "3.5", "--dpi", "200", "--out", str(path))
    assert Image.open(path).size[0] == 700


def test_a_title_of_one_s_own(url: str, tmp_path: Path) -> None:
    path = tmp_path / "c.svg"
    shown = run("chart", "latency", RUN_ID, "--store", url, "--title", "For the slides", "--out", str(path), "--json")
    assert json.loads(shown)["title"] == "For the slides"
    assert "For the slides" in path.read_text()
    assert "mobile_unet_128" not in path.read_text()


def test_filters_choose(url: str, tmp_path: Path) -> None:
    path = tmp_path / "c.svg"
    run("chart", "latency", RUN_ID, "--store", url, "--delegate", "gpu", "--out", str(path))
    text = path.read_text()
    assert "GPU" in text
    assert "XNNPACK" not in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["chart", "pie"], "chart 'pie' is unknown"),
        (["chart", "latency", "--out", "c.gif"], "cannot tell the format"),
        (["chart", "latency", "--theme", "pink"], "unknown"),
        (["chart", "latency", "--delegate", "tpu"], "nothing to draw"),
        (["chart", "waterfall", "--baseline", RUN_ID], "nothing to draw"),
        (["chart", "latency", "--device", "Nokia"], "no device 'Nokia'"),
        (["chart", "history", "--metric", "speed"], "unknown"),
        (["report", "--format", "docx"], "unknown"),
        (["report", "--baseline", "nothing-like-it"], "nothing-like-it"),
    ],
)
def test_wrong_input_is_told(
    url: str, tmp_path: Path, words: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=says):
        CliRunner().invoke(application(), [*words, "--store", url], catch_exceptions=False)
    assert list(tmp_path.iterdir()) == []
