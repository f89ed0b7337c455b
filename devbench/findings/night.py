"""The result of a night as data. Its JUnit file, summary, message and exit code are made from this alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from devbench.errors import EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_OK, DevbenchError, DeviceBusy
from devbench.findings.changes import ChangesReport
from devbench.findings.comparison import ComparedRow, ComparisonReport
from devbench.findings.run import JobReport, ReportData
from devbench.notices import Effect, Notice, NoticeKind, merged


@dataclass(frozen=True, slots=True)
class NightResult:
    """The result of one night of a suite.

    Attributes:
        suite: its name.
        night: the name of the night, a date.
        report: what was measured; `None` if no device was available.
        comparison: with the baseline; `None` if there is none yet.
        changes: changes over the history.
        absent: devices that were missing or could not be measured completely, each with the reason.
        folder: where the report was written; `None` if there is none.
        due: whether anything had to be measured or reported.
    """

    suite: str
    night: str
    report: ReportData | None = None
    comparison: ComparisonReport | None = None
    changes: ChangesReport | None = None
    absent: Mapping[str, DevbenchError] = field(default_factory=dict)
    folder: Path | None = None
    due: bool = True

    @property
    def failed(self) -> tuple[JobReport, ...]:
        """Return jobs with a failed repetition, or without any repetition."""
        return tuple(job for job in self.report.jobs if job.failed) if self.report is not None else ()

    @property
    def busy(self) -> Mapping[str, DevbenchError]:
        """Return the devices of `absent` that are connected and in use by another run."""
        return {name: error for name, error in self.absent.items() if isinstance(error, DeviceBusy)}

    @property
    def regressed(self) -> tuple[ComparedRow, ...]:
        return self.comparison.of("regressed") if self.comparison is not None else ()

    @property
    def device_titles(self) -> Mapping[str, str]:
        """Return the titles of the devices by their keys."""
        found = (self.comparison, self.report, self.changes)
        return {key: title for one in found if one is not None for key, title in one.device_titles.items()}

    @property
    def notices(self) -> tuple[Notice, ...]:
        """Return the notices of the comparison, the run and the changes, each once.

        If the comparison counts the unreliable repetitions of a case, they do not prevent a verdict.
        """
        own = [
            replace(one, effect=Effect.INFORMATION)
            if one.kind is NoticeKind.ALL_UNRELIABLE and (one.device_key, one.subject) in self._compared
            else one
            for one in (self.report.notices if self.report is not None else ())
        ]
        compared = self.comparison.notices if self.comparison is not None else ()
        return merged(compared, own, self.changes.notices if self.changes is not None else ())

    @property
    def unjudged(self) -> tuple[JobReport, ...]:
        """Return jobs that are compared with nothing and on which a notice allows no verdict."""
        jobs = self.report.jobs if self.report is not None else ()
        new = [job for job in jobs if job_key(job) not in self._compared]
        return tuple(job for job in new if any(one.effect is Effect.UNDECIDED for one in job.notices))

    @property
    def without_verdict(self) -> frozenset[tuple[str, str]]:
        """Return devices and cases on which no verdict is possible."""
        rows = self.comparison.without_verdict if self.comparison is not None else ()
        return frozenset([*(row.key for row in rows), *map(job_key, self.unjudged)])

    @property
    def undecided(self) -> frozenset[NoticeKind]:
        """Return the kinds of the notices that allow no verdict."""
        return frozenset(one.kind for one in self.notices if one.effect is Effect.UNDECIDED)

    @property
    def _compared(self) -> frozenset[tuple[str, str]]:
        rows = self.comparison.rows if self.comparison is not None else ()
        return frozenset(row.key for row in rows)

    @property
    def exit_code(self) -> int:
        """Return 1 for a regression or a failed job, else the code for missing devices if there are any, else 0."""
        if self.failed or (self.comparison is not None and self.comparison.regressed):
            return EXIT_FAILED
        if not self.absent:
            return EXIT_OK
        codes = {error.exit_code for error in self.absent.values()}
        return codes.pop() if len(codes) == 1 else EXIT_ENVIRONMENT


def job_key(job: JobReport) -> tuple[str, str]:
    """Return device and case of a job, as in a comparison."""
    return job.job.device.key, job.case
