"""A submodel through TensorFlow's converter, weights larger than memory would like included; knows no device.

The converter holds several copies of every constant, which for the U-Net's 3.5 GB is more than 24 GB. So each large
weight is replaced by a fill: a single number, which the converter expands into a constant only when it writes its file.
Each weight has a different number. By it the weight's buffer is found in the file, and the true values are written over
it in place. If the converter has folded a factor into a weight (the scale of attention into the query's projection),
the number shows it, and the values are multiplied by it.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devbench.errors import DevbenchError
from devbench.host.whole_files import aside
from devbench.models.build import silent, tensorflow
from devbench.models.graph.read import read_model
from devbench.models.mobile_sd import networks
from devbench.models.mobile_sd.networks import Layers, ModelScale, Tensor
from devbench.models.mobile_sd.weights import WeightSource, WeightSpec

# Smaller weights are constants while tracing, so that the converter can fold them.
_MIN_FILLED = 4096
# Fills are 1 + n/1024 with n ≤ 512, which is exact in half precision too. No fill is above 1.5, so that a fill that
# the converter multiplied by a constant (such as 1/2) does not equal another fill.
_STEP = 1024
_MAX_FILLED = 512
_TOLERANCE = 1e-4


class UnexpectedConversion(DevbenchError):
    """The converter transformed a weight in a way that devbench cannot fill."""


class _Traced:
    """A submodel as a TensorFlow function, with fills for its large weights and constants for small ones.

    Attributes:
        specs: the specifications of all weights, in the order in which they are used.
        fills: the weights that fills replace, by the number of the fill.
        factors: that the converter may fold into a weight.
    """

    def __init__(self, submodel: str, scale: ModelScale, source: WeightSource | None) -> None:
        self.source = source
        self.specs: list[WeightSpec] = []
        self.fills: dict[int, WeightSpec] = {}
        layers = Layers(self)
        self.function = _function(submodel, scale, layers)
        self.factors = {1.0, *layers.scales}

    def __call__(self, name: str, shape: tuple[int, ...], gain: float = 1.0) -> Tensor:
        import tensorflow as tf

        spec = WeightSpec(name, shape, gain)
        self.specs.append(spec)
        if self.source is None:
            return tf.zeros(shape)
        if spec.count < _MIN_FILLED:
            return tf.constant(self.source.array(spec))
        number = len(self.fills) + 1
        if number > _MAX_FILLED:
            raise UnexpectedConversion(f"more than {_MAX_FILLED} large weights")
        self.fills[number] = spec
        return tf.fill(shape, tf.constant(1 + number / _STEP, tf.float32))


def weight_specs(submodel: str, scale: ModelScale) -> tuple[WeightSpec, ...]:
    """Every weight of `submodel`, in the order in which it is used."""
    return tuple(_Traced(submodel, scale, None).specs)


def convert(
    submodel: str,
    scale: ModelScale,
    source: WeightSource,
    out: Path,
    tell: Callable[[str, float], None] = lambda what, part: None,
) -> int:
    """Write `submodel` as a .tflite of float32 to `out`; gives its size in bytes.

    Args:
        tell: called with the step and its progress from 0 to 1.

    Raises:
        InputError: the weights are not those needed.
        EnvironmentProblem: TensorFlow is not installed, or `out` cannot be written.
    """
    tf = tensorflow()
    source.check(weight_specs(submodel, scale))
    tell("converting", 0.0)
    traced = _Traced(submodel, scale, source)
    with silent():
        # The module makes the converter keep the names of inputs and outputs, as a signature.
        data = tf.lite.TFLiteConverter.from_concrete_functions([traced.function], tf.Module()).convert()
    with aside(out) as part:
        part.write_bytes(data)
        del data
        _fill(part, traced, source, tell)
    return out.stat().st_size


def _function(submodel: str, scale: ModelScale, layers: Layers) -> Any:
    """The submodel as a concrete function of TensorFlow."""
    tf = layers.tf

    def spec(name: str, *shape: int, kind: Any = tf.float32) -> Any:
        return tf.TensorSpec((1, *shape), kind, name=name)

    text, unet, autoencoder = scale.text, scale.unet, scale.autoencoder
    functions: dict[str, tuple[Callable[..., Tensor], Sequence[Any]]] = {
        "text_encoder": (
            lambda tokens: {"states": networks.text_encoder(layers, text, tokens)},
            [spec("tokens", text.tokens, kind=tf.int32)],
        ),
        "image_encoder": (
            lambda image: {"moments": networks.image_encoder(layers, autoencoder, image)},
            [spec("image", 8 * autoencoder.side, 8 * autoencoder.side, 3)],
        ),
        "unet": (
            lambda latent, time_embedding, context: {
                "noise": networks.unet(layers, unet, latent, time_embedding, context)
            },
            [
                spec("latent", unet.side, unet.side, 4),
                spec("time_embedding", unet.channels[0]),
                spec("context", unet.tokens, unet.context),
            ],
        ),
        "image_decoder": (
            lambda latent: {"image": networks.image_decoder(layers, autoencoder, latent)},
            [spec("latent", autoencoder.side, autoencoder.side, 4)],
        ),
    }
    network, signature = functions[submodel]
    return tf.function(network, input_signature=signature, autograph=False).get_concrete_function()


def _fill(path: Path, traced: _Traced, source: WeightSource, tell: Callable[[str, float], None]) -> None:
    """Replace the fills (constants that stand for weights while converting) in the file at `path` by the weights."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        places = list(_filled_buffers(path, data, traced))
        missing = set(traced.fills) - {number for number, *_ in places}
        if missing:
            names = ", ".join(traced.fills[number].name for number in sorted(missing)[:3])
            raise UnexpectedConversion(f"the converter left no buffer for {len(missing)} weights: {names}")
        total, done = sum(traced.fills[number].count for number, *_ in places), 0
        for number, factor, start, shape, consumer in places:
            spec = traced.fills[number]
            values = _laid_out(source.array(spec), consumer, shape, spec)
            target = np.frombuffer(data, np.float32, values.size, start)
            np.multiply(values.ravel(), np.float32(factor), out=target)
            del target
            done += spec.count
            tell("writing weights", done / total)


