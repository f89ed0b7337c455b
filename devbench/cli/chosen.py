"""What commands over the history choose: runs by words or files, devices by name, a time; one clear error line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devbench.results.history import History

PREVIOUS = "previous"
# So many runs back the one before the candidate is looked for.
_LOOKED_BACK = 200
# Of names in a hint.
_MOST_SHOWN = 10
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@dataclass(frozen=True, slots=True)
class ChosenRuns:
    """The runs of a side, and where they are kept."""

    title: str
    history: History
    run_ids: tuple[str, ...]


@contextmanager
def choose_sides(baseline: str, candidate: str, store_url: str | None) -> Iterator[tuple[ChosenRuns, ChosenRuns]]:
    """Both sides of a comparison; files are read into a store of their own, which is gone afterwards.

    Raises:
        InputError: a side names no run, or both name the same one.
    """
    from devbench.errors import InputError

    with ExitStack() as stack:
        after = _chosen(candidate, stack, store_url)
        if baseline == PREVIOUS:
            history = stack.enter_context(_opened(store_url))
            before = ChosenRuns(baseline, history, (_before(history, after),))
        else:
            before = _chosen(baseline, stack, store_url)
        both = set(before.run_ids) & set(after.run_ids)
        if both:
            which = next(iter(sorted(both)))
            raise InputError(f"run {which} is on both sides", hint="compare two different runs, see `devbench runs`")
        yield before, after


@contextmanager
def _opened(store_url: str | None) -> Iterator[History]:
    import devbench.results

    with devbench.results.open_history(store_url) as history:
        yield history


def _chosen(text: str, stack: ExitStack, store_url: str | None) -> ChosenRuns:
    # A text that is too long for a file's name is none.
    with suppress(OSError):
        if Path(text).exists():
            return _of_file(Path(text), stack)
    from devbench.errors import InputError

    if Path(text).suffix == ".json" or "/" in text:
        raise InputError(f"there is no file {text}", hint="give a run, a label key=value, a date, or a file")
    history = stack.enter_context(_opened(store_url))
    return ChosenRuns(text, history, history.find_runs(text))


def _of_file(path: Path, stack: ExitStack) -> ChosenRuns:
    """A run's JSON file, or a folder of `devbench export` with all its runs."""
    import tempfile

    import devbench.results
    from devbench.results.exchange.load import import_folder, open_folder
    from devbench.results.run_json import add_run, read_run
    from devbench.results.store import Store

    folder = open_folder(path) if path.is_dir() else None
    view = None if folder is not None else read_run(path)
    url = str(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="devbench-compare-"))) / "results.db")
    with Store(url) as store:
        if folder is not None:
            import_folder(store, folder)
        elif view is not None:
            add_run(store, view)
    history = stack.enter_context(devbench.results.open_history(url))
    return ChosenRuns(path.name, history, tuple(history.runs()["run_id"]))


def _before(history: History, after: ChosenRuns) -> str:
    """The newest run before the candidate that measured any of its cases on the same device."""
    from devbench.errors import InputError

    def cases(whose: History, run_ids: Sequence[str]) -> set[tuple[str, str]]:
        jobs = whose.jobs(runs=run_ids)
        jobs = jobs[jobs["ok"] > 0]
        return set(zip(jobs["device_key"], jobs["case"], strict=True))

    first = after.history.runs(runs=after.run_ids)["started_utc"].min().to_pydatetime()
    wanted = cases(after.history, after.run_ids)
    earlier = [run.run_id for run in history.starts(until=first) if run.run_id not in after.run_ids]
    for run_id in reversed(earlier[-_LOOKED_BACK:]):
        if cases(history, (run_id,)) & wanted:
            return str(run_id)
    raise InputError(
        f"no run before {after.run_ids[0]} measured any of its cases on the same device",
        hint="name the baseline, see `devbench runs`",
    )


@contextmanager
def many_rows() -> Iterator[None]:
    """No search for reference cycles: among millions of rows of numbers it takes a third of the time and finds none.

    Of a command that is done within a second, most of it importing, it takes a tenth.
    """
    import gc

    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            # What is there now is looked at no more: a search at the end would find nothing either.
            gc.freeze()
            gc.enable()


