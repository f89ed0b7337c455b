"""Makes the details of a single job for a page (figures, operators, processes), and the document of its outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from devbench.findings.readings import hottest, reading
from devbench.findings.run import FallenBack, JobReport, OperatorRow, Process, ReportData
from devbench.sections.document import Document, Fold, Heading, Line, Part, Raw, Section, SectionOf, sections_for
from devbench.sections.figures import (
    failed_words,
    interval,
    limits_words,
    ms,
    operator_name,
    percent,
    rough_percent,
    spread_words,
)
from devbench.sections.notices import KINDS, notice_parts
from devbench.sections.tables import Cell, Column, Form, Table, table

_MAX_OPERATORS = 25
_MAX_REASONS = 8


def job_fold(job: JobReport) -> Fold:
    """Return the details of a job, and its raw outputs."""
    record = job.job
    latency = f": {ms(job.latency.median)} ms" if job.latency else ""
    status = "" if job.status == "ok" else f" ({job.status})"
    on = f"{job.title} on {record.device.title}"
    return Fold(
        f"{record.number} · {job.subject} · {on}{latency}{status}",
        lambda: tuple(_parts(job)),
        record.number,
        f"{record.number} · {on}",
        tuple(map(_raw, job.repetitions)),
    )


def _raw(repetition: Any) -> Raw:
    code = "none" if repetition.exit_code is None else repetition.exit_code
    started = f"{repetition.started_utc:%H:%M:%S} UTC"
    words = f"exit code {code} · {started} · {repetition.duration_s:.2f} s · {repetition.raw_path}"
    return Raw(_result_words(repetition), " ".join(repetition.argv), words, repetition.raw_path)


def _parts(job: JobReport) -> Iterator[Part]:
    binary = job.job.binary
    where = f"{job.subject} on {job.job.device.title}"
    yield Line(f"{where} · {binary.name} {binary.version} · {job.conditions}", "small")
    if job.latency:
        yield Line(_latency(job), "warn" if job.all_unreliable else "")
    for failure in job.failures:
        yield Line(failed_words(*failure), "bad")
    for notice in job.notices:
        step = f" ({notice.next_step})" if notice.next_step else ""
        yield Line(notice.text + step, KINDS[notice.effect])
    if job.delegation:
        yield Line(_delegation(job))
    if job.fallback:
        yield Heading("What did not run on the delegate", 4)
        yield _fallback(job)
    if job.operators:
        yield Heading("Operators", 4)
        yield _operators(job)
        if len(job.operators) > _MAX_OPERATORS:
            more = len(job.operators) - _MAX_OPERATORS
            yield Line(f"{more} more in the store (devbench show {job.job.run_id} --json).", "soft")
    if job.outputs:
        caption = "the same inputs on the device and on this machine's CPU; the device's own CPU, too"
        yield Heading("Outputs", 4)
        yield table("outputs", caption, OUTPUT_COLUMNS, job.outputs, seen=0)
    yield Heading("Repetitions", 4)
    yield _repetitions(job)


def _latency(job: JobReport) -> str:
    found = job.latency
    assert found is not None
    between = f" ({interval(found)})" if interval(found) else ""
    processes = f"{found.n} process{'' if found.n == 1 else 'es'}"
    spread = f"; {spread_words(job)}" if spread_words(job) else ""
    return f"{ms(found.median)} ms{between}, median of {processes}, {job.inferences:,} inferences{spread}."


def _delegation(job: JobReport) -> str:
    if job.on_delegate is None:
        return f"Delegation: {job.delegation}."
    share = f"{rough_percent(job.on_delegate)} of the profiled time on the delegate"
    return f"Delegation: {job.delegation}; {share} ({ms(job.partitions_ms)} ms per inference)."


def _fallback(job: JobReport) -> Table:
    columns: tuple[Column[FallenBack], ...] = (
        Column("operator", lambda op: op.type),
        Column("ran on", lambda op: op.place or "not in the profile"),
        Column("operators", lambda op: "" if op.count is None else str(op.count), numeric=True),
        Column("ms", lambda op: ms(op.total_ms), numeric=True),
        Column("share", lambda op: "" if op.share is None else percent(op.share), numeric=True),
        Column("reason given by the delegate", lambda op: "; ".join(op.reasons[:_MAX_REASONS])),
    )
    caption = f"in addition to {ms(job.partitions_ms) or '0'} ms per inference on the delegate"
    return table("fallback", caption, columns, job.fallback[:_MAX_OPERATORS], seen=0)


def _operators(job: JobReport) -> Table:
    columns: tuple[Column[OperatorRow], ...] = (
        Column("operator", lambda op: operator_name(op.name, op.node)),
        Column("type", lambda op: op.type),
        Column("ran on", lambda op: op.place),
        Column("ms", lambda op: ms(op.total_ms), numeric=True),
        Column("share", lambda op: percent(op.share), numeric=True),
    )
    caption = "most expensive first, ms per inference, from processes that were profiled"
    return table("operators", caption, columns, job.operators[:_MAX_OPERATORS], seen=0)


# -- repetitions ------------------------------------------------------------------------------------------------------


def _result_words(repetition: Any) -> str:
    """Return a repetition in a few words, with its result."""
    name = _name(repetition)
    if repetition.latency_avg_us is not None:
        return f"{name}: {ms(repetition.latency_avg_us / 1000)} ms"
    return f"{name}: {repetition.failure_kind}" if repetition.failure_kind else name


def _name(repetition: Any) -> str:
    return f"{'repetition' if repetition.purpose == 'latency' else repetition.purpose} {repetition.index + 1}"


def _repetitions(job: JobReport) -> Table:
    processes = {id(process.repetition): process for process in job.processes}

    def span(r: Any) -> str:
        known = r.latency_min_us is not None and r.latency_max_us is not None and id(r) in processes
        return f"{_ms(r.latency_min_us)}–{_ms(r.latency_max_us)}" if known else ""

    columns: tuple[Column[Any], ...] = (
        Column("repetition", _name),
        Column("latency", lambda r: ms(processes[id(r)].latency_ms) if id(r) in processes else "", numeric=True),
        Column("min–max", span, numeric=True),
        Column("init", lambda r: _ms(r.init_us), numeric=True),
        Column("first", lambda r: _ms(r.first_inference_us), numeric=True),
        Column("caches", _caches),
        Column("hottest sensor", _heat),
        Column("thermal status", lambda r: _change(r, "thermal_status")),
        Column("battery", lambda r: _change(r, "battery_level", " %")),
        Column("load", lambda r: _change(r, "load_1min")),
        Column("verdict", lambda r: _verdict(r, processes.get(id(r)))),
    )
    caption = "each a process, in the order in which they ran; ms. Outliers are marked, and included in the median"
    return table("repetitions", caption, columns, job.repetitions, seen=0)


def _ms(us: float | None) -> str:
    return "" if us is None else ms(us / 1000)


def _caches(repetition: Any) -> str:
    states = (("file", repetition.file_cache), ("kernel", repetition.kernel_cache))
    return ", ".join(f"{name} {state}" for name, state in states if state)


def _heat(repetition: Any) -> str:
    heats = [hottest(conditions) for conditions in (repetition.conditions_before, repetition.conditions_after)]
    words = " → ".join("?" if value is None else f"{value:.1f}" for value in heats)
    return f"{words} °C" if any(value is not None for value in heats) else ""


def _change(repetition: Any, key: str, unit: str = "") -> str:
    pair: tuple[Mapping[str, Any] | None, ...] = (repetition.conditions_before, repetition.conditions_after)
    values = ["?" if (value := reading(c, key)) is None else f"{value:g}" for c in pair]
    return f"{values[0]} → {values[1]}{unit}" if values != ["?", "?"] else ""


def _verdict(repetition: Any, process: Process | None) -> Cell:
    reasons = "; ".join(repetition.verdict_reasons)
    parts = [repetition.failure_kind or ""]
    if repetition.verdict == "unreliable":
        parts.append(f"unreliable: {reasons}")
    else:
        parts.append(f"{repetition.verdict} ({reasons})" if reasons else repetition.verdict)
    parts.append("○ outlier" if process and process.outlier else "")
    return Cell(" ".join(part for part in parts if part))


# -- outputs ----------------------------------------------------------------------------------------------------------


def outputs_document(report: ReportData, form: Form) -> Document:
    """Return how far each delegate's outputs are from this machine's CPU and from the device's own."""
    sections = sections_for(form, report, (SectionOf(_outputs),))
    return Document("Outputs", notices=notice_parts(form, report), sections=sections)


