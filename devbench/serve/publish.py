"""`devbench publish`: the history of a store as a static site; writes files, knows no HTTP.

The site has an index, and a page for each model, device and change, in the form of reports. Links are relative and each
page is one file, so that it works below any path and from a disk. `site.json` has a digest of each page's data: a page
whose data did not change is not written again.
"""

from __future__ import annotations

import hashlib
import json
import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from devbench import __version__
from devbench.errors import InputError
from devbench.findings.changes import ChangesReport, DeviceChange, MeasuredSeries, ModelChange, Told
from devbench.forms.html import html
from devbench.forms.page import Link, policy
from devbench.grouped import grouped
from devbench.host.whole_files import write_whole, writing_to
from devbench.notices import VIRTUAL_NOTE
from devbench.sections.changes import changes_document, directions, series_section, sides_words, where_words
from devbench.sections.document import Document, Section
from devbench.sections.tables import LONG, Cell, Column, Table, number, table

MANIFEST = "site.json"
_FORMAT = "devbench-site-1"
_INDEX = "index.html"
_Text = Callable[[MeasuredSeries], str]
_PAGE = re.compile(r"(?:(?:models|devices|changes)/[a-z0-9-]{1,100}|index)\.html")
_SLUG = 60
_MAX_MANIFEST = 50_000_000


@dataclass(frozen=True, slots=True)
class PagesWritten:
    """Numbers of pages. `removed` pages have no data in the store any more."""

    written: int
    unchanged: int
    removed: int


@dataclass(frozen=True, slots=True)
class _Page:
    """A page: its place in the site, the data that its content depends on, and how it is made."""

    name: str
    data: object
    make: Callable[[], str]

    @property
    def digest(self) -> str:
        """Return a hash of the page's data and of the parts that all pages share."""
        return hashlib.sha256(f"{__version__}\n{policy()}\n{self.data!r}".encode("utf-8", "replace")).hexdigest()


