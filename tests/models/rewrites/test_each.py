"""Each rewrite on small models of random shapes: the same outputs, and what delegates refuse is gone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st

from devbench.errors import InputError
from devbench.models.graph.emit import Emitter
from devbench.models.graph.file import load_model
from devbench.models.rewrites.apply import apply_rewrites
from devbench.models.rewrites.catalogue import REWRITES, RewriteOptions, chosen_rewrites
from devbench.models.rewrites.half_precision import ERF_BOUND
from devbench.models.rewrites.serialize import ConvLimits
from tests.models.rewrites.graphs import (
    FUZZ,
    floats,
    largest_rank,
    make,
    operators,
    relative_error,
    run,
    run_in_half,
    saved,
)

CLOSE = 1e-4


def rewritten(model: Any, path: Path, *names: str, options: RewriteOptions | None = None) -> tuple[Path, Path, int]:
    """The model before and after, as files, and in how many places it changed."""
    before = saved(model, path / "before.tflite")
    after = load_model(before)
    changes = apply_rewrites(after, chosen_rewrites(names, []), options or RewriteOptions())
    return before, saved(after, path / "after.tflite"), sum(len(change.lines) for change in changes)


def group_norm(emit: Emitter, x: int, groups: int, form: str, epsilon: float = 1e-5) -> int:
    """As Keras, PyTorch's converters and hand-written models have it."""
    shape = emit.graph.shape(x)
    size = shape[-1] // groups
    grouped = (*shape[:-1], groups, size)
    axes = (*range(1, len(grouped) - 2), len(grouped) - 1)
    g = emit.reshape(x, grouped)
    mean = emit.reduce("MEAN", g, axes)
    if form == "moments":
        squares = emit.reduce("MEAN", emit.unary("SQUARE", g), axes)
        variance = emit.binary("SUB", squares, emit.unary("SQUARE", mean))
    else:
        options = schema.SquaredDifferenceOptionsT()
        difference = emit.make("SQUARED_DIFFERENCE", [g, mean], grouped, options=options)
        variance = emit.reduce("MEAN", difference, axes)
    inverse = emit.unary("RSQRT", emit.binary("ADD", variance, emit.number(epsilon)))
    per_group = (1,) * (len(grouped) - 2) + (groups, size)
    scale, offset = emit.constant(floats(*per_group)), emit.constant(floats(*per_group))
    if form == "folded":
        inverse = emit.binary("MUL", inverse, scale)
        shift = emit.binary("SUB", offset, emit.binary("MUL", mean, inverse))
        y = emit.binary("ADD", emit.binary("MUL", g, inverse), shift)
    else:
        y = emit.binary("MUL", emit.binary("SUB", g, mean), inverse)
        y = emit.binary("ADD", emit.binary("MUL", y, scale), offset)
    return emit.reshape(y, shape)


@FUZZ
@given(
    side=st.integers(1, 9), groups=st.integers(1, 5), size=st.integers(1, 6), rank=st.sampled_from([3, 4]),
    batch=st.integers(1, 2), form=st.sampled_from(["moments", "plain", "folded"]),
)  # fmt: skip
def test_group_normalisation(
    tmp_path: Path, side: int, groups: int, size: int, rank: int, batch: int, form: str
) -> None:
    shape = (batch, *(side + 1,) * (rank - 2), groups * size)
    model = make({"x": shape}, lambda emit, x: group_norm(emit, x, groups, form))
    before, after, places = rewritten(model, tmp_path, "groupnorm-4d")
    assert places == 1 and largest_rank(after) <= 4 and "BROADCAST_TO" not in operators(after)
    # E[x²] − E[x]² itself is not exact; differences of one or two values at a time amplify that.
    assert relative_error(before, after) < (CLOSE if size * side > 4 else 2e-2)


