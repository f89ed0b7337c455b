"""The estimate of a pipelined session if the kept stage uses all cores of the device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from devbench.findings.pipeline import Whole, build_pipeline_report
from devbench.findings.subject import pipelines_of
from devbench.results.store import Store
from tests.made.store import make


def estimated(folder: Path, cores: object, threads: int | None, delegate: str) -> Whole:
    """A pipelined session: the decoder, whose load takes 50 ms, loads during two runs of 11 ms."""
    with Store(str(folder / "results.db")) as store:
        report = pipelines_of(store, store.run(make(store).pipeline))
    assert report is not None
    sessions = []
    for one in report.sessions:
        if one.residency == "sequential":
            stages = tuple(replace(stage, loaded_before=stage.position > 0) for stage in one.stages)
            sessions.append(replace(one, keep=1, residency="pipelined", overlap_runs=2, stages=stages))
        elif one.residency == "alone":
            sessions.append(replace(one, keep=1))
    jobs = []
    for item in report.view.jobs:
        device = replace(item.job.device, facts={**item.job.device.facts, "cpu_count": cores})
        jobs.append(replace(item, job=replace(item.job, device=device, threads=threads, delegate=delegate)))
    [variant] = build_pipeline_report(replace(report.view, jobs=tuple(jobs)), sessions).variants
    [whole] = variant.wholes
    return whole


@pytest.mark.parametrize(
    ("cores", "threads", "delegate", "added"),
    [(4, 4, "xnnpack", 22 / 4), (2, 4, "cpu", 22 / 2), (8, 4, "xnnpack", 0), (4, 4, "gpu", 0), (2, None, "cpu", 0),
     (1, None, "cpu", 22), ("two", 4, "cpu", 0), (0, 4, "cpu", 0)],
)  # fmt: skip
def test_a_load_without_a_free_core_is_part_of_the_estimate(
    tmp_path: Path, cores: object, threads: int | None, delegate: str, added: float
) -> None:
    whole = estimated(tmp_path, cores, threads, delegate)
    contention = sum(part.ms for part in whole.composed if part.what.startswith("contention"))
    assert contention == pytest.approx(added)
    assert whole.shown is not None and whole.shown.latency_ms is not None
    assert sum(part.ms for part in whole.difference) == pytest.approx(whole.shown.latency_ms - whole.estimate_ms)
