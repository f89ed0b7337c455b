"""Makes the document of a run of pipelines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from devbench.analysis.pipeline import Fewer
from devbench.findings.ablation import ablation_of
from devbench.findings.copies import Copied
from devbench.findings.pipeline import DRIVER_NOTE, MeasuredStage, PipelineReport, SessionImage, Variant, Whole
from devbench.jsonready import plain
from devbench.notices import VIRTUAL_NOTE
from devbench.sections.ablation import ablation_charts
from devbench.sections.document import Charts, Document, Facts, Heading, Line, Part, Section, SectionOf, sections_for
from devbench.sections.figures import failed_words, ms, rough_percent
from devbench.sections.notices import notice_data, notice_parts
from devbench.sections.pipeline_cells import (
    contention,
    difference_rows,
    explanation,
    megabytes,
    notes,
    seconds,
    signed,
    signed_percent,
    spread,
)
from devbench.sections.tables import EVERY_FORM, PAGE, TEXT, Cell, Column, Form, Table, table
from devbench.sections.time_charts import pipeline_charts

FORMAT = "devbench-pipeline-2"
_PHONE = "needs a phone"
_COPIES_NOTE = (
    "Copies: before each run, the stock tool copies all inputs into the model, and a GPU delegate copies inputs and "
    "outputs between the memories of CPU and GPU. A delegate that swaps its buffers between steps (“diffusion mode”) "
    "copies nothing. On the CPU: the copies of one run in the memory of the computer that ran devbench."
)
# The row's index in `Whole.fewer`, and the number of steps and the guidance that it is for.
_Row = tuple[int, Fewer]


def pipeline_document(
    report: PipelineReport, form: Form, kinds: Sequence[SectionOf[PipelineReport]] | None = None
) -> Document:
    """Return the pipelines of a run as a form shows them."""
    sections = sections_for(form, report, SECTIONS if kinds is None else kinds)
    view = report.view
    head = run_head(view.run, view.status, view.end_reason, view.run.devbench_version) if form == "html" else ()
    return Document(
        f"Pipelines of run {view.run.run_id}",
        _sentence(report),
        head=head,
        notices=notice_parts(form, report),
        sections=sections,
        data=pipeline_data(report) if form == "json" else {},
    )


def _sentence(report: PipelineReport) -> str:
    """Return the first pipeline's end-to-end latencies and the number of the other pipelines."""
    if not report.variants:
        return "No pipeline was measured"
    one, more = report.variants[0], len(report.variants) - 1
    times = [f"{seconds(whole.latency.median)} {whole.residency}" for whole in one.wholes if whole.latency]
    found = f"end to end {', '.join(times)}" if times else "no session ended well"
    return f"{one.pipeline} with {one.title} on {one.device.title}: {found}" + (f"; {more} more below" if more else "")


def _variants(report: PipelineReport) -> Iterator[Section]:
    for number, variant in enumerate(report.variants, start=1):
        title = f"{variant.pipeline} · {variant.title} on {variant.device.title} · {variant.parameters}"
        yield Section(f"pipeline-{number}", title, tuple(_variant(variant)))


def _variant(variant: Variant) -> Iterator[Part]:
    if variant.wholes:
        yield _wholes(variant)
    for whole in variant.wholes:
        for failure in whole.failures:
            yield Line(failed_words(*failure), "bad", whole.residency)
        if words := explanation(variant, whole):
            yield Line(words, "soft", forms=TEXT)
        if words := contention(variant, whole):
            yield Line(words, "soft")
        if whole.difference:
            yield _difference(variant, whole)
        if whole.images:
            yield _images(whole)
    yield _stages(variant)
    if variant.copies:
        yield _copies(variant)
        yield Line(_COPIES_NOTE, "soft")
    if any(whole.fewer for whole in variant.wholes):
        yield _fewer(variant)
    yield from (Line(note, "soft") for note in notes(variant))


