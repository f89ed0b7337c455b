"""The answers of the rules and the analyzer as one object, and as JSON (docs/models.md has its keys).

A refusal gets the rewrite of devbench that fixes it: the rewrites are tried on the model in memory. A rewrite fixes an
operator if it removes the operator from the graph (and puts others in its place), or lowers its version or its rank to
one that the delegate takes. A rewrite that changes nothing in a model is never named.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from devbench.errors import DevbenchError
from devbench.models.gpu.analyzer import AnalyzerAnswer
from devbench.models.gpu.check import GpuEstimate, check, estimate_model
from devbench.models.gpu.context import shown
from devbench.models.gpu.cpu_rules import MAX_RANK
from devbench.models.gpu.rules import HARMLESS, KNOWN, SEEN_ON, GpuEffect, Refusal, Rule
from devbench.models.graph.edit import Graph
from devbench.models.graph.file import load_model
from devbench.models.graph.view import ModelView, OperatorView
from devbench.models.rewrites.apply import apply_rewrites
from devbench.models.rewrites.catalogue import REWRITES, Rewrite, RewriteOptions

_Place = tuple[int, int]
_SCHEMA = "devbench.gpu-check/2"
_ORDER = list(reversed(GpuEffect))
_MAX_PLACES = 3


@dataclass(frozen=True, slots=True)
class RefusalGroup:
    """Operators of one type that break one rule for one reason."""

    type: str
    rule: Rule
    detail: str
    fix: str
    operators: tuple[OperatorView, ...]
    graph: int = 0


@dataclass(frozen=True, slots=True)
class GpuReport:
    """What gpu-check finds for a model."""

    estimate: GpuEstimate
    refusals: tuple[Refusal, ...]
    groups: tuple[RefusalGroup, ...]
    analyzer: AnalyzerAnswer | None
    graphs: int

    @property
    def refused(self) -> int:
        """How many operators are refused; those that are taken and fail later do not count."""
        return sum(refusal.effect not in HARMLESS for refusal in self.refusals)


def make_report(
    model: ModelView, analyzer: AnalyzerAnswer | None, *, path: Path | None = None, max_parts: int = 1
) -> GpuReport:
    """The rules' answer for a model, and the analyzer's; fixes are named if the model's file is given."""
    checked = check(model)
    found = estimate_model(checked, max_parts)
    # The delegate checks one graph after the other, and stops at the one where it fails.
    last = found.blocked_by.graph if found.blocked_by else len(checked)
    refusals = tuple(refusal for graph in checked[: last + 1] for refusal in graph.refusals)
    if path is not None:
        fixes = _find_fixes(path, refusals)
        refusals = tuple(replace(one, fix=fixes.get((one.graph, one.operator.index), "")) for one in refusals)
    return GpuReport(found, refusals, _groups(refusals), analyzer, len(model.graphs))


def verdict(report: GpuReport) -> str:
    """The answer in one line."""
    found, effects = report.estimate, Counter(refusal.effect for refusal in report.refusals)
    doubt, wrong = effects[GpuEffect.DRIVER], effects[GpuEffect.WRONG]
    tail = f"; {doubt} of them do not build with every OpenCL driver" if doubt else ""
    tail += f"; {wrong} gave wrong numbers there" if wrong else ""
    if found.operators == 0:
        return "the model has no operators"
    if found.blocked_by is not None:
        return _blocked(found.blocked_by)
    if found.complete or not found.parts:
        return f"{'all' if found.complete else 'none of'} {found.operators} operators{tail}"
    if len(found.parts) == 1:
        return f"{found.delegated} of {found.operators} operators, in one part{tail}"
    largest = f"the largest, {found.parts[0]}," if found.delegated == found.parts[0] else f"{found.delegated} of them"
    found_in = f"{found.accepted} of {found.operators} operators in {len(found.parts)} parts"
    return f"{found_in}; {largest} would be delegated{tail}"


def _blocked(refusal: Refusal) -> str:
    where = f" of graph {refusal.graph}" if refusal.graph else ""
    name = f"operator {refusal.operator.index}{where} ({refusal.operator.type})"
    if refusal.operator.index < 0:
        name = f"operator code {refusal.operator.type} version {refusal.operator.version}, which no operator uses"
    if refusal.effect is GpuEffect.UNLOADABLE:
        return f"the tool cannot load the model: {name}"
    return f"nothing: the delegate fails at {name}"


