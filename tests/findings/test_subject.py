"""The data of commands, selected by their options: a history, the data of a chart, a damaged raw output."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from devbench.errors import InputError
from devbench.findings.changes import ChangesReport, ChangesSettings
from devbench.findings.comparison import ComparisonReport
from devbench.findings.pipeline import PipelineReport
from devbench.findings.run import ReportData
from devbench.findings.run_build import build_report
from devbench.findings.subject import changes_in, charted, history_of, pipelines_of, readable
from devbench.results.artifacts import DamagedRaw
from devbench.results.history import History
from devbench.results.store import Store
from tests.made.store import GALAXY, PIXEL, VIRTUAL, Ids, make


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Ids]:
    url = str(tmp_path_factory.mktemp("subject") / "results.db")
    with Store(url) as store:
        return url, make(store)


def test_the_history_of_a_run_is_that_of_its_models_pipelines_and_devices(made: tuple[str, Ids]) -> None:
    url, ids = made
    with History(url) as history:
        report = build_report(history.store.run(ids.candidate))
        assert pipelines_of(history.store, history.store.run(ids.candidate)) is None
        found = history_of(history, report, None, ["latency"])
        assert {one.metric for one in found.series} == {"latency"}
        assert {(one.device_key, one.model) for one in found.series} == {
            (PIXEL, "portrait_unet"), (PIXEL, "text_encoder"), (GALAXY, "portrait_unet"), (GALAXY, "text_encoder"),
            (GALAXY, "decoder"), (VIRTUAL, "portrait_unet"), (VIRTUAL, "decoder"),
        }  # fmt: skip
        view = history.store.run(ids.pipeline)
        pipelines = pipelines_of(history.store, view)
        assert pipelines is not None and len(pipelines.variants) == 1
        of_pipeline = history_of(history, build_report(view), pipelines, ["latency"])
        assert "sd" in {one.model for one in of_pipeline.series}
        assert {one.device_key for one in of_pipeline.series} == {VIRTUAL}


def test_changes_are_searched_for_devices_and_models_as_people_name_them(made: tuple[str, Ids]) -> None:
    found = changes_in(made[0], ChangesSettings(metrics=("latency",), devices=("pixel",), models=("text_encoder",)))
    assert {(one.device_key, one.model) for one in found.series} == {(PIXEL, "text_encoder")}
    with pytest.raises(InputError, match="no run in the store measured that"):
        changes_in(made[0], ChangesSettings(delegates=("none",)))


def test_the_data_of_a_chart_are_those_of_its_kind_narrowed_by_the_filters(made: tuple[str, Ids]) -> None:
    url, ids = made

    def chart(kind: str, run: str, **filters: tuple[str, ...]) -> object:
        return charted(kind, run, ids.baseline, url, ChangesSettings(**{"metrics": ("latency",), **filters}))

    for kind in ("comparison", "waterfall"):
        compared = chart(kind, ids.candidate, devices=("pixel",), models=("portrait_unet",), delegates=("gpu",))
        assert isinstance(compared, ComparisonReport)
        assert [(row.device_key, row.case, row.metric) for row in compared.rows] == [
            (PIXEL, "portrait_unet · gpu", "latency")
        ]
    history = chart("history", ids.candidate, devices=("galaxy",), models=("decoder",))
    assert isinstance(history, ChangesReport)
    assert [(one.device_key, one.model, one.metric) for one in history.series] == [(GALAXY, "decoder", "latency")]
    run = chart("latency", ids.candidate, devices=("pixel",), delegates=("cpu",))
    assert isinstance(run, ReportData) and [(job.job.device.key, job.job.delegate) for job in run.jobs] == [
        (PIXEL, "cpu")
    ]
    for kind, measured in (("pipeline", ids.pipeline), ("ablation", ids.ablation)):
        report = chart(kind, measured)
        assert isinstance(report, PipelineReport) and report.variants
        none = chart(kind, measured, delegates=("gpu",))
        assert isinstance(none, PipelineReport) and not none.variants
        assert chart(kind, ids.candidate) is None


def test_a_damaged_raw_output_is_shown_as_a_sentence_and_a_missing_one_not_at_all() -> None:
    def fails(error: Exception) -> Callable[[str], bytes]:
        def read(path: str) -> bytes:
            raise error

        return read

    assert readable(lambda path: path.encode())("a/b") == b"a/b"
    damaged = DamagedRaw("raw output \udcff is damaged")
    assert readable(fails(damaged))("a") == b"raw output ? is damaged"
    assert readable(fails(InputError("no")))("a") is None