def _wholes(variant: Variant) -> Table:
    def saved(whole: Whole) -> str:
        return rough_percent(variant.saved(whole)) if (variant.saved(whole) or 0) >= 0 else "none"

    def measured(words: str, whole: Whole) -> str:
        return words if whole.latency is not None else ""

    columns: tuple[Column[Whole], ...] = (
        Column("residency", lambda whole: whole.residency),
        Column("end to end", _latency, numeric=True),
        Column("sessions", lambda whole: str(whole.latency.n) if whole.latency else "", numeric=True, hidden=3),
        Column("spread", spread, numeric=True, hidden=1),
        Column("composed", lambda whole: seconds(whole.estimate_ms) if whole.composed else "", numeric=True),
        Column("off", lambda whole: signed_percent(whole.off) if whole.composed else "", numeric=True),
        Column("peak MB", lambda whole: measured(megabytes(whole.peak_kb), whole), numeric=True),
        Column("under resident", lambda whole: measured(saved(whole), whole), numeric=True, hidden=4),
        Column("a step", lambda whole: _step(variant, whole), numeric=True, hidden=2, forms=TEXT),
    )
    title = "End to end, one session on the device"
    caption = "one session on the device: medians over sessions; the estimate is composed of the stages measured alone"
    return table("wholes", caption, columns, variant.wholes, seen=0, title=title)


def _images(whole: Whole) -> Table:
    """Return each image of a session with several; the first one is separate from the others."""
    columns: tuple[Column[SessionImage], ...] = (
        Column("image", lambda one: str(one.number), numeric=True),
        Column("took", lambda one: seconds(one.latency_ms), numeric=True),
        Column("composed", lambda one: seconds(one.estimate_ms), numeric=True),
        Column("peak MB", lambda one: megabytes(one.peak_kb), numeric=True),
    )
    later = [one.latency_ms for one in whole.images[1:]]
    mean = seconds(sum(later) / len(later))
    title = f"{whole.residency}: first image {seconds(whole.images[0].latency_ms)}, later ones {mean} on average"
    return table("images", title, columns, whole.images, seen=0, title=title)


def _difference(variant: Variant, whole: Whole) -> Table:
    """Return the difference between measured latency and estimate, as parts that add up to it."""
    columns: tuple[Column[tuple[str, str, float]], ...] = (
        Column("stage", lambda row: row[0]),
        Column("part", lambda row: row[1]),
        Column("difference", lambda row: signed(row[2]), numeric=True),
    )
    shown_ms = (whole.shown.latency_ms if whole.shown else None) or 0.0
    title = f"{whole.residency}: measured {seconds(shown_ms)}, composed {seconds(whole.estimate_ms)}"
    caption = f"why they differ by {signed(shown_ms - whole.estimate_ms)}; the parts add up to it"
    return table("difference", caption, columns, difference_rows(variant, whole), seen=0, title=title, forms=PAGE)


def _latency(whole: Whole) -> Cell:
    if whole.latency is None:
        return Cell("failed", kind="bad")
    latency = seconds(whole.latency.median)
    return Cell(latency, kind="unreliable" if whole.all_unreliable else "strong")


def _step(variant: Variant, whole: Whole) -> str:
    """Return the time of a step: all inferences of the repeated stages."""
    if whole.shown is None or not variant.steps or whole.latency is None:
        return ""
    walls = [stage.wall_ms for stage in whole.shown.stages if stage.repeated]
    return seconds(sum(wall or 0.0 for wall in walls) / variant.steps / (len(whole.images) or 1)) if walls else ""


def _stages(variant: Variant) -> Table:
    def own(stage: MeasuredStage) -> str:
        return stage.job.delegate if stage.job.delegate != variant.delegate else ""

    def of_session(whole: Whole) -> Column[tuple[int, MeasuredStage]]:
        shares = {share.stage: Cell(rough_percent(share.share), aside=seconds(share.ms)) for share in whole.shares}
        return Column(whole.residency, lambda row: shares.get(row[0], Cell("")), numeric=True)

    columns: tuple[Column[tuple[int, MeasuredStage]], ...] = (
        Column("stage", lambda row: Cell(row[1].alone.name, aside=own(row[1])), forms=TEXT),
        Column("stage", lambda row: row[1].alone.name, forms=PAGE),
        Column("model", lambda row: row[1].job.model.name, forms=PAGE),
        Column("delegate", lambda row: row[1].job.delegate_title, forms=PAGE),
        Column("runs", lambda row: str(row[1].alone.runs), numeric=True),
        Column("load ms", lambda row: ms(row[1].alone.load_ms), numeric=True, hidden=3),
        Column("init ms", lambda row: ms(row[1].alone.init_ms), numeric=True, hidden=1),
        Column("first ms", lambda row: ms(row[1].alone.first_ms), numeric=True, hidden=2),
        Column("steady ms", lambda row: ms(row[1].alone.steady_ms), numeric=True),
        Column("peak MB", lambda row: megabytes(row[1].peak_kb), numeric=True),
        *(of_session(whole) for whole in variant.wholes if whole.shown is not None and not whole.images),
    )
    title = "Stages: alone, and their share of each session (their load where it is waited for)"
    caption = (
        "each alone in a process of its own, medians; then its share of each session, with its load where that is "
        "waited for"
    )
    return table("stages", caption, columns, list(enumerate(variant.stages)), seen=0, title=title)


