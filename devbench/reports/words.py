"""Numbers and names as people read them, the same in every form of a report; knows no form."""

from __future__ import annotations

from devbench.analysis.stats import Estimate
from devbench.text import clean


def ms(value: float | None) -> str:
    """Milliseconds with three significant digits, at most three decimals: `2.77`, `27.7`, `277`, `1,630`."""
    if value is None:
        return ""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def interval(value: Estimate | None) -> str:
    """The interval of an estimate: `2.71–2.93`; nothing for a single value."""
    if value is None or value.coverage is None:
        return ""
    return f"{ms(value.low)}–{ms(value.high)}"


def mb(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def coverage_note(values: list[Estimate | None]) -> str:
    """What the intervals are, in one sentence."""
    known = [value for value in values if value is not None and value.coverage is not None]
    if not known:
        return "One process each: no interval."
    # The one that is worth least stands for all.
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
    """An operator's name without the brackets that the tool prints around it, and its node."""
    inner = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    return clean(inner, 120) + (f" #{node}" if node is not None else "")
