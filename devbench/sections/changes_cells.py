"""The texts of what changed over a history, the same in every form; knows no form. A form makes them harmless."""

from __future__ import annotations

from devbench.analysis.device_events import MetricEffect
from devbench.findings.changes import ChangesReport, DeviceChange, ModelChange, Shift, Sides
from devbench.findings.changes_models import worse_way
from devbench.sections.comparison_cells import metric_words, signed

_MOST_NAMED = 3
_MOST_FACTS = 6


def summary_words(report: ChangesReport) -> str:
    """`3 events of devices, 9 changes of models in 200 runs, 2026-04-01 to 2026-10-17 (2240 series)`."""
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


def directions(change: DeviceChange | ModelChange) -> list[str]:
    """What got worse, then what got better: `▲ latency +20.8 to +43.0 %, init …`; a line each."""
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
    """On which devices, and in how many cases: `on 10 devices, 3 cases`; few are named."""
    devices = list(dict.fromkeys(series.device for series, _ in change.members))
    cases = list(dict.fromkeys(series.case for series, _ in change.members))
    on = ", ".join(devices) if len(devices) <= _MOST_NAMED else f"{len(devices)} devices"
    return f"on {on}: {cases[0] if len(cases) == 1 else f'{len(cases)} cases'}"


def sides_words(sides: Sides) -> list[str]:
    """What was different: labels of the runs on both sides, facts of the device."""
    lines = []
    if sides.labels:
        lines.append(", ".join(f"{key} {was or '–'} → {now or '–'}" for key, (was, now) in sides.labels.items()))
    facts = [f"{one.fact} {one.before or '–'} → {one.after or '–'}" for one in sides.facts]
    if facts:
        more = f", {len(facts) - _MOST_FACTS} more" if len(facts) > _MOST_FACTS else ""
        lines.append(f"the device: {', '.join(facts[:_MOST_FACTS])}{more}")
    return lines


def changes_lines(report: ChangesReport) -> list[str]:
    """What changed over the nights: `2026-11-20 unet on Pixel 8: 3 cases: latency +9.1 %; commit 4f2a → 91bc`."""
    found = [(one.sides, f"the whole device {one.device}", "; ".join(directions(one))) for one in report.events]
    found += [(one.sides, f"{one.model} {where_words(one)}", "; ".join(directions(one))) for one in report.models]
    found.sort(key=lambda one: one[0].at_utc)
    return [_line(sides, f"{what}: {words}") for sides, what, words in found]


def _line(sides: Sides, words: str) -> str:
    return "; ".join([f"{sides.at_utc:%Y-%m-%d} {words}", *sides_words(sides)])
