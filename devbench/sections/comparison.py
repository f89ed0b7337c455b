"""What is shown of a comparison, and in which order; knows no form. Texts of cells are in `comparison_cells`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from devbench.analysis.compare import Sample, Verdict
from devbench.findings.comparison import CaseFailure, CaseOnDevice, ComparedRow, ComparisonReport
from devbench.jsonready import plain
from devbench.notices import VIRTUAL_NOTE, NoticeKind
from devbench.sections.comparison_cells import (
    certainty_words,
    change_words,
    explanation_words,
    failure_words,
    interval_words,
    metric_words,
    needs_words,
    one_sided_words,
    quantity,
    runs_words,
    signed,
    summary_words,
    undecided_words,
)
from devbench.sections.document import (
    Charts,
    Document,
    Facts,
    Kind,
    Line,
    Lines,
    Part,
    Section,
    SectionOf,
    sections_for,
)
from devbench.sections.notices import notice_data, notice_parts
from devbench.sections.row_charts import comparison_charts
from devbench.sections.tables import (
    EVERY_FORM,
    LONG,
    MARKDOWN,
    PAGE,
    TERMINAL,
    TEXT,
    Cell,
    Column,
    Form,
    Table,
    Tile,
    number,
    table,
)

FORMAT = "devbench-comparison-3"
_KINDS: Mapping[Verdict, Kind] = {"regressed": "bad", "improved": "good", "undecided": "warn", "unchanged": ""}
_EXPLANATION = (
    "Regressed and improved: the direction is certain over all comparisons together (q), and the interval reaches "
    "beyond the smallest change that matters. Unchanged: the interval is within that change on both sides of zero. "
    "Undecided: neither can be shown."
)


@dataclass(frozen=True, slots=True)
class Shown:
    """A comparison, and whether all of its rows are asked for."""

    report: ComparisonReport
    everything: bool = False


def comparison_document(
    report: ComparisonReport,
    form: Form,
    *,
    everything: bool = False,
    kinds: Sequence[SectionOf[Shown]] | None = None,
) -> Document:
    """The comparison as a form shows it; of undecided and unchanged rows all are listed with `everything` only."""
    return Document(
        title="Regressed" if report.regressed else "No verdict" if report.without_verdict else "No regression",
        headline=summary_words(report),
        kind="bad" if report.regressed else "good",
        head=() if form == "html" else _head(report),
        notices=(*(() if form == "html" else (_failures(report),)), *notice_parts(form, report)),
        sections=sections_for(form, Shown(report, everything), SECTIONS if kinds is None else kinds),
        data=comparison_data(report) if form == "json" else {},
    )


def _head(report: ComparisonReport) -> tuple[Part, ...]:
    medians = Line("a side has many runs: what is compared are the medians of runs", "soft")
    sides = (("baseline", runs_words(report.baseline)), ("candidate", runs_words(report.candidate)))
    return (Facts(sides), *([medians] if report.medians else []))


def _failures(report: ComparisonReport) -> Lines:
    found = [
        Line(failure_words(one), "bad", f"{one.case} on {one.device} now fails") for one in report.failures
    ] + [Line(f"{one.case} on {one.device} works again", "good") for one in report.fixed]  # fmt: skip
    return Lines(tuple(found), "failures", limited=False, forms=TEXT)


# -- text -------------------------------------------------------------------------------------------------------------


def _verdicts(shown: Shown) -> Iterator[Section]:
    """A table for each verdict, worst first; what did not change only if everything is asked for."""
    report, everything = shown.report, shown.everything
    listed: list[tuple[str, Verdict, tuple[ComparedRow, ...]]] = [
        ("regressed", "regressed", report.of("regressed")),
        ("improved", "improved", report.of("improved")),
        ("undecided", "undecided", report.of("undecided")),
        ("changed by less than the threshold", "unchanged", report.small),
    ]
    if everything:
        rest = tuple(row for row in report.of("unchanged") if not row.comparison.small)
        listed.append(("unchanged", "unchanged", rest))
    for name, verdict, rows in listed:
        details = {
            k: (f"{row.case} on {row.device}, {metric_words(row.metric)}", tuple(words))
            for k, row in enumerate(rows)
            if (words := explanation_words(row))
        }
        limited = not everything and verdict != "regressed"
        columns = _columns(report, verdict)
        found = table(verdict, name, columns, rows, layout="stacked", details=details, limited=limited)
        yield Section(name.replace(" ", "-"), name.capitalize(), (found,) if rows else ())


def _columns(report: ComparisonReport, verdict: Verdict) -> tuple[Column[ComparedRow], ...]:
    open_ = verdict == "undecided"
    return (
        Column("device", lambda row: row.device, role="group"),
        Column("case", lambda row: row.case, role="name"),
        Column("metric", lambda row: metric_words(row.metric, row.operator_type), role="name"),
        Column("baseline", lambda row: quantity(row.comparison.baseline.median, row.metric), numeric=True),
        Column("→", lambda row: "→", forms=TERMINAL),
        Column("candidate", lambda row: quantity(row.comparison.candidate.median, row.metric), numeric=True),
        Column("change", lambda row: Cell(change_words(row), kind=_KINDS[verdict]), numeric=True),
        Column(
            "would decide, or why nothing does" if open_ else "interval",
            lambda row: Cell(needs_words(row, report) if open_ else interval_words(row), kind=_KINDS[verdict]),
        ),
        Column("certain", certainty_words, forms=MARKDOWN),
        Column("certain", lambda row: certainty_words(row) if row.comparison.direction else "", role="below",
               forms=TERMINAL),
    )  # fmt: skip


def _one_sided(shown: Shown) -> Iterator[Section]:
    lines = one_sided_words(shown.report, everything=shown.everything)
    yield Section("one-sided", "", tuple(Line(words, "soft") for words in lines))


# -- page -------------------------------------------------------------------------------------------------------------


def comparison_tiles(report: ComparisonReport) -> list[Tile]:
    """How many of each verdict."""
    counts = report.counts
    worse = counts["regressed"] + len(report.failures)
    words = "regressed" + (", failures included" if report.failures else "")
    unreliable = len(report.without_verdict)
    undecided = "undecided" + (f", {unreliable:,} of them unreliable" if unreliable else "")
    small = len(report.small)
    return [
        Tile(f"{worse:,}", words, "bad" if worse else ""),
        Tile(f"{counts['improved']:,}", "improved", "good" if counts["improved"] else ""),
        Tile(f"{counts['undecided']:,}", undecided, "warn" if counts["undecided"] else ""),
        *([Tile(f"{small:,}", "changed by less than the threshold")] if small else []),
        Tile(f"{counts['unchanged'] - small:,}", "unchanged"),
    ]


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


CASE: tuple[Column[CaseOnDevice], ...] = (
    Column("device", lambda row: row.device, choose=True),
    Column("model", lambda row: row.model, choose=True),
    Column("case", lambda row: row.case),
)
"""What a row of a page is about; the metric is a column of its own."""


def compared(report: ComparisonReport) -> Table:
    """A row for each comparison, in the report's order: what regressed first."""
    columns: tuple[Column[ComparedRow], ...] = (
        *CASE,
        Column("metric", lambda row: metric_words(row.metric, row.operator_type), choose=True),
        Column("verdict", lambda row: Cell(row.comparison.verdict, kind=_KINDS[row.comparison.verdict]), choose=True),
        Column("change", _change, numeric=True),
        Column("interval", _interval, numeric=True),
        Column("certain", certainty_words),
        Column("baseline", lambda row: _value(row.comparison.baseline, row.metric), numeric=True),
        Column("candidate", lambda row: _value(row.comparison.candidate, row.metric), numeric=True),
        Column("n", lambda row: _counts(row.comparison.baseline.n, row.comparison.candidate.n), numeric=True),
        Column("q", lambda row: number(row.comparison.q, f"{row.comparison.q or 0:.2g}"), numeric=True),
        Column("why, or what it would take", lambda row: _why(row, report), wide=True),
    )
    caption = "each metric of each case on each device, compared with the baseline"
    return table("compared", caption, columns, report.rows, LONG)


