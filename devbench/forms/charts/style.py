"""The style sheet of chart files, and a sheet of paper on which text and axes are placed in points from the top.

A sheet has the requested width and the height of its content. Nothing is scaled, so text has the same size at any
width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FuncFormatter

from devbench.forms.colours import Theme, theme
from devbench.notices import VIRTUAL_NOTE
from devbench.sections.charts import Virtual
from devbench.text import clean

TEXT, TITLE, LINE, MARGIN = 9.0, 10.5, 12.5, 8.0
RC: dict[str, Any] = {
    "font.size": TEXT,
    "text.parse_math": False,
    # Without hinting, the width of a text does not depend on the resolution.
    "text.hinting": "none",
    "axes.linewidth": 0.6,
    "axes.unicode_minus": True,
    "hatch.linewidth": 0.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "devbench",
    "pdf.fonttype": 42,
}
# The first ones that are installed; the later ones have Chinese, Japanese and Korean letters.
_FONTS = (
    "Noto Sans", "DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Noto Sans JP", "Noto Sans KR",
    "Source Han Sans SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "PingFang SC", "Hiragino Sans", "Microsoft YaHei",
    "Yu Gothic", "Malgun Gothic", "Arial Unicode MS", "Droid Sans Fallback",
)  # fmt: skip


@lru_cache(maxsize=1)
def families() -> list[str]:
    """Return the installed fonts of the list; each letter is drawn with the first font that has it."""
    installed = {font.name for font in fontManager.ttflist}
    return [name for name in _FONTS if name in installed] or ["sans-serif"]


@lru_cache(maxsize=4096)
def width_of(text: str, size: float = TEXT, weight: str = "normal") -> float:
    """Return the width of a text in points."""
    font = FontProperties(family=families(), size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(text, font, False)[0])


def fitted(text: str, width: float, weight: str = "normal") -> str:
    """Return the text on one line, without control characters, cut so that it is at most `width` points wide."""
    text = clean(text)
    while len(text) > 1 and width_of(text, weight=weight) > width:
        text = text[: -2 if text.endswith("…") else -1].rstrip() + "…"
    return text


def wrapped(text: str, width: float, size: float = TEXT, weight: str = "normal") -> list[str]:
    """Break a text into lines of at most `width` points, at spaces or within a word that is longer than a line."""
    lines = [""]
    for word in clean(text, 600).split(" "):
        joined = f"{lines[-1]} {word}".strip()
        if width_of(joined, size, weight) <= width:
            lines[-1] = joined
            continue
        lines += [""] if lines[-1] else []
        for letter in word:
            if lines[-1] and width_of(lines[-1] + letter, size, weight) > width:
                lines.append("")
            lines[-1] += letter
    return lines


class Sheet:
    """Paper that is filled from the top; `y` is how far it is filled, in points. Its height is known when it ends."""

    def __init__(self, width_in: float, of: Theme) -> None:
        self.colours = theme(of)
        self.width = 72.0 * width_in
        self.inner = self.width - 2 * MARGIN
        self.y = MARGIN
        self.figure = Figure(figsize=(width_in, 1.0), facecolor=self.colours["paper"])
        # Text and legends are drawn on axes that cover the paper and count points.
        self._paper = self.figure.add_axes((0, 0, 1, 1))
        self._paper.set_axis_off()
        self._paper.set_xlim(0, self.width)
        self._axes: list[tuple[Axes, tuple[float, float, float, float]]] = []

    def text(self, text: str, x: float, y: float, colour: str = "ink", **options: Any) -> None:
        """One line of text; `y` is its middle."""
        self._paper.text(x, y, text, color=self.colours[colour], va="center", **options)

    def lines(self, lines: Iterable[str], colour: str, size: float = TEXT, **options: Any) -> None:
        """Lines of text below each other, over the whole width."""
        for line in lines:
            self.y += LINE * size / TEXT
            self.text(line, MARGIN, self.y - LINE / 2, colour, size=size, **options)

    def heading(self, title: str, virtual: Virtual) -> None:
        """The title, and the note about virtual devices."""
        self.lines(wrapped(title, self.inner, TITLE, "bold"), "ink", TITLE, weight="bold")
        if virtual:
            words = VIRTUAL_NOTE.removeprefix("virtual: ")
            note = f"VIRTUAL DEVICE{'' if virtual == 'every' else ' (hatched)'}: {words}"
            self.lines(wrapped(note, self.inner), "virt")
        self.y += 6

    def axes(self, left: float, height: float, right: float = MARGIN) -> Axes:
        """Add axes of a height in points below the existing ones, from `left` to the right margin."""
        axes: Axes = self.figure.add_axes((0, 0, 1, 1), facecolor="none")
        self._axes.append((axes, (left, self.y, self.width - right - left, height)))
        self.y += height
        axes.tick_params(length=0, pad=3, colors=self.colours["soft"], labelsize=TEXT)
        axes.tick_params(axis="y", labelcolor=self.colours["ink"])
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.set_axisbelow(True)
        return axes

    def legend(self, entries: Sequence[tuple[str, str, str]]) -> None:
        """Names with their colours, in lines; the third of an entry is the form of a line, or "bar"."""
        x = MARGIN
        for name, colour, form in entries:
            shown = fitted(name, self.inner - 14)
            wide = width_of(shown) + 26
            if x > MARGIN and x + wide - 12 > self.width - MARGIN:
                x = MARGIN
                self.y += LINE
            marker = {"dots": "o", "crosses": "x", "bar": "s"}.get(form, "_")
            size = {"bar": 7.0, "_": 9.0}.get("bar" if form == "bar" else marker, 4.0)
            self._paper.plot(x + 5, self.y + LINE / 2, marker, color=self.colours[colour], ms=size, mew=1.6)
            self.text(shown, x + 13, self.y + LINE / 2)
            x += wide
        self.y += LINE + 2 if entries else 0

    def end(self, note: str) -> None:
        """Add the note at the bottom. After that the height is known, and everything is placed."""
        if note:
            self.y += 3
            self.lines(wrapped(note, self.inner), "soft")
        height = self.y + MARGIN
        self.figure.set_size_inches(self.width / 72, height / 72)
        self._paper.set_ylim(height, 0)
        for axes, (left, top, wide, tall) in self._axes:
            axes.set_position((left / self.width, 1 - (top + tall) / height, wide / self.width, tall / height))


def log_axis(axes: Axes, which: str, low: float, high: float, most: int) -> None:
    """A logarithmic axis with at most `most` marks from `low` to `high`: 1, 2 and 5 of each power of ten, or powers."""
    from matplotlib.ticker import FixedLocator, NullLocator

    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    choices = [[m * 10.0**p for p in powers for m in (1, 2, 5)], *([10.0**p for p in powers[::n]] for n in (1, 2, 3))]
    shown = [[value for value in one if low <= value <= high] for one in choices]
    marks = next((one for one in shown if len(one) <= most), shown[-1])
    axis = axes.xaxis if which == "x" else axes.yaxis
    getattr(axes, f"set_{which}scale")("log")
    axis.set_major_locator(FixedLocator(marks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(NUMBERS)


def number_text(value: float, _: object = None) -> str:
    """Return `0.05`, `1,500`, `−20`."""
    return f"{value:,.10g}".replace("-", "−")


NUMBERS = FuncFormatter(number_text)
