"""A run of pipelines as JSON; docs/pipelines.md describes it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from devbench.findings.pipeline import DRIVER_NOTE, PipelineReport, Stage, Variant, Whole
from devbench.findings.run import VIRTUAL_NOTE
from devbench.forms.export import plain, run_end, write_whole

FORMAT = "devbench-pipeline-2"


def pipelines_to_json(report: PipelineReport) -> dict[str, Any]:
    """Everything measured of pipelines, JSON-ready; units are in the names."""
    view = report.view
    return {
        "format": FORMAT,
        "virtual": report.virtual,
        **({"note": VIRTUAL_NOTE} if report.virtual else {}),
        "memory_note": DRIVER_NOTE,
        "run": run_end(view),
        "pipelines": [_variant(variant) for variant in report.variants],
        "sessions": [plain(asdict(session)) for session in report.sessions],
    }


def _variant(variant: Variant) -> dict[str, Any]:
    device = variant.device
    return {
        "pipeline": variant.pipeline,
        "device": {"key": device.key, "title": device.title, "virtual": device.virtual},
        "delegate": variant.delegate,
        "threads": variant.threads,
        "steps": variant.steps,
        "guidance": variant.guidance,
        "keep": None if variant.keep is None else variant.stages[variant.keep].alone.name if variant.stages else None,
        "stages": [_stage(stage) for stage in variant.stages],
        "residencies": [_whole(variant, whole) for whole in variant.wholes],
    }


def _stage(stage: Stage) -> dict[str, Any]:
    job = stage.job
    return {
        **asdict(stage.alone),
        "repeated": stage.repeated,
        "processes": stage.processes,
        "peak_kb": stage.peak_kb,
        "job": job.number,
        "model": job.model.name,
        "model_sha256": job.model.sha256,
        "delegate": job.delegate,
        "threads": job.threads,
        "binary_sha256": job.binary.sha256,
    }


def _whole(variant: Variant, whole: Whole) -> dict[str, Any]:
    names = [stage.alone.name for stage in variant.stages]

    def parts(found: Any) -> list[dict[str, Any]]:
        return [
            {"stage": None if p.stage is None else names[p.stage], "what": p.what, "ms": round(p.ms, 3)} for p in found
        ]

    latency, shown = whole.latency, whole.shown
    return {
        "residency": whole.residency,
        "sessions": len(whole.sessions),
        "failures": [{"kind": kind, "message": message, "count": count} for kind, message, count in whole.failures],
        "latency_ms": None if latency is None else latency.median,
        "latency_low_ms": None if latency is None else min(latency.values),
        "latency_high_ms": None if latency is None else max(latency.values),
        "unreliable": whole.all_unreliable,
        "estimate_ms": round(whole.estimate_ms, 3) if whole.composed else None,
        "estimate_off": whole.off if whole.composed else None,
        "peak_kb": whole.peak_kb,
        "memory_kind": None if shown is None else shown.memory_kind,
        "peak_under_resident": variant.saved(whole),
        "overlap_runs": None if shown is None else shown.overlap_runs,
        "contention_ms": whole.contention_ms,
        "composed": parts(whole.composed),
        "difference": parts(whole.difference),
        "shares": [
            {"stage": names[s.stage] if s.stage < len(names) else s.stage, "ms": s.ms, "share": s.share,
             "per_run_ms": s.per_run_ms} for s in whole.shares
        ],
        "fewer_steps_estimated": [asdict(one) for one in whole.fewer],
    }  # fmt: skip


def write_pipeline_json(report: PipelineReport, path: Path) -> None:
    """Write `pipelines_to_json` to a file.

    Raises:
        EnvironmentProblem: it cannot be written.
    """
    values = pipelines_to_json(report)
    write_whole(path, lambda file: json.dump(values, file, indent=1, ensure_ascii=False))
