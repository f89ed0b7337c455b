"""Formats numbers and names for users, the same in all forms of output."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from devbench.analysis.stats import Estimate
from devbench.grouped import grouped
from devbench.metrics import METRICS, shown_in
from devbench.sections.charts import DELEGATES
from devbench.text import clean

if TYPE_CHECKING:
    from devbench.findings.run import JobReport

_MOST_TYPES = 10
_LIMITS = {
    "least_snr_db": "SNR ≥ {} dB",
    "least_cosine": "cosine ≥ {}",
    "most_abs": "difference ≤ {}",
    "most_rel": "relative ≤ {}",
    "most_steps": "≤ {} steps",
}
_THERMAL = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")


def ms(value: float | None) -> str:
    """Return milliseconds with three significant digits: `2.77`, `277`, `1,630`; two below 0.1: `0.054`, `0.00031`."""
    if value is None:
        return ""
    if value >= 100:
        return f"{value:,.0f}"
    if 0 < value < 0.1:
        return f"{value:.{min(1 - math.floor(math.log10(value)), 6)}f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def interval(value: Estimate | None) -> str:
    """Return the interval of an estimate: `2.71–2.93`; nothing for a single value."""
    if value is None or value.coverage is None:
        return ""
    return f"{ms(value.low)}–{ms(value.high)}"


def half_width(value: Estimate | None) -> str:
    """Return a latency ± half its interval, with a further digit if the half is rounded to 0: `9.41 ± 0.09`."""
    if value is None:
        return "–"
    text, half = ms(value.median), (value.high - value.low) / 2
    digits = len(text.partition(".")[2])
    between = (
        f" ± {half:,.{digits if round(half, digits) else digits + 1}f}" if half and value.coverage is not None else ""
    )
    return text + between


def job_figures() -> tuple[str, ...]:
    """Return names of the metrics that the table of jobs has next to the latency."""
    return tuple(name for name in shown_in("jobs") if name != "latency")


def mb(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"


def figure(value: float | None, metric: str) -> str:
    """Return a value of a metric without its unit: `27.7`, `93.2`, `83 %`; nothing for `None`."""
    of = METRICS[metric]
    if not of.unit:
        return rough_percent(value)
    return ms(value) if of.decimals is None or value is None else f"{value:,.{of.decimals}f}"


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def rough_percent(share: float | None) -> str:
    """Return a share in whole percent; only exactly 1 is shown as 100, and only exactly 0 as 0."""
    if share is None:
        return ""
    if 0 < share < 0.005:
        return "<1 %"
    return ">99 %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"


def spread_percent(value: float | None) -> str:
    """Return a spread in percent, with two digits but no finer than 0.1 %."""
    return "" if value is None else f"{value:.0f} %" if value >= 10 else f"{value:.1f} %"


def thermal_words(status: int) -> str:
    """Return Android's name of a thermal status, as in android.os.PowerManager."""
    return _THERMAL[status] if 0 <= status < len(_THERMAL) else f"status {status}"


def coverage_note(values: list[Estimate | None]) -> str:
    """Return one sentence that says what the intervals are."""
    known = [value for value in values if value is not None and value.coverage is not None]
    if not known:
        return "One process each: no interval."
    # Use the interval with the lowest coverage for all.
    worst = min(known, key=lambda value: value.coverage or 0)
    count = f"{worst.n} process{'' if worst.n == 1 else 'es'}"
    if worst.bootstrap:
        shape = f"bootstrapped from {count}"
    elif (worst.low, worst.high) == (min(worst.values), max(worst.values)):
        shape = f"from the smallest to the largest of {count}"
    else:
        shape = f"between two values of {count}"
    coverage = f"{100 * (worst.coverage or 0):.0f} % coverage"
    return f"Latency is the median over processes; its interval is {shape} ({coverage})."


def operator_name(name: str, node: int | None) -> str:
    """Return an operator's name without the brackets that the tool prints around it, and its node."""
    inner = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    return clean(inner, 120) + (f" #{node}" if node is not None else "")


def startup_words(jobs: Sequence[JobReport]) -> list[str]:
    """Return which caches were cold in the columns `cold init` and `init`; empty without a cold start."""
    if not any(job.cold for job in jobs):
        return []
    lines = []
    for columns, starts in (
        ("cold init", [(job.title, job.cold.caches) for job in jobs if job.cold]),
        ("init, first", [(job.title, job.warm.caches) for job in jobs if job.warm]),
    ):
        states = grouped((caches, clean(title, 40)) for title, caches in starts)
        several = len(states) > 1
        words = [caches + (f" ({', '.join(titles)})" if several else "") for caches, titles in states.items()]
        if words:
            lines.append(f"{columns}: {'; '.join(words)}")
    return lines


def spread_words(job: JobReport) -> str:
    """Return how far processes are from each other, in one line; nothing for a single one."""
    spread, parts = job.spread, []
    if spread.between_cv_pct is not None:
        parts.append(f"spread {spread_percent(spread.between_cv_pct)} between processes")
    if spread.within_pct is not None:
        parts.append(f"{spread_percent(spread.within_pct)} within one")
    if job.p50 is not None and job.p95 is not None:
        parts.append(f"inferences p50 {ms(job.p50)}, p95 {ms(job.p95)} ms")
    if job.outliers:
        parts.append(f"{job.outliers} of {len(job.processes)} processes far from the others")
    return ", ".join(parts)


def failed_words(kind: str, message: str, count: int) -> str:
    """Return `crash (2 times): message`."""
    return f"{kind}{f' ({count} times)' if count > 1 else ''}: {message}"


def fallback_words(job: JobReport) -> str:
    """Return the operators that ran on the CPU with their times, the partitions' time, and refused operators."""
    ran = [op for op in job.fallback if op.total_ms is not None]
    words = []
    if ran:
        shown = ", ".join(f"{op.type} ×{op.count} {ms(op.total_ms)}" for op in ran[:_MOST_TYPES])
        rest = ran[_MOST_TYPES:]
        more = f", {len(rest)} more types {ms(sum(op.total_ms or 0.0 for op in rest))}" if rest else ""
        words.append(f"{ms(job.partitions_ms)} ms on the delegate, on the CPU {shown}{more} ms")
    refused = [op.type for op in job.fallback if op.reasons]
    if refused:
        more = f" and {len(refused) - _MOST_TYPES} more" if len(refused) > _MOST_TYPES else ""
        words.append(f"does not take {', '.join(refused[:_MOST_TYPES])}{more}")
    return "; ".join(words)


def limits_words(limits: object) -> str:
    """Return the limits that an output had to keep, as far as the store has them: `SNR ≥ 20 dB, cosine ≥ 0.99`."""
    if not isinstance(limits, Mapping):
        return ""
    words = []
    for name, value in limits.items():
        if isinstance(value, (int, float, str)):
            shown = f"{value:g}" if isinstance(value, float) else str(value)
            words.append(_LIMITS.get(str(name), f"{name} {{}}").replace("{}", shown))
    return clean(", ".join(words))


def delegate_words(name: str) -> str:
    """Return `GPU`, `XNNPACK`, `NPU`; other delegates by the names that were given to them."""
    return name.upper() if name in DELEGATES else name


def metric_words(metric: str, operator_type: str = "") -> str:
    """Return `first inference`; `operator CONV_2D`."""
    return f"operator {operator_type}" if operator_type else METRICS[metric].title
