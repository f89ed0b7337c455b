"""From a suite to its plan, and how long the plan takes by what its cases took before; knows no command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from devbench.bench.planning import make_plan
from devbench.bench.suite import RemoteModel, Suite, located
from devbench.errors import InputError
from devbench.models.files import GivenModel, fetch_model, open_models
from devbench.options import RunOptions

if TYPE_CHECKING:
    from devbench.bench.plan import Plan
    from devbench.results.store import Store

# What a process takes in addition to its inferences, if no earlier run of the case is stored.
_START_S = 1.5


def suite_plan(suite: Suite) -> Plan:
    """What the suite asks for; models that are to be fetched are fetched.

    Raises:
        InputError: names the file, the line and the key of what a run would refuse.
    """
    models = tuple(
        GivenModel(str(fetch_model(m.url, m.sha256)), m.name, _source(m.url)) if isinstance(m, RemoteModel) else m
        for m in suite.models
    )
    try:
        _check_reference(suite, models)
        return make_plan(
            RunOptions(**suite.options), models=models, base=suite.path.parent, thresholds=suite.thresholds
        )
    except InputError as error:
        raise located(suite, error) from None


def expected_durations(store: Store, plan: Plan) -> list[tuple[float, bool]]:
    """For each case the seconds that it takes on a device, and whether they are from earlier runs (else guessed)."""
    return [_expected(store, plan, number) for number in range(len(plan.cases))]


def _expected(store: Store, plan: Plan, number: int) -> tuple[float, bool]:
    case = plan.cases[number]
    model, delegate = case.model.name, case.delegate.name
    before = store.typical_duration_s(model, delegate, via=plan.via, case=case.text(plan.via))
    if before is None:
        # Most of a process is what --min-secs asks for, so other threads or shapes are a good guess.
        before = store.typical_duration_s(model, delegate, via=plan.via)
    each = before if before is not None else _START_S + case.options.warmup_min_secs + case.options.min_secs
    return each * plan.limits.steps, before is not None


def _source(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname or ''}{unquote(parts.path)}"


def _check_reference(suite: Suite, models: Sequence[GivenModel]) -> None:
    """A reference that nothing measures would correct nothing."""
    reference = suite.labels.get("reference")
    if reference is None:
        return
    names = [model.name for model in open_models(models, suite.path.parent)]
    if reference not in names:
        raise InputError(
            f"suite {suite.path}: reference {reference!r} is not one of its models", hint=f"use {', '.join(names)}"
        )
