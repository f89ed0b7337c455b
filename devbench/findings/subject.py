"""Loads what a command shows, from the values of its options: a run, its pipelines, a comparison, a history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from devbench.analysis.compare import CompareSettings
from devbench.errors import DevbenchError, InputError
from devbench.findings.changes import ChangesReport, ChangesSettings
from devbench.findings.changes_build import find_changes
from devbench.findings.comparison import ComparisonReport, ComparisonSettings
from devbench.findings.pipeline import PipelineReport, build_pipeline_report
from devbench.findings.run import ReportData
from devbench.findings.run_build import build_report
from devbench.findings.sides import compare, device_keys, model_names
from devbench.results.artifacts import DamagedRaw
from devbench.results.counting import RunView
from devbench.results.history import History
from devbench.results.store import Store


def pipelines_of(store: Store, view: RunView) -> PipelineReport | None:
    """Return the pipelines that the run measured; `None` if it measured none."""
    sessions = store.pipeline_sessions(view.run.run_id)
    return build_pipeline_report(view, sessions) if sessions else None


def history_of(
    history: History, report: ReportData, pipelines: PipelineReport | None, metrics: Sequence[str]
) -> ChangesReport:
    """Return the history of a run's models and pipelines on its devices."""
    sessions = pipelines.sessions if pipelines is not None else ()
    names = [*(job.job.model.name for job in report.jobs), *(session.pipeline for session in sessions)]
    models, devices = tuple(dict.fromkeys(names)), tuple(device.key for device in report.devices)
    return find_changes(history, ChangesSettings(metrics=tuple(metrics), models=models, devices=devices))


def changes_in(store_url: str | None, settings: ChangesSettings) -> ChangesReport:
    """Return what changed over the history of a store. Devices and models are given as users name them.

    Raises:
        InputError: a filter matches nothing, or no run measured what is requested.
    """
    with History(store_url) as history:
        report = find_changes(history, _named(history, settings))
    if not report.series:
        raise InputError("no run in the store measured that", hint="check the filters against `devbench runs`")
    return report


def _named(history: History, settings: ChangesSettings) -> ChangesSettings:
    devices, models = device_keys([history], settings.devices), model_names([history], settings.models)
    return replace(settings, devices=devices, models=models)


def charted(
    kind: str, run: str, baseline: str, store_url: str | None, settings: ChangesSettings
) -> ReportData | PipelineReport | ComparisonReport | ChangesReport | None:
    """Return the data of a chart, restricted by the filters of the settings; `None` if there is nothing.

    Raises:
        InputError: there is no such run, or a filter matches nothing.
    """
    if kind in ("comparison", "waterfall"):
        filters = (settings.metrics, settings.devices, settings.models, settings.delegates)
        return compare(baseline, run, store_url, ComparisonSettings(CompareSettings(), *filters))
    with History(store_url) as history:
        named = _named(history, settings)
        if kind == "history":
            return find_changes(history, named)
        view = history.store.run(run)
        if kind in ("pipeline", "ablation"):
            report = pipelines_of(history.store, view)
            return report and report.only(named.devices, named.delegates)
        return build_report(view).only(named.devices, named.models, named.delegates)


def readable(read: Callable[[str], bytes]) -> Callable[[str], bytes | None]:
    """Return a function like `read` (the raw output at a path of a store) that returns `None` instead of raising an
    error.
    """

    def shown(path: str) -> bytes | None:
        try:
            return read(path)
        except DamagedRaw as error:
            return error.what.encode("utf-8", "replace")
        except DevbenchError:
            return None

    return shown
