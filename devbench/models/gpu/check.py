"""Holds the rules against a graph: `check(graph)` gives every operator that the stock GPU delegate will not take.

The order within an operator is the delegate's own: is it known, its version, its own rules, then types and ranks; the
first that speaks is the reason that the tool would print. What only shows once the part is built comes after.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from devbench.models.gpu import layers, shapes
from devbench.models.gpu.context import Context, Finding
from devbench.models.gpu.cures import cure_for
from devbench.models.gpu.refusal import Effect, Refusal
from devbench.models.gpu.rules import KNOWN, RULES
from devbench.models.gpu.wrong import wrong_numbers
from devbench.models.graph_view import GraphView, OperatorView, TensorView

_ALLOWED_TYPES = frozenset({"float32", "float16", "int8", "uint8"})
# Operators with a runtime input or output of another type: which inputs, which outputs, and the type.
_OTHER_TYPES: dict[str, tuple[tuple[int, ...], tuple[int, ...], frozenset[str]]] = {
    "CAST": ((0,), (0,), frozenset({"int32", "bool"})),
    "GATHER": ((1,), (), frozenset({"int32"})),
    "ONE_HOT": ((0,), (), frozenset({"int32"})),
    "SELECT": ((0,), (), frozenset({"bool"})),
    "SELECT_V2": ((0,), (), frozenset({"bool"})),
    "LOGICAL_AND": ((0, 1), (0,), frozenset({"bool"})),
    **{name: ((), (0,), frozenset({"bool"})) for name in layers.COMPARISONS},
}
_NO_KERNEL = frozenset({"FLOOR", "FLOOR_DIV", "FLOOR_MOD"})


def check(graph: GraphView) -> tuple[Refusal, ...]:
    """The operators of a graph that the delegate was seen to refuse, in order, at most one reason each."""
    context = Context.of(graph)
    found = []
    for operator in graph.operators:
        finding = next(_findings(operator, context), None)
        if finding is not None:
            rule = RULES[finding.rule]
            found.append(Refusal(operator, rule, finding.detail, cure_for(operator, rule, context)))
    return tuple(found)


def _findings(operator: OperatorView, context: Context) -> Iterator[Finding]:
    """Everything against an operator, the reason that counts first."""
    yield from _loading(operator)
    yield from shapes.dynamic(operator, context)
    if context.is_free(operator):
        return
    known = KNOWN.get(operator.type)
    if known is None:
        rule = "broadcast-to" if operator.type == "BROADCAST_TO" else "unknown"
        yield Finding(rule, "the delegate does not know it")
        return
    if operator.version > known[0]:
        yield Finding("version", f"version {operator.version}, at most {known[0]} is taken")
    refused, stopping = layers.own_rules(operator, context)
    yield from refused
    yield from _ranks_and_types(operator)
    if operator.type in _NO_KERNEL:
        yield Finding("no-kernel", "it is accepted, and then has no OpenCL kernel")
    yield from stopping
    yield from shapes.common(operator, context)
    yield from wrong_numbers(operator, context)


def _loading(operator: OperatorView) -> Iterator[Finding]:
    if operator.custom:
        kind = "a TensorFlow operator (Flex)" if operator.type.startswith("Flex") else "a custom operator"
        yield Finding("custom", f"{kind} that the stock tool does not have")
    known = KNOWN.get(operator.type)
    if known is not None and operator.version > known[1]:
        yield Finding("runtime-version", f"version {operator.version}, the 2.14 runtime has at most {known[1]}")


def _ranks_and_types(operator: OperatorView) -> Iterator[Finding]:
    tensors = [tensor for tensor in (*operator.inputs, *operator.outputs) if tensor is not None]
    rank = max((tensor.rank for tensor in tensors), default=0)
    if rank > 4:
        yield Finding("rank", f"a tensor of rank {rank}, at most 4 is taken")
    inputs, outputs, types = _OTHER_TYPES.get(operator.type, ((), (), frozenset()))
    sides: list[tuple[int, TensorView | None, tuple[int, ...]]] = [
        *((number, tensor, inputs) for number, tensor in enumerate(operator.inputs)),
        *((number, tensor, outputs) for number, tensor in enumerate(operator.outputs)),
    ]
    for number, tensor, others in sides:
        if tensor is None or tensor.constant or tensor.shape == (0,) or tensor.dtype in _ALLOWED_TYPES:
            continue
        if number not in others or tensor.dtype not in types:
            yield Finding("type", f"{tensor.dtype} at run time")


@dataclass(frozen=True, slots=True)
class Outlook:
    """The worst that a graph's refusals bring, and which operator brings it."""

    effect: Effect | None
    refusal: Refusal | None


def worst(refusals: tuple[Refusal, ...]) -> Outlook:
    """The refusal that decides, `None` where nothing is refused. `STOPS` decides only within the delegated part."""
    for effect in (Effect.UNLOADABLE, Effect.STOPS_ALWAYS):
        for refusal in refusals:
            if refusal.effect is effect:
                return Outlook(effect, refusal)
    return Outlook(None, None)
