"""`devbench publish`: pages of a store as files, written again only if their data changed, with safe names."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest

from devbench.errors import InputError
from devbench.findings.changes import ChangesReport
from devbench.findings.changes_build import find_changes
from devbench.results.history import History
from devbench.results.store import Store
from devbench.serve.publish import MANIFEST, PagesWritten, publish, slug
from tests.made import store as made
from tests.made.views import EVIL, view


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ChangesReport:
    path = str(tmp_path_factory.mktemp("store") / "results.db")
    with Store(path) as store:
        made.make(store)
        store.add_run(view(name=EVIL, title=EVIL))
    with History(path) as history:
        return find_changes(history)


def pages(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text("utf-8") for path in folder.rglob("*.html")}


def test_a_page_for_each_model_device_and_change(report: ChangesReport, tmp_path: Path) -> None:
    done = publish(report, tmp_path)
    found = pages(tmp_path)
    models, devices = ({getattr(one, name) for one in report.series} for name in ("model", "device_key"))
    count = 1 + len(models) + len(devices) + len(report.events) + len(report.models)
    assert done == PagesWritten(count, 0, 0)
    assert len(found) == count
    assert len(report.events) + len(report.models) > 0
    for name, text in found.items():
        assert "default-src 'none'" in unescape(text), name
        assert not re.search(r"""(?:src|href)=["'](?:https?:|//|/)""", text), name
        for target in re.findall(r'href="([^"#]+)"', text):
            assert (tmp_path / name).parent.joinpath(target).resolve().is_file(), (name, target)


def test_only_pages_with_other_data_are_written_again(report: ChangesReport, tmp_path: Path) -> None:
    first = publish(report, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.html")}
    assert publish(report, tmp_path) == PagesWritten(0, first.written, 0)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.html")} == before
    gone = {one.model for one in report.series if EVIL.startswith(one.model[:8])}
    assert gone
    series = tuple(one for one in report.series if one.model not in gone)
    fewer = ChangesReport(
        series, report.events, report.models, report.drifts, report.runs, report.first_utc, report.last_utc, True,
        report.notices, report.run_labels,
    )  # fmt: skip
    done = publish(fewer, tmp_path)
    # The model and its device have no page any more; of the others, the index alone shows them.
    assert (done.written, done.removed) == (1, 2)
    assert done.unchanged == first.written - 3


def test_a_page_that_is_missing_or_half_written_is_written_again(report: ChangesReport, tmp_path: Path) -> None:
    first = publish(report, tmp_path)
    (tmp_path / "index.html").unlink()
    assert publish(report, tmp_path) == PagesWritten(1, first.written - 1, 0)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    manifest["pages"]["index.html"] = ""
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    assert publish(report, tmp_path).written == 1


def test_files_of_others_are_neither_replaced_nor_removed(report: ChangesReport, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(InputError, match="not a page of devbench"):
        publish(report, tmp_path)
    assert (tmp_path / "index.html").read_text() == "mine"
    site, outside = tmp_path / "site", tmp_path / "keep.html"
    outside.write_text("mine")
    publish(report, site)
    manifest = json.loads((site / MANIFEST).read_text())
    manifest["pages"] |= {"../keep.html": "x", "models/../../keep.html": "x", str(outside): "x", "models/a.html": "x"}
    (site / MANIFEST).write_text(json.dumps(manifest))
    assert publish(report, site).removed == 1
    assert outside.read_text() == "mine"


def test_hostile_names_are_text_and_make_safe_file_names(report: ChangesReport, tmp_path: Path) -> None:
    publish(report, tmp_path)
    for name, text in pages(tmp_path).items():
        assert re.fullmatch(r"(?:[a-z]+/)?[a-z0-9-]+\.html", name)
        assert "<script>alert" not in text
    for text in ("../../etc/passwd", "CON", "a/b\\c:d", "", " ", "💥", "x" * 500, EVIL):
        assert re.fullmatch(r"[a-z0-9-]{1,71}", slug(text))
    assert slug("Model") != slug("model")
    assert slug("a b") != slug("a-b")
