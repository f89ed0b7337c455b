"""What limits the numbers of a plan before anything ran: open shapes, one of several signatures, random outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from devbench.models.case_inputs import open_inputs, shape_words
from devbench.models.tensors import read_signatures
from devbench.notices import Effect, Notice, NoticeKind
from devbench.text import clean

if TYPE_CHECKING:
    from devbench.bench.outputs import Expected
    from devbench.bench.plan import Called, Case, Plan

# A user's own flags of the tool that say what the model is called with.
_SHAPE_FLAGS = frozenset({"input_layer_shape"})
_SIGNATURE_FLAGS = frozenset({"signature_to_run_for"})
_MAX_NAMES = 8


def plan_notices(plan: Plan, expected: Mapping[Called, Expected]) -> list[Notice]:
    """The notices of a plan's cases, each once; `expected` are outputs on this machine, where they are checked."""
    found: dict[Notice, None] = {}
    for case in {(one.subject, one.called): one for one in plan.cases}.values():
        flags = {name for name, _ in case.options.extra_flags}
        if not flags & _SHAPE_FLAGS:
            found |= dict.fromkeys(_open_shapes(case))
        if not plan.signatures_chosen and not flags & _SIGNATURE_FLAGS:
            found |= dict.fromkeys(_first_signature(case))
        if case.called in expected:
            found |= dict.fromkeys(_not_deterministic(case, expected[case.called]))
    return list(found)


def _open_shapes(case: Case) -> list[Notice]:
    shapes = dict(case.options.input_shapes)
    inputs = open_inputs(case.model.path, shapes, case.options.signature_graph)
    if not inputs:
        return []
    named = [f"{one.shown} ({shape_words(one.open_shape)}, measured as {shape_words(one.shape)})" for one in inputs]
    several = "s" if len(inputs) > 1 else ""
    example = f"--input-shape '{inputs[0].shown}={shape_words(inputs[0].open_shape)}'"
    return [
        Notice(
            NoticeKind.OPEN_SHAPES,
            case.subject,
            f"input{several} of open shape: {_listed(named)}; the latency applies to this size only",
            f"give the size of real inputs: {example} with a number for each ?",
            Effect.EXCLUDED,
        )
    ]


def _first_signature(case: Case) -> list[Notice]:
    signatures = read_signatures(case.model.path)
    if len({one.graph for one in signatures}) < 2:
        return []
    which = f"signature {case.options.signature}" if case.options.signature else "the main graph"
    names = _listed([one.name for one in signatures])
    return [
        Notice(
            NoticeKind.FIRST_OF_SEVERAL_SIGNATURES,
            case.subject,
            f"has {len(signatures)} signatures ({names}); only {which} is measured",
            "choose with --signature NAME, or measure each with --signature all",
        )
    ]


def _not_deterministic(case: Case, expected: Expected) -> list[Notice]:
    names = [expected.tensors.outputs[number].shown for number in sorted(expected.unsteady)]
    if not names:
        return []
    which = f"outputs {_listed(names)} differ" if len(names) > 1 else f"output {_listed(names)} differs"
    return [
        Notice(
            NoticeKind.NOT_DETERMINISTIC,
            case.subject,
            f"{which} from run to run on this computer with the same inputs, so values are not compared",
            "fix the seeds of the model's random operators to compare its outputs",
        )
    ]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMES
    return ", ".join([*map(clean, names[:_MAX_NAMES]), *([f"{more} more"] if more > 0 else [])])
