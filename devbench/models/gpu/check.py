"""What the stock GPU delegate refuses of a model, and which operators would run on the GPU.

`check(model)` gives for each graph the operators that the delegate refuses, each with the reason. The order is the
tool's own: it loads the model and prepares each graph, then the delegate checks the graph and builds the part that it
takes. The first violation of an operator is the reason that the tool would print. The delegate gets every graph of a
model, also those of loops, branches and further signatures.

`estimate_model(checked)` gives the parts that the runtime cuts a graph into, and the largest of them. The runtime
gathers operators that are ready, as long as there is one of the same kind (GPU or CPU), then those of the other kind,
in turns; the first operator that is ready decides which kind begins. Operators with effects other than their outputs
(variables, tables, loops, branches) stay in their order. The delegate takes only the largest part
(`--max_delegated_partitions=1`). This is an estimate: what a driver cannot build is known only on the device.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from devbench.models.gpu import build_rules, cpu_rules, wrong_results
from devbench.models.gpu.context import Context, Violation, run_checks
from devbench.models.gpu.rules import HARMLESS, RULES, GpuEffect, Refusal
from devbench.models.gpu.runtime_rules import Prepared, called_graphs, load_violations, prepare, unused_codes
from devbench.models.graph.view import ModelView, OperatorView

_VALIDATION = "VALIDATION:"
_MAX_DEPTH = 20
_FATAL = (GpuEffect.UNLOADABLE, GpuEffect.STOPS_ALWAYS)
_WITH_EFFECTS = frozenset({"IF", "WHILE", "CALL_ONCE"})
_RESOURCES = frozenset({"resource", "variant"})


@dataclass(frozen=True, slots=True)
class CheckedGraph:
    """A graph with its context, and its refused operators."""

    context: Context
    refusals: tuple[Refusal, ...]


def check(model: ModelView) -> tuple[CheckedGraph, ...]:
    """Each graph of a model with the operators that the delegate refuses, one reason each."""
    prepared = _prepare_all(model)
    # The graphs whose inputs come from a loop or a branch; the condition of a loop does not count.
    operators = [operator for graph in model.graphs for operator in graph.operators]
    handed_over = {number for one in operators for number in called_graphs(one)[one.type == "WHILE" :]}
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
        checked.append(CheckedGraph(context, () if graph.name.startswith(_VALIDATION) else tuple(found)))
    return tuple(checked)


def _violations(operator: OperatorView, context: Context, prepared: Prepared) -> Iterator[Violation]:
    """Every rule that an operator breaks, in the order in which the tool would find them."""
    yield from load_violations(operator)
    if operator.index in prepared.violations:
        yield prepared.violations[operator.index]
    if context.is_free(operator):
        return
    yield from cpu_rules.violations(operator, context)
    # Violations that stop the delegate come before those that only some drivers have.
    stopping = build_rules.violations(operator, context)
    yield from sorted(stopping, key=lambda violation: RULES[violation.rule].effect is GpuEffect.DRIVER)
    yield from run_checks(wrong_results.CHECKS, operator, context)


def _unused(model: ModelView) -> Iterator[Refusal]:
    for operator in unused_codes(model):
        if any(load_violations(operator)) and not operator.custom:
            detail = f"no operator uses it, and the tool does not support its version {operator.version}"
            yield Refusal(operator, RULES["unused-code"], detail)


def _prepare_all(model: ModelView) -> dict[int, Prepared]:
    """Every graph as the runtime prepares it, called graphs before their callers; graphs may call each other."""
    done: dict[int, Prepared] = {}

    def visit(number: int, depth: int) -> None:
        if number not in done and 0 <= number < len(model.graphs) and depth <= _MAX_DEPTH:
            done[number] = Prepared(frozenset(), {})
            for called in (called for operator in model.graphs[number].operators for called in called_graphs(operator)):
                visit(called, depth + 1)
            done[number] = prepare(model.graphs[number], done, model.graphs)

    for number in range(len(model.graphs)):
        visit(number, 0)
    return done


@dataclass(frozen=True, slots=True)
class GpuEstimate:
    """What the delegate would take.

    Attributes:
        operators: the number of operators of the graph.
        accepted: operators that the delegate would take.
        parts: the parts that these make, as numbers of operators, the largest first.
        delegated: the operators that would run on the GPU.
        blocked_by: the refusal that keeps the whole model off the GPU, `None` without one.
    """

    operators: int
    accepted: int
    parts: tuple[int, ...]
    delegated: int
    blocked_by: Refusal | None = None

    @property
    def complete(self) -> bool:
        """Whether the whole graph would run on the GPU."""
        return self.blocked_by is None and 0 < self.operators == self.delegated


def estimate_model(graphs: tuple[CheckedGraph, ...], max_parts: int = 1) -> GpuEstimate:
    """What the delegate would take of a model's main graph; a failure in any graph is a failure of the model."""
    first, *others = (estimate(graph, max_parts) for graph in graphs)
    unloadable = (one for graph in graphs for one in graph.refusals if one.effect is GpuEffect.UNLOADABLE)
    blocked = next(unloadable, None) or next((one.blocked_by for one in (first, *others) if one.blocked_by), None)
    delegated = 0 if blocked else first.delegated
    return GpuEstimate(first.operators, first.accepted, first.parts, delegated, blocked)


