"""Layers as a straightforward port to TensorFlow writes them; nothing here is made for a delegate.

Group normalisation is Keras's (5-D), up-sampling is `UpSampling2D`'s (a 6-D TILE), attention works on 4-D tensors with
heads moved forward, and Dense works on the last axis of 3-D tensors. Names of weights are those of diffusers'
checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Tensor = Any
Weights = Callable[..., Tensor]
"""Gives the weight of a name: called with the name, its shape as TensorFlow's operators take it, and a gain.

Convolutions are height×width×in×out, Dense layers in×out, embeddings entries×width. The gain (1 without one) is how
large random weights are, relative to those that keep the variance of their input.
"""


class Layers:
    """TensorFlow's operators under the names of diffusers' layers."""

    def __init__(self, weights: Weights) -> None:
        import tensorflow as tf

        self.tf = tf
        self.weights = weights
        # Factors that a converter may fold into the weights before them.
        self.scales: set[float] = set()

    def dense(self, x: Tensor, name: str, units: int, *, bias: bool = True, gain: float = 1.0) -> Tensor:
        """x·W + b over the last axis; 3-D inputs stay 3-D."""
        y = self.tf.linalg.matmul(x, self.weights(f"{name}.weight", (x.shape[-1], units), gain))
        return y + self.weights(f"{name}.bias", (units,)) if bias else y

    def conv(self, x: Tensor, name: str, channels: int, *, size: int = 3, stride: int = 1, gain: float = 1.0) -> Tensor:
        """A square convolution with PyTorch's padding of size//2 on every side."""
        kernel = self.weights(f"{name}.weight", (size, size, x.shape[-1], channels), gain)
        if stride > 1:
            # PyTorch pads both sides alike; SAME with a stride would pad the far side alone.
            x = self.tf.pad(x, [[0, 0], [size // 2] * 2, [size // 2] * 2, [0, 0]])
        y = self.tf.nn.conv2d(x, kernel, stride, "VALID" if stride > 1 else "SAME")
        return y + self.weights(f"{name}.bias", (channels,))

    def group_norm(self, x: Tensor, name: str, groups: int, epsilon: float) -> Tensor:
        """Group normalisation (Wu and He, 2018) as Keras's layer computes it: grouped to 5-D, E[x²] − E[x]²."""
        tf = self.tf
        _, height, width, channels = x.shape
        grouped = tf.reshape(x, [1, height, width, groups, channels // groups])
        mean = tf.reduce_mean(grouped, [1, 2, 4], keepdims=True)
        variance = tf.reduce_mean(tf.square(grouped), [1, 2, 4], keepdims=True) - tf.square(mean)
        inner = [1, 1, 1, groups, channels // groups]
        factor = tf.math.rsqrt(variance + epsilon) * tf.reshape(self.weights(f"{name}.weight", (channels,)), inner)
        shift = tf.reshape(self.weights(f"{name}.bias", (channels,)), inner) - mean * factor
        return tf.reshape(grouped * factor + shift, x.shape)

    def layer_norm(self, x: Tensor, name: str, epsilon: float = 1e-5) -> Tensor:
        """Layer normalisation (Ba et al., 2016) over the last axis."""
        tf = self.tf
        mean = tf.reduce_mean(x, -1, keepdims=True)
        variance = tf.reduce_mean(tf.math.squared_difference(x, mean), -1, keepdims=True)
        factor = tf.math.rsqrt(variance + epsilon) * self.weights(f"{name}.weight", (x.shape[-1],))
        return x * factor + (self.weights(f"{name}.bias", (x.shape[-1],)) - mean * factor)

    def silu(self, x: Tensor) -> Tensor:
        return x * self.tf.sigmoid(x)

    def gelu(self, x: Tensor) -> Tensor:
        return self.tf.nn.gelu(x, approximate=False)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
        """Scaled dot-product attention (Vaswani et al., 2017): each 1×tokens×width → 1×tokens×width."""
        tf = self.tf

        def split(x: Tensor) -> Tensor:
            return tf.transpose(tf.reshape(x, [1, x.shape[1], heads, x.shape[2] // heads]), [0, 2, 1, 3])

        scale = float(query.shape[2] // heads) ** -0.5
        self.scales.add(scale)
        scores = tf.matmul(split(query) * scale, split(key), transpose_b=True)
        if mask is not None:
            scores = scores + mask
        attended = tf.matmul(tf.nn.softmax(scores), split(value))
        return tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), query.shape)

    def attention(
        self, x: Tensor, context: Tensor, name: str, heads: int, *, projection: str, gain: float, bias: bool
    ) -> Tensor:
        """Attention of `x` on `context`; `projection` is how the output's Dense is called."""
        width = x.shape[-1]
        query, key, value = (
            self.dense(source, f"{name}.{part}", width, bias=bias)
            for source, part in ((x, "to_q"), (context, "to_k"), (context, "to_v"))
        )
        return self.dense(self.attend(query, key, value, heads), f"{name}.{projection}", width, gain=gain)

    def upsample(self, x: Tensor) -> Tensor:
        """Nearest neighbours, factor 2, as `UpSampling2D` does it: a repeat along each axis."""
        tf = self.tf
        _, height, width, channels = x.shape
        tiled = tf.tile(tf.reshape(x, [1, height, 1, width, 1, channels]), [1, 1, 2, 1, 2, 1])
        return tf.reshape(tiled, [1, 2 * height, 2 * width, channels])
