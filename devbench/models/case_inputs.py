"""What a model is called with: the shapes of its open inputs and which of its signatures; knows no tool and no device.

A dimension that the file leaves open has no size until a user gives one: the tool then uses 1, whose latency says
nothing about a real input.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from devbench.errors import InputError
from devbench.frozen import dataclass
from devbench.models.files import ModelFile
from devbench.models.tensors import ModelTensors, Signature, TensorSpec, read_signatures, read_tensors

ALL = "all"
# Shapes by the names of inputs; the empty name is that of a model's only input.
Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
_SHAPE = re.compile(r"\d{1,10}(?:[x×]\d{1,10}){0,15}")
_MAX_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class CaseInputs:
    """How a model is called.

    Attributes:
        shapes: the requested shapes by the names of the inputs; empty if none was requested.
        all_shapes: the shapes of all inputs in the graph's order; empty if none was requested.
        signature: its name if the model has several.
        graph: the number of the signature's subgraph; the tool runs subgraph 0 by default.
    """

    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    all_shapes: tuple[tuple[int, ...], ...] = ()
    signature: str | None = None
    graph: int = 0


def parse_shapes(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Shapes as typed: `NAME=1x224x224x3`, or `1x224x224x3` for a model with one input.

    Raises:
        InputError: one is not a shape, or an input has two.
    """
    found: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, _, shape = (part.strip() for part in text.rpartition("="))
        if not _SHAPE.fullmatch(shape.lower()):
            raise InputError(f"--input-shape {text!r} is not NAME=SHAPE", hint="for example image=1x224x224x3")
        sizes = tuple(map(int, re.split("[x×]", shape.lower())))
        if 0 in sizes:
            raise InputError(f"--input-shape {text!r} has a dimension of 0", hint="each is 1 or more")
        if found.setdefault(name, sizes) is not sizes:
            which = name or "the input"
            raise InputError(f"--input-shape {text!r}: {which} has a shape already", hint="leave one out")
    return found


def plan_inputs(
    models: Sequence[ModelFile], shapes: Sequence[Shapes], signatures: Sequence[str]
) -> dict[str, tuple[CaseInputs, ...]]:
    """How each model is called, by its key: every signature with every set of shapes.

    A set of shapes applies to the models that have such inputs, a signature to those that have it; each must apply to
    at least one model. A model without open inputs is called without shapes.

    Raises:
        InputError: a shape contradicts a fixed dimension or is too large; no model has such an input or signature.
    """
    found: dict[str, tuple[CaseInputs, ...]] = {}
    used: set[str] = set()
    refused: list[InputError] = []
    for model in models:
        known = read_signatures(model.path)
        several = len({one.graph for one in known}) > 1
        calls = [
            call
            for signature in _chosen(model, known, signatures)
            for call in _with_shapes(model, signature, several, shapes, used, refused)
        ]
        found[model.name] = tuple(dict.fromkeys(calls))
    names = dict.fromkeys(one.name for model in models for one in read_signatures(model.path))
    if missing := [name for name in signatures if name not in names and name != ALL]:
        hint = f"there are {', '.join(names)}" if names else "the models have no signatures"
        raise InputError(f"--signature {missing[0]}: no model has it", hint=hint)
    if unused := [name for one in shapes for name in one if name not in used]:
        if refused:
            raise refused[0]
        what = f"{unused[0]}: no model has such an input" if unused[0] else "needs a name: no model has one input only"
        inputs = {model.name: read_tensors(model.path).inputs for model in models[:3]}
        there = (
            f"{name} has {', '.join(f'{one.shown}={shape_words(one.open_shape or one.shape)}' for one in specs)}"
            for name, specs in inputs.items()
        )
        raise InputError(f"--input-shape {what}", hint="; ".join(there))
    return found


def called_tensors(path: Path, shapes: Shapes, graph: int = 0) -> ModelTensors:
    """The tensors at the edge of a graph, its inputs with the requested shapes.

    Raises:
        InputError: as `read_tensors`.
    """
    tensors = read_tensors(path, graph)
    return replace(
        tensors, inputs=tuple(replace(one, shape=_asked(one, shapes) or one.shape) for one in tensors.inputs)
    )


