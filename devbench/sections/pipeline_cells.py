"""The texts of a pipeline's results, the same in every form; knows no form."""

from __future__ import annotations

from devbench.findings.pipeline import Variant, Whole
from devbench.text import clean

# Parts of a difference smaller than this share of the latency are shown together.
_LEAST_SHARE = 0.005
_FEW_SAMPLES = 10
_MEMORY = {
    "pss": "PSS (between two readings of it RSS less what was shared)",
    "rss": "RSS (PSS cannot be read there; shared pages count in every stage)",
}


def seconds(ms: float | None) -> str:
    """Return milliseconds as seconds with four significant digits, below one second as milliseconds."""
    if ms is None:
        return ""
    if abs(ms) < 1000:
        return f"{ms:.1f} ms" if abs(ms) < 100 else f"{ms:.0f} ms"
    return (
        f"{ms / 1000:.3f} s"
        if abs(ms) < 10_000
        else f"{ms / 1000:.2f} s"
        if abs(ms) < 100_000
        else f"{ms / 1000:,.1f} s"
    )


def signed(ms: float) -> str:
    """Return a difference with its sign."""
    return f"{'+' if ms >= 0 else '−'}{seconds(abs(ms))}"


def signed_percent(share: float | None) -> str:
    return "" if share is None else f"{'+' if share >= 0 else '−'}{abs(100 * share):.1f} %"


def megabytes(kb: float | None) -> str:
    return "" if kb is None else f"{kb / 1024:,.0f}" if kb >= 102_400 else f"{kb / 1024:,.1f}"


def spread(whole: Whole) -> str:
    """Return the smallest and the largest of several latencies."""
    if whole.latency is None or whole.latency.n < 2:
        return ""
    return f"{seconds(min(whole.latency.values))} – {seconds(max(whole.latency.values))}"


def difference_rows(variant: Variant, whole: Whole) -> list[tuple[str, str, float]]:
    """Return the parts of the difference to the estimate as (stage, part, ms); small parts are one row at the end."""
    assert whole.shown is not None
    least = _LEAST_SHARE * (whole.shown.latency_ms or 0.0)
    rows, rest = [], 0.0
    for part in sorted(whole.difference, key=lambda part: -abs(part.ms)):
        if abs(part.ms) < least:
            rest += part.ms
            continue
        name = "" if part.stage is None else clean(whole.shown.stages[part.stage].name, 40)
        rows.append((name, part.what, part.ms))
    if abs(rest) > 0.0005:
        rows.append(("", "small parts together", rest))
    return rows


def explanation(variant: Variant, whole: Whole) -> str:
    """Return the difference between measured and estimate in one line."""
    if whole.latency is None or whole.shown is None or not whole.composed:
        return ""
    shown_ms = whole.shown.latency_ms or 0.0
    parts = [
        f"{signed(ms)} {f'{name}: ' if name else ''}{what}" for name, what, ms in difference_rows(variant, whole)[:6]
    ]
    middle = " (session in the middle)" if whole.latency.n > 1 else ""
    return (
        f"{whole.residency}: measured {seconds(shown_ms)}{middle}, composed {seconds(whole.estimate_ms)}, difference "
        f"{signed(shown_ms - whole.estimate_ms)}: {'; '.join(parts) or 'nothing'}"
    )


def contention(variant: Variant, whole: Whole) -> str:
    """Return in one line the cost of overlapping; nothing if nothing was overlapped."""
    if whole.shown is None:
        return ""
    for number, stage in enumerate(whole.shown.stages[:-1]):
        if stage.overlapped_ms is None or stage.steady_ms is None or not stage.overlapped_runs:
            continue
        following = whole.shown.stages[number + 1]
        cost = stage.overlapped_runs * (stage.overlapped_ms - stage.steady_ms)
        runs = f"{stage.overlapped_runs} runs" if stage.overlapped_runs > 1 else "run"
        waited = f"; waited {seconds(following.wait_ms)} more for it" if following.wait_ms >= 1 else ""
        return (
            f"{clean(following.name, 40)} loaded during the last {runs} of {clean(stage.name, 40)} in "
            f"{seconds(following.load_ms)}: {seconds(stage.overlapped_ms)} per run during it, "
            f"{seconds(stage.steady_ms)} before: contention {signed(cost)}{waited}"
        )
    return ""


def notes(variant: Variant) -> list[str]:
    """Return notes on how it was measured."""
    found = []
    kinds = {whole.shown.memory_kind for whole in variant.wholes if whole.shown is not None}
    for kind in sorted(kind for kind in kinds if kind):
        found.append(f"Memory is {_MEMORY[kind]}, sampled about ten times a second.")
    if None in kinds:
        found.append("Memory could not be read on this device.")
    samples = [len({one.number for one in whole.shown.samples}) for whole in variant.wholes if whole.shown is not None]
    if min(samples, default=_FEW_SAMPLES) < _FEW_SAMPLES:
        found.append("Sessions this short have few samples of memory: a peak between two of them is not seen.")
    held = {stage.held_by for whole in variant.wholes if whole.shown is not None for stage in whole.shown.stages}
    if "stop" in held:
        found.append("This benchmark_model cannot be held by its output: stages that stay were stopped (SIGSTOP).")
    return found
