"""A comparison and a history as tables, tiles and a sentence for a page; knows no template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from devbench.sections.changes_words import event_words, model_words, sides_words, where_words
from devbench.sections.comparison_words import (
    certainty_words,
    change_words,
    explanation_words,
    interval_words,
    metric_words,
    quantity,
    signed,
    undecided_words,
)
from devbench.sections.tables import LONG, Cell, Column, Table, Tile, table

if TYPE_CHECKING:
    from devbench.analysis.compare import Sample
    from devbench.findings.changes import Change, ChangesReport, DeviceChange, MeasuredSeries, ModelChange, Sides
    from devbench.findings.comparison import CaseOnDevice, ComparedRow, ComparisonReport, Failure

KINDS: Mapping[str, str] = {"regressed": "bad", "improved": "good", "undecided": "warn", "unchanged": ""}


def comparison_tiles(report: ComparisonReport) -> list[Tile]:
    """How many of each verdict."""
    counts = report.counts
    worse = counts["regressed"] + len(report.failures)
    words = "regressed" + (", failures included" if report.failures else "")
    unreliable = len(report.without_verdict)
    undecided = "undecided" + (f", {unreliable:,} of them unreliable" if unreliable else "")
    tiles = [
        Tile(f"{worse:,}", words, "bad" if worse else ""),
        Tile(f"{counts['improved']:,}", "improved", "good" if counts["improved"] else ""),
        Tile(f"{counts['undecided']:,}", undecided, "warn" if counts["undecided"] else ""),
    ]
    small = len(report.small)
    tiles += [Tile(f"{small:,}", "changed by less than the threshold")] if small else []
    return [*tiles, Tile(f"{counts['unchanged'] - small:,}", "unchanged")]


def changes_tiles(report: ChangesReport) -> list[Tile]:
    """How many changes, and events of devices."""
    own = report.own
    worse = sum(change.worse for _, change in own)
    words = f"change{'' if len(own) == 1 else 's'} in {report.runs:,} runs" + (
        f", {worse:,} to the worse" if worse else ""
    )
    tiles = [Tile(f"{len(own):,}", words, "warn" if worse else "")]
    if report.events:
        many = len(report.events)
        tiles.append(Tile(f"{many:,}", f"event{'' if many == 1 else 's'} of whole devices", "warn"))
    return tiles


def verdict_words(report: ComparisonReport) -> str:
    """The comparison in one sentence; not made harmless."""
    known = len(report.rows)
    rows = report.of("regressed")
    against = f"against {report.baseline.title}"
    if report.failures:
        first = report.failures[0]
        words = f"{len(report.failures)} case{'' if len(report.failures) == 1 else 's'} that worked now fail {against}"
        return f"{words}, first {first.case} on {first.device}: {first.kind}."
    if rows:
        # What people ask for first is the latency.
        worst = max(rows, key=lambda row: (row.metric == "latency", abs(row.comparison.change or 0.0)))
        what = f"{metric_words(worst.metric, worst.operator_type)} of {worst.case} on {worst.device}"
        return f"{len(rows):,} of {known:,} comparisons regressed {against}; worst: {what}, {change_words(worst)}."
    unreliable = len(report.without_verdict)
    noisy = report.counts["undecided"] - unreliable
    parts = [f"{known:,} checks"]
    parts += [f"{noisy:,} too noisy or too few to call"] if noisy else []
    parts += [f"{unreliable:,} without a verdict: unreliable"] if unreliable else []
    return f"No regressions {against} ({', '.join(parts)})."


def _case(row: CaseOnDevice) -> tuple[Cell, Cell, Cell]:
    return Cell(row.device), Cell(row.model), Cell(row.case)


_CASE = (Column("device", choose=True), Column("model", choose=True), Column("case"))


def compared(report: ComparisonReport) -> Table:
    """A row for each comparison, in the report's order: what regressed first."""
    columns = (
        *_CASE, Column("metric", choose=True), Column("verdict", choose=True), Column("change", numeric=True),
        Column("interval", numeric=True), Column("certain"),
        Column("baseline", numeric=True), Column("candidate", numeric=True),
        Column("n", numeric=True), Column("q", numeric=True), Column("why, or what it would take", wide=True),
    )  # fmt: skip
    return table("compared", "each metric of each case on each device, beside the baseline", columns,
                 [_row(row, report) for row in report.rows], LONG)  # fmt: skip


