"""Charts as plain data: bars in rows, and panels over time; knows no subject and no drawing.

Numbers have the unit that is shown. A colour is the name of a token of `forms/colours.py`. Texts are not escaped; each
form of output (`forms/`) escapes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import MISSING, fields
from typing import Any, Literal

from devbench.frozen import dataclass

Virtual = Literal["", "some", "every"]
CHART_KINDS = (
    "latency", "speedup", "operators", "startup", "memory", "conditions", "pipeline", "ablation", "comparison",
    "waterfall",
    "history",
)  # fmt: skip
# If the largest value is this many times the smallest, the axis is logarithmic: on a linear one, short bars look the
# same.
DECADES = 30.0

DELEGATES = ("cpu", "xnnpack", "gpu", "npu")
# Families of operators in the order of their colours, and what their names contain. Delegates call one operator by
# different names: CONV_2D, `Convolution (NHWC, F32) IGEMM`, convolution_2d. The first family that matches counts.
_FAMILIES = (
    ("delegate partition", "bar", r"delegate|partition"),
    ("resize, transposed convolution", "f3", r"resize|deconv|transpose_?conv|convolution_?transpose|upsampl"),
    ("depthwise convolution", "f1", r"depthwise|dwconv"),
    ("convolution", "f0", r"conv(?!ert)"),
    ("matrix multiply", "f2", r"mat_?mul|matrix|fully_?connected|gemm|einsum|dense"),
    ("normalisation, reduction", "f5", r"norm|softmax|mean|sum$|reduce|variance|pool"),
    (
        "data movement",
        "f6",
        r"copy|reshape|transpose|concat|pad|slice|gather|split|pack|cast|quantize|convert|tile|broadcast|space|squeeze"
        r"|expand|scatter|reverse|embedding|fill|shape",
    ),
    (
        "element-wise",
        "f4",
        r"add|mul|sub|div|relu|tanh|logistic|sigmoid|gelu|swish|exp|log|sqrt|pow|abs|neg|max|min|square|elementwise"
        r"|clamp|binary|unary|prelu|elu|sin|cos|erf|select|floor|round|equal|less|greater|not",
    ),
    ("other", "f7", r""),
)


@dataclass(frozen=True, slots=True)
class Series:
    """The legend's entry for bars of one colour."""

    name: str
    colour: str


@dataclass(frozen=True, slots=True)
class Point:
    """The value of a single process, shown under its bar; an "outlier" counts for the median, "unreliable" does not."""

    value: float
    kind: Literal["counted", "outlier", "unreliable"]


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, or a piece of a stacked one.

    Attributes:
        series: its number among those of the chart.
        text: the text at its end.
        words: a sentence about it, for the tooltip and screen readers.
        low, high: its interval; `None` for none.
        colour: replaces the colour of the series.
        start: where the bar of a waterfall begins; the origin if `None`.
    """

    value: float
    series: int = 0
    text: str = ""
    words: str = ""
    low: float | None = None
    high: float | None = None
    colour: str = ""
    start: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Bars of one label.

    Attributes:
        text: the text at the end of a stacked bar, or in place of bars if there are none.
        unreliable, virtual: how its numbers were measured.
        facets: by the name of a table's column, the value by which that table's filters also filter this chart.
    """

    label: str
    bars: tuple[Bar, ...] = ()
    text: str = ""
    points: tuple[Point, ...] = ()
    unreliable: bool = False
    virtual: bool = False
    facets: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Rows under a heading."""

    head: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class RowChart:
    """Horizontal bars.

    Attributes:
        name: the name of its file.
        title, alt, note: what it is, what it shows in words, how to read it.
        unit: the text for the axis.
        stacked: the bars of a row are pieces, one after the other.
        origin: where bars start on a linear axis.
        log: the axis is logarithmic.
        virtual: whether some or all numbers are of virtual devices.
    """

    name: str
    title: str
    alt: str
    unit: str
    series: tuple[Series, ...]
    groups: tuple[Group, ...]
    note: str = ""
    stacked: bool = False
    origin: float = 0.0
    log: bool = False
    virtual: Virtual = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """A line of values over time; `None` is a gap.

    Attributes:
        form: "line", "dots" or "crosses"; "level" is the level between two changes, "cap" a limit in steps, "area" lies
            on the areas before it.
        lows, highs: the interval of each value; empty for none.
        words: a further text for each value; may be empty.
        hidden: it is shown only if the user selects it.
        facets: as for `Row`.
    """

    name: str
    colour: str
    at: tuple[float, ...]
    values: tuple[float | None, ...]
    form: str = "line"
    lows: tuple[float | None, ...] = ()
    highs: tuple[float | None, ...] = ()
    words: tuple[str, ...] = ()
    hidden: bool = False
    facets: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment with a text, such as a change: a dashed vertical line."""

    at: float
    text: str
    colour: str
    words: str = ""
    line: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, over the height of a panel or in one of its rows.

    `form` is "faint", "pale", "outline", "solid" or "hatched".
    """

    start: float
    end: float
    colour: str
    form: str = "faint"
    row: int | None = None
    words: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines, or rows of spans, over the time of the chart.

    Attributes:
        title: what is shown, with its unit.
        rows: names of rows of spans; a panel with rows has no lines.
        height: the height, in lines of text.
        low, high: the axis; `None` follows the values.
    """

    title: str
    lines: tuple[Curve, ...] = ()
    marks: tuple[Mark, ...] = ()
    spans: tuple[Span, ...] = ()
    rows: tuple[str, ...] = ()
    height: float = 8.0
    low: float | None = None
    high: float | None = None
    log: bool = False


@dataclass(frozen=True, slots=True)
class PanelChart:
    """Panels below each other over one axis of time.

    Attributes:
        x_title: the title of the axis of time.
        dates: times are seconds since 1970 (UTC); else they are in the unit of `x_title`.
        behind: spans behind all panels.
        moments: pairs of a time and its text, such as a run and its commit; for charts with dates.
    """

    name: str
    title: str
    alt: str
    panels: tuple[Panel, ...]
    x_title: str = ""
    note: str = ""
    dates: bool = False
    behind: tuple[Span, ...] = ()
    moments: tuple[tuple[float, str], ...] = ()
    virtual: Virtual = ""


Chart = RowChart | PanelChart


def plain(one: Any) -> dict[str, Any]:
    """Return the fields of a chart or a part of it that differ from their defaults; `default` of `json.dumps`."""
    return {
        of.name: value for of in fields(one) if (value := getattr(one, of.name)) != of.default or of.default is MISSING
    }


def needs_log(values: Iterable[float]) -> bool:
    """Whether values are so far apart that only a logarithmic axis shows them all."""
    known = list(values)
    return bool(known) and min(known) > 0 and max(known) / min(known) > DECADES


def family(operator: str) -> Series:
    """Return the family of an operator, whatever a delegate calls it."""
    name = operator.casefold().replace(" ", "_")
    return next(Series(title, colour) for title, colour, pattern in _FAMILIES if re.search(pattern, name))


def delegate_colours(titles: Iterable[str]) -> dict[str, str]:
    """Return the colour of each delegate with its options: well-known delegates have fixed colours."""
    found: dict[str, str] = {}
    free = [f"d{number}" for number in range(len(DELEGATES), 8)]
    for title in dict.fromkeys(titles):
        known = next((n for n, name in enumerate(DELEGATES) if title.casefold().startswith(name)), None)
        colour = None if known is None else f"d{known}"
        if colour is None or colour in found.values():
            colour = free.pop(0) if free else f"d{len(found) % 8}"
        found[title] = colour
    return found
