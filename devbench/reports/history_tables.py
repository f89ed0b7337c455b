"""A comparison and a history as tables, tiles and a sentence for a page; knows no template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from devbench.analysis.compare import METRICS, Sample
from devbench.reports.page import Tile
from devbench.reports.tables import LONG, Cell, Column, Table, table
from devbench.reports.words import ms

if TYPE_CHECKING:
    from devbench.analysis.compare import Comparison
    from devbench.analysis.explain import Explanation
    from devbench.reports.comparison import CaseOnDevice, ComparedRow, ComparisonReport, Failure
    from devbench.reports.watch import Change, Sides, WatchedSeries, WatchReport

KINDS: Mapping[str, str] = {"regressed": "bad", "improved": "good", "undecided": "warn", "unchanged": ""}
_MOST_CAUSES = 3


def comparison_tiles(report: ComparisonReport) -> list[Tile]:
    """How many of each verdict."""
    counts = report.counts
    worse = counts["regressed"] + len(report.failures)
    words = "regressed" + (", failures included" if report.failures else "")
    tiles = [
        Tile(f"{worse:,}", words, "bad" if worse else ""),
        Tile(f"{counts['improved']:,}", "improved", "good" if counts["improved"] else ""),
        Tile(f"{counts['undecided']:,}", "undecided: too noisy", "warn" if counts["undecided"] else ""),
    ]
    return [*tiles, Tile(f"{counts['unchanged']:,}", "unchanged")]


def watch_tiles(watch: WatchReport) -> list[Tile]:
    """How many changes, and events of devices."""
    own = watch.own
    worse = sum(change.worse for _, change in own)
    words = f"change{'' if len(own) == 1 else 's'} in {watch.runs:,} runs" + (
        f", {worse:,} to the worse" if worse else ""
    )
    tiles = [Tile(f"{len(own):,}", words, "warn" if worse else "")]
    if watch.events:
        many = len(watch.events)
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
        what = f"{worst.metric} of {worst.case} on {worst.device}"
        size = change_words(worst.comparison)
        return f"{len(rows):,} of {known:,} comparisons regressed {against}; worst: {what}, {size}."
    open_ones = report.counts["undecided"]
    more = f"; {open_ones:,} are too noisy to tell" if open_ones else ""
    return f"No regression could be shown {against} in {known:,} comparisons{more}."


def change_words(comparison: Comparison) -> str:
    """`+4.2 %`; in points where the metric's differences are absolute."""
    return "" if comparison.change is None else _percent(comparison.change, comparison.metric)


def _percent(change: float, metric: str) -> str:
    absolute = metric in METRICS and METRICS[metric].absolute
    return f"{100 * change:+.1f} {'points' if absolute else '%'}"


def value_words(value: float | None, unit: str) -> str:
    """A value of a metric in its unit."""
    if value is None:
        return ""
    if unit == "ms":
        return f"{ms(value)} ms"
    if unit == "bytes":
        return f"{value / 1e6:,.3f} MB"
    return f"{value:,.1f} {unit}" if unit else f"{100 * value:.1f} %"


def _case(row: CaseOnDevice) -> tuple[Cell, Cell, Cell]:
    return Cell(row.device), Cell(row.model), Cell(row.case)


_CASE = (Column("device", choose=True), Column("model", choose=True), Column("case"))


def compared(report: ComparisonReport) -> Table:
    """A row for each comparison, in the report's order: what regressed first."""
    columns = (
        *_CASE, Column("metric", choose=True), Column("verdict", choose=True), Column("change", numeric=True),
        Column("interval", numeric=True), Column("baseline", numeric=True), Column("candidate", numeric=True),
        Column("n", numeric=True), Column("q", numeric=True), Column("why, or what it would take", wide=True),
    )  # fmt: skip
    return table("compared", "each metric of each case on each device, beside the baseline", columns,
                 [_row(row) for row in report.rows], LONG)  # fmt: skip


