"""The content of a page as lines of text, without its markup, style and scripts; of a chart only what it says in words.

A heading begins with #, a table's row has its cells between bars, what is packed for scripts is unpacked.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from html.parser import HTMLParser

_BREAKS = frozenset(
    ["p", "li", "dt", "dd", "summary", "caption", "figcaption", "h1", "h2", "h3", "h4", "pre", "tr", "title", "section"]
)


def page_text(html: str) -> str:
    """The lines of a page."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    reader.end()
    return "\n".join(reader.lines) + "\n"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[str] = []
        self._now = ""
        self._in = ""
        self._script = ""

    def end(self) -> None:
        text = re.sub(r"\s+", " ", self._now).strip()
        if text.strip("| "):
            self.lines.append(text)
        self._now = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if known.get("role") == "img":
            self.end()
            self.lines.append(f"chart: {known.get('aria-label')}")
        if tag in ("script", "style"):
            # The data of charts are golden files of their own.
            self._in, self._script = tag, "" if "data-charts" in known else known.get("type") or ""
            return
        if tag in _BREAKS:
            self.end()
        if tag == "option":
            self._now += " / "
        elif re.fullmatch("h[1-4]", tag):
            self._now = "#" * int(tag[1]) + " "
        elif tag in ("td", "th"):
            self._now += "| "
        elif tag == "li":
            self._now = "- "
        if known.get("data-kind"):
            self._now += f"[{known['data-kind']}] "
        if known.get("href", "").startswith("#job"):  # type: ignore[union-attr]
            self._now += f"({known['href']}) "

    def handle_endtag(self, tag: str) -> None:
        self._in = ""
        if tag in ("td", "th"):
            self._now += " "
        elif tag in _BREAKS:
            self.end()

    def handle_data(self, data: str) -> None:
        if self._in == "script" and self._script == "application/gzip":
            self._packed(data)
        elif self._in in ("script", "style"):
            return
        else:
            self._now += data

    def _packed(self, data: str) -> None:
        self.end()
        for one in _texts(json.loads(gzip.decompress(base64.b64decode(data)))):
            self.lines += (
                page_text(one).splitlines() if "<" in one else [f"packed: {line}" for line in one.splitlines()]
            )


def _texts(value: object) -> list[str]:
    """The texts of packed JSON; the cells of a row, which hold no markup, are one text."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, (dict, list)):
        return [] if value is None else [str(value)]
    found = [text for one in (value.values() if isinstance(value, dict) else value) for text in _texts(one)]
    row = isinstance(value, list) and any(isinstance(one, list) for one in value) and not _nested(value)
    return [" | ".join(found)] if row and not any("<" in text or "\n" in text for text in found) else found


def _nested(value: list[object]) -> bool:
    """Whether it is a list of rows, not a row of cells."""
    return any(isinstance(cell, list) for one in value if isinstance(one, list) for cell in one)
