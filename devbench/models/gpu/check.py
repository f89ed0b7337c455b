"""Checks a model against the rules: `check(model)` gives every operator that the stock GPU delegate refuses.

The order is the tool's own: it loads the model and prepares each graph, then the delegate checks the graph and builds
the part that it takes. The first violation of an operator is the reason that the tool would print. The delegate gets
every graph of a model, also those of loops, branches and further signatures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from devbench.models.gpu import build_rules, cpu_rules, load_rules, wrong_results
from devbench.models.gpu.context import Context, Violation
from devbench.models.gpu.prepare_rules import Prepared, called_graphs, prepare
from devbench.models.gpu.refusals import GpuEffect, Refusal
from devbench.models.gpu.rules import RULES
from devbench.models.graph.view import ModelView, OperatorView

_VALIDATION = "VALIDATION:"
_MAX_DEPTH = 20


@dataclass(frozen=True, slots=True)
class Checked:
    """A graph with its context, and its refused operators."""

    context: Context
    refusals: tuple[Refusal, ...]


def check(model: ModelView) -> tuple[Checked, ...]:
    """Each graph of a model with the operators that the delegate was seen to refuse, one reason each."""
    prepared = _prepare_all(model)
    handed_over = set(_handed_over(model))
    checked = []
    for number, graph in enumerate(model.graphs):
        context = Context.of(graph, prepared[number].known, is_handed_over=number in handed_over)
        found = []
        for operator in graph.operators:
            violation = next(_violations(operator, context, prepared[number]), None)
            if violation is not None:
                found.append(Refusal(operator, RULES[violation.rule], violation.detail, number))
        if number == 0:
            found += _unused(model)
        checked.append(Checked(context, () if graph.name.startswith(_VALIDATION) else tuple(found)))
    return tuple(checked)


def _violations(operator: OperatorView, context: Context, prepared: Prepared) -> Iterator[Violation]:
    """Every rule that an operator breaks, the one that counts first."""
    yield from load_rules.violations(operator)
    if operator.index in prepared.violations:
        yield prepared.violations[operator.index]
    if context.is_free(operator):
        return
    yield from cpu_rules.violations(operator, context)
    # What stops the delegate is fatal, what only a driver refuses is not.
    stopping = build_rules.violations(operator, context)
    yield from sorted(stopping, key=lambda violation: RULES[violation.rule].effect is GpuEffect.DRIVER)
    yield from wrong_results.violations(operator, context)


def _unused(model: ModelView) -> Iterator[Refusal]:
    for operator in load_rules.unused_codes(model.codes, model.graphs):
        if any(load_rules.violations(operator)) and not operator.custom:
            detail = f"no operator uses it, and the tool does not know version {operator.version} of it"
            yield Refusal(operator, RULES["unused-code"], detail)


def _handed_over(model: ModelView) -> Iterator[int]:
    """The graphs whose inputs come from a loop or a branch."""
    for graph in model.graphs:
        for operator in graph.operators:
            called = called_graphs(operator)
            yield from called[1:] if operator.type == "WHILE" else called


def _prepare_all(model: ModelView) -> dict[int, Prepared]:
    """Every graph as the runtime prepares it, called graphs before their callers; graphs may call in circles."""
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
    """The refusal that ends the whole model, wherever it is; `STOPS` counts only in the delegated part."""
    for effect in (GpuEffect.UNLOADABLE, GpuEffect.STOPS_ALWAYS):
        for refusal in refusals:
            if refusal.effect is effect:
                return refusal
    return None