def _row(row: ComparedRow, report: ComparisonReport) -> tuple[Cell, ...]:
    found = row.comparison
    more = undecided_words(row, report) if found.verdict == "undecided" else ""
    drift = f"drift of {signed(found.drift)} taken off" if found.drift else ""
    why = "; ".join(part for part in (*explanation_words(row), more, drift) if part)
    return (
        *_case(row), Cell(metric_words(row.metric, row.operator_type)),
        Cell(found.verdict, kind=KINDS[found.verdict]),
        Cell("–" if found.reason else signed(found.change, row.unit), found.change),
        Cell(interval_words(row), found.interval[0] if found.interval else None), Cell(certainty_words(row)),
        _value(found.baseline, row.metric), _value(found.candidate, row.metric),
        Cell(f"{found.baseline.n}, {found.candidate.n}", min(found.baseline.n, found.candidate.n)),
        Cell(f"{found.q:.2g}" if found.q is not None else "", found.q), Cell(why),
    )  # fmt: skip


def _value(sample: Sample, metric: str) -> Cell:
    return Cell(quantity(sample.median, metric), sample.median)


def failures(report: ComparisonReport) -> Table:
    """What worked and now fails, and the other way round."""

    def row(one: Failure, what: str, kind: str) -> tuple[Cell, ...]:
        share = Cell(f"{one.failed} of {one.of}", one.failed)
        return (*_case(one), Cell(what, kind=kind), Cell(one.kind), share, Cell(one.message))

    rows = [row(one, "now fails", "bad") for one in report.failures]
    rows += [row(one, "now works", "good") for one in report.fixed]
    columns = (*_CASE, Column("what", choose=True), Column("failure", choose=True), Column("repetitions", numeric=True),
               Column("in the tool's words", wide=True))  # fmt: skip
    return table("failures", "cases that fail on one side only", columns, rows)


# -- history ----------------------------------------------------------------------------------------------------------


_WHEN, _WITH_IT = Column("when (UTC)", numeric=True), Column("what changed with it", wide=True)


def changes(report: ChangesReport) -> Table:
    """The changes that stand on their own, the newest first."""
    rows = [_change(series, change) for series, change in reversed(report.own)]
    columns = (
        _WHEN, *_CASE, Column("metric", choose=True), Column("change", numeric=True),
        Column("before", numeric=True), Column("after", numeric=True), Column("p", numeric=True), _WITH_IT,
    )  # fmt: skip
    return table("changes", "changes of single series", columns, rows)


def _change(series: MeasuredSeries, change: Change) -> tuple[Cell, ...]:
    point = change.point
    size = Cell(signed(point.size, series.unit) if point.size is not None else "from zero", point.size, _kind(change))
    return (
        _when(change.sides), *_case(series), Cell(metric_words(series.metric, series.operator_type)), size,
        Cell(quantity(point.before, series.metric), point.before),
        Cell(quantity(point.after, series.metric), point.after), Cell(f"{point.p:.1g}", point.p),
        _with_it(change.sides),
    )  # fmt: skip


def _kind(what: Change | DeviceChange | ModelChange) -> str:
    return "bad" if what.worse else "good"


def _when(sides: Sides) -> Cell:
    return Cell(f"{sides.at_utc:%Y-%m-%d %H:%M}", sides.at_utc.timestamp())


def _with_it(sides: Sides) -> Cell:
    return Cell("; ".join(sides_words(sides)))


def models(report: ChangesReport) -> Table:
    """The changes of models on whatever devices, the newest first."""
    rows = [
        (_when(one.sides), Cell(one.model), Cell(where_words(one)), Cell(model_words(one), kind=_kind(one)),
         _with_it(one.sides))
        for one in reversed(report.models)
    ]  # fmt: skip
    columns = (_WHEN, Column("model", choose=True), Column("where"), Column("change", wide=True), _WITH_IT)
    return table("models", "changes of models, those of the same nights together", columns, rows)


def events(report: ChangesReport) -> Table:
    """What happened to devices as a whole, the newest first."""
    rows = [
        (_when(event.sides), Cell(event.device), Cell(event_words(event), kind=_kind(event)), _with_it(event.sides))
        for event in reversed(report.events)
    ]
    columns = (_WHEN, Column("device", choose=True), Column("what it did", wide=True), _WITH_IT)
    return table("events", "events of whole devices, such as an update of the system", columns, rows)