def publish(report: ChangesReport, folder: Path) -> PagesWritten:
    """Write the pages whose data changed since the last call for this folder, and remove those without data.

    Raises:
        InputError: a file that no earlier call wrote is in the place of a page.
        EnvironmentProblem: the folder cannot be written.
    """
    pages = {page.name: page for page in _pages(report)}
    known = _known(folder)
    for name in pages:
        if name not in known and (folder / name).exists():
            raise InputError(f"{folder / name} is not a page of devbench", hint="name an empty folder")
    digests = {name: page.digest for name, page in pages.items()}
    changed = [name for name in pages if known.get(name) != digests[name] or not (folder / name).is_file()]
    gone = [name for name in known if name not in pages]
    with writing_to(folder):
        for part in ("models", "devices", "changes"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        # Pages that are about to be written belong to the site, also if this process is killed.
        _note(folder, {**known, **dict.fromkeys(changed, "")})
        # With this file, GitHub Pages publishes all files unchanged.
        (folder / ".nojekyll").touch()
        for name in changed:
            text = pages[name].make()
            write_whole(folder / name, lambda file, text=text: file.write(text))  # type: ignore[misc]
        for name in gone:
            (folder / name).unlink(missing_ok=True)
        if changed or gone:
            _note(folder, digests)
    return PagesWritten(len(changed), len(pages) - len(changed), len(gone))


def _known(folder: Path) -> dict[str, str]:
    """Return the digests of the pages of an earlier call; names that cannot be those of pages are left out."""
    try:
        with (folder / MANIFEST).open("rb") as file:
            found = json.loads(file.read(_MAX_MANIFEST))
        pages = found["pages"] if found["format"] == _FORMAT else {}
        return {name: str(digest) for name, digest in pages.items() if _PAGE.fullmatch(name)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _note(folder: Path, pages: Mapping[str, str]) -> None:
    text = json.dumps({"format": _FORMAT, "pages": dict(sorted(pages.items()))}, indent=0)
    write_whole(folder / MANIFEST, lambda file: file.write(text + "\n"))


def slug(text: str) -> str:
    """Return a unique file name for a text: its letters and digits, and a part of its hash."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_SLUG].strip("-")
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return f"{words}-{digest}" if words else digest


# -- pages ------------------------------------------------------------------------------------------------------------


def _pages(report: ChangesReport) -> Iterator[_Page]:
    for model, series in grouped((one.model, one) for one in report.series).items():
        events = [event for event in report.events if any(one.model == model for one, _ in event.members)]
        part = _part(report, series, events, [one for one in report.models if one.model == model])
        yield _of_part(f"models/{slug(model)}.html", model, part)
    for device, series in grouped((one.device_key, one) for one in report.series).items():
        events = [event for event in report.events if event.device_key == device]
        models = [one for one in report.models if any(series.device_key == device for series, _ in one.members)]
        part = _part(report, series, events, models)
        yield _of_part(f"devices/{slug(device)}.html", series[-1].device, part)
    for one in report.told:
        series = list({id(changed): changed for changed, _ in one.members}.values())
        alone = ([one], []) if isinstance(one, DeviceChange) else ([], [one])
        yield _of_part(_name(one), _title(one), _part(report, series, *alone))
    tables = (
        _grouped(report, "model", "all models and pipelines", lambda one: one.model, lambda one: one.model),
        _grouped(report, "device", "all devices", lambda one: one.device_key, lambda one: one.device),
        _changes(report),
    )
    title = changes_document(report, "html").headline
    yield _Page(_INDEX, (title, *((one.key, one.rows) for one in tables)), lambda: _index(report, tables))


def _part(
    report: ChangesReport,
    series: Sequence[MeasuredSeries],
    events: Sequence[DeviceChange],
    models: Sequence[ModelChange],
) -> ChangesReport:
    """Return the part of a report with these series; it does not depend on other series."""
    times = {run: time for one in series for run, time in zip(one.run_ids, one.times_utc, strict=True)}
    keys = {"", *(one.device_key for one in series)}
    return replace(
        report,
        series=tuple(series),
        events=tuple(events),
        models=tuple(models),
        drifts=tuple(one for one in report.drifts if one.device_key in keys),
        runs=len(times),
        first_utc=min(times.values(), default=None),
        last_utc=max(times.values(), default=None),
        virtual=any(one.virtual for one in series),
        notices=tuple(one for one in report.notices if one.device_key in keys),
        run_labels={run: labels for run, labels in report.run_labels.items() if run in times},
    )


def _of_part(name: str, title: str, part: ChangesReport) -> _Page:
    def make() -> str:
        document = changes_document(part, "html")
        document = replace(document, title=title, headline=f"{title}: {document.headline}")
        section = series_section(part, link=lambda kind, key: f"../{kind}/{slug(key)}.html")
        document = replace(document, sections=(*document.sections, section))
        return html(
            document, virtual_note=VIRTUAL_NOTE if part.virtual else "", links=(Link(f"../{_INDEX}", "All models"),)
        )

    told = [replace(one, members=()) for one in part.told]
    digests = [_digest(one) for one in part.series]
    return _Page(name, (title, told, part.drifts, part.notices, part.run_labels, digests), make)


def _digest(series: MeasuredSeries) -> str:
    """Return the digest of a series: all its values; its run ids are included instead of their times."""
    fields = (series.case_fields, series.metric, series.unit, series.operator_type, series.run_ids, series.changes)
    found = hashlib.sha256(repr(fields).encode("utf-8", "replace"))
    for numbers in (series.values, series.lows, series.highs):
        found.update(array("d", numbers).tobytes())
    return found.hexdigest()


def _index(report: ChangesReport, tables: Sequence[Table]) -> str:
    titles = {"changes": "Changes", "models": "Models", "devices": "Devices"}
    sections = tuple(Section(one.key, titles[one.key], (one,)) for one in tables)
    headline = changes_document(report, "html").headline
    document = Document("History", headline=f"History: {headline}", sections=sections)
    return html(document, virtual_note=VIRTUAL_NOTE if report.virtual else "", links=(Link(_INDEX, "All models"),))


# -- tables -----------------------------------------------------------------------------------------------------------


def _grouped(report: ChangesReport, title: str, caption: str, key: _Text, name: _Text) -> Table:
    """Return a row for each model or device, with a link to its page."""
    folder = f"{title}s"
    columns: tuple[Column[tuple[str, list[MeasuredSeries]]], ...] = (
        Column(title, lambda row: Cell(name(row[1][-1]), link=f"{folder}/{slug(row[0])}.html")),
        *_COUNTS,
    )
    return table(folder, caption, columns, sorted(grouped((key(one), one) for one in report.series).items()), LONG)


def _last(series: Sequence[MeasuredSeries]) -> Cell:
    times = [one.times_utc[-1] for one in series if one.times_utc]
    last: datetime | None = max(times, default=None)
    return number(None if last is None else last.timestamp(), "" if last is None else f"{last:%Y-%m-%d %H:%M}")


_COUNTS: tuple[Column[tuple[str, list[MeasuredSeries]]], ...] = (
    Column("series", lambda row: number(len(row[1]), str(len(row[1]))), numeric=True),
    Column(
        "changes",
        lambda row: number(count := sum(len(one.changes) for one in row[1]), str(count or "")),
        numeric=True,
    ),
    Column("last run (UTC)", lambda row: _last(row[1]), numeric=True),
)


def _changes(report: ChangesReport) -> Table:
    columns: tuple[Column[Told], ...] = (
        Column("date", lambda one: Cell(f"{one.sides.at_utc:%Y-%m-%d}", one.sides.at_utc.timestamp(), link=_name(one))),
        Column("what", _title),
        Column("change", lambda one: Cell("; ".join(directions(one)), kind="bad" if one.worse else "good"), wide=True),
        Column("what changed with it", lambda one: "; ".join(sides_words(one.sides)), wide=True),
    )
    told = sorted(report.told, key=lambda one: one.sides.at_utc, reverse=True)
    return table("changes", "changes, the newest first", columns, told, LONG)


def _title(told: Told) -> str:
    return told.device if isinstance(told, DeviceChange) else f"{told.model} {where_words(told)}"


def _name(told: Told) -> str:
    """Return the place of a change's page: its date and its subject; the same from night to night."""
    kind, what = ("device", told.device_key) if isinstance(told, DeviceChange) else ("model", told.model)
    first: Any = min((one.case, one.metric, one.operator_type, one.device_key) for one, _ in told.members)
    words = f"{what} {kind} {told.sides.at_utc:%Y-%m-%dT%H:%M:%S} {first}"
    return f"changes/{told.sides.at_utc:%Y-%m-%d}-{slug(words)}.html"
