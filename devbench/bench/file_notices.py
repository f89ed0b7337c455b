"""Notices about files that were changed on the device; knows no device and no store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from devbench.notices import Effect, Notice, NoticeKind
from devbench.results.records import JobRecord


def replaced(names: Iterable[str], device_key: str) -> list[Notice]:
    """Files whose copies on the device were no longer what had been pushed, found and replaced before anything ran."""
    return [
        Notice(
            NoticeKind.DEPOT_FILE_CHANGED,
            subject=name,
            text=f"the copy of {name} on the device had been changed since it was sent; it was sent again",
            next_step="find out what writes to /data/local/tmp/devbench/sha256 on the device",
            device_key=device_key,
        )
        for name in dict.fromkeys(names)
    ]


def changed(sha256s: Sequence[str], jobs: Sequence[JobRecord]) -> list[Notice]:
    """Files that were changed on the device while these jobs were measured with them: their numbers prove nothing."""
    return [
        Notice(
            NoticeKind.DEPOT_FILE_CHANGED,
            subject=name,
            text=f"{name} was changed on the device during the run: some repetitions ran with other bytes",
            next_step="measure again while nothing else writes to /data/local/tmp/devbench",
            effect=Effect.UNDECIDED,
            device_key=job.device.key,
            job_number=job.number,
        )
        for job in jobs
        for sha256, name in _files_of(job).items()
        if sha256 in sha256s
    ]


def _files_of(job: JobRecord) -> dict[str, str]:
    others = {one.sha256: one.name for one in job.files}
    return {job.binary.sha256: job.binary.name, job.model.sha256: job.model.name, **others}
