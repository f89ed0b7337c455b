"""Makes the document of the changes over a history, or in a column of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from devbench.analysis.changes import ChangePoint
from devbench.analysis.device_events import MetricEffect
from devbench.findings.changes import (
    Change,
    ChangesReport,
    DeviceChange,
    MeasuredSeries,
    ModelChange,
    Shift,
    Sides,
    Told,
)
from devbench.findings.changes_build import worse_way
from devbench.jsonready import plain
from devbench.notices import VIRTUAL_NOTE
from devbench.sections.comparison import case_data
from devbench.sections.comparison_cells import quantity, signed
from devbench.sections.document import Charts, Document, Line, Section, SectionOf, sections_for
from devbench.sections.figures import metric_words
from devbench.sections.notices import notice_data, notice_parts
from devbench.sections.tables import LONG, PAGE, TEXT, Cell, Column, Form, Table, table
from devbench.sections.time_charts import history_charts
from devbench.text import clean

if TYPE_CHECKING:
    from devbench.findings.csv_column import ColumnChanges

FORMAT = "devbench-watch-2"

# A series that changed, and its change.
Member = tuple[MeasuredSeries, Change]


def changes_document(
    report: ChangesReport, form: Form, kinds: Sequence[SectionOf[ChangesReport]] | None = None
) -> Document:
    """Return the changes as a form shows them."""
    return Document(
        title="",
        headline=summary_words(report),
        notices=notice_parts(form, report),
        sections=sections_for(form, report, SECTIONS if kinds is None else kinds),
        data=changes_data(report) if form == "json" else {},
    )


def _subject_words(one: Told) -> str:
    return f"the whole device {one.device}" if isinstance(one, DeviceChange) else f"{one.model} {where_words(one)}"


def _changes_section(report: ChangesReport) -> Iterator[Section]:
    """Yield the events of devices, then the changes of models, each with its date and what else changed then."""
    columns: tuple[Column[Told], ...] = (
        Column("date", lambda one: Cell(f"{one.sides.at_utc:%Y-%m-%d}", kind=_kind(one))),
        Column("what", _subject_words),
        Column("change", lambda one: Cell("\n".join(directions(one)), kind=_kind(one))),
        Column("what else changed", lambda one: Cell("\n".join(sides_words(one.sides)), kind="soft")),
    )
    yield Section("changes", "", (table("changes", "what changed", columns, report.told, layout="entries"),))


# -- page -------------------------------------------------------------------------------------------------------------

_WHEN: Column[Told] = Column("when (UTC)", lambda one: _when(one.sides), numeric=True)
_WITH_IT: Column[Told] = Column("what changed with it", lambda one: "; ".join(sides_words(one.sides)), wide=True)


def change_table(report: ChangesReport) -> Table:
    """Return the changes that belong to no event of a device, the newest first."""
    columns: tuple[Column[Member], ...] = (
        Column("when (UTC)", lambda one: _when(one[1].sides), numeric=True),
        Column("device", lambda one: one[0].device, choose=True),
        Column("model", lambda one: one[0].model, choose=True),
        Column("case", lambda one: one[0].case),
        Column("metric", lambda one: metric_words(one[0].metric, one[0].operator_type), choose=True),
        Column("change", _size, numeric=True),
        Column("before", lambda one: Cell(quantity(one[1].point.before, one[0].metric), one[1].point.before), True),
        Column("after", lambda one: Cell(quantity(one[1].point.after, one[0].metric), one[1].point.after), True),
        Column("p", lambda one: Cell(f"{one[1].point.p:.1g}", one[1].point.p), numeric=True),
        Column("what changed with it", lambda one: "; ".join(sides_words(one[1].sides)), wide=True),
    )
    return table("changes", "changes of single series", columns, reversed(report.own))


def _size(one: Member) -> Cell:
    series, change = one
    size = change.point.size
    return Cell("from zero" if size is None else signed(size, series.unit), size, _kind(change))


def _kind(what: Change | Told) -> str:
    """Return whether a change is good or bad; changes in both directions are neither."""
    both = not isinstance(what, Change) and len(directions(what)) > 1
    return "" if both else "bad" if what.worse else "good"


def _when(sides: Sides) -> Cell:
    return Cell(f"{sides.at_utc:%Y-%m-%d %H:%M}", sides.at_utc.timestamp())


def _changes_table(key: str, caption: str, told: Sequence[Told], change: str, *what: Column[Any]) -> Table:
    """Return changes of models or devices, the newest first; `change` is the title of the column of effects."""
    directed = Column[Told](change, lambda one: Cell("; ".join(directions(one)), kind=_kind(one)), wide=True)
    return table(key, caption, (_WHEN, *what, directed, _WITH_IT), reversed(told))


def series_section(
    report: ChangesReport, *more: Column[MeasuredSeries], link: Callable[[str, str], str] = lambda kind, key: ""
) -> Section:
    """Return a row for each series: its last value, and how many changes it has.

    Args:
        report: has the series.
        more: further columns.
        link: the page of "devices" or "models" with a key; empty for none.
    """
    columns: tuple[Column[MeasuredSeries], ...] = (
        Column("device", lambda one: Cell(one.device, link=link("devices", one.device_key)), choose=True),
        Column("model", lambda one: Cell(one.model, link=link("models", one.model)), choose=True),
        Column("case", lambda one: one.case),
        Column("metric", lambda one: metric_words(one.metric, one.operator_type), choose=True),
        Column("runs", lambda one: Cell(str(len(one.values)), len(one.values)), numeric=True),
        Column("last", lambda one: Cell(quantity(one.values[-1], one.metric), one.values[-1]), numeric=True),
        Column("changes", lambda one: Cell(str(len(one.changes) or ""), len(one.changes)), numeric=True),
        *more,
    )
    rows = [one for one in report.series if one.values]
    return Section("series", "Series", (table("series", "all series", columns, rows, LONG),))


def page_section(report: ChangesReport) -> Iterator[Section]:
    """Yield the changes of a history under one heading."""
    words = summary_words(report)
    device, model = (Column[Any](name, attrgetter(name), choose=True) for name in ("device", "model"))
    tables = (
        _changes_table(
            "events", "events of whole devices, such as an update of the system", report.events, "what it did", device
        ),
        _changes_table(
            "models",
            "changes of models, those of the same nights together",
            report.models,
            "change",
            model,
            Column("where", where_words),
        ),
        change_table(report),
    )
    yield Section(
        "history",
        "History",
        (Line(f"{words[:1].upper()}{words[1:]}.", "soft"), *tables, Charts(history_charts(report), first=1)),
    )


SECTIONS: tuple[SectionOf[ChangesReport], ...] = (SectionOf(_changes_section, TEXT), SectionOf(page_section, PAGE))


# -- JSON -------------------------------------------------------------------------------------------------------------


def changes_data(report: ChangesReport) -> dict[str, Any]:
    """Return the events of devices and the changes of models for other programs, by the keys of docs/detection.md.

    Times are ISO 8601 in UTC, sizes are relative.
    """
    return {
        "format": FORMAT,
        "virtual": report.virtual,
        **({"note": VIRTUAL_NOTE} if report.virtual else {}),
        "runs": report.runs,
        "series": len(report.series),
        "first_utc": plain(report.first_utc),
        "last_utc": plain(report.last_utc),
        "drifts": [plain(asdict(drift)) for drift in report.drifts],
        "notices": notice_data(report.notices),
        "events": [
            {
                **{name: getattr(event, name) for name in ("device_key", "device", "virtual", "worse")},
                **_sides(event.sides),
                "effects": [asdict(effect) for effect in event.effects],
                "members": _members(event.members),
            }
            for event in report.events
        ],
        "models": [
            {
                **{name: getattr(change, name) for name in ("model", "virtual", "worse")},
                **_sides(change.sides),
                "shifts": [
                    {**plain(asdict(shift)), "operator_type": shift.operator_type or None} for shift in change.shifts
                ],
                "members": _members(change.members),
            }
            for change in report.models
        ],
    }


def _sides(sides: Sides) -> dict[str, Any]:
    return {
        "at_utc": plain(sides.at_utc),
        "before_utc": plain(sides.before_utc),
        "run_before": sides.run_before,
        "run_after": sides.run_after,
        "labels": {key: {"before": was, "after": now} for key, (was, now) in sides.labels.items()},
        "facts": [plain(asdict(fact)) for fact in sides.facts],
    }


def _members(members: Sequence[Member]) -> list[dict[str, Any]]:
    return [
        {
            **case_data(series),
            "metric": series.metric,
            "unit": series.unit,
            "operator_type": series.operator_type or None,
            "at_utc": plain(change.sides.at_utc),
            "run_before": change.sides.run_before,
            "run_after": change.sides.run_after,
            "worse": change.worse,
            "own": change.own,
            **asdict(change.point),
        }
        for series, change in members
    ]


_MOST_NAMED = 3
_MOST_FACTS = 6


def summary_words(report: ChangesReport) -> str:
    """Return `3 events of devices, 9 changes of models in 200 runs, 2026-04-01 to 2026-10-17 (2240 series)`."""
    if report.first_utc is None or report.last_utc is None:
        return "no run to look at"
    found = [
        (len(report.events), "event", "s of devices", " of a device"),
        (len(report.models), "change", "s of models", " of a model"),
    ]
    parts = [f"{count} {word}{several if count != 1 else one}" for count, word, several, one in found if count]
    runs = f"{report.runs} run{'' if report.runs == 1 else 's'}"
    span = f"{report.first_utc:%Y-%m-%d} to {report.last_utc:%Y-%m-%d}"
    judged = len(report.series) - len(report.too_short)
    none = "no change" if judged else "no verdict: too few reliable runs to find a change"
    short = f", {len(report.too_short):,} of them too short to judge" if judged and report.too_short else ""
    return f"{', '.join(parts) or none} in {runs}, {span} ({len(report.series):,} series{short})"


def directions(change: Told) -> list[str]:
    """Return a line for what got worse, then one for what got better: `▲ latency +20.8 to +43.0 %, init …`."""
    parts: dict[bool, list[str]] = {True: [], False: []}
    if isinstance(change, DeviceChange):
        for effect in change.effects:
            parts[worse_way(effect.metric.split(" ")[0], effect.direction)].append(_effect(effect))
    else:
        for shift in change.shifts:
            parts[worse_way(shift.metric, shift.direction)].append(_shift(shift))
    return [f"{'▲' if worse else '▼'} {', '.join(words)}" for worse, words in parts.items() if words]


def _effect(effect: MetricEffect) -> str:
    metric, _, operator_type = effect.metric.partition(" ")
    size = signed(effect.size) if effect.size is not None else effect.direction
    return f"{metric_words(metric, operator_type)} {size} ({effect.models} of {effect.of} models)"


def _shift(shift: Shift) -> str:
    size = str(shift.direction)
    if shift.sizes is not None:
        low, high = map(signed, shift.sizes)
        size = high if low == high else f"{low.rsplit(' ', 1)[0]} to {high}"
    return f"{metric_words(shift.metric, shift.operator_type)} {size}"


def where_words(change: ModelChange) -> str:
    """Return the devices and the number of cases: `on 10 devices, 3 cases`; few devices are named."""
    devices = list(dict.fromkeys(series.device for series, _ in change.members))
    cases = list(dict.fromkeys(series.case for series, _ in change.members))
    on = ", ".join(devices) if len(devices) <= _MOST_NAMED else f"{len(devices)} devices"
    return f"on {on}: {cases[0] if len(cases) == 1 else f'{len(cases)} cases'}"


def sides_words(sides: Sides) -> list[str]:
    """Return what was different: labels of the runs on both sides, facts of the device."""
    lines = []
    if sides.labels:
        lines.append(", ".join(f"{key} {was or '–'} → {now or '–'}" for key, (was, now) in sides.labels.items()))
    facts = [f"{one.fact} {one.before or '–'} → {one.after or '–'}" for one in sides.facts]
    if facts:
        more = f", {len(facts) - _MOST_FACTS} more" if len(facts) > _MOST_FACTS else ""
        lines.append(f"the device: {', '.join(facts[:_MOST_FACTS])}{more}")
    return lines


def changes_lines(report: ChangesReport) -> list[str]:
    """Return what changed over the nights:

    `2026-11-20 unet on Pixel 8: 3 cases: latency +9.1 %; commit 4f2a → 91bc`.
    """
    told = sorted(report.told, key=lambda one: one.sides.at_utc)
    return [
        "; ".join(
            [
                f"{one.sides.at_utc:%Y-%m-%d} {_subject_words(one)}: {'; '.join(directions(one))}",
                *sides_words(one.sides),
            ]
        )
        for one in told
    ]


# -- a column of a file -----------------------------------------------------------------------------------------------


def column_document(found: ColumnChanges, form: Form) -> Document:
    """Return the changes as a form shows them."""
    read, count = found.column, len(found.changes)
    gaps = f", {read.gaps} of them without a number" if read.gaps else ""
    number = "no change" if not count else "1 change" if count == 1 else f"{count} changes"
    headline = f"{number} in {clean(read.name, 60)}: {len(read.values)} rows{gaps}"
    sections = sections_for(form, found, (SectionOf(_changes, in_data=True),))
    return Document("", headline, sections=sections, data=_data(found) if form == "json" else {})


def _changes(found: ColumnChanges) -> Iterator[Section]:
    labels = found.column.labels
    columns: tuple[Column[ChangePoint], ...] = (
        Column("index", lambda one: Cell(str(one.index), one.index), numeric=True),
        Column("at", lambda one: clean(labels[one.index], 40), only_if=lambda one: bool(labels)),
        Column("change", lambda one: one.direction if one.size is None else f"{100 * one.size:+.2f} %", numeric=True),
        Column("before", lambda one: f"{one.before:.6g}", numeric=True),
        Column("after", lambda one: f"{one.after:.6g}", numeric=True),
        Column("p", lambda one: f"{one.p:.2g}" if one.p >= 1e-12 else "< 1e-12", numeric=True),
        Column("points", lambda one: f"{one.points_before} | {one.points_after}", numeric=True),
    )
    yield Section("changes", "", (table("changes", "changes", columns, found.changes),))


def _data(found: ColumnChanges) -> dict[str, Any]:
    """Return the changes by the keys of docs/detection.md."""
    names = ("direction", "size", "before", "after", "p", "confidence", "points_before", "points_after")
    read = found.column
    return {
        "change_points": [one.index for one in found.changes],
        "changes": [
            {
                "index": one.index,
                "at": read.labels[one.index] if read.labels else None,
                **{name: getattr(one, name) for name in names},
            }
            for one in found.changes
        ],
        "column": read.name,
        "rows": len(read.values),
        "gaps": read.gaps,
    }
