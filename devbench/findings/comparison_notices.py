"""Makes the notices that limit a comparison: those of the runs on both sides, files that differ, drift. Also finds the
failing cases.

Knows no form of output.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from devbench.analysis.compare import Comparison
from devbench.analysis.reliability import reasons_text
from devbench.findings.comparison import CaseFailure, CaseOnDevice, ComparisonSettings, DriftCorrection
from devbench.findings.comparison_sides import Key, SideData, filters_of
from devbench.findings.grouping import Series
from devbench.grouped import grouped
from devbench.metrics import METRICS
from devbench.notices import LEAST_PROCESSES, Effect, Notice, NoticeKind
from devbench.results.cases import subject_of, without_inputs
from devbench.results.counting import outputs_not_checked, partly_delegated, unreliable, virtual_device
from devbench.results.queries import UsedFile

if TYPE_CHECKING:
    import pandas as pd


def virtual_notices(subjects: Iterable[CaseOnDevice]) -> list[Notice]:
    """Return a notice for each virtual device."""
    return [virtual_device(*one) for one in sorted({(s.device_key, s.device) for s in subjects if s.virtual})]


def notices_of_runs(
    before: SideData, after: SideData, settings: ComparisonSettings, subjects: Mapping[Key, CaseOnDevice]
) -> list[Notice]:
    """Return the runs' notices about the compared cases; if only one side has a notice, its text says which."""
    found: dict[Notice, set[str]] = {}
    for name, side in (("baseline", before), ("candidate", after)):
        devices = {"", *side.jobs["device_key"].unique()}
        names = {name for about in side.names.values() for name in about}
        narrow = bool(settings.models or settings.delegates or settings.cases)
        for run_id, notices in side.notices.items():
            for notice in notices:
                job = (run_id, notice.job_number)
                concerned = job in side.names if notice.job_number is not None else notice.subject in names
                if notice.device_key in devices and (concerned or (notice.job_number is None and not narrow)):
                    found.setdefault(replace(notice, job_number=None), set()).add(name)
        for notice in _of_cases(side, settings, subjects):
            found.setdefault(notice, set()).add(name)
    told = [
        one if len(sides) == 2 else replace(one, text=f"{one.text} ({sides.pop()} only)")
        for one, sides in found.items()
    ]
    if settings.unreliable == "count":
        return [replace(one, effect=Effect.INFORMATION) if one.effect is Effect.UNDECIDED else one for one in told]
    return told


def _of_cases(side: SideData, settings: ComparisonSettings, subjects: Mapping[Key, CaseOnDevice]) -> Iterator[Notice]:
    """Yield notices of cases that a delegate took in part, or whose outputs were not compared with this computer's."""
    for key, case, partly, compared in side.history.states_of_cases(**filters_of(side.runs.run_ids, settings)):
        subject = subjects.get((key, case))
        if subject is not None and partly:
            yield partly_delegated(case, key)
        if subject is not None and not compared and subject.delegate != "cpu":
            yield outputs_not_checked(subject_of(subject.model, case))


def left_out(before: SideData, after: SideData, subjects: Mapping[Key, CaseOnDevice], what: str) -> Iterator[Notice]:
    """Yield notices of cases with unreliable observations that are left out; `what` is one observation."""
    for name, side in (("baseline", before), ("candidate", after)):
        counts = side.left_out if what == "run" else _repetitions_left_out(side)
        for key, (concerned, total, why) in counts.items():
            if key in subjects:
                yield unreliable(subjects[key].case, concerned, total, f"{what} of the {name}", why, key[0])


def _repetitions_left_out(side: SideData) -> dict[Key, tuple[int, int, str]]:
    """Return the excluded repetitions of each case: their number, the number of all, and the reasons."""
    reasons = grouped(
        ((one.device_key, one.case), one.reasons)
        for one in side.history.unreliable(runs=side.runs.run_ids)
        if one.purpose in ("latency", "session")
    )
    if not reasons:
        return {}
    measured = side.jobs.groupby(["device_key", "case"], observed=True)["measured"].sum()
    return {
        key: (len(found), int(measured[key]), reasons_text([why for those in found for why in those], counted=False))
        for key, found in reasons.items()
        if key in measured.index and len(found) < measured[key]
    }


