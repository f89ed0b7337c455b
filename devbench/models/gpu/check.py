"""Holds the rules against a model: `check(model)` gives every operator that the stock GPU delegate will not take.

The order is the tool's own: it loads the model, prepares each graph, the delegate looks the graph over, then it builds
the part that it takes. The first finding against an operator is the reason that the tool would print. The delegate is
handed every graph of a model, those of loops, branches and further signatures too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from devbench.models.gpu import building, loading, lookover
from devbench.models.gpu.context import Context, Finding
from devbench.models.gpu.preparing import Prepared, called_graphs, prepare
from devbench.models.gpu.refusal import Effect, Refusal
from devbench.models.gpu.rules import RULES
from devbench.models.gpu.wrong import wrong_numbers
from devbench.models.graph.view import ModelView, OperatorView

_VALIDATION = "VALIDATION:"
_MAX_DEPTH = 20


@dataclass(frozen=True, slots=True)
class Checked:
    """A graph with its surroundings, and what was found in it."""

    context: Context
    refusals: tuple[Refusal, ...]


def check(model: ModelView) -> tuple[Checked, ...]:
    """Each graph of a model with the operators that the delegate was seen to refuse, at most one reason each."""
    prepared = _prepare_all(model)
    handed_over = set(_handed_over(model))
    checked = []
    for number, graph in enumerate(model.graphs):
        context = Context.of(graph, prepared[number].known, is_handed_over=number in handed_over)
        found = []
        for operator in graph.operators:
            finding = next(_findings(operator, context, prepared[number]), None)
            if finding is not None:
                found.append(Refusal(operator, RULES[finding.rule], finding.detail, number))
        if number == 0:
            found += _unused(model)
        checked.append(Checked(context, () if graph.name.startswith(_VALIDATION) else tuple(found)))
    return tuple(checked)


def _findings(operator: OperatorView, context: Context, prepared: Prepared) -> Iterator[Finding]:
    """Everything against an operator, the reason that counts first."""
    yield from loading.operator_findings(operator)
    if operator.index in prepared.findings:
        yield prepared.findings[operator.index]
    if context.is_free(operator):
        return
    yield from lookover.refused(operator, context)
    # What stops the delegate is fatal, what only a driver refuses is not.
    stopping = list(building.stopping(operator, context))
    yield from sorted(stopping, key=lambda finding: RULES[finding.rule].effect is Effect.DRIVER)
    yield from wrong_numbers(operator, context)


def _unused(model: ModelView) -> Iterator[Refusal]:
    for operator in loading.unused_codes(model.codes, model.graphs):
        if any(loading.operator_findings(operator)) and not operator.custom:
            detail = f"no operator uses it, and the tool does not know version {operator.version} of it"
            yield Refusal(operator, RULES["unused-code"], detail)


def _handed_over(model: ModelView) -> Iterator[int]:
    """The graphs whose inputs a loop or a branch hands over."""
    for graph in model.graphs:
        for operator in graph.operators:
            called = called_graphs(operator)
            yield from called[1:] if operator.type == "WHILE" else called


def _prepare_all(model: ModelView) -> dict[int, Prepared]:
    """Every graph as the runtime prepares it, those that others run first; a model whose graphs run in circles too."""
    done: dict[int, Prepared] = {}

    def visit(number: int, depth: int) -> None:
        if number in done or not 0 <= number < len(model.graphs) or depth > _MAX_DEPTH:
            return
        graph = model.graphs[number]
        done[number] = Prepared(frozenset(), {})
        for operator in graph.operators:
            for called in called_graphs(operator):
                visit(called, depth + 1)
        done[number] = prepare(graph, done, model.graphs)

    for number in range(len(model.graphs)):
        visit(number, 0)
    return done


def worst(refusals: tuple[Refusal, ...]) -> Refusal | None:
    """The refusal that ends the whole model, wherever it stands; `STOPS` decides only within the delegated part."""
    for effect in (Effect.UNLOADABLE, Effect.STOPS_ALWAYS):
        for refusal in refusals:
            if refusal.effect is effect:
                return refusal
    return None
