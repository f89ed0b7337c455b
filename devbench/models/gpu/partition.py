"""Which operators would run on the GPU: the parts that the runtime cuts a graph into, and the largest of them.

The runtime gathers operators that are ready, as long as there is one of the same kind (GPU or CPU), then those of the
other kind, in turns; the first operator that is ready decides which kind begins. Operators with effects other than
their outputs (variables, tables, loops, branches) stay in their order. The delegate takes only the largest part
(`--max_delegated_partitions=1`). This is an estimate: what a driver cannot build is known only on the device.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from devbench.models.gpu.check import Checked, worst
from devbench.models.gpu.context import Context
from devbench.models.gpu.refusals import HARMLESS, GpuEffect, Refusal
from devbench.models.graph.view import OperatorView

_WITH_EFFECTS = frozenset({"IF", "WHILE", "CALL_ONCE"})
_RESOURCES = frozenset({"resource", "variant"})


@dataclass(frozen=True, slots=True)
class GpuEstimate:
    """What the delegate would take.

    Attributes:
        operators: of the graph.
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


def estimate_model(graphs: tuple[Checked, ...], max_parts: int = 1) -> GpuEstimate:
    """What the delegate would take of a model's main graph; a failure in any graph is one of the model."""
    first, *others = (estimate(graph, max_parts) for graph in graphs)
    unloadable = (one for graph in graphs for one in graph.refusals if one.effect is GpuEffect.UNLOADABLE)
    blocked = next(unloadable, None) or next((one.blocked_by for one in (first, *others) if one.blocked_by), None)
    delegated = 0 if blocked else first.delegated
    return GpuEstimate(first.operators, first.accepted, first.parts, delegated, blocked)


def estimate(checked: Checked, max_parts: int = 1) -> GpuEstimate:
    """What the delegate would take of one graph, `max_parts` being the tool's `max_delegated_partitions`."""
    graph, refusals, context = checked.context.graph, checked.refusals, checked.context
    stopping = {refusal.operator.index: refusal for refusal in refusals if refusal.effect is GpuEffect.STOPS}
    cpu = {refusal.operator.index for refusal in refusals if refusal.effect not in (*HARMLESS, GpuEffect.STOPS)}
    free = {operator.index for operator in graph.operators if context.is_free(operator)}
    # A constant that is widened from fp16 counts as delegated only where nothing at all is refused.
    cpu = cpu | free if cpu - free else cpu
    parts = sorted(_parts(context, cpu), key=len, reverse=True) if cpu else [[one.index for one in graph.operators]]
    taken = {index for part in parts[:max_parts] for index in part}
    blocked = worst(refusals) or next((stopping[index] for index in sorted(taken) if index in stopping), None)
    return GpuEstimate(
        operators=len(graph.operators),
        accepted=sum(map(len, parts)),
        parts=tuple(map(len, parts)) if graph.operators else (),
        delegated=0 if blocked else len(taken),
        blocked_by=blocked,
    )


def _has_effects(operator: OperatorView) -> bool:
    tensors = (*operator.inputs, *operator.outputs)
    return operator.type in _WITH_EFFECTS or any(one is not None and one.dtype in _RESOURCES for one in tensors)


def _parts(context: Context, outside: Collection[int]) -> list[list[int]]:
    """The parts of the operators that are not `outside`."""
    waiting_for: dict[int, int] = {}
    readers: dict[int, list[int]] = defaultdict(list)
    before: int | None = None
    for operator in context.graph.operators:
        made_by = (context.makers.get(tensor.index) for tensor in operator.inputs if tensor is not None)
        sources = {maker.index for maker in made_by if maker is not None}
        if _has_effects(operator):
            sources |= set() if before is None else {before}
            before = operator.index
        waiting_for[operator.index] = len(sources)
        for source in sources:
            readers[source].append(operator.index)
    ready: tuple[list[int], list[int]] = ([], [])  # for the CPU, for the GPU
    order = [index for index, count in waiting_for.items() if not count]
    for index in order:
        ready[index not in outside].append(index)
    turn = bool(order) and order[0] not in outside
    parts: list[list[int]] = []
    while any(ready):
        part: list[int] = []
        while ready[turn]:
            index = ready[turn].pop()
            part.append(index)
            for reader in readers[index]:
                waiting_for[reader] -= 1
                if not waiting_for[reader]:
                    ready[reader not in outside].append(reader)
        if turn and part:
            parts.append(part)
        turn = not turn
    return parts
