"""Which rewrite of devbench fixes a refusal: the rewrites are tried on the model in memory.

A rewrite fixes an operator if it removes the operator from the graph (and puts others in its place), or lowers its
version or its rank to one that the delegate takes. A rewrite that changes nothing in a model is never named.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from devbench.errors import DevbenchError
from devbench.models.gpu.cpu_rules import MAX_RANK
from devbench.models.gpu.refusals import Refusal
from devbench.models.gpu.rules import KNOWN
from devbench.models.graph.edit import Graph
from devbench.models.graph.file import load_model
from devbench.models.rewrites.catalogue import REWRITES, Rewrite, RewriteOptions

_Place = tuple[int, int]


def find_fixes(path: Path, refusals: tuple[Refusal, ...]) -> dict[_Place, str]:
    """The rewrite for each refused operator that has one, by the numbers of its graph and of itself."""
    wanted = {name for refusal in refusals for name in refusal.rule.fixes}
    found: dict[_Place, str] = {}
    for rewrite in REWRITES:
        if rewrite.name not in wanted:
            continue
        open_places = {
            (one.graph, one.operator.index)
            for one in refusals
            if rewrite.name in one.rule.fixes and (one.graph, one.operator.index) not in found
        }
        # A damaged model, or one that LiteRT does not run, has no fix.
        with suppress(DevbenchError):
            for place in _fixed(load_model(path), rewrite, open_places) if open_places else ():
                found[place] = rewrite.name
    return found


def _fixed(model: Any, rewrite: Rewrite, places: set[_Place]) -> list[_Place]:
    """Those of the operators at `places` that the rewrite fixes."""
    graphs = [Graph(model, number) for number in range(len(model.subgraphs))]
    before = [[(one, graph.version(one), _rank(graph, one)) for one in graph.operators()] for graph in graphs]
    if rewrite.matches is not None:
        fixed = [(number, place) for number, graph in enumerate(graphs) for place in rewrite.matches(graph)]
        return [place for place in fixed if place in places]
    if rewrite.apply is None:
        return []
    for graph in graphs:
        try:
            rewrite.apply(graph, RewriteOptions())
            graph.finish()
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError):
            return []
    return [place for place in _changed(graphs, before) if place in places]


def _changed(graphs: list[Graph], before: list[list[tuple[Any, int, int]]]) -> Iterator[_Place]:
    """The operators that are gone, or whose version or rank is now one that the delegate takes."""
    for number, (graph, operators) in enumerate(zip(graphs, before, strict=True)):
        left = {id(operator) for operator in graph.operators()}
        for place, (operator, version, rank) in enumerate(operators):
            now = graph.version(operator)
            is_lower = KNOWN.get(graph.kind(operator), 0) >= now < version
            if id(operator) not in left or is_lower or rank > MAX_RANK >= _rank(graph, operator):
                yield number, place


def _rank(graph: Graph, operator: Any) -> int:
    tensors = [number for number in (*operator.inputs, *operator.outputs) if number >= 0]
    return max((len(graph.shape(number)) for number in tensors), default=0)