def _outputs(report: ReportData) -> Iterator[Section]:
    for number, (model, device, jobs) in enumerate(report.groups, start=1):
        rows = [(job, output) for job in jobs for output in job.outputs]
        columns: tuple[Column[tuple[JobReport, Mapping[str, Any]]], ...] = (
            Column("delegate", lambda row: row[0].title, role="name"),
            *(_of_output(column) for column in OUTPUT_COLUMNS),
        )
        lines = [Line(f"{kind}: {message}", "bad", job.title) for job in jobs for kind, message, _ in job.failures]
        yield Section(f"outputs-{number}", f"{model} on {device.title}", (table("outputs", "", columns, rows), *lines))


def _of_output(column: Column[Mapping[str, Any]]) -> Column[tuple[JobReport, Mapping[str, Any]]]:
    return Column(
        column.title, lambda row: column.cell(row[1]), numeric=column.numeric, role=column.role, hidden=column.hidden
    )


def _number(key: str, form: str) -> Any:
    return lambda output: "" if output.get(key) is None else format(output[key], form)


def _output_verdict(output: Mapping[str, Any]) -> Cell:
    faults = [f"{output[key]} {title}" for key, title in (("nan", "NaN"), ("inf", "Inf")) if output.get(key)]
    faults += [title for key, title in (("all_zero", "all zero"), ("wrong_size", "wrong size")) if output.get(key)]
    limits = limits_words(output.get("limits"))
    aside = f"({limits})" if limits else ""
    if output.get("wrong"):
        return Cell(", ".join(faults) or "wrong", kind="bad", aside=aside)
    if output.get("against") == "host" and output.get("deterministic") is False:
        return Cell("not deterministic", kind="warn", aside=aside)
    return Cell("ok" if output.get("against") == "host" else "", kind="good", aside=aside)


OUTPUT_COLUMNS: tuple[Column[Mapping[str, Any]], ...] = (
    Column("output", lambda output: str(output.get("name"))),
    Column("against", lambda output: str(output.get("against")), role="name"),
    Column("largest difference", _number("max_abs", ".3g"), numeric=True, hidden=3),
    Column("relative", _number("max_rel", ".2g"), numeric=True, hidden=2),
    Column("cosine", _number("cosine", ".6f"), numeric=True, hidden=1),
    Column("SNR dB", lambda output: _number("snr_db", ".1f")(output) or ("equal" if output.get("max_abs") == 0 else ""),
           numeric=True, hidden=4),
    Column("verdict", _output_verdict, role="name"),
)  # fmt: skip
"""The columns of the comparison of one output of a job."""
