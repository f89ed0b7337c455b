"""Spells a document as one self-contained HTML page: no network, light and dark; knows no subject.

The templates escape every text.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from devbench.forms.job_details import ReadRaw, job_details
from devbench.forms.page import Frame, Link, render
from devbench.sections.document import Document


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
    """The page.

    Args:
        document: made for "html".
        read_raw: gives the raw output at a path of the store; one that is gone is left out with a word.
        virtual_note: what is to be known of virtual devices.
        links: to other pages, if a server shows them.
        forms: whether the page may send forms to where it came from.
        template: a page with more than the document, which takes the other values.
    """
    frame = Frame(document.headline or document.title, document.sections, tuple(links), virtual_note, forms)
    details = partial(job_details, read_raw=read_raw)
    return render(template, frame, document=document, details=details, **values)
