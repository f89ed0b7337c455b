"""A comparison of baseline and candidate as data: verdicts on all pairs, what explains them, failures, unpaired cases.

Types only: `findings/comparison_build.py` computes them. `docs/compare.md` says what the verdicts mean.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args

from devbench.analysis.compare import CompareSettings, Comparison, Verdict
from devbench.analysis.explain import Explanation
from devbench.grouped import grouped
from devbench.metrics import shown_in
from devbench.notices import LEAST_PROCESSES, Notice

# How a side whose repetitions are all unreliable is treated; the first one is the default.
UNRELIABLE = ("undecided", "count")
Outcome = Literal["regressed", "improved", "unchanged", "too noisy to call", "not judged"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
VERDICTS: tuple[Verdict, ...] = ("regressed", "improved", "undecided", "unchanged")


@dataclass(frozen=True, slots=True)
class ComparisonSettings:
    """The settings of a comparison: what is compared, and how certain a verdict must be.

    Attributes:
        compare: settings of the statistical tests.
        metrics: names.
        devices, models, delegates, cases: filters as those of `History`; empty is everything.
        reference: model or case whose change is the device's drift; `None` uses the runs' label `reference`.
        unreliable: "undecided" leaves out unreliable repetitions, and gives no verdict if all of a side are; "count"
            uses them as if they were reliable.
    """

    compare: CompareSettings = field(default_factory=CompareSettings)
    metrics: tuple[str, ...] = field(default_factory=lambda: shown_in("comparison"))
    devices: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    delegates: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    reference: str | None = None
    unreliable: str = UNRELIABLE[0]


@dataclass(frozen=True, slots=True)
class ComparedRuns:
    """One side.

    Attributes:
        title: how the user named it, such as `latest` or `commit=4f2a`.
        run_ids: oldest first.
        first_utc, last_utc: starts of the first and the last run.
        labels: those that all its runs share.
    """

    title: str
    run_ids: tuple[str, ...]
    first_utc: datetime
    last_utc: datetime
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CaseOnDevice:
    """A case on a device, as on both sides. `case` is the text of `results.cases.case_text`."""

    device_key: str
    device: str
    virtual: bool
    case: str
    model: str
    delegate: str
    threads: int | None

    @property
    def key(self) -> tuple[str, str]:
        """Return the device and the case."""
        return self.device_key, self.case

    @property
    def case_fields(self) -> tuple[str, str, bool, str, str, str, int | None]:
        """Return the values of all fields of this class, in their order; subclasses take them as their first fields."""
        return self.device_key, self.device, self.virtual, self.case, self.model, self.delegate, self.threads


@dataclass(frozen=True, slots=True)
class ComparedRow(CaseOnDevice):
    """A verdict on one metric of one case on one device.

    Attributes:
        metric, unit: what was compared; a share between 0 and 1 has no unit.
        operator_type: the type for `operator_time`; empty for all other metrics.
        comparison: the verdict with its evidence, in `unit`.
        explanation: the causes, for a latency or a delegated share that regressed.
    """

    metric: str
    unit: str
    operator_type: str
    comparison: Comparison
    explanation: Explanation | None = None


@dataclass(frozen=True, slots=True)
class CaseFailure(CaseOnDevice):
    """A case that works on one side and fails on the other.

    Attributes:
        kind, message: as the store has them, such as `crash` and the tool's own line.
        failed, of: the number of failed repetitions, and of all, on the side that fails.
    """

    kind: str
    message: str
    failed: int
    of: int


@dataclass(frozen=True, slots=True)
class OneSided(CaseOnDevice):
    """A case that only one side has measured."""

    side: Literal["baseline", "candidate"]


@dataclass(frozen=True, slots=True)
class DriftCorrection:
    """A change of the reference case on a device, which was subtracted from the changes of the others.

    Attributes:
        reference: the reference case.
        change: relative.
        cases: how many cases were corrected by it.
    """

    device_key: str
    device: str
    reference: str
    metric: str
    change: float
    cases: int


@dataclass(frozen=True, slots=True)
class ComparisonReport:
    """The result of a comparison.

    Attributes:
        baseline, candidate: the sides.
        rows: all verdicts; regressions first, then by the size of the change.
        failures: cases that worked and now fail; each is a regression of its own kind.
        fixed: cases that failed and now work.
        one_sided: cases that only one side measured.
        drifts: how the devices drifted, by their reference cases.
        medians: the observations are medians of runs instead of repetitions, because a side has many runs.
        notices: limits of the verdicts: the notices of both sides' runs, files that differ, unreliable repetitions,
            drift, virtual devices.
        virtual: whether any of the devices is virtual.
    """

    baseline: ComparedRuns
    candidate: ComparedRuns
    rows: tuple[ComparedRow, ...]
    failures: tuple[CaseFailure, ...]
    fixed: tuple[CaseFailure, ...]
    one_sided: tuple[OneSided, ...]
    drifts: tuple[DriftCorrection, ...]
    medians: bool
    virtual: bool
    notices: tuple[Notice, ...] = ()

    @property
    def device_titles(self) -> Mapping[str, str]:
        """Return the titles of the devices by their keys."""
        return {one.device_key: one.device for one in (*self.rows, *self.failures, *self.fixed, *self.one_sided)}

    @property
    def counts(self) -> Mapping[Verdict, int]:
        """Return the number of rows by verdict, in the order of `VERDICTS`; failures are not counted."""
        return {verdict: sum(row.comparison.verdict == verdict for row in self.rows) for verdict in VERDICTS}

    @property
    def regressed(self) -> bool:
        """Whether anything became worse, a new failure included."""
        return bool(self.failures) or any(row.comparison.verdict == "regressed" for row in self.rows)

    @property
    def cases(self) -> Mapping[tuple[str, str], Outcome]:
        """Return the result of each case, by device and case.

        A decided check decides its case; a regression overrides an improvement. If no check was decided, the verdict on
        the latency is used. A new failure is a regression, a fixed one an improvement.
        """
        rows = grouped((row.key, row) for row in self.rows)
        found = {key: _outcome(those) for key, those in rows.items()}
        for outcome, ones in (("improved", self.fixed), ("regressed", self.failures)):
            found |= {one.key: outcome for one in ones}  # type: ignore[misc]
        return found

    @property
    def outcomes(self) -> Mapping[Outcome, int]:
        """Return the number of cases by their outcome, in the order of `OUTCOMES`."""
        known = list(self.cases.values())
        return {outcome: known.count(outcome) for outcome in OUTCOMES}

    def fails(self, reasons: Collection[str]) -> bool:
        """Whether any of these is present: "regressed", "missing" (cases), or another verdict."""
        if "regressed" in reasons and self.regressed:
            return True
        missing = any(one.side == "baseline" for one in self.one_sided)
        verdicts = {row.comparison.verdict for row in self.rows} - {"regressed"}
        return ("missing" in reasons and missing) or not verdicts.isdisjoint(reasons)

    @property
    def small(self) -> tuple[ComparedRow, ...]:
        """Return the rows that certainly changed, by certainly less than the threshold; they count as "unchanged"."""
        return tuple(row for row in self.rows if row.comparison.small)

    @property
    def without_verdict(self) -> tuple[ComparedRow, ...]:
        """Return the undecided rows that further repetitions with the same noise could not decide."""
        return tuple(row for row in self.rows if row.comparison.reason)

    def of(self, verdict: Verdict) -> tuple[ComparedRow, ...]:
        """Return the rows with that verdict."""
        return tuple(row for row in self.rows if row.comparison.verdict == verdict)


def _outcome(rows: Sequence[ComparedRow]) -> Outcome:
    verdicts = {row.comparison.verdict for row in rows}
    if "regressed" in verdicts:
        return "regressed"
    if "improved" in verdicts:
        return "improved"
    telling = next((row.comparison for row in rows if row.metric == "latency"), rows[0].comparison)
    if telling.verdict == "unchanged":
        return "unchanged"
    few = min(telling.baseline.n, telling.candidate.n) < LEAST_PROCESSES
    return "not judged" if telling.reason or few else "too noisy to call"