def choose_devices(histories: Sequence[History], texts: Sequence[str]) -> tuple[str, ...]:
    """The keys of the devices whose key is one of the texts, or whose title holds it.

    Raises:
        InputError: there is no such device in the store.
    """
    if not texts:
        return ()
    from devbench.errors import InputError

    titles = {key: title for history in histories for key, title in history.device_titles().items()}
    found: dict[str, None] = {}
    for text in texts:
        exact = [key for key in titles if key == text]
        hits = exact or [key for key, title in titles.items() if text.casefold() in title.casefold()]
        if not hits:
            raise InputError(f"no device {text!r} in the store", hint=f"there are {', '.join(titles.values())}")
        found |= dict.fromkeys(hits)
    return tuple(found)


def choose_models(histories: Sequence[History], texts: Sequence[str] | None) -> tuple[str, ...]:
    """The keys of the models that are called one of the texts, or whose key ends in one: `model` takes `unet/model`.

    Raises:
        InputError: there is no such model in the store.
    """
    if not texts:
        return ()
    import difflib

    from devbench.errors import InputError

    known = sorted({name for history in histories for name in history.model_names()})
    found: dict[str, None] = {}
    # A key may contain a comma.
    for text in (part for one in texts for part in ([one] if one in known else words([one]))):
        hits = [name for name in known if name == text] or [name for name in known if name.endswith(f"/{text}")]
        if not hits:
            near = difflib.get_close_matches(text, known, n=1)
            shown = ", ".join(known[:_MOST_SHOWN]) + (", …" if len(known) > _MOST_SHOWN else "")
            raise InputError(
                f"no model {text!r} in the store", hint=f"did you mean {near[0]}?" if near else f"there are {shown}"
            )
        found |= dict.fromkeys(hits)
    return tuple(found)


def words(texts: Sequence[str] | None) -> tuple[str, ...]:
    """The parts of options that may be given again and may hold commas."""
    return tuple(dict.fromkeys(part.strip() for text in texts or () for part in text.split(",") if part.strip()))


def moment(text: str | None, option: str) -> datetime | None:
    """A date, a time (`2026-11-20T21:00`, UTC without a zone), or how long ago: `12h`, `30d`, `8w`.

    Raises:
        InputError: it is none of these.
    """
    from devbench import numbers
    from devbench.errors import InputError

    if text is None:
        return None
    count, unit = numbers.whole(text[:-1], maximum=99_999), text[-1:]
    if count is not None and unit in _UNITS:
        return datetime.now(timezone.utc) - count * _UNITS[unit]
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise InputError(f"{option} {text!r} is no date", hint="for example 2026-11-20, or 30d for 30 days") from None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def metrics(texts: Sequence[str] | None, default: tuple[str, ...]) -> tuple[str, ...]:
    """Names of metrics.

    Raises:
        InputError: there is no such metric.
    """
    import difflib

    from devbench.errors import InputError
    from devbench.metrics import shown_in

    chosen, known = words(texts), shown_in("comparison")
    for name in chosen:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"metrics are {', '.join(known)}"
            raise InputError(f"--metric {name!r} is unknown", hint=hint)
    return chosen or default


def complete_runs(incomplete: str) -> list[str]:
    """Ids of runs and labels in the user's store, for tab completion."""
    from devbench.errors import DevbenchError
    from devbench.results.store import Store

    try:
        with Store(create=False) as store:
            known = store.runs(50)
    except DevbenchError:
        known = []
    labels = [f"{key}={value}" for run in known for key, value in run.labels.items()]
    names = dict.fromkeys(["latest", PREVIOUS, *(run.run_id for run in known), *labels])
    return [name for name in names if name.startswith(incomplete)]


def complete_models(incomplete: str) -> list[str]:
    """Keys of models in the user's store, for tab completion."""
    from devbench.errors import DevbenchError
    from devbench.results.store import Store

    try:
        with Store(create=False) as store:
            known = store.model_names()
    except DevbenchError:
        known = []
    return [name for name in known if name.startswith(incomplete)]


def complete_metrics(incomplete: str) -> list[str]:
    """Names of metrics, for tab completion."""
    from devbench.metrics import shown_in

    return [name for name in shown_in("comparison") if name.startswith(incomplete)]