@FUZZ
@given(rows=st.integers(1, 20), width=st.integers(2, 40), folded=st.booleans())
def test_layer_normalisation(tmp_path: Path, rows: int, width: int, folded: bool) -> None:
    def body(emit: Emitter, x: int) -> int:
        mean = emit.reduce("MEAN", x, (2,))
        options = schema.SquaredDifferenceOptionsT()
        squares = emit.make("SQUARED_DIFFERENCE", [x, mean], emit.graph.shape(x), options=options)
        variance = emit.binary("ADD", emit.reduce("MEAN", squares, (2,)), emit.number(1e-5))
        inverse = emit.unary("RSQRT", variance)
        scale, offset = emit.constant(floats(width)), emit.constant(floats(width))
        if folded:
            inverse = emit.binary("MUL", inverse, scale)
            shift = emit.binary("SUB", offset, emit.binary("MUL", mean, inverse))
            return emit.binary("ADD", emit.binary("MUL", x, inverse), shift)
        y = emit.binary("MUL", emit.binary("SUB", x, mean), inverse)
        return emit.binary("ADD", emit.binary("MUL", y, scale), offset)

    before, after, places = rewritten(make({"x": (1, rows, width)}, body), tmp_path, "layernorm-4d")
    assert places == 1
    assert relative_error(before, after) < CLOSE


@FUZZ
@given(
    heads=st.integers(1, 4), rows=st.integers(1, 40), inner=st.integers(1, 20), columns=st.integers(1, 40),
    flags=st.tuples(st.booleans(), st.booleans()), rank=st.sampled_from([3, 4]),
)  # fmt: skip
def test_attention(
    tmp_path: Path, heads: int, rows: int, inner: int, columns: int, flags: tuple[bool, bool], rank: int
) -> None:
    lead = (heads,) if rank == 3 else (1, heads)
    a = (*lead, inner, rows) if flags[0] else (*lead, rows, inner)
    b = (*lead, columns, inner) if flags[1] else (*lead, inner, columns)
    options = schema.BatchMatMulOptionsT(adjX=flags[0], adjY=flags[1])
    model = make(
        {"a": a, "b": b}, lambda emit, x, y: emit.make("BATCH_MATMUL", [x, y], (*lead, rows, columns), options=options)
    )
    before, after, places = rewritten(model, tmp_path, "attention-4d")
    assert places == (0 if rank == 4 and not any(flags) and rows % 16 == 0 else 1)
    assert relative_error(before, after) < CLOSE
    if places:
        [product] = [o for o in load_model(after).subgraphs[0].operators if _is_matmul(o)]
        assert not product.builtinOptions.adjX and not product.builtinOptions.adjY


def _is_matmul(operator: Any) -> bool:
    return isinstance(operator.builtinOptions, schema.BatchMatMulOptionsT)


@FUZZ
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=3), inputs=st.integers(1, 12), outputs=st.integers(1, 12),
    bias=st.booleans(), relu=st.booleans(),
)  # fmt: skip
def test_dense_layers(tmp_path: Path, shape: list[int], inputs: int, outputs: int, bias: bool, relu: bool) -> None:
    weights, offsets = floats(outputs, inputs), floats(outputs)

    def body(emit: Emitter, x: int) -> int:
        options = schema.FullyConnectedOptionsT(keepNumDims=True, fusedActivationFunction=int(relu))
        taken = [x, emit.constant(weights), emit.constant(offsets) if bias else -1]
        return emit.make("FULLY_CONNECTED", taken, (*shape, outputs), options=options, version=5)

    before, after, places = rewritten(make({"x": (*shape, inputs)}, body), tmp_path, "fc-to-conv", "fc-one-row")
    assert places == 1 and operators(after).count("CONV_2D") == 1 and "FULLY_CONNECTED" not in operators(after)
    assert relative_error(before, after) < CLOSE
    name = "fc-one-row" if math.prod(shape) == 1 else "fc-to-conv"
    assert rewritten(load_model(before), tmp_path, name)[2] == 1