def to_json(report: GpuReport, model: str) -> dict[str, Any]:
    """The object that `devbench models gpu-check --json` prints."""
    found, analyzer = report.estimate, report.analyzer
    return {
        "schema": _SCHEMA,
        "model": model,
        "verdict": verdict(report),
        "rules_seen_on": SEEN_ON,
        "graphs": report.graphs,
        "estimated": {
            "operators": found.operators,
            "accepted": found.accepted,
            "parts": list(found.parts),
            "delegated": found.delegated,
            "complete": found.complete,
            "blocked_by_graph": found.blocked_by.graph if found.blocked_by else None,
            "blocked_by_operator": found.blocked_by.operator.index if found.blocked_by else None,
        },
        "refused": report.refused,
        "wrong": sum(refusal.effect is GpuEffect.WRONG for refusal in report.refusals),
        "refusals": [
            {
                "graph": refusal.graph,
                "operator": refusal.operator.index,
                "type": refusal.operator.type,
                "version": refusal.operator.version,
                "rule": refusal.rule.name,
                "effect": refusal.effect.value,
                "reason": refusal.detail,
                "tool_says": refusal.rule.says,
                "fix": refusal.fix or None,
                "hint": refusal.rule.hint or None,
                "inputs": [None if one is None else list(one.shape) for one in refusal.operator.inputs],
                "outputs": [list(one.shape) for one in refusal.operator.outputs],
            }
            for refusal in report.refusals
        ],
        "analyzer": None
        if analyzer is None
        else {
            "compatible": analyzer.compatible,
            "warnings": list(analyzer.warnings),
            "tensorflow": analyzer.version or None,
            "note": analyzer.note or None,
        },
    }


def _groups(refusals: tuple[Refusal, ...]) -> tuple[RefusalGroup, ...]:
    groups: dict[tuple[str, str, str, str, int], list[Refusal]] = defaultdict(list)
    for one in refusals:
        groups[one.operator.type, one.rule.name, one.detail, one.fix, one.graph].append(one)
    made = [
        RefusalGroup(kind, several[0].rule, detail, fix, tuple(one.operator for one in several), graph)
        for (kind, _, detail, fix, graph), several in groups.items()
    ]
    return tuple(sorted(made, key=lambda group: (_ORDER.index(group.rule.effect), -len(group.operators), group.type)))


def _find_fixes(path: Path, refusals: tuple[Refusal, ...]) -> dict[_Place, str]:
    """The rewrite for each refused operator that has one, by the numbers of its graph and of itself."""
    found: dict[_Place, str] = {}
    for rewrite in REWRITES:
        places = {(one.graph, one.operator.index) for one in refusals if rewrite.name in one.rule.fixes} - found.keys()
        # A damaged model, or one that LiteRT does not run, has no fix.
        with suppress(DevbenchError):
            if places:
                found |= dict.fromkeys(places & _fixed(load_model(path), rewrite), rewrite.name)
    return found


def _fixed(model: Any, rewrite: Rewrite) -> set[_Place]:
    """The operators that the rewrite fixes."""
    if rewrite.matches is not None:
        graphs = enumerate(Graph(model, number) for number in range(len(model.subgraphs)))
        return {(number, place) for number, graph in graphs for place in rewrite.matches(graph)}
    before = _operators(model)
    apply_rewrites(model, [rewrite], RewriteOptions())
    after = {id(operator): now for operator, _, *now in _operators(model)}
    fixed = set()
    for operator, place, _, version, rank in before:
        highest, new_version, new_rank = after.get(id(operator), (0, 0, 0))
        # It is gone, or its version or rank is now one that the delegate takes.
        if highest >= new_version < version or rank > MAX_RANK >= new_rank:
            fixed.add(place)
    return fixed


def _operators(model: Any) -> list[tuple[Any, _Place, int, int, int]]:
    """Each operator, its place, the highest version that the delegate takes, its version and its largest rank."""
    found = []
    for number in range(len(model.subgraphs)):
        graph = Graph(model, number)
        for place, one in enumerate(graph.operators()):
            rank = max((len(graph.shape(tensor)) for tensor in (*one.inputs, *one.outputs) if tensor >= 0), default=0)
            highest = KNOWN.get(graph.kind(one), 0)
            found.append((one, (number, place), highest, graph.version(one), rank))
    return found


def places(group: RefusalGroup) -> str:
    """The first few places of a group: `#12 1×32×32×8×4, #30 …`, by the operator's number and its largest tensor."""
    named = []
    for operator in group.operators[:_MAX_PLACES]:
        tensors = [tensor for tensor in operator.tensors if not tensor.constant]
        largest = max(tensors, key=lambda tensor: (tensor.rank, tensor.elements), default=None)
        place = f"#{operator.index}" if operator.index >= 0 else "an operator code"
        named.append(place if largest is None else f"{place} {shown(largest)}")
    where = f"graph {group.graph}: " if group.graph else ""
    return where + ", ".join(named) + (", …" if len(group.operators) > _MAX_PLACES else "")