def open_inputs(path: Path, shapes: Shapes, graph: int = 0) -> tuple[TensorSpec, ...]:
    """The inputs with open dimensions and no requested shape; none if the file cannot be read."""
    try:
        tensors = read_tensors(path, graph)
    except InputError:
        return ()
    return tuple(one for one in tensors.inputs if one.open_shape and _asked(one, shapes) is None)


def _asked(spec: TensorSpec, shapes: Shapes) -> tuple[int, ...] | None:
    named = (shapes[name] for name in (spec.name, spec.alias) if name and name in shapes)
    return next(named, shapes.get(""))


def _chosen(model: ModelFile, known: Sequence[Signature], wanted: Sequence[str]) -> Sequence[Signature | None]:
    """The signatures of a model that are measured; `None` for its main graph if that has none."""
    names = {one.name: one for one in known}
    hits = [names[name] for name in wanted if name in names]
    graphs = {one.graph: one for one in reversed(known)}
    if ALL in wanted:
        # Two names of one subgraph are measured once.
        return [*graphs.values()][::-1] or [None]
    if wanted and len(graphs) > 1 and not hits:
        raise InputError(
            f"model {model.name} has no signature {wanted[0]!r}", hint=f"it has {', '.join(names)}, or use all"
        )
    return hits or [graphs.get(0)]


def _with_shapes(
    model: ModelFile,
    signature: Signature | None,
    several: bool,
    shapes: Sequence[Shapes],
    used: set[str],
    refused: list[InputError],
) -> list[CaseInputs]:
    """A graph with every set of shapes that applies to it, or without shapes; adds the names to `used`."""
    graph = signature.graph if signature is not None else 0
    plain = CaseInputs(signature=signature.name if signature is not None and several else None, graph=graph)
    inputs = read_tensors(model.path, graph).inputs if shapes else ()
    found = []
    for one in shapes:
        asked = [(spec, None if "" in one and len(inputs) > 1 else _asked(spec, one)) for spec in inputs]
        given = [(spec, shape) for spec, shape in asked if shape is not None]
        try:
            for spec, shape in given:
                _check(model, spec, shape)
        except InputError as error:
            if any(spec.open_shape for spec in inputs):
                raise
            refused.append(error)
            continue
        if given:
            used |= {name for spec, _ in given for name in ("", spec.name, spec.alias) if name in one}
            everything = tuple(spec.shape if shape is None else shape for spec, shape in asked)
            found.append(replace(plain, shapes=tuple((s.shown, shape) for s, shape in given), all_shapes=everything))
    return found or [plain]


def _check(model: ModelFile, spec: TensorSpec, shape: tuple[int, ...]) -> None:
    """Raises InputError if an input cannot have this shape."""
    fixed = spec.open_shape or spec.shape
    words = "x".join(map(str, shape))
    takes = shape_words(fixed)
    what = f"--input-shape {words} for input {spec.shown} of {model.name}"
    if len(shape) != len(fixed):
        raise InputError(f"{what} has {len(shape)} dimensions, the model {len(fixed)}", hint=f"it takes {takes}")
    if any(size not in (-1, wanted) for size, wanted in zip(fixed, shape, strict=True)):
        raise InputError(f"{what} contradicts the model's fixed dimensions", hint=f"it takes {takes}")
    size_bytes = math.prod(shape) * replace(spec, shape=(), dtype=spec.dtype or "uint8").size_bytes
    if size_bytes > _MAX_BYTES:
        raise InputError(
            f"{what} is {size_bytes / (1 << 30):,.1f} GiB",
            hint=f"at most {_MAX_BYTES >> 30} GiB; is there a digit too many?",
        )


def shape_words(shape: Sequence[int]) -> str:
    """`1x?x?x3`: a shape to show, with a question mark for each open dimension."""
    return "x".join("?" if size < 0 else str(size) for size in shape) or "a single value"