def few_processes(before: SideData, after: SideData, subjects: Mapping[Key, CaseOnDevice]) -> Iterator[Notice]:
    """Make a notice for each case on both sides of which one side has too few timed processes."""
    for name, side, other in (("baseline", before, after), ("candidate", after, before)):
        for series, values in side.values.items():
            n = len(values.values)
            if series[2] == "latency" and series in other.values and n < LEAST_PROCESSES:
                times = "once" if n == 1 else "twice"
                yield Notice(
                    NoticeKind.TOO_FEW_PROCESSES, subjects[series[:2]].case,
                    f"measured {times} in the {name}: not enough to judge", "give --repetitions 5 or more",
                    Effect.EXCLUDED, series[0],
                )  # fmt: skip


def drift_notices(drifts: Sequence[DriftCorrection]) -> list[Notice]:
    """Return a notice for each device whose drift was removed from the changes."""
    found = []
    for drift in drifts:
        what = "speed" if drift.metric == "latency" else METRICS[drift.metric].title
        cases = f"{drift.cases} case{'' if drift.cases == 1 else 's'}"
        text = f"{what} drifted by {percent(drift.change)} by the reference {drift.reference}, taken off {cases}"
        found.append(Notice(NoticeKind.DRIFT_REMOVED, drift.device, text, device_key=drift.device_key))
    return found


def reference_not_used(reference: str, why: str, device_key: str = "") -> Notice:
    """Return why a reference case corrects nothing."""
    text = f"corrects nothing: {why}"
    return Notice(NoticeKind.REFERENCE_NOT_USED, f"reference {reference}", text, device_key=device_key)


def percent(change: float) -> str:
    """Return a change as `+8.0 %`; negative ones have a minus sign, not a hyphen."""
    return f"{100 * change:+.1f} %".replace("-", "−")


# The key of a file is (role, name), its content (hash, version).
File = tuple[str, str]
Seen = frozenset[tuple[str, str]]

_ROLES = {"delegate": "the library", "input": "the input", "tool": "the tool"}
_MOST_NAMED = 3
_SHOWN_DIGITS = 8


def changed_files(before: Iterable[UsedFile], after: Iterable[UsedFile]) -> tuple[Notice, ...]:
    """Return a notice for each file that differs between the sides, for cases that both sides have, sorted by name.

    Args:
        before, after: frames of `History.used_files`.
    """
    sides = [_by_case(before), _by_case(after)]
    found: dict[tuple[File, Seen, Seen], list[str]] = {}
    for case in sorted(sides[0].keys() & sides[1].keys()):
        was, now = sides[0][case], sides[1][case]
        for file in sorted(was.keys() | now.keys()):
            then, since = was.get(file, frozenset()), now.get(file, frozenset())
            if then != since:
                found.setdefault((file, then, since), []).append(case[1])
    return tuple(_notice(*key, cases) for key, cases in sorted(found.items(), key=lambda one: one[0][0]))


def _by_case(rows: Iterable[UsedFile]) -> dict[tuple[str, str], Mapping[File, Seen]]:
    """Return the content of each file by device and case.

    The tool's key is its role, since its name contains the version.
    """
    found: dict[tuple[str, str], dict[File, set[tuple[str, str]]]] = {}
    for row in rows:
        is_tool = row.role == "tool"
        file = (row.role, "" if is_tool else row.name)
        version = row.name if is_tool else row.version
        found.setdefault((row.device_key, row.case), {}).setdefault(file, set()).add((row.sha256, version))
    return {case: {file: frozenset(seen) for file, seen in files.items()} for case, files in found.items()}