def test_a_convolution_of_one_pixel_gets_two(tmp_path: Path) -> None:
    weights, offsets = floats(6, 1, 1, 5), floats(6)

    def body(emit: Emitter, x: int) -> int:
        return emit.conv(x, emit.constant(weights), emit.constant(offsets), (1, 1, 1, 6))

    before, after, places = rewritten(make({"x": (1, 1, 1, 5)}, body), tmp_path, "fc-one-row")
    assert places == 1 and operators(after) == ["CONCATENATION", "CONV_2D", "SLICE"]
    assert relative_error(before, after) < CLOSE


@FUZZ
@given(
    rows=st.integers(1, 3000), width=st.integers(1, 9), count=st.integers(1, 12), rank=st.sampled_from([1, 2]),
    name=st.sampled_from(["gather-1d", "gather-to-conv"]),
)  # fmt: skip
def test_lookups(tmp_path: Path, rows: int, width: int, count: int, rank: int, name: str) -> None:
    table = floats(rows, width)
    indices = (count,) if rank == 1 else (1, count)

    def body(emit: Emitter, x: int) -> int:
        made = emit.graph.add_tensor("found", (*indices, width))
        return emit.make(
            "GATHER", [emit.constant(table), x], (*indices, width), options=schema.GatherOptionsT(), out=made
        )

    before, after, places = rewritten(make({"x": indices}, body, {"x": "int32"}), tmp_path, name)
    assert places == (0 if name == "gather-1d" and rank == 1 else 1)
    assert ("GATHER" in operators(after)) == (name == "gather-1d")
    assert relative_error(before, after, most=rows) < 1e-6


@FUZZ
@given(
    height=st.integers(1, 6), width=st.integers(1, 6), channels=st.integers(1, 5), by=st.tuples(st.integers(1, 3), st.integers(2, 3))
)  # fmt: skip
def test_upsampling(tmp_path: Path, height: int, width: int, channels: int, by: tuple[int, int]) -> None:
    def body(emit: Emitter, x: int) -> int:
        six = emit.reshape(x, (1, height, 1, width, 1, channels))
        repeats = emit.constant(np.array((1, 1, by[0], 1, by[1], 1), np.int32))
        tiled = emit.make(
            "TILE", [six, repeats], (1, height, by[0], width, by[1], channels), options=schema.TileOptionsT()
        )
        return emit.reshape(tiled, (1, height * by[0], width * by[1], channels))

    before, after, places = rewritten(make({"x": (1, height, width, channels)}, body), tmp_path, "resize-upsample")
    assert places == 1 and operators(after) == ["RESIZE_NEAREST_NEIGHBOR"]
    assert relative_error(before, after) == 0


