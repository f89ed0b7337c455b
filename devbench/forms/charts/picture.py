"""A chart as a list of simple shapes in pixels, and as SVG text; knows no run and no plotting library.

A shape's colour is a name; a page gives it a value by its theme (`var(--ink)`), a file of its own takes it from
`THEMES`. Texts from models and devices are made harmless and escaped here, whoever draws them. `charts/raster.py` makes
PNG and PDF of the same shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import Literal, TypeAlias

from devbench.text import clean

Anchor = Literal["start", "middle", "end"]
Theme = Literal["light", "dark"]
MarkForm = Literal["dot", "ring", "cross", "square", "triangle", "diamond"]

# Told apart by readers with any kind of colour vision (after Okabe and Ito), each a little lighter on dark paper.
SERIES = ("c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7")
THEMES: Mapping[Theme, Mapping[str, str]] = {
    "light": {
        "ink": "#1b1f24", "soft": "#59636e", "line": "#d5dbe1", "paper": "#ffffff", "good": "#1a7f37", "bad": "#c22832",
        "warn": "#8a5a00", "virtual": "#6f42c1", "rest": "#b4bac1",
        "c0": "#0072b2", "c1": "#e69f00", "c2": "#009e73", "c3": "#c065a0", "c4": "#56b4e9", "c5": "#d55e00",
        "c6": "#a89a00", "c7": "#7d858d",
    },
    "dark": {
        "ink": "#e8edf2", "soft": "#9aa5b0", "line": "#38414b", "paper": "#0f1419", "good": "#4cc26a", "bad": "#ff7b72",
        "warn": "#e3a93b", "virtual": "#b99aff", "rest": "#59626c",
        "c0": "#4aa8e0", "c1": "#f0b43c", "c2": "#2fc79b", "c3": "#e29ac8", "c4": "#9ad5f7", "c5": "#f58a4b",
        "c6": "#e0d24a", "c7": "#a3acb5",
    },
}  # fmt: skip
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"
MARGIN = 12.0
# Of the size of the font, for the widest of the usual fonts: a label must not be cut by a guess that is too small.
_NARROW, _WIDE = frozenset("iljtfrI.,:;'|!()[] ·-/"), frozenset("mwMW@%—…")


@dataclass(frozen=True, slots=True)
class Rect:
    """A bar. `hatch` draws lines across it; `tip` is shown under the pointer."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    opacity: float = 1.0
    stroke: str = ""
    dash: bool = False
    hatch: bool = False
    tip: str = ""


@dataclass(frozen=True, slots=True)
class Polyline:
    """A line through points, or the area within them where `fill`."""

    points: tuple[tuple[float, float], ...]
    colour: str
    width: float = 1.0
    dash: bool = False
    fill: bool = False
    opacity: float = 1.0


@dataclass(frozen=True, slots=True)
class Mark:
    """A single value."""

    x: float
    y: float
    size: float
    form: MarkForm
    colour: str
    opacity: float = 1.0
    tip: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    """One line of text; `y` is its base line."""

    x: float
    y: float
    text: str
    size: float = 12.0
    anchor: Anchor = "start"
    colour: str = "ink"
    bold: bool = False
    opacity: float = 1.0
    turn: float = 0.0