def _copies(variant: Variant) -> Table:
    """Return the copies that a delegate saves if it swaps buffers between steps."""
    columns: tuple[Column[Copied], ...] = (
        Column("stage", lambda one: one.stage),
        Column("runs", lambda one: str(one.runs), numeric=True),
        Column("kB in", lambda one: f"{one.in_bytes / 1000:,.1f}", numeric=True),
        Column("kB out", lambda one: f"{one.out_bytes / 1000:,.1f}", numeric=True),
        Column("MB per image", lambda one: f"{one.image_bytes / 1e6:,.2f}", numeric=True),
        Column("on the CPU", lambda one: f"{one.host_us:,.1f} µs", numeric=True),
        Column("to and from a GPU", lambda _: _PHONE, numeric=True),
    )
    title = "Copies at each run of a repeated stage"
    return table("copies", "copies at each run", columns, variant.copies, seen=0, title=title)


def _fewer(variant: Variant) -> Table:
    """Return the estimates for other numbers of steps (rows) in each residency (columns), with and without guidance."""
    shown = [whole for whole in variant.wholes if whole.fewer]

    def of_whole(whole: Whole) -> Column[_Row]:
        def cell(row: _Row) -> Cell:
            found = whole.fewer[row[0]]
            return Cell(seconds(found.ms), aside=f"{rough_percent(found.repeated_share)} steps")

        return Column(whole.residency, cell, numeric=True)

    columns: tuple[Column[_Row], ...] = (
        Column("steps", lambda row: Cell(str(row[1].steps), kind=_own(variant, row[1])), numeric=True),
        Column("guidance", lambda row: "with" if row[1].guidance else "without"),
        *map(of_whole, shown),
    )
    title = "With other steps: composed estimates, not measured"
    return table(
        "fewer", "composed estimates, not measured", columns, list(enumerate(shown[0].fewer)), seen=0, title=title
    )


def _own(variant: Variant, one: Fewer) -> str:
    return "strong" if (one.steps, one.guidance) == (variant.steps, variant.guidance) else ""


def page_parts(report: PipelineReport) -> Iterator[Part]:
    """Yield all pipelines of a run, one after the other, with their charts."""
    charts = pipeline_charts(report)
    ablation = ablation_of(report)
    if ablation is not None:
        yield Charts(ablation_charts(ablation))
    for number, variant in enumerate(report.variants):
        virtual = " virtual" if variant.device.virtual else ""
        yield Heading(f"{variant.pipeline} · {variant.title} on {variant.device.title}{virtual}")
        keep = ""
        if variant.keep is not None and variant.stages:
            keep = f"; {variant.stages[variant.keep].alone.name} stays in memory in pipelined sessions"
        yield Line(variant.parameters + keep, "soft")
        if number in charts:
            yield Charts((charts[number],))
        yield from _variant(variant)
        yield from (Line(str(note), "soft") for note in variant.device.facts.get("notes") or [])
    yield Line(DRIVER_NOTE, "soft")


def _page(report: PipelineReport) -> Iterator[Section]:
    yield Section("pipelines", "", tuple(page_parts(report)))


def _driver(report: PipelineReport) -> Iterator[Section]:
    yield Section("driver", "", (Line(DRIVER_NOTE, "soft"),) if report.variants else ())