@FUZZ
@given(
    side=st.integers(1, 8), inputs=st.integers(1, 6), outputs=st.integers(1, 6), kernel=st.sampled_from([1, 3]),
    along=st.sampled_from(["auto", "input", "output"]), relu=st.booleans(), stride=st.integers(1, 2),
)  # fmt: skip
def test_serialised_convolutions(
    tmp_path: Path, side: int, inputs: int, outputs: int, kernel: int, along: Any, relu: bool, stride: int
) -> None:
    inputs, outputs, side = inputs * 8, outputs * 8, side * 2
    weights, offsets = floats(outputs, kernel, kernel, inputs), floats(outputs)

    def body(emit: Emitter, x: int) -> int:
        options = schema.Conv2DOptionsT(strideW=stride, strideH=stride, fusedActivationFunction=int(relu))
        shape = (1, side // stride, side // stride, outputs)
        return emit.conv(x, emit.constant(weights), emit.constant(offsets), shape, options=options)

    limits = ConvLimits(weight_bytes=weights.nbytes // 2)
    before, after, places = rewritten(
        make({"x": (1, side, side, inputs)}, body),
        tmp_path,
        "serialize-conv",
        options=RewriteOptions(limits.allow, along),
    )
    assert places == 1 and operators(after).count("CONV_2D") == 2
    assert relative_error(before, after) < CLOSE


def test_the_factor_is_the_smallest_that_fits(tmp_path: Path) -> None:
    weights = np.zeros((640, 3, 3, 1920), np.float32)

    def body(emit: Emitter, x: int) -> int:
        return emit.conv(x, emit.constant(weights), emit.constant(np.zeros(640, np.float32)), (1, 32, 32, 640))

    model = make({"x": (1, 32, 32, 1920)}, body)
    # 3×3 on 1×32×32×1920: two parts where textures have 16,384 texels, three where they have 8,192.
    for side, parts in ((16_384, 2), (8192, 3)):
        options = RewriteOptions(ConvLimits(texture_side=side).allow, "input")
        _, after, places = rewritten(model, tmp_path, "serialize-conv", options=options)
        assert places == 1 and operators(after).count("CONV_2D") == parts


def tanh_gelu(emit: Emitter, x: int, order: int) -> int:
    """½x(1 + tanh(√(2/π)(x + 0.044715x³))), the cube first or last."""
    if order:
        cube = emit.binary("MUL", emit.unary("SQUARE", x), x)
    else:
        cube = emit.make("POW", [x, emit.number(3.0)], emit.graph.shape(x), options=schema.PowOptionsT())
    inner = emit.binary("ADD", x, emit.binary("MUL", cube, emit.number(0.044715)))
    tanh = emit.unary("TANH", emit.binary("MUL", inner, emit.number(math.sqrt(2 / math.pi))))
    half = emit.binary("MUL", x, emit.number(0.5))
    return emit.binary("MUL", half, emit.binary("ADD", tanh, emit.number(1.0)))


@pytest.mark.parametrize("form", ["cubed", "power", "tanh", "erf"])
def test_gelu_is_exact_within_its_bound(tmp_path: Path, form: str) -> None:
    def body(emit: Emitter, x: int) -> int:
        if form in ("cubed", "power"):
            return tanh_gelu(emit, x, int(form == "cubed"))
        return emit.make("GELU", [x], (1, 6001), options=schema.GeluOptionsT(approximate=form == "tanh"))

    before, after, places = rewritten(make({"x": (1, 6001)}, body), tmp_path, "stable-gelu")
    assert places == 1 and {"MAXIMUM", "MINIMUM"} <= set(operators(after)) and "GELU" not in operators(after)
    for span in (3.0, 12.0, 100.0):
        x = np.linspace(-span, span, 6001, dtype=np.float32).reshape(1, -1)
        [[exact]], [[stable]] = run(before, [[x]]), run(after, [[x]])
        assert np.abs(exact - stable).max() <= (ERF_BOUND if form == "erf" else 1e-6) * max(1.0, span / 3)


def test_gelu_cannot_overflow_in_half_precision(tmp_path: Path) -> None:
    x = np.concatenate([np.linspace(-60_000, 60_000, 4001), np.linspace(-60, 60, 4000)]).astype(np.float32)
    model = make({"x": (x.size,)}, lambda emit, x: tanh_gelu(emit, x, 1))
    plain = run_in_half(model, [x])
    before, after, _ = rewritten(model, tmp_path, "stable-gelu")
    stable = run_in_half(load_model(after), [x]).astype(np.float64)
    [[exact]] = run(before, [[x]])
    assert np.isfinite(stable).all()
    assert np.abs(stable - exact).max() <= 0.002 * np.abs(x).max()
    # What makes the rewrite necessary: 0.044715x³ leaves fp16 beyond |x| of about 114, x² beyond 256.
    argument = make(
        {"x": (x.size,)}, lambda emit, x: emit.binary("SUB", *[emit.binary("MUL", emit.unary("SQUARE", x), x)] * 2)
    )
    assert np.isnan(run_in_half(argument, [x])).any() and plain.shape == x.shape


def attention_of(masked: bool, shape: tuple[int, ...]) -> Any:
    """softmax(q·kᵀ + mask)·v, as TensorFlow writes it."""
    lead, tokens, width = shape[:-2], shape[-2], shape[-1]

    def body(emit: Emitter, q: int, k: int, v: int) -> int:
        options = schema.BatchMatMulOptionsT(adjY=True)
        scores = emit.make("BATCH_MATMUL", [q, k], (*lead, tokens, tokens), options=options)
        if masked:
            mask = np.triu(np.full((tokens, tokens), -1e4, np.float32), 1)
            scores = emit.binary("ADD", scores, emit.constant(mask.reshape((1,) * len(lead) + mask.shape)))
        weights = emit.make("SOFTMAX", [scores], emit.graph.shape(scores), options=schema.SoftmaxOptionsT(beta=1.0))
        return emit.make("BATCH_MATMUL", [weights, v], (*lead, tokens, width), options=schema.BatchMatMulOptionsT())

    return make(dict.fromkeys("qkv", shape), body)


@FUZZ
@given(heads=st.integers(1, 3), tokens=st.integers(1, 20), width=st.integers(1, 8), masked=st.booleans())
def test_stable_attention_is_the_same(tmp_path: Path, heads: int, tokens: int, width: int, masked: bool) -> None:
    model = attention_of(masked, (1, heads, tokens, width))
    before, after, places = rewritten(model, tmp_path, "stable-attention")
    assert places == 1 and relative_error(before, after) < CLOSE
    assert rewritten(load_model(after), tmp_path, "stable-attention")[2] == 0


@pytest.mark.parametrize("largest", [1.0, 1e2, 1e4, 1e5, 1e6])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_cannot_overflow_in_half_precision(tmp_path: Path, largest: float, masked: bool) -> None:
    """Scores up to `largest`. Where the two largest scores of a row are as close as fp16 rounds them, no rewrite of
    single operators can tell them apart: such rows are only finite."""
    words, shape = np.random.default_rng(5), (1, 2, 64, 16)
    q, k, v = (words.standard_normal(shape) for _ in range(3))
    size = math.sqrt(largest / np.abs(q @ k.swapaxes(-1, -2)).max())
    arrays = [array.astype(np.float16).astype(np.float32) for array in (q * size, k * size, v)]
    before, after, _ = rewritten(attention_of(masked, shape), tmp_path, "stable-attention")
    [[exact]] = run(before, [arrays])
    half, plain = (run_in_half(load_model(path), arrays).astype(np.float64) for path in (after, before))
    scores = np.sort(arrays[0] @ arrays[1].swapaxes(-1, -2) + (np.triu(np.full((64, 64), -1e4), 1) if masked else 0))
    clear = scores[..., -1] - scores[..., -2] > (0 if largest < 1e3 else 2**-8 * largest)
    assert np.isfinite(half).all() and clear.mean() > 0.85
    assert np.abs(half - exact)[clear].max() < 0.02 * np.abs(exact).max()
    if largest > 65_504:
        assert not np.isfinite(plain).all()


@pytest.mark.parametrize("deviation", [1.0, 100.0, 1000.0, 10_000.0])
def test_group_normalisation_is_right_in_half_precision(tmp_path: Path, deviation: float) -> None:
    def body(emit: Emitter, x: int) -> int:
        return group_norm(emit, x, 8, "moments")

    x = (np.random.default_rng(3).standard_normal((1, 16, 16, 64)) * deviation + deviation / 2).astype(np.float32)
    x = x.astype(np.float16).astype(np.float32)
    before, after, _ = rewritten(make({"x": x.shape}, body), tmp_path, "groupnorm-4d")
    [[exact]] = run(before, [[x]])
    half = run_in_half(load_model(after), [x]).astype(np.float64)
    plain = run_in_half(load_model(before), [x]).astype(np.float64)
    assert np.abs(half - exact).max() < 0.02 * np.abs(exact).max()
    if deviation >= 100:
        assert not np.abs(plain - exact).max() < 0.1 * np.abs(exact).max()


def test_an_unknown_rewrite_is_named() -> None:
    with pytest.raises(InputError, match="no rewrite 'groupnorm'"):
        chosen_rewrites(["groupnorm"], [])


def test_the_catalogue_has_each_name_once() -> None:
    names = [rewrite.name for rewrite in REWRITES]
    assert len(set(names)) == len(names) and all(rewrite.apply or rewrite.apply_to_file for rewrite in REWRITES)
