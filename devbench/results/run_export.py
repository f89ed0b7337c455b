"""A stored run as files for other programs: JSON with everything, CSV with a row per repetition."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import IO, Any

from devbench.host.whole_files import write_whole
from devbench.jsonready import plain
from devbench.notices import VIRTUAL_NOTE
from devbench.results.cases import case_text
from devbench.results.records import VALUES
from devbench.results.run_json import FORMAT
from devbench.results.store import RunView

REPETITION_COLUMNS = (
    "run_id", "job", "device", "device_key", "virtual", "model", "model_sha256", "case", "delegate", "via", "threads",
    "binary", "binary_version", "binary_sha256", "purpose", "repetition", "status", "failure_kind", "failure_message",
    "exit_code", "started_utc", "duration_s", *VALUES, "verdict", "verdict_reasons", "raw_path",
)  # fmt: skip


def run_to_json(view: RunView) -> dict[str, Any]:
    """Everything stored about a run, JSON-ready; times are ISO 8601 in UTC, units are in the names."""
    devices = {item.job.device.key: item.job.device for item in view.jobs}
    virtual = any(device.virtual for device in devices.values())
    return {
        "format": FORMAT,
        "virtual": virtual,
        **({"note": VIRTUAL_NOTE} if virtual else {}),
        "run": run_end(view),
        "notices": [plain(asdict(notice)) for notice in view.all_notices],
        "devices": [plain(asdict(device)) for device in devices.values()],
        "jobs": [_job(item) for item in view.jobs],
    }


def run_end(view: RunView) -> dict[str, Any]:
    """A run without its jobs, JSON-ready, with how and why it ended."""
    end = {"status": view.status, "end_reason": view.end_reason, "finished_utc": plain(view.finished_utc)}
    return {**plain(asdict(view.run)), **end}


def _job(item: Any) -> dict[str, Any]:
    job = plain(asdict(item.job))
    job["device"] = {"key": item.job.device.key, "title": item.job.device.title, "virtual": item.job.device.virtual}
    del job["run_id"]
    repetitions = []
    for repetition in item.repetitions:
        values = plain(asdict(repetition))
        for repeated in ("run_id", "job_number"):
            del values[repeated]
        repetitions.append(values)
    return {**job, "repetitions": repetitions}


def write_json(view: RunView, path: Path) -> None:
    """Write `run_to_json` to a file.

    Raises:
        EnvironmentProblem: it cannot be written.
    """
    values = run_to_json(view)
    write_whole(path, lambda file: json.dump(values, file, indent=1, ensure_ascii=False))


def repetition_rows(view: RunView) -> list[dict[str, Any]]:
    """One mapping per repetition with the keys of `REPETITION_COLUMNS`; `None` where nothing was measured."""
    rows = []
    for item in view.jobs:
        job = item.job
        of_job = {
            "run_id": job.run_id,
            "job": job.number,
            "device": job.device.title,
            "device_key": job.device.key,
            "virtual": job.device.virtual,
            "model": job.model.name,
            "model_sha256": job.model.sha256,
            "case": case_text(job.model.name, job.delegate, job.threads, job.options),
            "delegate": job.delegate,
            "via": job.options.get("via", "shell"),
            "threads": job.threads,
            "binary": job.binary.name,
            "binary_version": job.binary.version,
            "binary_sha256": job.binary.sha256,
        }
        for repetition in item.repetitions:
            own = {name: getattr(repetition, name, None) for name in REPETITION_COLUMNS if name not in of_job}
            own |= {
                "repetition": repetition.index,
                "started_utc": repetition.started_utc.isoformat(),
                "verdict_reasons": "; ".join(repetition.verdict_reasons),
            }
            rows.append({name: {**own, **of_job}[name] for name in REPETITION_COLUMNS})
    return rows


def write_csv(view: RunView, path: Path) -> None:
    """Write a row per repetition to a file; a text that a spreadsheet would run as a formula is quoted.

    Raises:
        EnvironmentProblem: it cannot be written.
    """

    def rows(file: IO[str]) -> None:
        writer = csv.DictWriter(file, REPETITION_COLUMNS)
        writer.writeheader()
        for row in repetition_rows(view):
            writer.writerow({name: _harmless(value) for name, value in row.items()})

    write_whole(path, rows, newline="")


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def record_writers(view: RunView) -> dict[str, Callable[[Path], None]]:
    """What writes the run to a file, by the name of the format."""
    return {"csv": partial(write_csv, view), "json": partial(write_json, view)}
