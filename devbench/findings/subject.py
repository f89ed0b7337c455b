"""What is found of a run besides its own numbers: its pipelines, and the history that it is a part of."""

from __future__ import annotations

from collections.abc import Sequence

from devbench.findings.changes import ChangesReport, ChangesSettings
from devbench.findings.changes_build import find_changes
from devbench.findings.pipeline import PipelineReport, build_pipeline_report
from devbench.findings.run import ReportData
from devbench.results.history import History
from devbench.results.pipelines import pipeline_sessions
from devbench.results.store import RunView, Store


def pipelines_of(store: Store, view: RunView) -> PipelineReport | None:
    """What the run measured of pipelines; `None` if it measured none."""
    sessions = pipeline_sessions(store, view.run.run_id)
    return build_pipeline_report(view, sessions) if sessions else None


def history_of(
    history: History, report: ReportData, pipelines: PipelineReport | None, metrics: Sequence[str]
) -> ChangesReport:
    """The history of a run's models and pipelines on its devices."""
    sessions = pipelines.sessions if pipelines is not None else ()
    names = [*(job.job.model.name for job in report.jobs), *(session.pipeline for session in sessions)]
    models, devices = tuple(dict.fromkeys(names)), tuple(device.key for device in report.devices)
    return find_changes(history, ChangesSettings(metrics=tuple(metrics), models=models, devices=devices))
