"""Notices as shown: grouped by cause and device or model, the most limiting first; knows no form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Protocol

from devbench.frozen import dataclass
from devbench.jsonready import plain
from devbench.notices import Effect, Notice, NoticeKind, merged
from devbench.sections.document import Fold, Kind, Line, Lines, Part
from devbench.sections.tables import Form

MAX_SHORT = 5
_MAX_NAMED = 3
# Effects in the order in which notices are shown.
KINDS: Mapping[Effect, Kind] = {Effect.UNDECIDED: "warn", Effect.EXCLUDED: "warn", Effect.INFORMATION: "information"}
_EFFECTS = tuple(KINDS)
_ORDER = tuple(NoticeKind)
# Notices that differ only in these numbers have the same cause. Single digits are kept, because each thermal status is
# a different state.
_FIGURE = re.compile(r"\d+\.\d+|\d{2,}")


@dataclass(frozen=True, slots=True)
class NoticeLine:
    """A notice, or several with one cause. Its texts are not escaped.

    Attributes:
        subject: what it is about; several are joined, many are counted.
        text, next_step: as in `Notice`; counts are added up.
    """

    kind: NoticeKind
    effect: Effect
    subject: str
    text: str
    next_step: str

    @property
    def words(self) -> str:
        """Return `unet · gpu on Pixel 8: all 8 repetitions are unreliable (…) (measure again …)`."""
        return f"{self.subject}: {self.text_and_step}"

    @property
    def text_and_step(self) -> str:
        """Return the text, the next step in brackets."""
        return f"{self.text} ({self.next_step})" if self.next_step else self.text


class Noticed(Protocol):
    """A finding with notices: a run, a comparison, changes, pipelines, a night."""

    @property
    def notices(self) -> tuple[Notice, ...]: ...
    @property
    def device_titles(self) -> Mapping[str, str]: ...


def notice_lines(*findings: Noticed | None) -> tuple[NoticeLine, ...]:
    """Return the notices of findings that are shown together, grouped; duplicates are shown once.

    They are in the order of their effects: no verdict possible, excluded from choosing a winner, information.
    """
    known = [one for one in findings if one is not None]
    titles = {key: title for one in known for key, title in one.device_titles.items()}
    return grouped(merged(*(one.notices for one in known)), titles)


def notice_parts(form: Form, *findings: Noticed | None) -> tuple[Part, ...]:
    """Return `notice_lines` as parts of a document; a page shows the first ones, and folds the others."""
    lines = tuple(Line(one.text_and_step, KINDS[one.effect], one.subject) for one in notice_lines(*findings))
    if form != "html" or len(lines) <= MAX_SHORT:
        return (Lines(lines, "notices", limited=False),) if lines else ()
    rest = lines[MAX_SHORT:]
    more = Fold(f"{len(rest)} more notice{'' if len(rest) == 1 else 's'}", lambda: rest)
    return (Lines(lines[:MAX_SHORT], "notices", limited=False), more)


def notice_data(notices: Iterable[Notice]) -> list[dict[str, Any]]:
    """Return notices for other programs, not grouped."""
    return [plain(asdict(notice)) for notice in notices]


def grouped(notices: Iterable[Notice], titles: Mapping[str, str]) -> tuple[NoticeLine, ...]:
    """Do the same as `notice_lines` for given notices; `titles` are those of the devices by their keys."""
    found: dict[tuple[object, ...], list[Notice]] = {}
    for notice in notices:
        cause = (notice.tally.what, notice.tally.state) if notice.tally else ("", notice.text)
        key = (notice.kind, notice.effect, notice.device_key, *(_FIGURE.sub("", text) for text in cause))
        found.setdefault(key, []).append(notice)
    lines = [_line(those, titles.get(those[0].device_key, "")) for those in found.values()]
    return tuple(sorted(lines, key=lambda line: (_EFFECTS.index(line.effect), _ORDER.index(line.kind), line.subject)))


def _line(notices: Sequence[Notice], title: str) -> NoticeLine:
    first = notices[0]
    text = first.text
    distinct = {(one.subject, one.job_number, one.tally): one for one in notices}.values()
    tallies = [one.tally for one in distinct if one.tally]
    if tallies:
        counts = (sum(one.concerned for one in tallies), sum(one.total for one in tallies))
        text = replace(tallies[0], concerned=counts[0], total=counts[1]).text
    if first.effect is Effect.UNDECIDED:
        text = f"no verdict: {text}"
    return NoticeLine(first.kind, first.effect, _subject(notices, title), text, first.next_step)


def _subject(notices: Sequence[Notice], title: str) -> str:
    names = list(dict.fromkeys(one.subject for one in notices if one.subject != title))
    if not names:
        return title or notices[0].subject
    if title and len(names) > _MAX_NAMED:
        return f"{title}, {len(names)} cases"
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more + (f" on {title}" if title else "")