SECTIONS: tuple[SectionOf[PipelineReport], ...] = (
    SectionOf(_variants, EVERY_FORM - PAGE, in_data=True),
    SectionOf(_driver, EVERY_FORM - PAGE, in_data=True),
    SectionOf(_page, PAGE),
)


# -- JSON -------------------------------------------------------------------------------------------------------------


def pipeline_data(report: PipelineReport) -> dict[str, Any]:
    """Return all results of pipelines for other programs, by the keys of docs/pipelines.md; units are in the names."""
    return {
        "format": FORMAT,
        "virtual": report.virtual,
        **({"note": VIRTUAL_NOTE} if report.virtual else {}),
        "memory_note": DRIVER_NOTE,
        "run": report.run_data,
        "notices": notice_data(report.notices),
        "pipelines": [_variant_data(variant) for variant in report.variants],
        "sessions": [plain(asdict(session)) for session in report.sessions],
    }


def _variant_data(variant: Variant) -> dict[str, Any]:
    device = variant.device
    return {
        "pipeline": variant.pipeline,
        "device": {"key": device.key, "title": device.title, "virtual": device.virtual},
        "delegate": variant.delegate,
        "threads": variant.threads,
        "steps": variant.steps,
        "guidance": variant.guidance,
        "keep": None if variant.keep is None else variant.stages[variant.keep].alone.name if variant.stages else None,
        "stages": [_stage_data(stage) for stage in variant.stages],
        "residencies": [_whole_data(variant, whole) for whole in variant.wholes],
        "copies": [
            {**asdict(one), "image_bytes": one.image_bytes, "gpu_us": None, "note": _PHONE} for one in variant.copies
        ],
    }


def _stage_data(stage: MeasuredStage) -> dict[str, Any]:
    job = stage.job
    return {
        **asdict(stage.alone),
        "repeated": stage.repeated,
        "processes": stage.processes,
        "peak_kb": stage.peak_kb,
        "job": job.number,
        "model": job.model.name,
        "model_sha256": job.model.sha256,
        "delegate": job.delegate,
        "threads": job.threads,
        "binary_sha256": job.binary.sha256,
    }


def _whole_data(variant: Variant, whole: Whole) -> dict[str, Any]:
    names = [stage.name for stage in whole.shown.stages] if whole.shown else []

    def parts(found: Any) -> list[dict[str, Any]]:
        return [
            {"stage": None if p.stage is None else names[p.stage], "what": p.what, "ms": round(p.ms, 3)} for p in found
        ]

    latency, shown = whole.latency, whole.shown
    return {
        "residency": whole.residency,
        "sessions": len(whole.sessions),
        "failures": [{"kind": kind, "message": message, "count": count} for kind, message, count in whole.failures],
        "latency_ms": None if latency is None else latency.median,
        "latency_low_ms": None if latency is None else min(latency.values),
        "latency_high_ms": None if latency is None else max(latency.values),
        "unreliable": whole.all_unreliable,
        "estimate_ms": round(whole.estimate_ms, 3) if whole.composed else None,
        "estimate_off": whole.off if whole.composed else None,
        "peak_kb": whole.peak_kb,
        "memory_kind": None if shown is None else shown.memory_kind,
        "peak_under_resident": variant.saved(whole),
        "overlap_runs": None if shown is None else shown.overlap_runs,
        "contention_ms": whole.contention_ms,
        "images": [asdict(image) for image in whole.images],
        "composed": parts(whole.composed),
        "difference": parts(whole.difference),
        "shares": [
            {"stage": names[s.stage] if s.stage < len(names) else s.stage, "ms": s.ms, "share": s.share,
             "per_run_ms": s.per_run_ms} for s in whole.shares
        ],
        "fewer_steps_estimated": [asdict(one) for one in whole.fewer],
    }  # fmt: skip


def run_head(run: Any, status: str, end_reason: str, version: str, finished: str = "") -> tuple[Part, ...]:
    """Return the facts of a run: when it started, how it ended, its command and labels."""
    when = f"{run.started_utc:%Y-%m-%d %H:%M:%S} UTC{finished}"
    ended = status + (f" ({end_reason})" if end_reason else "")
    return (
        Line(f"{when} · {ended} · devbench {version}", "soft"),
        Facts((("command", run.command), *run.labels.items())),
    )