def _row(row: ComparedRow) -> tuple[Cell, ...]:
    found = row.comparison
    interval = ""
    if found.interval is not None:
        interval = " to ".join(_percent(end, found.metric) for end in found.interval)
    metric = row.metric + (f": {row.operator_type}" if row.operator_type else "")
    more = f"{found.more_repetitions} more repetitions a side would decide" if found.more_repetitions else ""
    drift = f"drift of {100 * found.drift:+.1f} % taken off" if found.drift else ""
    why = "; ".join(part for part in (causes(row.explanation), more, drift) if part)
    return (
        *_case(row), Cell(metric), Cell(found.verdict, kind=KINDS[found.verdict]),
        Cell(change_words(found), found.change), Cell(interval, found.interval[0] if found.interval else None),
        _value(found.baseline, row.unit), _value(found.candidate, row.unit),
        Cell(f"{found.baseline.n}, {found.candidate.n}", min(found.baseline.n, found.candidate.n)),
        Cell(f"{found.q:.2g}" if found.q is not None else "", found.q), Cell(why),
    )  # fmt: skip


def _value(sample: Sample, unit: str) -> Cell:
    return Cell(value_words(sample.median, unit), sample.median)


def causes(explanation: Explanation | None) -> str:
    """The causes that cost most, in words; not made harmless."""
    if explanation is None:
        return ""
    parts = []
    for cause in explanation.causes[:_MOST_CAUSES]:
        name = cause.name or "delegation"
        if cause.kind == "delegation" and cause.baseline and cause.candidate:
            before, after = cause.baseline, cause.candidate
            name = f"nodes on the delegate {before.nodes_delegated} → {after.nodes_delegated} of {after.nodes_total}"
        parts.append(f"{name} {cause.kind} ({cause.change_ms:+.2f} ms)" if cause.kind != "delegation" else name)
    return "; ".join(parts)


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


def changes(watch: WatchReport) -> Table:
    """The changes that stand on their own, the newest first."""
    rows = [_change(series, change) for series, change in reversed(watch.own)]
    columns = (
        Column("when (UTC)", numeric=True), *_CASE, Column("metric", choose=True), Column("change", numeric=True),
        Column("before", numeric=True), Column("after", numeric=True), Column("p", numeric=True),
        Column("what changed with it", wide=True),
    )  # fmt: skip
    return table("changes", "changes of single series", columns, rows)


def _change(series: WatchedSeries, change: Change) -> tuple[Cell, ...]:
    point, at = change.point, change.sides.at_utc
    metric = series.metric + (f": {series.operator_type}" if series.operator_type else "")
    size = Cell(size_words(point.size), point.size, "bad" if change.worse else "good")
    return (
        Cell(f"{at:%Y-%m-%d %H:%M}", at.timestamp()), *_case(series), Cell(metric), size,
        Cell(value_words(point.before, series.unit), point.before),
        Cell(value_words(point.after, series.unit), point.after), Cell(f"{point.p:.1g}", point.p),
        Cell(side_words(change.sides)),
    )  # fmt: skip


def size_words(size: float | None) -> str:
    """`+4.2 %`; a change from zero has no size."""
    return "from zero" if size is None else f"{100 * size:+.1f} %"


def side_words(sides: Sides) -> str:
    """Labels and facts that differ on both sides, in words; not made harmless."""
    parts = [f"{key} {before or '–'} → {after or '–'}" for key, (before, after) in sides.labels.items()]
    parts += [f"{fact.fact}: {fact.before} → {fact.after}" for fact in sides.facts]
    return "; ".join(parts)


def events(watch: WatchReport) -> Table:
    """What happened to devices as a whole, the newest first."""
    rows = []
    for event in reversed(watch.events):
        at = event.sides.at_utc
        effects = [
            f"{effect.metric} {size_words(effect.size)} ({effect.models} of {effect.of} models)"
            for effect in event.effects
        ]
        rows.append(
            (
                Cell(f"{at:%Y-%m-%d %H:%M}", at.timestamp()), Cell(event.device),
                Cell("; ".join(effects), kind="bad" if event.worse else "good"), Cell(side_words(event.sides)),
            )
        )  # fmt: skip
    columns = (Column("when (UTC)", numeric=True), Column("device", choose=True), Column("what it did", wide=True),
               Column("what changed with it", wide=True))  # fmt: skip
    return table("events", "events of whole devices, such as an update of the system", columns, rows)