def _change(row: ComparedRow) -> Cell:
    found = row.comparison
    return Cell("–" if found.reason else signed(found.change, row.unit), found.change)


def _interval(row: ComparedRow) -> Cell:
    interval = row.comparison.interval
    return Cell(interval_words(row), interval[0] if interval else None)


def _counts(before: int, after: int) -> Cell:
    return Cell(f"{before}, {after}", min(before, after))


def _why(row: ComparedRow, report: ComparisonReport) -> str:
    found = row.comparison
    more = undecided_words(row, report) if found.verdict == "undecided" else ""
    drift = f"drift of {signed(found.drift)} taken off" if found.drift else ""
    return "; ".join(part for part in (*explanation_words(row), more, drift) if part)


def _value(sample: Sample, metric: str) -> Cell:
    return Cell(quantity(sample.median, metric), sample.median)


def failure_table(report: ComparisonReport) -> Table:
    """What worked and now fails, and the other way round."""
    fixed = {id(one) for one in report.fixed}

    def what(one: CaseFailure) -> Cell:
        return Cell("now works", kind="good") if id(one) in fixed else Cell("now fails", kind="bad")

    columns: tuple[Column[CaseFailure], ...] = (
        *CASE,
        Column("what", what, choose=True),
        Column("failure", lambda one: one.kind, choose=True),
        Column("repetitions", lambda one: Cell(f"{one.failed} of {one.of}", one.failed), numeric=True),
        Column("in the tool's words", lambda one: one.message, wide=True),
    )
    rows = (*report.failures, *report.fixed)
    return table("failures", "cases that fail on one side only", columns, rows)