def _notice(file: File, was: Seen, now: Seen, cases: list[str]) -> Notice:
    role, name = file
    subject = name or "benchmark_model"
    what = _ROLES.get(role, "the file")
    if not was:
        text = f"{what} is used by the candidate only: {_shown(now)}"
    elif not now:
        text = f"{what} is used by the baseline only: {_shown(was)}"
    else:
        text = f"{what} is not the same on both sides: {_shown(was)} → {_shown(now)}"
    named = list(dict.fromkeys(cases))
    rest = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    where = f"{', '.join(named[:_MOST_NAMED])}{rest}"
    return Notice(
        NoticeKind.LIBRARY_CHANGED,
        subject=subject,
        text=f"{text}; used by {where}",
        next_step="measure both sides with the same file to compare anything else",
    )


def _shown(seen: Seen) -> str:
    """Return `QNN 2.44.0 (1a2b3c4d)`; several of one side with commas."""
    return ", ".join(
        f"{version} ({sha256[:_SHOWN_DIGITS]})" if version else sha256[:_SHOWN_DIGITS]
        for sha256, version in sorted(seen, key=lambda one: (one[1], one[0]))
    )


@dataclass(frozen=True, slots=True)
class _Outcome:
    ok: int
    failed: int
    kind: str
    message: str


def failures(
    before: pd.DataFrame, after: pd.DataFrame, subjects: Mapping[tuple[str, str], CaseOnDevice], alpha: float
) -> tuple[tuple[CaseFailure, ...], tuple[CaseFailure, ...]]:
    """Find the cases that worked in the baseline and fail in the candidate, and those that work again.

    A case fails if no repetition of it ended well, or more failed than chance explains, compared with the other side
    (Fisher's exact test, one-sided, p ≤ alpha; R. A. Fisher, Statistical Methods for Research Workers, 21.02).

    Args:
        before, after: frames of `History.jobs`.
        subjects: what is known of each case.
        alpha: the largest p that counts.
    """
    timed = bool(before["measured"].any() or after["measured"].any())
    was, now = (_outcomes(jobs, "measured" if timed else "ok") for jobs in (before, after))
    both = sorted(was.keys() & now.keys())
    new = [_failure(subjects[key], now[key]) for key in both if _fails(now[key], was[key], alpha)]
    fixed = [_failure(subjects[key], was[key]) for key in both if _fails(was[key], now[key], alpha)]
    return tuple(new), tuple(fixed)


def _outcomes(jobs: pd.DataFrame, ok: str) -> dict[tuple[str, str], _Outcome]:
    """Return the outcomes by case; `ok` is the column whose count is that of successes."""
    keys = ["device_key", "case"]
    last = jobs[jobs["failed"] > 0].drop_duplicates(keys, keep="last")
    columns = (last[name] for name in (*keys, "failure_kind", "failure_message"))
    why = {(device, case): (_text(kind), _text(message)) for device, case, kind, message in zip(*columns, strict=True)}
    sums = jobs.groupby(keys, observed=True)[[ok, "failed"]].sum().itertuples(name=None)
    return {key: _Outcome(int(good), int(failed), *why.get(key, ("", ""))) for key, good, failed in sums}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _fails(one: _Outcome, other: _Outcome, alpha: float) -> bool:
    """Whether `one` fails where `other` does not."""
    if not one.failed or not other.ok:
        return False
    if not one.ok:
        return True
    from scipy.stats import fisher_exact

    table = [[one.failed, one.ok], [other.failed, other.ok]]
    return bool(fisher_exact(table, alternative="greater").pvalue <= alpha)


def _failure(subject: CaseOnDevice, outcome: _Outcome) -> CaseFailure:
    return CaseFailure(*subject.case_fields, outcome.kind, outcome.message, outcome.failed, outcome.ok + outcome.failed)


# -- drift ------------------------------------------------------------------------------------------------------------


LABEL = "reference"
NONE = "none"
_LEAST_REPETITIONS = 3