Shape: TypeAlias = Rect | Polyline | Mark | Label
_Paint = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn chart.

    Attributes:
        name: of its file.
        title, alt, note: what it is, what it shows in words, how to read it.
        virtual: numbers of a virtual device are in it.
        width, height: in pixels.
    """

    name: str
    title: str
    alt: str
    width: float
    height: float
    parts: tuple[Shape, ...]
    note: str = ""
    virtual: bool = False


@dataclass(slots=True)
class Canvas:
    """Collects the shapes of a picture."""

    parts: list[Shape] = field(default_factory=list)

    def rect(self, x: float, y: float, width: float, height: float, fill: str, **how: object) -> None:
        self.parts.append(Rect(x, y, max(width, 0.0), max(height, 0.0), fill, **how))  # type: ignore[arg-type]

    def line(self, points: Iterable[tuple[float, float]], colour: str, **how: object) -> None:
        known = tuple(points)
        if known:
            self.parts.append(Polyline(known, colour, **how))  # type: ignore[arg-type]

    def mark(self, x: float, y: float, size: float, form: MarkForm, colour: str, **how: object) -> None:
        self.parts.append(Mark(x, y, size, form, colour, **how))  # type: ignore[arg-type]

    def text(self, x: float, y: float, text: str, **how: object) -> None:
        self.parts.append(Label(x, y, text, **how))  # type: ignore[arg-type]

    def watermark(self, width: float, height: float, *, every: bool, some: bool) -> None:
        """Across the chart where all of it is virtual; where a part is, a line says what the hatched bars are."""
        if every:
            size = min(34.0, max(14.0, height / 3))
            self.text(
                width / 2, height / 2 + size / 3, "VIRTUAL DEVICE",
                size=size, anchor="middle", bold=True, opacity=0.10, turn=-8.0 if height > 90 else 0.0,
            )  # fmt: skip
        elif some:
            self.text(width - 4, 11, "hatched: virtual device", size=11, anchor="end", colour="virtual")


def text_width(text: str, size: float) -> float:
    """How wide a text will be, in pixels; rather too wide."""
    units = sum(0.36 if c in _NARROW else 0.92 if c in _WIDE else 0.72 if c.isupper() else 0.61 for c in text)
    return units * size


def fitted(text: str, size: float, width: float) -> str:
    """The text, harmless, cut to a width in pixels."""
    shown = clean(text, 120)
    if text_width(shown, size) <= width:
        return shown
    while len(shown) > 1 and text_width(shown + "…", size) > width:
        shown = shown[:-1]
    return shown.rstrip() + "…"


def with_heading(picture: Picture, note: str = "") -> Picture:
    """The picture as one that stands alone: a margin, its title above, `note` where numbers are of a virtual device."""
    canvas = Canvas()
    width = picture.width + 2 * MARGIN
    canvas.text(MARGIN, 24, fitted(picture.title, 14, picture.width), size=14, bold=True)
    top = 36.0
    if picture.virtual and note:
        canvas.text(MARGIN, 42, fitted(note, 11, picture.width), size=11, colour="virtual")
        top = 54.0
    return replace(
        picture,
        width=width,
        height=picture.height + top + MARGIN,
        parts=(*canvas.parts, *(_moved(part, MARGIN, top) for part in picture.parts)),
    )


def _moved(part: Shape, right: float, down: float) -> Shape:
    if isinstance(part, Polyline):
        return replace(part, points=tuple((x + right, y + down) for x, y in part.points))
    return replace(part, x=part.x + right, y=part.y + down)


# -- SVG ------------------------------------------------------------------------------------------------------------


def inline_svg(picture: Picture) -> str:
    """For within a page: colours by the page's theme. Its name and description are the page's to give."""
    return _svg(picture, lambda name: f"var(--{name})", ' class="chart"', "")


def svg_file(picture: Picture, theme: Theme = "light") -> str:
    """A file of its own, on paper of its own."""
    colours = THEMES[theme]
    size = f' xmlns="http://www.w3.org/2000/svg" width="{_n(picture.width)}" height="{_n(picture.height)}"'
    words = f"<title>{_safe(picture.title)}</title><desc>{_safe(picture.alt, 2000)}</desc>"
    paper = f'<rect width="100%" height="100%" fill="{colours["paper"]}"/>'
    return _svg(picture, lambda name: colours[name], f'{size} font-family="{escape(FONT)}"', words + paper) + "\n"


def _svg(picture: Picture, paint: _Paint, attributes: str, first: str) -> str:
    hatch = f"hatch-{picture.name}"
    defs = ""
    if any(isinstance(part, Rect) and part.hatch for part in picture.parts):
        defs = (
            f'<defs><pattern id="{_safe(hatch)}" width="6" height="6" patternUnits="userSpaceOnUse" '
            f'patternTransform="rotate(45)"><path d="M0 0V6" stroke="{paint("paper")}" stroke-width="2.4" '
            f'stroke-opacity="0.55"/></pattern></defs>'
        )
    body = "".join(_shape(part, paint, hatch) for part in picture.parts)
    return (
        f'<svg viewBox="0 0 {_n(picture.width)} {_n(picture.height)}" role="img" '
        f'aria-label="{_safe(picture.alt, 2000)}"{attributes}>{first}{defs}{body}</svg>'
    )


def _shape(part: Shape, paint: _Paint, hatch: str) -> str:
    if isinstance(part, Rect):
        return _rect(part, paint, hatch)
    if isinstance(part, Polyline):
        return _path(part, paint)
    if isinstance(part, Mark):
        return _mark(part, paint)
    turn = f' transform="rotate({_n(part.turn)} {_n(part.x)} {_n(part.y)})"' if part.turn else ""
    anchor = f' text-anchor="{part.anchor}"' if part.anchor != "start" else ""
    bold = ' font-weight="600"' if part.bold else ""
    return (
        f'<text x="{_n(part.x)}" y="{_n(part.y)}" font-size="{_n(part.size)}" fill="{paint(part.colour)}"'
        f"{anchor}{bold}{_opacity(part.opacity)}{turn}>{_safe(part.text)}</text>"
    )


def _rect(part: Rect, paint: _Paint, hatch: str) -> str:
    place = f'x="{_n(part.x)}" y="{_n(part.y)}" width="{_n(part.width)}" height="{_n(part.height)}"'
    edge = f' stroke="{paint(part.stroke)}"' + (' stroke-dasharray="3 2"' if part.dash else "") if part.stroke else ""
    fill = f'fill="{paint(part.fill) if part.fill else "none"}"'
    drawn = f"<rect {place} {fill}{edge}{_opacity(part.opacity)}{_tipped(part.tip, 'rect')}"
    return drawn + (f'<rect {place} fill="url(#{_safe(hatch)})" pointer-events="none"/>' if part.hatch else "")


def _path(part: Polyline, paint: _Paint) -> str:
    steps = "L".join(f"{_n(x)} {_n(y)}" for x, y in part.points)
    if part.fill:
        return f'<path d="M{steps}Z" fill="{paint(part.colour)}"{_opacity(part.opacity)}/>'
    dash = ' stroke-dasharray="4 3"' if part.dash else ""
    return (
        f'<path d="M{steps}" fill="none" stroke="{paint(part.colour)}" stroke-width="{_n(part.width)}"'
        f"{dash}{_opacity(part.opacity)}/>"
    )


def _mark(part: Mark, paint: _Paint) -> str:
    colour, x, y, r = paint(part.colour), part.x, part.y, part.size
    if part.form in ("dot", "ring"):
        how = f'fill="{colour}"' if part.form == "dot" else f'fill="none" stroke="{colour}" stroke-width="1.3"'
        return (
            f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(r)}" {how}{_opacity(part.opacity)}{_tipped(part.tip, "circle")}'
        )
    steps = "M" + "M".join(
        "L".join(f"{_n(x + r * dx)} {_n(y + r * dy)}" for dx, dy in line) for line in FORMS[part.form]
    )
    how = f'fill="none" stroke="{colour}" stroke-width="1.5"' if part.form == "cross" else f'fill="{colour}"'
    return f'<path d="{steps}" {how}{_opacity(part.opacity)}{_tipped(part.tip, "path")}'


# Corners of a mark around its middle, for a size of one; those of a cross are two lines.
FORMS: Mapping[str, Sequence[Sequence[tuple[float, float]]]] = {
    "cross": (((-1, -1), (1, 1)), ((-1, 1), (1, -1))),
    "square": (((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),),
    "triangle": (((0, -1.1), (1.1, 0.9), (-1.1, 0.9)),),
    "diamond": (((0, -1.2), (1.2, 0), (0, 1.2), (-1.2, 0)),),
}


def _tipped(tip: str, tag: str) -> str:
    return f"><title>{_safe(tip)}</title></{tag}>" if tip else "/>"


def _opacity(value: float) -> str:
    return f' opacity="{_n(value)}"' if value < 1 else ""


def _safe(text: str, most: int = 300) -> str:
    return escape(clean(text, most))


def _n(value: float) -> str:
    """At most two decimals, none for whole numbers."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if value % 1 else str(int(value))
