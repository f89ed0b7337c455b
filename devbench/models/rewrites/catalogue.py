"""The rewrites of a graph by name, in the order in which they are applied, and what each is for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from devbench.errors import InputError
from devbench.models.graph.edit import Graph
from devbench.models.graph.emit import Emitter
from devbench.models.rewrites.codes import downgrade_versions, drop_unused_codes, unused_code_match
from devbench.models.rewrites.half_precision import groupnorm_4d, layernorm_4d, stable_attention, stable_gelu
from devbench.models.rewrites.products import attention_4d, fc_one_row, fc_to_conv, gather_1d, gather_to_conv
from devbench.models.rewrites.prune import PRUNE_SHARE, prune
from devbench.models.rewrites.serialize import Along, Conv, ConvLimits, serialize_conv
from devbench.models.rewrites.shapes import (
    drop_broadcast_to,
    fixed_shapes,
    merge_reshapes,
    resize_upsample,
    sized_operators,
)
from devbench.models.rewrites.weights import half_weights, int8_weights
from devbench.text import near


@dataclass(frozen=True, slots=True)
class RewriteOptions:
    """Options of rewrites.

    Attributes:
        allow: whether a delegate takes a convolution, for `serialize-conv`; without it nothing is split.
        along: which channels `serialize-conv` splits.
        prune_share: the share of parameters that `prune` and `prune-largest` remove, 0 to 1.
    """

    allow: Callable[[Conv], bool] = field(default=ConvLimits().allow)
    along: Along = "auto"
    prune_share: float = PRUNE_SHARE


Apply = Callable[[Graph, RewriteOptions], list[str]]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A rewrite of a graph.

    Attributes:
        name: as a user selects it.
        about: what it does, in one line.
        by_default: whether it is applied if nothing is selected.
        apply: changes the graph and gives a line for each place; `None` for those that work on files.
        lossy: whether it changes outputs; their error is then shown and not checked.
        apply_to_file: reads one file and writes another, after all rewrites of the graph.
        matches: the operators of a graph that it fixes, by their numbers; given for a rewrite that is slow to try.
            -1 stands for an operator code that no operator uses.
    """

    name: str
    about: str
    apply: Apply | None
    by_default: bool = True
    lossy: bool = False
    apply_to_file: Callable[[Path, Path], list[str]] | None = None
    matches: Callable[[Graph], list[int]] | None = None


def _whole(rewrite: Callable[[Graph], list[str]]) -> Apply:
    """A rewrite of a whole graph."""
    return lambda graph, options: rewrite(graph)


def _each(rewrite: Callable[[Emitter, Any], str | None], *kinds: str) -> Apply:
    """A rewrite of single operators of `kinds`, which it may replace; it returns a line if it applies."""
    return lambda graph, options: _on_operators(graph, rewrite, kinds)


def _on_operators(graph: Graph, rewrite: Any, kinds: Sequence[str]) -> list[str]:
    lines = []
    # A partial function has the name of the function.
    name = getattr(rewrite, "func", rewrite).__name__
    for operator in graph.operators(*kinds):
        out = operator.outputs[0]
        line = rewrite(Emitter(graph, operator, f"{graph.name(out)}/{name}"), operator)
        if line:
            lines.append(line)
        if graph.producer(out) not in (operator, None):
            graph.remove(operator)
    return lines


REWRITES: Sequence[Rewrite] = (
    Rewrite(
        "unused-codes", "removes operator codes that no operator uses",
        _whole(drop_unused_codes), matches=unused_code_match,
    ),
    Rewrite(
        "fixed-shapes", "open dimensions (the batch) become 1, shapes constants", _whole(fixed_shapes),
        matches=sized_operators,
    ),
    Rewrite(
        "prune", "removes the channels with the smallest weights, of every layer the same share",
        lambda graph, options: prune(graph, options.prune_share, largest=False), by_default=False, lossy=True,
    ),
    Rewrite(
        "prune-largest", "removes channels of the largest layers, without looking at the weights",
        lambda graph, options: prune(graph, options.prune_share, largest=True), by_default=False, lossy=True,
    ),
    Rewrite(
        "fc-one-row", "dense layers of one row or pixel, on two copies of it",
        _each(fc_one_row, "FULLY_CONNECTED", "CONV_2D"),
    ),
    Rewrite("groupnorm-4d", "group normalisation in four dimensions, correct in fp16", _each(groupnorm_4d, "RSQRT")),
    Rewrite(
        "layernorm-4d", "layer normalisation that delegates compute correctly, also in fp16",
        _each(layernorm_4d, "RSQRT"),
    ),
    Rewrite("stable-attention", "scores of attention that cannot overflow in fp16", _each(stable_attention, "SOFTMAX")),
    Rewrite("attention-4d", "BATCH_MATMUL without flags, in whole blocks of rows", _each(attention_4d, "BATCH_MATMUL")),
    Rewrite("resize-upsample", "repetition in 6-D tensors as RESIZE_NEAREST_NEIGHBOR", _whole(resize_upsample)),
    Rewrite(
        "drop-broadcast-to", "removes BROADCAST_TO before arithmetic that broadcasts",
        _each(drop_broadcast_to, "BROADCAST_TO", "TILE"),
    ),
    Rewrite("stable-gelu", "GELU that cannot overflow in fp16", _each(stable_gelu, "GELU", "TANH")),
    Rewrite(
        "gather-1d", "GATHER by indices of one dimension, for LiteRT 2", _each(gather_1d, "GATHER"), by_default=False,
    ),
    Rewrite("gather-to-conv", "GATHER from a constant table as two 1×1 convolutions", _each(gather_to_conv, "GATHER")),
    Rewrite("fc-to-conv", "FULLY_CONNECTED of many rows as a 1×1 convolution", _each(fc_to_conv, "FULLY_CONNECTED")),
    Rewrite(
        "serialize-conv", "divides a convolution beyond the delegate's limits",
        lambda graph, options: _on_operators(
            graph, partial(serialize_conv, allow=options.allow, along=options.along), ["CONV_2D"]
        ),
    ),
    Rewrite("merge-reshapes", "one RESHAPE in place of several", _whole(merge_reshapes)),
    Rewrite("downgrade-versions", "the lowest operator version that is sufficient", _whole(downgrade_versions)),
    Rewrite("fp16", "large weights in float16, half the size", _whole(half_weights), by_default=False, lossy=True),
    Rewrite(
        "w8", "int8 weights, float activations", None, by_default=False, lossy=True,
        apply_to_file=partial(int8_weights, dynamic=False),
    ),
    Rewrite(
        "dynamic-int8", "int8 weights, activations quantised at each run (CPU)", None, by_default=False, lossy=True,
        apply_to_file=partial(int8_weights, dynamic=True),
    ),
)  # fmt: skip


def rewrite_names() -> list[str]:
    """All names, in the order of application."""
    return [rewrite.name for rewrite in REWRITES]


def chosen_rewrites(only: Sequence[str], skip: Sequence[str], also: Sequence[str] = ()) -> list[Rewrite]:
    """The rewrites to apply: `only` these, or those by default and `also` others, without those to `skip`.

    Raises:
        InputError: there is no rewrite of a name.
    """
    known = rewrite_names()
    for name in (*only, *skip, *also):
        if name not in known:
            raise InputError(f"no rewrite {name!r}", hint=near(name, known, "see `devbench models rewrite --list`"))
    wanted = set(only) if only else {rewrite.name for rewrite in REWRITES if rewrite.by_default}
    return [rewrite for rewrite in REWRITES if rewrite.name in (wanted | set(also)) - set(skip)]
