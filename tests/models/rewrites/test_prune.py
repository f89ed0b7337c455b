"""Pruning: what remains computes what the same network computes without the removed channels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbench.models.graph.edit import Graph
from devbench.models.graph.emit import Emitter
from devbench.models.graph.file import load_model
from devbench.models.graph.read import read_model
from devbench.models.model_facts import facts_of
from devbench.models.rewrites.apply import rewrite_file
from devbench.models.rewrites.catalogue import RewriteOptions, chosen_rewrites
from devbench.models.rewrites.channels import find_channels
from devbench.models.rewrites.prune import prune, removed_channels
from tests.models.rewrites.graphs import FUZZ, Array, floats, make, run, saved

CRITERIA = {"prune": False, "prune-largest": True}
# Of one head; pruning leaves heads as they are.
HEAD_WIDTHS = {"unet": 16, "image_encoder": 64, "image_decoder": 64}


def residual_network(emit: Emitter, x: int, wide: int, branches: int) -> int:
    """Convolutions, residuals around some, a gate, and a concatenation with what the first one made."""

    def conv(x: int, channels: int, size: int = 3) -> int:
        given = emit.graph.shape(x)
        weights = emit.constant(
            floats(channels, size, size, given[-1]) * np.linspace(0.1, 1, channels)[:, None, None, None].astype("f")
        )
        return emit.conv(x, weights, emit.constant(floats(channels)), (*given[:3], channels))

    trunk = first = conv(x, wide)
    for _ in range(branches):
        value, gate = emit.split(conv(trunk, 2 * wide), 3, 2)
        hidden = emit.binary("MUL", value, emit.unary("TANH", gate))
        trunk = emit.binary("ADD", trunk, conv(emit.binary("MUL", hidden, emit.constant(floats(wide))), wide))
    return conv(emit.concat([trunk, first], 3), 5, 1)


@FUZZ
@given(
    wide=st.integers(4, 24), branches=st.integers(1, 3), share=st.floats(0.05, 0.6),
    name=st.sampled_from(list(CRITERIA)),
)  # fmt: skip
def test_the_output_is_that_of_the_model_with_the_channels_zeroed(
    tmp_path: Path, wide: int, branches: int, share: float, name: str
) -> None:
    before = saved(make({"x": (1, 4, 4, 3)}, lambda emit, x: residual_network(emit, x, wide, branches)), tmp_path / "a")
    pruned, zeroed = load_model(before), load_model(before)
    changes = prune(Graph(pruned), share, largest=CRITERIA[name])
    graph = Graph(zeroed)
    channels = find_channels(graph)
    removed = removed_channels(graph, channels, share, largest=CRITERIA[name])
    for cut in channels.cuts:
        number = cut.operator.inputs[cut.place]
        values = graph.constant(number)
        assert values is not None
        values = values.copy()
        if 0 in cut.axes and cut.place:
            values[removed[cut.axes[0]]] = 0
            graph.set_inputs(
                cut.operator,
                [
                    graph.add_constant("zeroed", values) if place == cut.place else old
                    for place, old in enumerate(cut.operator.inputs)
                ],
            )
    x = floats(1, 4, 4, 3)
    [[expected]], [[made]] = (run(saved(model, tmp_path / "b"), [[x]]) for model in (zeroed, pruned))
    # The sums are of thousands, in another order, and go through gates: up to 3e-5 of the largest value was seen.
    np.testing.assert_allclose(made, expected, atol=2e-4 * np.abs(expected).max())
    assert bool(changes) == bool(removed.any())


def test_the_smallest_channels_or_those_of_the_largest_layer_go(tmp_path: Path) -> None:
    norms = np.array([3, 1, 2, 8, 5, 4, 7, 6], np.float32)

    def body(emit: Emitter, x: int) -> int:
        y = emit.conv(
            x,
            emit.constant(np.ones((8, 1, 1, 4), "f") * norms[:, None, None, None]),
            emit.constant(norms),
            (1, 2, 2, 8),
        )
        z = emit.conv(y, emit.constant(floats(32, 1, 1, 8)), emit.constant(floats(32)), (1, 2, 2, 32))
        return emit.conv(z, emit.constant(floats(4, 1, 1, 32)), emit.constant(floats(4)), (1, 2, 2, 4))

    def widths(name: str, share: float) -> tuple[list[int], Array]:
        model = make({"x": (1, 2, 2, 4)}, body)
        graph = Graph(model)
        assert prune(graph, share, largest=CRITERIA[name])
        kernels = [graph.constant(operator.inputs[1]) for operator in graph.operators("CONV_2D")]
        return [len(kernel) for kernel in kernels if kernel is not None], kernels[0]  # type: ignore[return-value]

    layers, first = widths("prune", 0.6)
    assert layers == [4, 16, 4] and sorted(first[:, 0, 0, 0]) == [5, 6, 7, 8]
    layers, first = widths("prune-largest", 0.3)
    assert layers == [8, 20, 4] and sorted(first[:, 0, 0, 0]) == sorted(norms)


def test_what_cannot_be_followed_stays(tmp_path: Path) -> None:
    def body(emit: Emitter, x: int) -> int:
        y = emit.conv(x, emit.constant(floats(8, 1, 1, 4)), emit.constant(floats(8)), (1, 2, 2, 8))
        # Channels in front of rows: no operator follows them there.
        y = emit.reshape(emit.transpose(y, (0, 3, 1, 2)), (1, 2, 2, 8))
        return emit.conv(y, emit.constant(floats(4, 1, 1, 8)), emit.constant(floats(4)), (1, 2, 2, 4))

    assert prune(Graph(make({"x": (1, 2, 2, 4)}, body)), 0.5, largest=False) == []


@pytest.fixture(scope="module")
def submodels(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    pytest.importorskip("tensorflow", reason="building models needs the extra `models`")
    from devbench.models.mobile_sd.convert import convert
    from devbench.models.mobile_sd.networks import SCALES
    from devbench.models.mobile_sd.weights import RandomWeights

    folder = tmp_path_factory.mktemp("prune")
    for submodel in HEAD_WIDTHS:
        convert(submodel, SCALES["tiny"], RandomWeights(), folder / f"{submodel}.tflite")
    return {submodel: folder / f"{submodel}.tflite" for submodel in HEAD_WIDTHS}


@pytest.mark.converter
@pytest.mark.parametrize(
    ("submodel", "share"), [("unet", 0.11), ("unet", 0.4), ("image_encoder", 0.3), ("image_decoder", 0.3)]
)
@pytest.mark.parametrize("name", list(CRITERIA))
def test_a_pruned_submodel_is_the_network_with_fewer_channels(
    submodels: Mapping[str, Path], submodel: str, share: float, name: str, tmp_path: Path
) -> None:
    """The same weights without the removed channels, computed by TensorFlow: normalisations are over what is left."""
    import tensorflow as tf

    from devbench.models.mobile_sd import networks
    from devbench.models.mobile_sd.networks import SCALES, Layers

    weights = remaining_weights(submodel, submodels[submodel], share, CRITERIA[name])

    class Fewer(Layers):
        def conv(self, x: Any, name: str, channels: int, **options: Any) -> Any:
            # Sizes no longer tell whether a residual has a convolution of its own.
            return super().conv(x, name, channels, **options) if f"{name}.weight" in weights else x

        def attend(self, query: Any, key: Any, value: Any, heads: int, mask: Any = None) -> Any:
            return super().attend(query, key, value, query.shape[2] // HEAD_WIDTHS[submodel], mask)

    scale = SCALES["tiny"]
    side = scale.autoencoder.side
    inputs = {
        "unet": [floats(1, 16, 16, 4), floats(1, 32), floats(1, 16, 64)],
        "image_encoder": [floats(1, 8 * side, 8 * side, 3)], "image_decoder": [floats(1, side, side, 4)],
    }[submodel]  # fmt: skip
    layers = Fewer(lambda name, shape, gain=1.0: tf.constant(weights[name]))
    size = scale.unet if submodel == "unet" else scale.autoencoder
    expected = getattr(networks, submodel)(layers, size, *map(tf.constant, inputs)).numpy()
    out = tmp_path / "pruned.tflite"
    rewrite_file(submodels[submodel], out, chosen_rewrites([name], []), RewriteOptions(prune_share=share), inputs=0)
    from ai_edge_litert.interpreter import Interpreter

    by_shape = {array.shape: array for array in inputs}
    shapes = [tuple(details["shape"]) for details in Interpreter(str(out)).get_input_details()]
    [[made]] = run(out, [[by_shape[shape] for shape in shapes]])
    np.testing.assert_allclose(made, expected, atol=1e-4 * np.abs(expected).max())


def remaining_weights(submodel: str, model: Path, share: float, largest: bool) -> dict[str, Array]:
    """Each weight of the network by its name, without the channels that are removed from the model."""
    from devbench.models.mobile_sd.convert import weight_specs
    from devbench.models.mobile_sd.networks import SCALES
    from devbench.models.mobile_sd.weights import RandomWeights

    graph = Graph(load_model(model))
    channels = find_channels(graph)
    removed = removed_channels(graph, channels, share, largest=largest)
    found: dict[str, Array] = {}
    for spec in weight_specs(submodel, SCALES["tiny"]):
        found[spec.name] = whole = RandomWeights().array(spec)
        order = {4: (3, 0, 1, 2), 2: (1, 0)}.get(whole.ndim, (0,))
        for cut in channels.cuts:
            values = graph.constant(cut.operator.inputs[cut.place])
            assert values is not None
            laid = whole.transpose(order)
            # The converter multiplies the weights of queries by the scale of attention.
            factors = (1.0, HEAD_WIDTHS[submodel] ** -0.5) if whole.ndim == 2 else (1.0,)
            same = (np.allclose(values.ravel(), factor * laid.ravel(), rtol=1e-5, atol=0) for factor in factors)
            if values.size != whole.size or not any(same):
                continue
            kept = values if whole.ndim == 1 else laid.reshape(values.shape)
            for axis, numbers in cut.axes.items():
                kept = np.compress(~removed[numbers], kept, axis)
            found[spec.name] = kept.ravel() if whole.ndim == 1 else kept.transpose(np.argsort(order))
    return found


@pytest.mark.converter
@pytest.mark.parametrize("name", list(CRITERIA))
def test_the_share_of_parameters_is_the_one_requested(submodels: Mapping[str, Path], name: str, tmp_path: Path) -> None:
    """With the rewrites for delegates and without them, and the same channels either way."""
    mobile, errors = tmp_path / "mobile.tflite", []
    rewrite_file(submodels["unet"], mobile, chosen_rewrites([], []), RewriteOptions(), inputs=0)
    for source in (submodels["unet"], mobile):
        out = tmp_path / "out.tflite"
        made = rewrite_file(source, out, chosen_rewrites([name], []), RewriteOptions(), inputs=1)
        before, after = (facts_of(read_model(path)).parameters for path in (source, out))
        assert 0.109 < 1 - after / before < 0.13
        assert made.lossy is not None
        errors.append(made.lossy.worst.snr_db)
    assert 3 < errors[0] < 60 and errors[1] == pytest.approx(errors[0], abs=0.01)
