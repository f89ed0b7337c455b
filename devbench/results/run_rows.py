"""A run as flat rows and as pandas frames, for notebooks and files; columns carry their unit in the name."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from devbench.results.cases import case_text
from devbench.results.records import VALUES, OperatorRecord
from devbench.results.store import RunView

if TYPE_CHECKING:
    import pandas as pd

REPETITION_COLUMNS = (
    "run_id", "job", "device", "device_key", "virtual", "model", "model_sha256", "case", "delegate", "via", "threads",
    "binary", "binary_version", "binary_sha256", "purpose", "repetition", "status", "failure_kind", "failure_message",
    "exit_code", "started_utc", "duration_s", *VALUES, "verdict", "verdict_reasons", "raw_path",
)  # fmt: skip
OPERATOR_COLUMNS = (
    "run_id", "job", "device", "virtual", "model", "case", "delegate", "via", "repetition",
    *(one.name for one in fields(OperatorRecord)),
)  # fmt: skip


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


def repetition_frame(view: RunView) -> pd.DataFrame:
    """The rows of `repetition_rows` as a frame."""
    import pandas as pd

    return pd.DataFrame(repetition_rows(view), columns=list(REPETITION_COLUMNS))


def operator_frame(view: RunView) -> pd.DataFrame:
    """One row per operator of every profile repetition, with the columns of `OPERATOR_COLUMNS`."""
    import pandas as pd

    rows = []
    for item in view.jobs:
        job = item.job
        case = case_text(job.model.name, job.delegate, job.threads, job.options)
        for repetition in item.repetitions:
            for op in repetition.operators:
                values = {name: getattr(op, name, None) for name in OPERATOR_COLUMNS}
                values |= {
                    "run_id": job.run_id,
                    "job": job.number,
                    "device": job.device.title,
                    "virtual": job.device.virtual,
                    "model": job.model.name,
                    "case": case,
                    "delegate": job.delegate,
                    "via": job.options.get("via", "shell"),
                    "repetition": repetition.index,
                }
                rows.append(values)
    return pd.DataFrame(rows, columns=list(OPERATOR_COLUMNS))
