"""Renders a document as one self-contained HTML page, with a light and a dark theme; knows no subject.

The templates escape every text. The details of jobs and their raw outputs are compressed, up to a limit. The store is
only a function that returns the raw output at a path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from markupsafe import Markup

from devbench.forms.page import Frame, Link, environment, render
from devbench.forms.page_charts import pack
from devbench.sections.document import Document, Fold, Folds
from devbench.text import clean


def html(
    document: Document,
    read_raw: ReadRaw = lambda path: None,
    *,
    virtual_note: str = "",
    links: Sequence[Link] = (),
    forms: bool = False,
    template: str = "page.html",
    **values: Any,
) -> str:
    """Return the page.

    Args:
        document: made for "html".
        read_raw: returns the raw output at a path of the store; a missing one is left out, with a remark.
        virtual_note: the note about virtual devices.
        links: to other pages, if a server shows them.
        forms: whether the page may send forms to its own server.
        template: the template of a page that contains more than the document; it gets the further values.
    """
    frame = Frame(document.headline or document.title, document.sections, tuple(links), virtual_note, forms)
    details = partial(job_details, read_raw=read_raw)
    return render(template, frame, document=document, details=details, **values)


# Returns a raw output; `None` if it was deleted.
ReadRaw = Callable[[str], bytes | None]

# If there are more jobs than this, they are compressed in groups of this size and shown one at a time.
MOST_OPEN = 60
CHUNK = 25
# A page must open quickly. Raw outputs beyond this compressed size stay in the store, and the page says where.
_MOST_RAW_BYTES = 4_000_000
_MOST_RAW_EACH = 60_000
# Control characters and characters that change the direction of text, except line ends and tabs. They are shown as
# signs, so a raw output cannot change the look of the page.
_UNSEEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


@dataclass(frozen=True, slots=True)
class Details:
    """The details of a run's jobs.

    Attributes:
        html: by the job's number; empty if they are packed.
        chunks: packed pieces of HTML, by the number of the chunk.
        raw: packed raw outputs, by the job's number.
        raw_left_out: the number of jobs whose raw outputs are not in the page.
    """

    html: Mapping[int, Markup]
    chunks: Mapping[int, str]
    raw: Mapping[int, str]
    raw_left_out: int
    chunk_size: int = CHUNK


def job_details(folds: Folds, read_raw: ReadRaw) -> Details:
    """Render every job, and compress the jobs beyond the page's limit."""
    raw, left_out = _raw(folds.folds, read_raw)
    spell: Any = environment().get_template("parts.html").module.fold  # type: ignore[attr-defined]

    def render(fold: Fold) -> Markup:
        return Markup(str(spell(fold, fold.number in raw)))

    if len(folds.folds) <= MOST_OPEN:
        return Details({fold.number: render(fold) for fold in folds.folds}, {}, raw, left_out)
    chunks: dict[int, dict[str, str]] = {}
    for fold in folds.folds:
        title = Markup("<h3>{}</h3>").format(clean(fold.heading, 160))
        chunks.setdefault((fold.number - 1) // CHUNK, {})[str(fold.number)] = title + render(fold)
    packed = {number: pack(json.dumps(pieces, ensure_ascii=False)) for number, pieces in chunks.items()}
    return Details({}, packed, raw, left_out)


def _raw(folds: Sequence[Fold], read_raw: ReadRaw) -> tuple[dict[int, str], int]:
    found: dict[int, str] = {}
    left, left_out = _MOST_RAW_BYTES, 0
    for fold in folds:
        if left <= 0:
            left_out += 1
            continue
        texts = [_text(raw.path, read_raw) for raw in fold.raws]
        if not any(texts):
            continue
        packed = pack(json.dumps(texts, ensure_ascii=False))
        if len(packed) > left:
            left = 0
            left_out += 1
            continue
        left -= len(packed)
        found[fold.number] = packed
    return found, left_out


def _text(path: str, read_raw: ReadRaw) -> str | None:
    """Return a raw output without harmful characters; `None` if it is missing."""
    data = read_raw(path)
    if data is None:
        return None
    if len(data) > _MOST_RAW_EACH:
        half = _MOST_RAW_EACH // 2
        left_out = f"\n… {len(data) - 2 * half} bytes left out …\n"
        data = data[:half] + left_out.encode() + data[-half:]
    return visible(data.decode("utf-8", "replace"))


def visible(text: str) -> str:
    """Return `text` with visible signs for control and direction characters: `␛[31m`, `⟨U+202E⟩`."""

    def sign(match: re.Match[str]) -> str:
        code = ord(match[0])
        return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"

    return _UNSEEN.sub(sign, text.replace("\r\n", "\n").replace("\r", "\n"))