@dataclass(frozen=True, slots=True)
class Corrections:
    """The reference case that corrects each series.

    Attributes:
        by: for each series, the series of its reference case.
        references: the series of the reference cases; they get no verdict.
        samples: those of the references, baseline and candidate.
        notices: why a reference was not used.
    """

    by: Mapping[Series, Series]
    references: frozenset[Series]
    samples: Mapping[Series, tuple[Sequence[float], Sequence[float]]]
    notices: tuple[Notice, ...]

    def of(self, series: Series) -> tuple[Sequence[float], Sequence[float]] | None:
        """Return the reference's samples for a series; `None` if nothing corrects it."""
        reference = self.by.get(series)
        return None if reference is None else self.samples[reference]

    def told(
        self, compared: Mapping[Series, Comparison], subjects: Mapping[Key, CaseOnDevice]
    ) -> tuple[DriftCorrection, ...]:
        """Return the drift of each reference case."""
        moved = grouped(
            (self.by[series], comparison.drift)
            for series, comparison in compared.items()
            if series in self.by and comparison.drift is not None
        )
        found = [
            DriftCorrection(device, subjects[device, case].device, case, metric, changes[0], len(changes))
            for (device, case, metric, _), changes in moved.items()
        ]
        return tuple(sorted(found, key=lambda one: (one.device, one.reference, list(METRICS).index(one.metric))))


def corrections(
    before: SideData, after: SideData, subjects: Mapping[Key, CaseOnDevice], reference: str | None
) -> Corrections:
    """Return which reference corrects which series.

    Args:
        before, after: the sides.
        subjects: what is known of each case.
        reference: a model or a case; `None` takes the label `reference` of the candidate's or the baseline's runs;
            "none" corrects nothing.
    """
    name = reference or after.runs.labels.get(LABEL) or before.runs.labels.get(LABEL)
    if not name or name == NONE:
        return Corrections({}, frozenset(), {}, ())
    cases = [key for key, subject in subjects.items() if name in (subject.case, subject.model)]
    if not cases:
        return Corrections({}, frozenset(), {}, (reference_not_used(name, "not measured on either side"),))
    notices = []
    of_speed = [name for name, metric in METRICS.items() if metric.of_speed]
    samples: dict[Series, tuple[Sequence[float], Sequence[float]]] = {}
    for key in cases:
        for metric in of_speed:
            series = (*key, metric, "")
            both = [
                side.values[series].values
                for side in (before, after)
                if series in side.values and series not in side.unreliable
            ]
            if len(both) == 2 and min(map(len, both)) >= _LEAST_REPETITIONS:
                samples[series] = (both[0], both[1])
        latency = (*key, "latency", "")
        few = "all repetitions of a side are unreliable"
        if latency not in before.unreliable | after.unreliable:
            few = "too few repetitions"
        why = _unfit(before, after, key) or ("" if latency in samples else few)
        if why:
            notices.append(reference_not_used(key[1], why, key[0]))
            for metric in of_speed:
                samples.pop((*key, metric, ""), None)
    by = {}
    for device, case, metric, kind in before.values:
        subject = subjects[device, case]
        for key in cases:
            series = (*key, metric, kind)
            if (
                series in samples
                and key[0] == device
                and key[1] != case
                and _is_corrected_by(subject, subjects[key], name)
            ):
                by[device, case, metric, kind] = series
    return Corrections(by, frozenset(samples), samples, tuple(notices))


def _is_corrected_by(subject: CaseOnDevice, reference: CaseOnDevice, name: str) -> bool:
    """Whether a reference corrects a case: a case corrects all, a model those with the same delegate and options."""
    if reference.case == name:
        return True
    ran = [without_inputs(one.case.removeprefix(one.model)) for one in (subject, reference)]
    return ran[0] == ran[1]


def _unfit(before: SideData, after: SideData, key: Key) -> str:
    """Return why a case cannot be a reference; empty if it can."""
    for column, what in (("model_sha256", "model"), ("binary_sha256", "binary")):
        known = set()
        for jobs in (before.jobs, after.jobs):
            known |= set(jobs.loc[(jobs["device_key"] == key[0]) & (jobs["case"] == key[1]), column])
        if len(known) != 1:
            return f"its {what} is not the same everywhere"
    return ""