def _filled_buffers(
    path: Path, data: mmap.mmap, traced: _Traced
) -> Iterator[tuple[int, float, int, tuple[int, ...], str]]:
    """For each fill: its number, the factor folded in, where its bytes start, its tensor's shape, the type of the
    operator that reads it."""
    model = read_model(path)
    consumers = {one.index: operator.type for operator in model.main.operators for one in operator.given}
    # If several tensors share a buffer, the first is used.
    tensors = {one.buffer: one for one in reversed(model.main.tensors) if one.constant and one.stored_bytes}
    for tensor in reversed(tensors.values()):
        if tensor.dtype != "float32" or tensor.elements < _MIN_FILLED:
            continue
        start = model.buffers[tensor.buffer].start
        values = np.frombuffer(data, np.float32, tensor.elements, start)
        found = _which(float(values[0]), traced) if values[0] == values[-1] and (values == values[0]).all() else None
        del values
        if found:
            yield (*found, start, tensor.shape, consumers.get(tensor.index, "none"))


def _which(value: float, traced: _Traced) -> tuple[int, float] | None:
    """The number of the fill that became `value`, and the factor that it was multiplied with."""
    numbers = ((factor, (value / factor - 1) * _STEP) for factor in traced.factors)
    close = ((round(number), factor) for factor, number in numbers if abs(number - round(number)) < _TOLERANCE * _STEP)
    return next((found for found in close if found[0] in traced.fills), None)


def _laid_out(
    array: NDArray[np.float32], consumer: str, shape: tuple[int, ...], spec: WeightSpec
) -> NDArray[np.float32]:
    """`array` in the order in which LiteRT's operators keep it: convolutions out×h×w×in, FULLY_CONNECTED out×in."""
    if consumer == "CONV_2D":
        array = array.transpose(3, 0, 1, 2)
    elif consumer == "FULLY_CONNECTED":
        array = array.T
    elif array.ndim != 2 or array.size != spec.count:
        raise UnexpectedConversion(f"the converter uses {spec.name} in operator {consumer}")
    if array.shape != shape[-array.ndim :]:
        raise UnexpectedConversion(f"the converter made {list(shape)} of {spec.name}, {list(array.shape)}")
    return array
