"""The pages of `devbench serve`: runs, a run, a comparison, the history; knows no HTTP.

All names in a request are checked before the store is read. A few pages are cached.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from urllib.parse import urlencode

import devbench.results
from devbench.errors import InputError
from devbench.findings.changes import ChangesSettings, MeasuredSeries
from devbench.findings.changes_build import find_changes
from devbench.findings.comparison_build import build_comparison
from devbench.findings.run_build import build_report
from devbench.findings.subject import pipelines_of, readable
from devbench.forms.html import html
from devbench.forms.page import Link
from devbench.metrics import shown_in
from devbench.notices import VIRTUAL_NOTE
from devbench.results.history import History
from devbench.sections.changes import changes_document, series_section
from devbench.sections.comparison import comparison_document
from devbench.sections.run import run_document
from devbench.sections.runs import runs_document
from devbench.sections.subjects import RunSubject
from devbench.sections.tables import Cell, Column
from devbench.serve.metrics import exposition

_LINKS = (Link("/", "All runs"), Link("/history", "Change points"))
_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{2,79}\Z")
_MOST_TEXT = 200
_MAX_OFFERED = 500
_MOST_PAGES, _MOST_BYTES, _KEPT_S = 24, 64_000_000, 20.0


class NotFound(InputError):
    """There is no such page."""


class Site:
    """The pages of one store; to be used by one thread at a time.

    Args:
        url: the store's address, as for `devbench.results.open_history`.
    """

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._kept: OrderedDict[tuple[str, tuple[tuple[str, str], ...]], tuple[float, bytes]] = OrderedDict()
        # A store that cannot be read is an error before anything is served.
        with devbench.results.open_history(url):
            pass

    def page(self, path: str, query: Mapping[str, str]) -> bytes:
        """Return the page at a path.

        Raises:
            NotFound: there is none.
            InputError: a parameter makes no sense.
        """
        key = (path, tuple(sorted(query.items())))
        kept = self._kept.get(key)
        if kept is not None and time.monotonic() - kept[0] < _KEPT_S:
            self._kept.move_to_end(key)
            return kept[1]
        made = self._made(path, query).encode("utf-8", "replace")
        self._kept[key] = (time.monotonic(), made)
        self._kept.move_to_end(key)
        while len(self._kept) > _MOST_PAGES or (
            len(self._kept) > 1 and sum(len(page) for _, page in self._kept.values()) > _MOST_BYTES
        ):
            self._kept.popitem(last=False)
        return made

    def metrics(self) -> bytes:
        """Return the metrics for Prometheus as OpenMetrics text.

        Raises:
            EnvironmentProblem: prometheus-client is missing.
        """
        with devbench.results.open_history(self._url) as history:
            return exposition(history)

    def _made(self, path: str, query: Mapping[str, str]) -> str:
        allowed = {"/": (), "/history": ("device", "model", "delegate", "metric", "since", "until", "case"),
                   "/compare": ("baseline", "candidate")}.get(path, ())  # fmt: skip
        for name, value in query.items():
            if name not in allowed:
                raise InputError(f"there is no parameter {name[:40]!r} here")
            if len(value) > _MOST_TEXT:
                raise InputError(f"{name} is too long")
        with devbench.results.open_history(self._url) as history:
            if path == "/":
                return self._runs(history)
            if path == "/history":
                return self._history(history, query)
            if path == "/compare":
                return self._compare(history, query)
            if path.startswith("/run/"):
                return self._run(history, path.removeprefix("/run/"))
        raise NotFound("there is no such page")

    def _runs(self, history: History) -> str:
        runs = history.store.runs(None)
        note = f"some of these runs are {VIRTUAL_NOTE}" if any(run.virtual for run in runs) else ""
        ids = [run.run_id for run in runs[:_MAX_OFFERED]]
        document = runs_document(runs, "html")
        return html(document, virtual_note=note, links=_LINKS, forms=True, template="runs.html", ids=ids)

    def _run(self, history: History, run_id: str) -> str:
        if not _RUN_ID.match(run_id):
            raise NotFound("there is no such run")
        try:
            view = history.store.run(run_id)
        except InputError:
            raise NotFound("there is no such run") from None
        subject = RunSubject(build_report(view), pipelines=pipelines_of(history.store, view))
        note = subject.report.virtual_note
        return html(
            run_document(subject, "html"), readable(history.store.artifacts.read), virtual_note=note, links=_LINKS
        )

    def _compare(self, history: History, query: Mapping[str, str]) -> str:
        names = [query.get(name, "").strip() for name in ("baseline", "candidate")]
        if not all(names):
            raise InputError("a comparison needs baseline and candidate")
        before, after = (history.find_runs(name) for name in names)
        if set(before) & set(after):
            raise InputError("a run is on both sides")
        report = build_comparison(history, before, after, titles=(names[0], names[1]))
        document = replace(comparison_document(report, "html"), title="Comparison")
        return html(document, virtual_note=VIRTUAL_NOTE if report.virtual else "", links=_LINKS)

    def _history(self, history: History, query: Mapping[str, str]) -> str:
        choices = history_choices(history)
        metric, known = query.get("metric", "") or "latency", shown_in("history")
        if metric not in known:
            raise InputError(f"there is no metric {metric[:40]!r}")
        chosen = {name: query.get(name, "") for name in ("device", "model", "delegate", "case")}
        if chosen["device"] and chosen["device"] not in choices["device"]:
            raise InputError(f"there is no device {chosen['device'][:60]!r} in the store")
        settings = ChangesSettings(
            metrics=(metric,), since=_moment(query.get("since", "")), until=_moment(query.get("until", "")),
            **{f"{name}s": (value,) if value else () for name, value in chosen.items()},  # type: ignore[arg-type]
        )  # fmt: skip
        changes = find_changes(history, settings)
        document = changes_document(changes, "html")
        series = series_section(changes, Column("alone", _alone))
        document = replace(document, title="Change points", sections=(*document.sections, series))
        asked = {**chosen, "metric": metric, "since": query.get("since", ""), "until": query.get("until", "")}
        return html(
            document, virtual_note=VIRTUAL_NOTE if changes.virtual else "", links=_LINKS, forms=True,
            template="history.html", choices={**choices, "metric": {name: name for name in known}}, asked=asked,
        )  # fmt: skip


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text[:40]!r} is no date, such as 2026-11-20") from None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


# A filter offers what this number of the newest runs measured.
_LOOKED_AT = 20


def history_choices(history: History) -> dict[str, Mapping[str, str]]:
    """Return the filters for a history, from the newest runs: kind, value and label."""
    devices = history.devices()
    cases = history.jobs(runs=[run.run_id for run in history.store.runs(_LOOKED_AT)])
    return {
        "device": dict(zip(devices["device_key"], devices["device"], strict=True)),
        "model": {name: name for name in sorted(set(cases["model"]))},
        "delegate": {name: name for name in sorted(set(cases["delegate"]))},
    }


def _alone(series: MeasuredSeries) -> Cell:
    asked = {"device": series.device_key, "case": series.case, "metric": series.metric}
    return Cell("chart", link="/history?" + urlencode(asked))
