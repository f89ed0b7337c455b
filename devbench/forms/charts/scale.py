"""From values to pixels: round ticks, linear and logarithmic scales, ticks of time; knows no shape and no run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

# With values this far apart the small ones lie on the axis, so an axis is made logarithmic.
LOG_FROM = 12.0


@dataclass(frozen=True, slots=True)
class Scale:
    """Values `low` to `high` onto pixels `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (map(math.log, (self.low, self.high, max(value, 1e-300))) if self.log
                         else (self.low, self.high, value))  # fmt: skip
        share = (at - low) / ((high - low) or 1.0)
        # What lies outside is drawn at the edge, never beyond the picture.
        return self.start + (self.end - self.start) * min(max(share, -0.01), 1.01)


def round_step(span: float, most: int) -> float:
    """A round number (1, 2, 5, 10, …) that goes at most `most` times into `span`."""
    power = 10.0 ** math.floor(math.log10(max(span, 1e-12) / most))
    return next(step for step in (power, 2 * power, 5 * power, 10 * power) if most * step >= span * (1 - 1e-9))


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round values within `low` and `high`."""
    step = round_step(high - low, most)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 of each power of ten within; powers alone where those are many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [m * 10.0**p for p in powers for m in ((1, 2, 5) if len(powers) < 4 else (1,))]
    return [value for value in found if low <= value <= high]


def tick_text(value: float) -> str:
    """`0.05`, `20`, `1,500`."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{round(value, 9):g}"


def padded(values: Sequence[float], share: float = 0.08, least_span: float = 0.04) -> tuple[float, float]:
    """A span that holds the values with room; values that hardly move do not look as if they jumped."""
    low, high = min(values), max(values)
    middle = (low + high) / 2
    half = max((high - low) / 2 * (1 + 2 * share), least_span * max(abs(low), abs(high)), 1e-9)
    return middle - half, middle + half


def day_ticks(start: datetime, end: datetime, most: int = 7) -> list[tuple[datetime, str]]:
    """Moments within, with the words for them: hours, days or months, whatever fits."""
    span = end - start
    if span <= timedelta(days=2):
        hours = max(1, round_step(max(span.total_seconds() / 3600, 1e-3), most))
        step = timedelta(hours=float(hours))
        origin = start.replace(hour=0, minute=0, second=0, microsecond=0)
        return _steps(origin, start, end, step, "%d %b %H:%M")
    days = max(1, int(round_step(span.days or 1, most)))
    if days < 20:
        origin = datetime(start.year, start.month, 1, tzinfo=timezone.utc)
        return _steps(origin, start, end, timedelta(days=days), "%d %b")
    found: list[tuple[datetime, str]] = []
    months = max(1, math.ceil(span.days / 30 / most))
    index = start.year * 12 + start.month - 1
    while True:
        moment = datetime(index // 12, index % 12 + 1, 1, tzinfo=timezone.utc)
        if moment > end:
            return found
        if moment >= start and index % months == 0:
            found.append((moment, moment.strftime("%b %Y")))
        index += 1


def _steps(origin: datetime, start: datetime, end: datetime, step: timedelta, form: str) -> list[tuple[datetime, str]]:
    found: list[tuple[datetime, str]] = []
    moment = origin
    while moment <= end:
        if moment >= start:
            found.append((moment, moment.strftime(form)))
        moment += step
    return found
