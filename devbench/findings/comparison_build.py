"""Compares two sides of runs: pairs, drift, failures, explanations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from devbench.analysis.compare import Comparison, Pair, compare_all
from devbench.analysis.explain import DelegatedNodes, Explanation, Side, TypeTime, explain
from devbench.findings.comparison import (
    VERDICTS,
    CaseOnDevice,
    ComparedRow,
    ComparisonReport,
    ComparisonSettings,
    OneSided,
)
from devbench.findings.comparison_notices import (
    Corrections,
    changed_files,
    corrections,
    drift_notices,
    failures,
    few_processes,
    left_out,
    notices_of_runs,
    virtual_notices,
)
from devbench.findings.comparison_sides import Key, SideData, filters_of, load_side, no_verdicts, stage_times
from devbench.findings.grouping import Series
from devbench.grouped import grouped
from devbench.metrics import METRICS, OPERATOR_TIME
from devbench.notices import LEAST_PROCESSES, Notice

if TYPE_CHECKING:
    import pandas as pd

    from devbench.results.history import History

# The number of latest runs whose profiles are read; more would hardly change which operators take the time.
_MOST_PROFILES = 10


# With more runs on a side, the observations are medians of runs, not repetitions: that is precise enough, and fast to
# read.
_MOST_RUNS = 10


def build_comparison(
    history: History,
    baseline: Sequence[str],
    candidate: Sequence[str],
    settings: ComparisonSettings | None = None,
    *,
    titles: tuple[str, str] | None = None,
    candidate_history: History | None = None,
) -> ComparisonReport:
    """Compare the runs of one side with those of the other.

    Args:
        history: the store.
        baseline, candidate: ids of runs, as `history.find_runs` gives them.
        settings: `None` uses the defaults.
        titles: names of the sides; `None` uses their run ids.
        candidate_history: the store of the candidate, if it is not `history`.

    Raises:
        InputError: a side has no run.
    """
    rules = settings or ComparisonSettings()
    named = titles or (_title(baseline), _title(candidate))
    medians = max(len(baseline), len(candidate)) > _MOST_RUNS
    before = load_side(history, named[0], baseline, rules, medians=medians)
    after = load_side(candidate_history or history, named[1], candidate, rules, medians=medians)
    return build(before, after, rules, medians=medians)


def _title(run_ids: Sequence[str]) -> str:
    if len(run_ids) > 1:
        return f"{run_ids[0]} … {run_ids[-1]} ({len(run_ids)} runs)"
    return run_ids[0] if run_ids else ""


def build(before: SideData, after: SideData, settings: ComparisonSettings, *, medians: bool) -> ComparisonReport:
    """Compare all pairs of two sides; `medians`: the sides were loaded as medians of runs."""
    subjects = {**_subjects(before.jobs), **_subjects(after.jobs)}
    drift = corrections(before, after, subjects, settings.reference)
    series = [one for one in before.values if one in after.values and one not in drift.references]
    series = _each_file_once(series, subjects)
    what = "run" if medians else "repetition"
    why, no_verdict = no_verdicts(before, after, series, subjects, what)
    compared = _judged(before, after, series, drift, why, settings, medians=medians)
    if not medians:
        compared = [_enough(one, found, before, after) for one, found in zip(series, compared, strict=True)]
    rows = [
        ComparedRow(*subjects[one[:2]].case_fields, one[2], METRICS[one[2]].unit, one[3], comparison)
        for one, comparison in zip(series, compared, strict=True)
    ]
    failed, fixed = failures(before.jobs, after.jobs, subjects, settings.compare.alpha)
    drifts = drift.told(dict(zip(series, compared, strict=True)), subjects)
    return ComparisonReport(
        baseline=before.runs,
        candidate=after.runs,
        rows=tuple(sorted(_explained(rows, before, after), key=_order)),
        failures=failed,
        fixed=fixed,
        one_sided=_one_sided(before, after, subjects),
        drifts=drifts,
        medians=medians,
        notices=(
            *no_verdict,
            *_files_changed(before, after, settings),
            *notices_of_runs(before, after, settings, subjects),
            *left_out(before, after, subjects, what),
            *(() if medians else few_processes(before, after, subjects)),
            *drift_notices(drifts),
            *drift.notices,
            *virtual_notices(subjects.values()),
        ),
        virtual=any(subject.virtual for subject in subjects.values()),
    )


def _each_file_once(series: Sequence[Series], subjects: Mapping[Key, CaseOnDevice]) -> list[Series]:
    """Keep a model's size only for the first of its cases, since it is the same under every delegate."""
    seen: set[tuple[str, str]] = set()
    found = []
    for one in series:
        whose = (one[0], subjects[one[:2]].model)
        if METRICS[one[2]].source != "model" or whose not in seen:
            found.append(one)
        if METRICS[one[2]].source == "model":
            seen.add(whose)
    return found


def _files_changed(before: SideData, after: SideData, settings: ComparisonSettings) -> tuple[Notice, ...]:
    """Return notices of files that differ between the sides, for the cases that both sides have."""
    return changed_files(
        *(side.history.used_files(**filters_of(side.runs.run_ids, settings)) for side in (before, after)),
    )


def _subjects(jobs: pd.DataFrame) -> dict[Key, CaseOnDevice]:
    names = ["device_key", "device", "virtual", "case", "model", "delegate", "threads"]
    found = {}
    for row in jobs[names].drop_duplicates(["device_key", "case"], keep="last").itertuples(index=False):
        found[row.device_key, row.case] = CaseOnDevice(
            row.device_key, row.device, bool(row.virtual), row.case, row.model, row.delegate, _whole_number(row.threads)
        )
    return found


