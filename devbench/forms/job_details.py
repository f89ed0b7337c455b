"""The details of jobs for a page: one piece of HTML a job, and its raw outputs, packed within a budget.

Knows the store only as a function that gives the raw output at a path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from devbench.errors import DevbenchError
from devbench.findings.readings import hottest, reading
from devbench.findings.run import JobReport, Process, ReportData
from devbench.forms.page import environment, pack
from devbench.results.artifacts import DamagedRaw
from devbench.results.records import RepetitionRecord
from devbench.sections import words

ReadRaw = Callable[[str], bytes]

_MOST_OPERATORS = 25
_MOST_REASONS = 8
# More jobs than these are packed, so many together, and shown one at a time.
MOST_OPEN = 60
CHUNK = 25
# A page must open at once: raw outputs beyond this (as packed) stay in the store, and the page says where.
_MOST_RAW_BYTES = 4_000_000
_MOST_RAW_EACH = 60_000
# Control and direction characters but line ends and tabs: shown as signs, so that none steers a reader's screen.
_UNSEEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


@dataclass(frozen=True, slots=True)
class Details:
    """The details of a run's jobs.

    Attributes:
        html: by the job's number; empty where they are packed.
        chunks: packed pieces of HTML, by the number of the chunk.
        raw: packed raw outputs, by the job's number.
        raw_left_out: how many jobs' raw outputs found no room.
    """

    html: Mapping[int, str]
    chunks: Mapping[int, str]
    raw: Mapping[int, str]
    raw_left_out: int


def job_details(report: ReportData, read_raw: ReadRaw) -> Details:
    """Render every job and pack what a page cannot hold open."""
    raw, left_out = _raw(report.jobs, read_raw)
    template = environment().get_template("job.html")

    def render(job: JobReport) -> str:
        return template.render(
            job=job,
            packed=job.job.number in raw,
            most_operators=_MOST_OPERATORS,
            operator_rows=_operator_rows,
            fallback_rows=_fallback_rows,
            repetition_rows=_repetition_rows,
            spread=words.spread_words,
            limits=words.limits_words,
            what=_what,
        )

    if len(report.jobs) <= MOST_OPEN:
        return Details({job.job.number: render(job) for job in report.jobs}, {}, raw, left_out)
    heading = environment().from_string("<h3>{{ n }} · {{ a | clean(60) }} on {{ b | clean(80) }}</h3>")
    chunks: dict[int, dict[str, str]] = {}
    for job in report.jobs:
        number = job.job.number
        title = heading.render(n=number, a=job.title, b=job.job.device.title)
        chunks.setdefault((number - 1) // CHUNK, {})[str(number)] = title + render(job)
    packed = {number: pack(json.dumps(pieces, ensure_ascii=False)) for number, pieces in chunks.items()}
    return Details({}, packed, raw, left_out)


def _raw(jobs: Sequence[JobReport], read_raw: ReadRaw) -> tuple[dict[int, str], int]:
    found: dict[int, str] = {}
    left, left_out = _MOST_RAW_BYTES, 0
    for job in jobs:
        if left <= 0:
            left_out += 1
            continue
        texts = [_text(repetition.raw_path, read_raw) for repetition in job.repetitions]
        if not any(texts):
            continue
        packed = pack(json.dumps(texts, ensure_ascii=False))
        if len(packed) > left:
            left = 0
            left_out += 1
            continue
        left -= len(packed)
        found[job.job.number] = packed
    return found, left_out


def _text(path: str, read_raw: ReadRaw) -> str | None:
    """A raw output as it may be shown; `None` if it is gone."""
    try:
        data = read_raw(path)
    except DamagedRaw as error:
        data = error.what.encode("utf-8", "replace")
    except DevbenchError:
        return None
    if len(data) > _MOST_RAW_EACH:
        half = _MOST_RAW_EACH // 2
        left_out = f"\n… {len(data) - 2 * half} bytes left out …\n"
        data = data[:half] + left_out.encode() + data[-half:]
    return visible(data.decode("utf-8", "replace"))


def visible(text: str) -> str:
    """`text` with its control and direction characters as signs: `␛[31m`, `⟨U+202E⟩`."""

    def sign(match: re.Match[str]) -> str:
        code = ord(match[0])
        return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"

    return _UNSEEN.sub(sign, text.replace("\r\n", "\n").replace("\r", "\n"))


def _operator_rows(job: JobReport) -> list[tuple[str, ...]]:
    return [
        (words.operator_name(op.name, op.node), op.type, op.where, words.ms(op.total_ms), words.percent(op.share))
        for op in job.operators[:_MOST_OPERATORS]
    ]


def _fallback_rows(job: JobReport) -> list[tuple[str, ...]]:
    return [
        (
            op.type, op.where or "not in the profile", "" if op.count is None else str(op.count), words.ms(op.total_ms),
            "" if op.share is None else words.percent(op.share), "; ".join(op.reasons[:_MOST_REASONS]),
        )
        for op in job.fallback[:_MOST_OPERATORS]
    ]  # fmt: skip


def _what(repetition: RepetitionRecord, outcome: bool = True) -> str:
    """A repetition in a few words, with what came of it."""
    name = f"{'repetition' if repetition.purpose == 'latency' else repetition.purpose} {repetition.index + 1}"
    if not outcome:
        return name
    if repetition.latency_avg_us is not None:
        return f"{name}: {words.ms(repetition.latency_avg_us / 1000)} ms"
    return f"{name}: {repetition.failure_kind}" if repetition.failure_kind else name


def _repetition_rows(job: JobReport) -> list[tuple[str, ...]]:
    """For each repetition: name, times, caches, the device before → after, the verdict."""
    processes = {id(process.repetition): process for process in job.processes}
    rows: list[tuple[str, ...]] = []
    for r in job.repetitions:
        process = processes.get(id(r))
        span = r.latency_min_us is not None and r.latency_max_us is not None and process is not None
        heats = [hottest(c) for c in (r.conditions_before, r.conditions_after)]
        heat = " → ".join("?" if value is None else f"{value:.1f}" for value in heats)
        rows.append(
            (
                _what(r, False),
                words.ms(process.latency_ms) if process else "",
                f"{_ms(r.latency_min_us)}–{_ms(r.latency_max_us)}" if span else "",
                _ms(r.init_us), _ms(r.first_inference_us), _caches(r),
                f"{heat} °C" if any(value is not None for value in heats) else "",
                _change(r, "thermal_status"), _change(r, "battery_level", " %"), _change(r, "load_1min"),
                _verdict(r, process),
            )
        )  # fmt: skip
    return rows


def _ms(us: float | None) -> str:
    return "" if us is None else words.ms(us / 1000)


def _caches(repetition: RepetitionRecord) -> str:
    states = (("file", repetition.file_cache), ("kernel", repetition.kernel_cache))
    return ", ".join(f"{name} {state}" for name, state in states if state)


def _change(repetition: RepetitionRecord, key: str, unit: str = "") -> str:
    pair = (repetition.conditions_before, repetition.conditions_after)
    values = ["?" if (value := reading(c, key)) is None else f"{value:g}" for c in pair]
    return f"{values[0]} → {values[1]}{unit}" if values != ["?", "?"] else ""


def _verdict(repetition: RepetitionRecord, process: Process | None) -> str:
    reasons = "; ".join(repetition.verdict_reasons)
    parts = [repetition.failure_kind or ""]
    if repetition.verdict == "unreliable":
        parts.append(f"unreliable: {reasons}")
    else:
        parts.append(f"{repetition.verdict} ({reasons})" if reasons else repetition.verdict)
    parts.append("○ outlier" if process and process.outlier else "")
    return " ".join(part for part in parts if part)
