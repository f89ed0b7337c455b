"""Finds the runs of both sides of a comparison from the texts that users give: ids, labels, dates, files."""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from devbench.errors import InputError
from devbench.findings.comparison import ComparisonReport, ComparisonSettings
from devbench.findings.comparison_build import build_comparison
from devbench.results.history import History
from devbench.results.run_files import read_run
from devbench.results.store import Store
from devbench.text import parts_of

PREVIOUS = "previous"
# The number of earlier runs in which `previous` is searched.
_MAX_LOOKED_BACK = 200


def compare(
    baseline: str, candidate: str, store_url: str | None, settings: ComparisonSettings | None = None
) -> ComparisonReport:
    """Compare two sides.

    Args:
        baseline, candidate: a run's id or its start, `latest`, `previous`, a label, a date or FROM..TO, a file of a
            run's JSON, or a folder of an export.
        settings: devices and models as users name them: parts of titles, ends of keys.

    Raises:
        InputError: a side names no run, both name the same one, a filter names nothing, or they have no case in common.
    """
    rules = settings or ComparisonSettings()
    with choose_sides(baseline, candidate, store_url) as (before, after):
        histories = [before.history, after.history]
        rules = replace(
            rules, devices=device_keys(histories, rules.devices), models=model_names(histories, rules.models)
        )
        report = build_comparison(
            before.history,
            before.run_ids,
            after.run_ids,
            rules,
            titles=(before.title, after.title),
            candidate_history=after.history,
        )
    if not report.rows and not report.failures and not report.fixed:
        raise InputError("the two sides have no case in common", hint=_hint(report, rules))
    return report


def _hint(report: ComparisonReport, settings: ComparisonSettings) -> str:
    if settings.devices or settings.models or settings.delegates:
        return "check --device, --model and --delegate against `devbench show`"
    devices = {side: {one.device for one in report.one_sided if one.side == side} for side in ("baseline", "candidate")}
    if devices["baseline"].isdisjoint(devices["candidate"]):
        return "they were measured on different devices"
    return "they measured other models, delegates or threads"


@dataclass(frozen=True, slots=True)
class RunsOfSide:
    """The runs of a side, and their store."""

    title: str
    history: History
    run_ids: tuple[str, ...]


@contextmanager
def choose_sides(baseline: str, candidate: str, store_url: str | None) -> Iterator[tuple[RunsOfSide, RunsOfSide]]:
    """Open both sides of a comparison. A file is read into a temporary store, which is deleted afterwards.

    Raises:
        InputError: a side names no run, or both name the same one.
    """
    with ExitStack() as stack:
        after = _chosen(candidate, stack, store_url)
        if baseline == PREVIOUS:
            history = stack.enter_context(History(store_url))
            before = RunsOfSide(baseline, history, (_before(history, after),))
        else:
            before = _chosen(baseline, stack, store_url)
        both = set(before.run_ids) & set(after.run_ids)
        if both:
            which = next(iter(sorted(both)))
            raise InputError(f"run {which} is on both sides", hint="compare two different runs, see `devbench runs`")
        yield before, after


def _chosen(text: str, stack: ExitStack, store_url: str | None) -> RunsOfSide:
    # The text is too long for a file name.
    with suppress(OSError):
        if Path(text).exists():
            return _of_file(Path(text), stack)
    if Path(text).suffix == ".json" or "/" in text:
        raise InputError(f"there is no file {text}", hint="give a run, a label key=value, a date, or a file")
    history = stack.enter_context(History(store_url))
    return RunsOfSide(text, history, history.find_runs(text))


def _of_file(path: Path, stack: ExitStack) -> RunsOfSide:
    """Return a run's JSON file, or a folder of `devbench export` with all its runs."""
    from devbench.results.exchange.folder import import_folder, open_folder

    folder = open_folder(path) if path.is_dir() else None
    view = None if folder is not None else read_run(path)
    url = str(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="devbench-compare-"))) / "results.db")
    with Store(url) as store:
        if folder is not None:
            import_folder(store, folder)
        elif view is not None:
            store.add_run(view)
    history = stack.enter_context(History(url))
    return RunsOfSide(path.name, history, tuple(history.runs()["run_id"]))


def _before(history: History, after: RunsOfSide) -> str:
    """Return the newest run before the candidate that measured any of its cases on the same device."""

    def cases(history: History, run_ids: Sequence[str]) -> set[tuple[str, str]]:
        jobs = history.jobs(runs=run_ids)
        jobs = jobs[jobs["ok"] > 0]
        return set(zip(jobs["device_key"], jobs["case"], strict=True))

    first = after.history.runs(runs=after.run_ids)["started_utc"].min().to_pydatetime()
    wanted = cases(after.history, after.run_ids)
    earlier = [run.run_id for run in history.starts(until=first) if run.run_id not in after.run_ids]
    for run_id in reversed(earlier[-_MAX_LOOKED_BACK:]):
        if cases(history, (run_id,)) & wanted:
            return str(run_id)
    raise InputError(
        f"no run before {after.run_ids[0]} measured any of its cases on the same device",
        hint="name the baseline, see `devbench runs`",
    )


# The largest number of names in a hint.
_MAX_SHOWN = 10


def device_keys(histories: Sequence[History], texts: Sequence[str]) -> tuple[str, ...]:
    """Return the keys of the devices whose key is one of the texts, or whose title contains it.

    Raises:
        InputError: there is no such device in the store.
    """
    if not texts:
        return ()
    titles = {key: title for history in histories for key, title in history.device_titles().items()}
    found: dict[str, None] = {}
    for text in texts:
        exact = [key for key in titles if key == text]
        hits = exact or [key for key, title in titles.items() if text.casefold() in title.casefold()]
        if not hits:
            raise InputError(f"no device {text!r} in the store", hint=f"there are {', '.join(titles.values())}")
        found |= dict.fromkeys(hits)
    return tuple(found)


def model_names(histories: Sequence[History], texts: Sequence[str]) -> tuple[str, ...]:
    """Return the keys of the models that have one of these names or end in one: `model` selects `unet/model`.

    Raises:
        InputError: there is no such model in the store.
    """
    if not texts:
        return ()
    known = sorted({name for history in histories for name in history.model_names()})
    found: dict[str, None] = {}
    # A key may contain a comma.
    for text in (part for one in texts for part in ([one] if one in known else parts_of([one]))):
        hits = [name for name in known if name == text] or [name for name in known if name.endswith(f"/{text}")]
        if not hits:
            near = difflib.get_close_matches(text, known, n=1)
            shown = ", ".join(known[:_MAX_SHOWN]) + (", …" if len(known) > _MAX_SHOWN else "")
            raise InputError(
                f"no model {text!r} in the store", hint=f"did you mean {near[0]}?" if near else f"there are {shown}"
            )
        found |= dict.fromkeys(hits)
    return tuple(found)
