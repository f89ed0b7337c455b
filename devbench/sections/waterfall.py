"""A waterfall: how one number becomes another, change by change, as a chart of bars in rows; knows no subject.

The first bar begins at zero. Each further one begins where the one before ended, so that its length is the change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from devbench.sections.charts import Bar, Group, Row, RowChart, Series, Virtual

_SERIES = (Series("value", "bar"), Series("less", "better"), Series("more", "worse"))


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the number that the waterfall shows.

    Attributes:
        label: what changed; for the first step, the name of the initial number.
        after: the number after it, in the unit of the chart, zero or more; `None` if it is not known.
        text: the text at the end of its bar.
    """

    label: str
    after: float | None
    text: str = ""


def waterfall(
    name: str, title: str, unit: str, changes: Sequence[Step], *, last: str = "", note: str = "",
    virtual: Virtual = "",
) -> RowChart:  # fmt: skip
    """Return the chart; `last` is the label of a bar for the number after all changes, empty for none."""
    alt = "; ".join(f"{one.label} {one.text}" for one in changes)
    return RowChart(
        name, title, alt, unit, _SERIES, (Group("", tuple(_rows(changes, last, bool(virtual)))),), note,
        virtual=virtual,
    )  # fmt: skip


def _rows(changes: Sequence[Step], last: str, virtual: bool) -> Iterator[Row]:
    level: float | None = None
    for one in changes:
        words = f"{one.label}: {one.text}"
        if one.after is None:
            yield Row(one.label, (), one.text)
        elif level is None:
            yield Row(one.label, (Bar(one.after, 0, one.text, words),), virtual=virtual)
        else:
            bar = Bar(one.after, 1 if one.after <= level else 2, one.text, words, start=level)
            yield Row(one.label, (bar,), virtual=virtual)
        level = level if one.after is None else one.after
    if last and level is not None:
        yield Row(last, (Bar(level, 0, changes[-1].text, f"{last}: {changes[-1].text}"),), virtual=virtual)
