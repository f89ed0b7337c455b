"""Makes the document of a comparison. Texts of cells are in `comparison_cells`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from devbench.analysis.compare import Sample, Verdict
from devbench.findings.comparison import (
    CaseFailure,
    CaseOnDevice,
    ComparedRow,
    ComparedRuns,
    ComparisonReport,
    Outcome,
)
from devbench.jsonready import plain
from devbench.metrics import METRICS
from devbench.notices import VIRTUAL_NOTE, NoticeKind
from devbench.sections.answer import short_titles
from devbench.sections.comparison_cells import (
    case_words,
    explanation_words,
    failure_words,
    interval_words,
    needs_words,
    one_sided_words,
    quantity,
    runs_words,
    sentence,
    signed,
)  # fmt: skip
from devbench.sections.document import (
    Charts,
    Counts,
    Document,
    Facts,
    Fold,
    Heading,
    Kind,
    Line,
    Lines,
    Part,
    Section,
    SectionOf,
    sections_for,
)  # fmt: skip
from devbench.sections.figures import metric_words
from devbench.sections.notices import notice_data, notice_parts
from devbench.sections.row_charts import comparison_charts, waterfalls
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
    number,
    table,
)

FORMAT = "devbench-comparison-3"
# Markdown leaves out a folded list of more checks than this.
_MAX_FOLDED = 500
_OPEN: Mapping[Verdict, str] = {"undecided": "No verdict", "unchanged": "Unchanged"}
_KINDS: Mapping[Verdict, Kind] = {"regressed": "bad", "improved": "good", "undecided": "warn", "unchanged": ""}
_SIGNS: Mapping[Verdict, str] = {"regressed": "▲ ", "improved": "▼ ", "undecided": "", "unchanged": ""}
_EXPLANATION = (
    "Regressed and improved: the direction is certain over all checks together (q), and the interval reaches beyond "
    "the smallest change that matters. Unchanged: the interval is within that change on both sides of zero. "
    "Too noisy to call: neither can be shown. Not judged: unreliable, or fewer than three processes. "
    "A check is one metric of a case."
)


@dataclass(frozen=True, slots=True)
class Shown:
    """A comparison, and whether all of its rows are shown."""

    report: ComparisonReport
    everything: bool = False


def comparison_document(
    report: ComparisonReport,
    form: Form,
    *,
    everything: bool = False,
    kinds: Sequence[SectionOf[Shown]] | None = None,
) -> Document:
    """Return the comparison as a form shows it; undecided and unchanged rows are all listed only with `everything`."""
    found = Shown(report, everything)
    return Document(
        title="Comparison",
        headline=sentence(report),
        kind=sentence_kind(report),
        head=() if form == "html" else _head(report),
        lead=(counts(report),),
        notices=(*(() if form == "html" else (_failures(report),)), *notice_parts(form, report)),
        sections=sections_for(form, found, SECTIONS if kinds is None else kinds),
        data=comparison_data(report) if form == "json" else {},
    )


def sentence_kind(report: ComparisonReport) -> Kind:
    """Return "bad" for a regression, and "good" only if something was decided and nothing lacks a verdict."""
    if report.regressed:
        return "bad"
    known = report.outcomes
    return "warn" if known["not judged"] or not (known["unchanged"] or known["improved"]) else "good"


def counts(report: ComparisonReport) -> Counts:
    """Return the number of cases by outcome."""
    kinds: dict[Outcome, Kind] = {"regressed": "bad", "improved": "good", "not judged": "warn"}
    found = tuple((count, name, kinds.get(name, "")) for name, count in report.outcomes.items() if count)
    cases, checks = sum(report.outcomes.values()), len(report.rows)
    units = f"{cases:,} case{'' if cases == 1 else 's'}, {checks:,} check{'' if checks == 1 else 's'}"
    return Counts(found, units)


def _head(report: ComparisonReport) -> tuple[Part, ...]:
    medians = Line("a side has many runs: what is compared are the medians of runs", "soft")
    sides = (("baseline", runs_words(report.baseline)), ("candidate", runs_words(report.candidate)))
    return (Facts(sides), *([medians] if report.medians else []))


def _failures(report: ComparisonReport) -> Lines:
    found = [
        Line(failure_words(one), "bad", f"{one.case} on {one.device} now fails") for one in report.failures
    ] + [Line(f"{one.case} on {one.device} works again", "good") for one in report.fixed]  # fmt: skip
    return Lines(tuple(found), "failures", limited=False, forms=TEXT)


# -- tables -----------------------------------------------------------------------------------------------------------


def changed(
    report: ComparisonReport,
    verdicts: Sequence[Verdict] = ("regressed", "improved"),
    key: str = "changed",
    title: str = "",
) -> Table:
    """Return the rows with these verdicts; what regressed first."""
    titles = short_titles(dict.fromkeys(report.device_titles.values()))
    rows = [row for verdict in verdicts for row in report.of(verdict)]
    columns: tuple[Column[ComparedRow], ...] = (
        Column("case", lambda row: Cell(_SIGNS[row.comparison.verdict] + case_words(row, titles),
               kind=_KINDS[row.comparison.verdict])),
        Column("metric", lambda row: metric_words(row.metric, row.operator_type)),
        Column("before", lambda row: _value(row.comparison.baseline, row.metric), numeric=True, hidden=2),
        Column("now", lambda row: _value(row.comparison.candidate, row.metric), numeric=True),
        Column("change", _change, numeric=True),
        Column("95 % interval", _interval, numeric=True, hidden=1),
        Column("why", lambda row: needs_words(row, report) if row.comparison.verdict == "undecided" else "", wide=True,
               only_if=lambda row: row.comparison.verdict == "undecided"),
    )  # fmt: skip
    return table(key, "95 % intervals", columns, rows, seen=0, title=title)


def decided(report: ComparisonReport) -> Iterator[Section]:
    """Yield the decided checks and their explanations."""
    found = changed(report)
    yield Section("changed", "What changed", (found,) if found.rows else ())
    yield from _explanations(report)


def _verdicts(shown: Shown) -> Iterator[Section]:
    """Yield the decided rows; the others are folded, or shown only with `everything`."""
    report = shown.report
    yield from decided(report)
    left = sum(len(report.of(verdict)) for verdict in _OPEN)
    if left and not shown.everything:
        words = f"{left:,} check{'' if left == 1 else 's'} without a verdict or unchanged: --all lists them"
        yield Section("left", "", (Line(words, "soft", forms=TERMINAL),))
    for verdict, title in _OPEN.items():
        rest = changed(report, verdicts=(verdict,), key=verdict, title=title)
        if rest.rows and shown.everything:
            yield Section(verdict, "", (rest,))
        elif rest.rows and left <= _MAX_FOLDED:
            fold = Fold(f"{title}: {len(rest.rows):,} checks", partial(tuple, (rest,)), forms=MARKDOWN)
            yield Section(verdict, "", (fold,))


def _explanations(report: ComparisonReport) -> Iterator[Section]:
    """Yield the explanation of each regressed case: that of the latency, if the latency regressed."""
    titles = short_titles(dict.fromkeys(report.device_titles.values()))
    rows: dict[tuple[str, str], ComparedRow] = {}
    for row in report.of("regressed"):
        if explanation_words(row) and (row.metric == "latency" or row.key not in rows):
            rows[row.key] = row
    for place, row in enumerate(rows.values()):
        lines = tuple(Line(text, "below") for text in explanation_words(row))
        why = f"Why {case_words(row, titles)} is {METRICS[row.metric].worse_word}"
        yield Section(f"why-{place}", why, (*lines, Charts(waterfalls([row]))))


def _one_sided(shown: Shown) -> Iterator[Section]:
    lines = one_sided_words(shown.report, everything=shown.everything)
    yield Section("one-sided", "", tuple(Line(words, "soft") for words in lines))


# -- page -------------------------------------------------------------------------------------------------------------


CASE: tuple[Column[CaseOnDevice], ...] = (
    Column("device", lambda row: row.device, choose=True),
    Column("model", lambda row: row.model, choose=True),
    Column("case", lambda row: row.case),
)
"""The columns of a page's row that identify the case; the metric is a separate column."""


