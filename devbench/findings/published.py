"""Published figures of Stable Diffusion on phones.

They were not measured by devbench and are shown apart from measured ones.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

TITLE = "Published, not measured here"


@dataclass(frozen=True, slots=True)
class PublishedFigure:
    """A figure as its source has it.

    Attributes:
        year: `None` if the source has none.
        steps: the steps of denoising, as the source counts them.
        seconds: one figure, or one for each device.
        included: what was timed.
        source: the exact place.
        note: what a reader must know to compare it.
    """

    who: str
    year: int | None
    model: str
    device: str
    soc: str
    processor: str
    precision: str
    steps: str
    guidance: str
    seconds: str
    included: str
    source: str
    note: str


def published() -> tuple[PublishedFigure, ...]:
    """Return all figures, in the order of the file."""
    text = Path(__file__).with_suffix(".json").read_text("utf-8")
    return tuple(PublishedFigure(**one) for one in json.loads(text))