def estimate(checked: CheckedGraph, max_parts: int = 1) -> GpuEstimate:
    """What the delegate would take of one graph; `max_parts` is the tool's `max_delegated_partitions`."""
    context, refusals = checked.context, checked.refusals
    graph = context.graph
    stopping = {refusal.operator.index: refusal for refusal in refusals if refusal.effect is GpuEffect.STOPS}
    cpu = {refusal.operator.index for refusal in refusals if refusal.effect not in (*HARMLESS, GpuEffect.STOPS)}
    free = {operator.index for operator in graph.operators if context.is_free(operator)}
    # A constant that is widened from fp16 counts as delegated only if nothing is refused.
    cpu = cpu | free if cpu - free else cpu
    parts = sorted(_parts(context, cpu), key=len, reverse=True) if cpu else [[one.index for one in graph.operators]]
    taken = {index for part in parts[:max_parts] for index in part}
    # `STOPS` counts only in the delegated part, the other two anywhere.
    fatal = [one for effect in _FATAL for one in refusals if one.effect is effect]
    blocked = next(iter([*fatal, *(stopping[index] for index in sorted(taken) if index in stopping)]), None)
    return GpuEstimate(
        operators=len(graph.operators),
        accepted=sum(map(len, parts)),
        parts=tuple(map(len, parts)) if graph.operators else (),
        delegated=0 if blocked else len(taken),
        blocked_by=blocked,
    )


def _parts(context: Context, outside: Collection[int]) -> list[list[int]]:
    """The parts of the operators that are not `outside`."""
    sorter: TopologicalSorter[int] = TopologicalSorter()
    before: tuple[int, ...] = ()
    for operator in context.graph.operators:
        makers = [maker.index for maker in map(context.maker, operator.given) if maker is not None]
        has_effects = operator.type in _WITH_EFFECTS or any(one.dtype in _RESOURCES for one in operator.tensors)
        sorter.add(operator.index, *makers, *(before if has_effects else ()))
        before = (operator.index,) if has_effects else before
    # In a damaged model, operators may wait for each other; they are never ready.
    with suppress(CycleError):
        sorter.prepare()
    ready = [*sorter.get_ready()]
    on_gpu = bool(ready) and ready[0] not in outside
    parts: list[list[int]] = []
    while ready:
        part: list[int] = []
        while taken := {index for index in ready if (index not in outside) is on_gpu}:
            part += taken
            sorter.done(*taken)
            ready = [*(index for index in ready if index not in taken), *sorter.get_ready()]
        if on_gpu and part:
            parts.append(part)
        on_gpu = not on_gpu
    return parts
