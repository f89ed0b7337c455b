"""Words of options over the history: times and metrics, and what a shell offers for them; one clear error each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from devbench.text import parts_of

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


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

    chosen, known = parts_of(texts), shown_in("comparison")
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
    names = dict.fromkeys(["latest", "previous", *(run.run_id for run in known), *labels])
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