def compared(report: ComparisonReport) -> Table:
    """Return a row for each comparison, in the report's order: what regressed first."""
    columns: tuple[Column[ComparedRow], ...] = (
        *CASE,
        Column("metric", lambda row: metric_words(row.metric, row.operator_type), choose=True),
        Column("verdict", lambda row: Cell(row.comparison.verdict, kind=_KINDS[row.comparison.verdict]), choose=True),
        Column("change", _change, numeric=True),
        Column("interval", _interval, numeric=True),
        Column("baseline", lambda row: _value(row.comparison.baseline, row.metric), numeric=True),
        Column("candidate", lambda row: _value(row.comparison.candidate, row.metric), numeric=True),
        Column("n", lambda row: _counts(row.comparison.baseline.n, row.comparison.candidate.n), numeric=True),
        Column("q", lambda row: number(row.comparison.q, f"{row.comparison.q or 0:.2g}"), numeric=True),
        Column("why", lambda row: _why(row, report), wide=True),
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
    more = needs_words(row, report) if found.verdict == "undecided" else ""
    drift = f"drift of {signed(found.drift)} taken off" if found.drift else ""
    return "; ".join(part for part in (*explanation_words(row), more, drift) if part)


def _value(sample: Sample, metric: str) -> Cell:
    return Cell(quantity(sample.median, metric), sample.median)


def failure_table(report: ComparisonReport) -> Table:
    """Return cases that worked and now fail, and cases that failed and now work."""
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


def _next(shown: Shown) -> Iterator[Section]:
    """Yield the commands that show more; none if a side is not a single run of the store."""
    report = shown.report
    if all(map(_is_stored, (report.baseline, report.candidate))):
        runs = f"{report.candidate.run_ids[0]} --baseline {report.baseline.run_ids[0]}"
        commands = [("report", f"devbench report {runs} --open")]
        if waterfalls(report.of("regressed")):
            commands.append(("chart", f"devbench chart waterfall {runs}"))
        yield Section("next", "Next", (Facts(tuple(commands)),))


def _is_stored(runs: ComparedRuns) -> bool:
    """Whether it is one run of the store, not of a file."""
    named = runs.title in ("latest", "previous", *runs.run_ids) or "=" in runs.title
    return len(runs.run_ids) == 1 and (named or runs.run_ids[0].startswith(runs.title))


def page_section(shown: Shown) -> Iterator[Section]:
    """Yield a comparison under one heading; unchanged rows are folded."""
    report = shown.report
    parts: list[Part] = [*_head(report), failure_table(report)]
    found = changed(report)
    parts += [found] if found.rows else [Line("No check changed.", "soft")]
    for one in _explanations(report):
        parts += [Heading(one.title, 4), *one.parts]
    left = {name: count for name, count in report.outcomes.items() if count and name not in ("regressed", "improved")}
    words = ", ".join(f"{count:,} {name}" for name, count in left.items())
    parts.append(Fold(f"All {len(report.rows):,} checks{f'; cases: {words}' if words else ''}",
                      lambda: (compared(report), Line(_EXPLANATION, "small"))))  # fmt: skip
    if charts := comparison_charts(report):
        parts.append(Fold("Changes as charts", lambda: (Charts(charts, first=2),)))
    if report.one_sided:
        count = len(report.one_sided)
        parts.append(Line(f"{count} case{' was' if count == 1 else 's were'} measured on one side only.", "soft"))
    yield Section("comparison", "What changed", tuple(parts))


SECTIONS: tuple[SectionOf[Shown], ...] = (
    SectionOf(_verdicts, TEXT),
    SectionOf(page_section, PAGE),
    SectionOf(_one_sided, EVERY_FORM - PAGE, in_data=True),
    SectionOf(_next, TERMINAL),
)


# -- JSON -------------------------------------------------------------------------------------------------------------


def comparison_data(report: ComparisonReport) -> dict[str, Any]:
    """Return the comparison for other programs, by the keys of docs/compare.md.

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
    """Return the case of a row, with its device."""
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