def page_section(shown: Shown) -> Iterator[Section]:
    """All of a comparison under one heading."""
    report = shown.report
    charts = Charts(comparison_charts(report))
    parts: list[Part] = [*_head(report), failure_table(report), charts]
    parts.append(compared(report))
    if report.one_sided:
        parts.append(Line(f"{len(report.one_sided)} cases were measured on one side only.", "soft"))
    title = "Comparison with the baseline"
    yield Section("comparison", title, (*parts, Line(_EXPLANATION, "small")), "Comparison")


SECTIONS: tuple[SectionOf[Shown], ...] = (
    SectionOf(_verdicts, TEXT),
    SectionOf(page_section, PAGE),
    SectionOf(_one_sided, EVERY_FORM - PAGE, in_data=True),
)


# -- JSON -------------------------------------------------------------------------------------------------------------


def comparison_data(report: ComparisonReport) -> dict[str, Any]:
    """The comparison for other programs, by the keys of docs/compare.md.

    Times are ISO 8601 in UTC, changes are relative (0.03 is 3 %).
    """
    return {
        "format": FORMAT,
        "virtual": report.virtual,
        **({"note": VIRTUAL_NOTE} if report.virtual else {}),
        "regressed": report.regressed,
        "counts": {
            **report.counts,
            "small_changes": len(report.small),
            "unreliable": len(report.without_verdict),
            "failures": len(report.failures),
            "fixed": len(report.fixed),
            "one_sided": len(report.one_sided),
        },
        "observations": "runs" if report.medians else "repetitions",
        "baseline": plain(asdict(report.baseline)),
        "candidate": plain(asdict(report.candidate)),
        "rows": [_row(row) for row in report.rows],
        **{
            name: [plain(asdict(one)) for one in getattr(report, name)]
            for name in ("failures", "fixed", "one_sided", "drifts")
        },
        "notes": [f"{n.subject} {n.text}" for n in report.notices if n.kind is NoticeKind.REFERENCE_NOT_USED],
        "notices": notice_data(report.notices),
    }


def case_data(row: CaseOnDevice) -> dict[str, Any]:
    """What a row is about."""
    return {
        name: getattr(row, name) for name in ("device_key", "device", "virtual", "case", "model", "delegate", "threads")
    }


def _row(row: ComparedRow) -> dict[str, Any]:
    found = row.comparison
    return {
        **case_data(row),
        "metric": row.metric,
        "unit": row.unit,
        "operator_type": row.operator_type or None,
        "verdict": found.verdict,
        "reason": found.reason or None,
        "direction": found.direction,
        "threshold": found.smallest_effect,
        "beyond_threshold": found.beyond,
        "change": found.change,
        "interval": None if found.interval is None else list(found.interval),
        "p": found.p,
        "q": found.q,
        "more_repetitions": found.more_repetitions,
        "drift": found.drift,
        "baseline": _sample(found.baseline),
        "candidate": _sample(found.candidate),
        "explanation": None if row.explanation is None else plain(asdict(row.explanation)),
    }


def _sample(sample: Sample) -> dict[str, Any]:
    return {"median": sample.median, "n": sample.n, "values": list(sample.values)}
