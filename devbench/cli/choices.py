"""What a shell offers for arguments and options, and the values of options about the history: times and metrics.

The store, devices and models are loaded when a shell asks.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Annotated

import typer

from devbench import numbers
from devbench.cli.usage import several_of
from devbench.errors import DevbenchError, InputError
from devbench.metrics import shown_in

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_NEWEST = 50

Complete = Callable[[str], list[str]]


def moment(text: str | None, option: str, *, end: bool = False) -> datetime | None:
    """A month, a day, a time (`2026-11-20T21:00`, UTC without a zone), or how long ago: `12h`, `30d`, `8w`.

    `end`: the end of the month, day or minute, not its start.

    Raises:
        InputError: it is none of these.
    """
    if text is None:
        return None
    count, unit = numbers.whole(text[:-1], maximum=99_999), text[-1:]
    if count is not None and unit in _UNITS:
        return datetime.now(timezone.utc) - count * _UNITS[unit]
    from devbench.results.selection import moment as span_of

    try:
        return span_of(text.strip().replace(" ", "T"))[end]
    except InputError:
        raise InputError(f"{option} {text!r} is no date", hint="for example 2026-11-20, or 30d for 30 days") from None


def metrics(texts: Sequence[str] | None, default: tuple[str, ...]) -> tuple[str, ...]:
    """Names of metrics, `default` if none is given.

    Raises:
        InputError: there is no such metric.
    """
    return several_of("--metric", texts, shown_in("comparison")) or default


# -- completion -------------------------------------------------------------------------------------------------------


def complete(known: Callable[[], Iterable[str]]) -> Complete:
    """A shell's completion from the data that can be read."""

    def offered(incomplete: str) -> list[str]:
        found: dict[str, None] = {}
        with contextlib.suppress(DevbenchError):
            for name in known():
                found[name] = None
        return [name for name in found if name.startswith(incomplete)]

    return offered


def _run_ids() -> Iterator[str]:
    from devbench.results.store import Store

    yield "latest"
    with Store(create=False) as store:
        yield from (run.run_id for run in store.runs(_NEWEST))


def _runs() -> Iterator[str]:
    """Also words that mean several runs, for a comparison."""
    from devbench.results.store import Store

    yield from _run_ids()
    yield "previous"
    with Store(create=False) as store:
        yield from (f"{key}={value}" for run in store.runs(_NEWEST) for key, value in run.labels.items())


def _models() -> list[str]:
    from devbench.results.store import Store

    with Store(create=False) as store:
        return store.model_names()


def _devices() -> Iterator[str]:
    """Connected devices, virtual ones, tags."""
    from devbench.adb.server import AdbServer
    from devbench.bench.targets import typed_names
    from devbench.device.boards import PREFIX, all_tags, load_tags

    with contextlib.suppress(DevbenchError):
        yield from typed_names(AdbServer(), timeout_s=1.0)
    yield from ("virtual", "all")
    yield from (PREFIX + tag for tag in all_tags(load_tags()))


def _named(module: str, function: str) -> Complete:
    """A shell's completion from the names of what a function of devbench gives."""

    def known() -> Iterator[str]:
        for one in getattr(importlib.import_module(f"devbench.{module}"), function)():
            yield getattr(one, "name", one)

    return complete(known)


complete_run_ids, complete_runs, complete_models = complete(_run_ids), complete(_runs), complete(_models)
complete_serials, complete_metrics = complete(_devices), complete(lambda: shown_in("comparison"))
complete_delegates = _named("tool.delegates", "load_delegates")
complete_profiles = _named("device.profiles", "load_profiles")
complete_binaries, complete_offers = _named("tool.binaries", "installed"), _named("tool.manifest", "offers")


def complete_rewrites(incomplete: str) -> list[str]:
    """Names of rewrites, also behind a comma."""
    from devbench.models.rewrites.catalogue import rewrite_names

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in rewrite_names() if name.startswith(last)]


SkipOption = Annotated[list[str] | None, typer.Option(help="Without these rewrites.", autocompletion=complete_rewrites)]


def complete_signatures(context: typer.Context, incomplete: str) -> list[str]:
    """`all`, and the signatures of the models that were typed."""
    from devbench.models.files import model_path
    from devbench.models.tensors import read_signatures

    names = {"all": None}
    # While an option waits for its value, what was typed before it is not parsed yet.
    for model in context.params.get("models") or context.args:
        with contextlib.suppress(DevbenchError):
            names |= dict.fromkeys(one.name for one in read_signatures(model_path(model)))
    return [name for name in names if name.startswith(incomplete)]


# By the name of the option in the catalogue.
RUN_COMPLETION: Mapping[str, Callable[..., list[str]]] = {
    "device": complete_serials, "delegate": complete_delegates, "signature": complete_signatures,
    "resume": complete_run_ids,
}  # fmt: skip