def _judged(
    before: SideData,
    after: SideData,
    series: Sequence[Series],
    drift: Corrections,
    why: Mapping[Series, str],
    settings: ComparisonSettings,
    *,
    medians: bool,
) -> list[Comparison]:
    """Return the comparisons in the order of `series`.

    Each metric is corrected alone: noise in one does not affect others.
    """
    found: dict[Series, Comparison] = {}
    for metric in settings.metrics:
        family = [one for one in series if one[2] == metric]
        operators = metric == OPERATOR_TIME
        pairs = [
            Pair(
                key=" · ".join(filter(None, one)),
                metric=one[2],
                baseline=before.values[one].values,
                candidate=after.values[one].values,
                reference=drift.of(one),
                # If the values are medians, each run has one value, and their scatter is that of the runs.
                runs=None if medians or operators else (before.values[one].runs, after.values[one].runs),
                medians=medians or operators,
                no_verdict=why.get(one, ""),
            )
            for one in family
        ]
        found |= zip(family, compare_all(pairs, settings.compare), strict=True)
    return [found[one] for one in series]


def _enough(series: Series, found: Comparison, before: SideData, after: SideData) -> Comparison:
    """Remove the verdict on a case with fewer than three timed processes on a side, whatever the metric."""
    latency = (*series[:2], "latency", "")
    counts = [len(side.values[latency].values) for side in (before, after) if latency in side.values]
    few = LEAST_PROCESSES - min(counts, default=LEAST_PROCESSES)
    if few <= 0 or METRICS[series[2]].exact or found.verdict == "undecided":
        return found
    return replace(found, verdict="undecided", direction=None, beyond=None, more_repetitions=few)


def _order(row: ComparedRow) -> tuple[Any, ...]:
    found = row.comparison
    # Undecided rows with the smallest q come first.
    size = -abs(found.change or 0.0) if found.verdict != "undecided" or found.p is None else found.p
    return (VERDICTS.index(found.verdict), not found.small, size, row.device, row.case, row.metric, row.operator_type)


def _one_sided(before: SideData, after: SideData, subjects: Mapping[Key, CaseOnDevice]) -> tuple[OneSided, ...]:
    """Return the cases that ran on one side only, each with that side."""
    ran = []
    for side in (before, after):
        jobs = side.jobs[side.jobs["ok"] + side.jobs["failed"] > 0][["device_key", "case"]].drop_duplicates()
        ran.append(set(jobs.itertuples(index=False, name=None)))
    found = [OneSided(*subjects[key].case_fields, "baseline") for key in ran[0] - ran[1]]
    found += [OneSided(*subjects[key].case_fields, "candidate") for key in ran[1] - ran[0]]
    return tuple(sorted(found, key=lambda one: (one.side, one.device, one.case)))


# -- explanations -----------------------------------------------------------------------------------------------------


def _explained(rows: Sequence[ComparedRow], before: SideData, after: SideData) -> list[ComparedRow]:
    """Return the rows; those that regressed have their explanation, if there is one."""
    wanted = [row for row in rows if row.comparison.verdict == "regressed" and METRICS[row.metric].explained]
    if not wanted:
        return list(rows)
    keys = {row.key for row in wanted}
    sides = [_profiles(side, keys) for side in (before, after)]
    found: dict[Key, Explanation] = {}
    latencies = {row.key: row.comparison for row in rows if row.metric == "latency"}
    for key in keys:
        of = latencies.get(key)
        was, now = (of.baseline.median, of.candidate.median) if of else (None, None)
        change_ms = None if was is None or now is None else now - was
        found[key] = explain(sides[0][key], sides[1][key], latency_change_ms=change_ms)
    explained = {id(row) for row in wanted}
    return [replace(row, explanation=found[row.key]) if id(row) in explained else row for row in rows]


def _profiles(side: SideData, keys: set[Key]) -> dict[Key, Side]:
    """Return for each case the median time of each operator type in each place, and the last delegation.

    The median is that over the last runs. For a pipeline, the times are those of its stages.
    """
    filters: dict[str, Any] = {
        "runs": side.runs.run_ids[-_MOST_PROFILES:],
        "devices": tuple({device for device, _ in keys}),
        "cases": tuple({case for _, case in keys}),
    }
    types = side.history.operator_types(**filters)
    keys_of_type = ["device_key", "case", "type", "place"]
    medians = types.groupby(keys_of_type, sort=False, observed=True)[["total_ms", "count"]].median()
    operators: dict[Key, list[TypeTime]] = grouped(
        ((device, case), TypeTime(kind, place, float(total_ms), round(count)))
        for (device, case, kind, place), (total_ms, count) in zip(medians.index, medians.to_numpy(), strict=True)
    )
    operators |= stage_times(side.history, filters)
    delegation = side.history.delegation(**filters).drop_duplicates(["device_key", "case"], keep="last")
    taken = {
        (row.device_key, row.case): DelegatedNodes(
            _whole_number(row.nodes_delegated),
            _whole_number(row.nodes_total),
            _whole_number(row.partitions),
            # A time that is not known is NaN.
            None if row.delegated_node_share != row.delegated_node_share else bool(row.delegated_node_share == 1),
        )
        for row in delegation.itertuples(index=False)
    }
    return {key: Side(tuple(operators.get(key, ())), taken.get(key)) for key in keys}


def _whole_number(value: Any) -> int | None:
    import pandas as pd

    return None if pd.isna(value) else int(value)
