"""The pages of `devbench serve`: runs, a run, a comparison, the history; knows no HTTP.

Everything that a request names is checked before the store is asked. Pages are kept for a while, few of them.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timezone

import devbench.results
from devbench.errors import InputError
from devbench.findings.changes import ChangesSettings
from devbench.findings.changes_build import find_changes
from devbench.findings.comparison_build import build_comparison
from devbench.findings.pipeline import build_pipeline_report
from devbench.findings.run_build import build_report
from devbench.forms.html import Beside, changes_values, comparison_values, render_html
from devbench.forms.page import Frame, Link, Section, render
from devbench.metrics import shown_in
from devbench.notices import VIRTUAL_NOTE
from devbench.results.history import History
from devbench.results.pipelines import pipeline_sessions
from devbench.serve.site_tables import history_choices, run_table, series_links

_LINKS = (Link("/", "All runs"), Link("/history", "Change points"))
_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{2,79}\Z")
_MOST_TEXT = 200
_MOST_PAGES, _MOST_BYTES, _KEPT_S = 24, 64_000_000, 20.0


class NotFound(InputError):
    """There is no such page."""


class Site:
    """The pages of one store; to be used by one thread at a time.

    Args:
        url: of the store, as of `devbench.results.open_history`.
    """

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._kept: OrderedDict[tuple[str, tuple[tuple[str, str], ...]], tuple[float, bytes]] = OrderedDict()
        # A store that cannot be read is told before anything is served.
        with devbench.results.open_history(url):
            pass

    def page(self, path: str, query: Mapping[str, str]) -> bytes:
        """The page at a path.

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
        frame = history.runs()
        ids = [str(run_id) for run_id in frame["run_id"]]
        note = VIRTUAL_NOTE if bool(frame["virtual"].any()) else ""
        page = Frame("Runs", (), _LINKS, f"some of these runs are {note}" if note else "", forms=True)
        return render("runs.html", page, runs=run_table(frame), ids=list(reversed(ids))[:500], several=len(ids) > 1)

    def _run(self, history: History, run_id: str) -> str:
        if not _RUN_ID.match(run_id):
            raise NotFound("there is no such run")
        try:
            view = history.store.run(run_id)
        except InputError:
            raise NotFound("there is no such run") from None
        sessions = pipeline_sessions(history.store, view.run.run_id)
        pipelines = build_pipeline_report(view, sessions) if sessions else None
        return render_html(build_report(view), history.store.read_raw, Beside(pipelines=pipelines, links=_LINKS))

    def _compare(self, history: History, query: Mapping[str, str]) -> str:
        names = [query.get(name, "").strip() for name in ("baseline", "candidate")]
        if not all(names):
            raise InputError("a comparison needs baseline and candidate")
        before, after = (history.find_runs(name) for name in names)
        if set(before) & set(after):
            raise InputError("a run is on both sides")
        report = build_comparison(history, before, after, titles=(names[0], names[1]))
        page = Frame("Comparison", (), _LINKS, VIRTUAL_NOTE if report.virtual else "")
        return render("compare.html", page, **comparison_values(report))

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
        note = VIRTUAL_NOTE if changes.virtual else ""
        sections = (Section("history", "History"), Section("series", "Series"))
        page = Frame("Change points", sections, _LINKS, note, forms=True)
        asked = {**chosen, "metric": metric, "since": query.get("since", ""), "until": query.get("until", "")}
        return render(
            "history.html", page, choices={**choices, "metric": dict(zip(known, known, strict=True))}, asked=asked,
            series_table=series_links(changes), **changes_values(changes),
        )  # fmt: skip


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text[:40]!r} is no date, such as 2026-11-20") from None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)
