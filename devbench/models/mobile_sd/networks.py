"""The submodels of Stable Diffusion v2.1 as functions of tensors: sizes, layers, what they compute.

Layers are those of a straightforward port to TensorFlow; nothing here is made for a delegate. Group normalisation is
Keras's (5-D), up-sampling is `UpSampling2D`'s (a 6-D TILE), attention works on 4-D tensors with heads moved forward,
and Dense works on the last axis of 3-D tensors. Names of weights are those of diffusers' checkpoints. Source of the
full scale: the configuration files of Stable Diffusion v2.1 in diffusers' layout (`text_encoder`, `unet`, `vae`), as
described in Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Tensor = Any
Weights = Callable[..., Tensor]
"""Gives the weight of a name: called with the name, its shape as TensorFlow's operators take it, and a gain.

Convolutions are height×width×in×out, Dense layers in×out, embeddings entries×width. The gain (1 without one) is how
large random weights are, relative to those that keep the variance of their input.
"""

# Branches that are added to a trunk are damped, so that noise at the input stays small with random weights.
_BRANCH = 0.3
_LATENT_CHANNELS = 4


@dataclass(frozen=True, slots=True)
class TextSize:
    """OpenCLIP's text transformer: `tokens` int32 1×tokens → states 1×tokens×width."""

    tokens: int
    vocabulary: int
    width: int
    layers: int
    heads: int


@dataclass(frozen=True, slots=True)
class UnetSize:
    """The denoising U-Net: latent 1×side×side×4 → noise of the same shape.

    Attributes:
        channels: the channels of each level; all but the last have attention.
        head_width: channels of one attention head.
        groups: the number of groups of each group normalisation.
    """

    side: int
    channels: tuple[int, ...]
    blocks: int
    head_width: int
    groups: int
    tokens: int
    context: int


@dataclass(frozen=True, slots=True)
class AutoencoderSize:
    """The autoencoder: latent 1×side×side×4, image 1×8·side×8·side×3, in −1 to 1.

    `channels` are those of the four levels from the image inwards, as diffusers writes them.
    """

    side: int
    channels: tuple[int, ...]
    blocks: int
    groups: int


@dataclass(frozen=True, slots=True)
class ModelScale:
    """One size of all submodels."""

    text: TextSize
    unet: UnetSize
    autoencoder: AutoencoderSize


SCALES: Mapping[str, ModelScale] = {
    "full": ModelScale(
        TextSize(77, 49_408, 1024, 23, 16),
        UnetSize(64, (320, 640, 1280, 1280), 2, 64, 32, 77, 1024),
        AutoencoderSize(64, (128, 256, 512, 512), 2, 32),
    ),
    "small": ModelScale(
        TextSize(77, 4096, 256, 6, 4),
        UnetSize(32, (64, 128, 256, 256), 2, 32, 32, 77, 256),
        AutoencoderSize(32, (32, 64, 128, 128), 2, 32),
    ),
    "tiny": ModelScale(
        TextSize(16, 512, 64, 2, 2),
        UnetSize(16, (32, 64, 96, 96), 1, 16, 8, 16, 64),
        AutoencoderSize(8, (16, 32, 64, 64), 1, 8),
    ),
}


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

    def conv(
        self,
        x: Tensor,
        name: str,
        channels: int,
        *,
        size: int = 3,
        stride: int = 1,
        pad_both: bool = True,
        gain: float = 1.0,
    ) -> Tensor:
        """A square convolution with PyTorch's padding of size//2 on every side.

        Args:
            pad_both: False for a padding of one below and to the right alone, with a stride of 2.
        """
        kernel = self.weights(f"{name}.weight", (size, size, x.shape[-1], channels), gain)
        # With a stride, SAME pads only at the end.
        padded = stride > 1 and pad_both
        if padded:
            x = self.tf.pad(x, [[0, 0], [size // 2] * 2, [size // 2] * 2, [0, 0]])
        y = self.tf.nn.conv2d(x, kernel, stride, "VALID" if padded else "SAME")
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


def text_encoder(layers: Layers, size: TextSize, tokens: Tensor) -> Tensor:
    """OpenCLIP ViT-H's text transformer: tokens int32 1×T → hidden states 1×T×width, after the final normalisation."""
    tf, root = layers.tf, "text_model"
    table = layers.weights(f"{root}.embeddings.token_embedding.weight", (size.vocabulary, size.width))
    places = layers.weights(f"{root}.embeddings.position_embedding.weight", (size.tokens, size.width))
    x = tf.gather(table, tokens) + places
    # A token sees itself and those before it. The value is large enough that a softmax gives exactly zero.
    mask = tf.constant([[[[-1e4 * (to > at) for to in range(size.tokens)] for at in range(size.tokens)]]], tf.float32)
    for number in range(size.layers):
        name = f"{root}.encoder.layers.{number}"
        y = layers.layer_norm(x, f"{name}.layer_norm1")
        query, key, value = (layers.dense(y, f"{name}.self_attn.{part}_proj", size.width) for part in "qkv")
        attended = layers.attend(query, key, value, size.heads, mask)
        x = x + layers.dense(attended, f"{name}.self_attn.out_proj", size.width, gain=_BRANCH)
        y = layers.dense(layers.layer_norm(x, f"{name}.layer_norm2"), f"{name}.mlp.fc1", 4 * size.width)
        x = x + layers.dense(layers.gelu(y), f"{name}.mlp.fc2", size.width, gain=_BRANCH)
    return layers.layer_norm(x, f"{root}.final_layer_norm")


def _resnet(
    layers: Layers, x: Tensor, name: str, channels: int, groups: int, epsilon: float, time: Tensor | None = None
) -> Tensor:
    y = layers.silu(layers.group_norm(x, f"{name}.norm1", groups, epsilon))
    y = layers.conv(y, f"{name}.conv1", channels)
    if time is not None:
        y = y + layers.dense(layers.silu(time), f"{name}.time_emb_proj", channels, gain=_BRANCH)[:, None, None, :]
    y = layers.silu(layers.group_norm(y, f"{name}.norm2", groups, epsilon))
    y = layers.conv(y, f"{name}.conv2", channels, gain=_BRANCH)
    if x.shape[-1] != channels:
        x = layers.conv(x, f"{name}.conv_shortcut", channels, size=1)
    return x + y


def _transformer(layers: Layers, x: Tensor, context: Tensor, name: str, size: UnetSize) -> Tensor:
    """A transformer over the pixels: self-attention, attention on the text, a gated feed-forward (GEGLU)."""
    tf = layers.tf
    _, height, width, channels = x.shape
    heads = channels // size.head_width
    y = tf.reshape(layers.group_norm(x, f"{name}.norm", size.groups, 1e-6), [1, height * width, channels])
    y = layers.dense(y, f"{name}.proj_in", channels)
    block = f"{name}.transformer_blocks.0"
    for number, source in ((1, None), (2, context)):
        z = layers.layer_norm(y, f"{block}.norm{number}")
        y = y + layers.attention(
            z,
            z if source is None else source,
            f"{block}.attn{number}",
            heads,
            projection="to_out.0",
            gain=_BRANCH,
            bias=False,
        )
    z = layers.dense(layers.layer_norm(y, f"{block}.norm3"), f"{block}.ff.net.0.proj", 8 * channels)
    value, gate = tf.split(z, 2, axis=-1)
    y = y + layers.dense(value * layers.gelu(gate), f"{block}.ff.net.2", channels, gain=_BRANCH)
    y = layers.dense(y, f"{name}.proj_out", channels, gain=_BRANCH)
    return x + tf.reshape(y, x.shape)


def unet(layers: Layers, size: UnetSize, latent: Tensor, time_embedding: Tensor, context: Tensor) -> Tensor:
    """One denoising step: latent 1×S×S×4, sinusoids of the time step 1×channels[0], text states → noise 1×S×S×4.

    The sinusoids are an input: in fp16, the sine of an argument up to 1000 is not accurate.
    """
    tf, groups, levels = layers.tf, size.groups, len(size.channels)
    time = layers.dense(time_embedding, "time_embedding.linear_1", 4 * size.channels[0])
    time = layers.dense(layers.silu(time), "time_embedding.linear_2", 4 * size.channels[0])

    def resnet(x: Tensor, name: str, channels: int) -> Tensor:
        return _resnet(layers, x, name, channels, groups, 1e-5, time)

    x = layers.conv(latent, "conv_in", size.channels[0])
    skips = [x]
    for level, channels in enumerate(size.channels):
        name, last = f"down_blocks.{level}", level == levels - 1
        for number in range(size.blocks):
            x = resnet(x, f"{name}.resnets.{number}", channels)
            if not last:
                x = _transformer(layers, x, context, f"{name}.attentions.{number}", size)
            skips.append(x)
        if not last:
            x = layers.conv(x, f"{name}.downsamplers.0.conv", channels, stride=2)
            skips.append(x)
    x = resnet(x, "mid_block.resnets.0", size.channels[-1])
    x = _transformer(layers, x, context, "mid_block.attentions.0", size)
    x = resnet(x, "mid_block.resnets.1", size.channels[-1])
    for level, channels in enumerate(reversed(size.channels)):
        name = f"up_blocks.{level}"
        for number in range(size.blocks + 1):
            x = resnet(tf.concat([x, skips.pop()], -1), f"{name}.resnets.{number}", channels)
            if level:
                x = _transformer(layers, x, context, f"{name}.attentions.{number}", size)
        if level < levels - 1:
            x = layers.conv(layers.upsample(x), f"{name}.upsamplers.0.conv", channels)
    return layers.conv(layers.silu(layers.group_norm(x, "conv_norm_out", groups, 1e-5)), "conv_out", _LATENT_CHANNELS)


def _middle(layers: Layers, size: AutoencoderSize, x: Tensor, name: str) -> Tensor:
    """The autoencoder's innermost block: self-attention of one head between two residual blocks."""
    tf = layers.tf
    _, height, width, channels = x.shape
    x = _resnet(layers, x, f"{name}.resnets.0", channels, size.groups, 1e-6)
    attention = f"{name}.attentions.0"
    y = layers.group_norm(x, f"{attention}.group_norm", size.groups, 1e-6)
    y = tf.reshape(y, [1, height * width, channels])
    y = layers.attention(y, y, attention, 1, projection="to_out.0", gain=_BRANCH, bias=True)
    return _resnet(layers, x + tf.reshape(y, x.shape), f"{name}.resnets.1", channels, size.groups, 1e-6)


def image_encoder(layers: Layers, size: AutoencoderSize, image: Tensor) -> Tensor:
    """The autoencoder's encoder: image 1×8S×8S×3 in −1 to 1 → 1×S×S×8, the latent's mean and the logarithm of its
    variance.

    For image to image, the mean (the first four channels) times the autoencoder's scale, 0.18215, is the latent.
    """
    x = layers.conv(image, "encoder.conv_in", size.channels[0])
    for level, channels in enumerate(size.channels):
        name = f"encoder.down_blocks.{level}"
        for number in range(size.blocks):
            x = _resnet(layers, x, f"{name}.resnets.{number}", channels, size.groups, 1e-6)
        if level < len(size.channels) - 1:
            x = layers.conv(x, f"{name}.downsamplers.0.conv", channels, stride=2, pad_both=False)
    x = _middle(layers, size, x, "encoder.mid_block")
    x = layers.silu(layers.group_norm(x, "encoder.conv_norm_out", size.groups, 1e-6))
    x = layers.conv(x, "encoder.conv_out", 2 * _LATENT_CHANNELS)
    return layers.conv(x, "quant_conv", 2 * _LATENT_CHANNELS, size=1)


def image_decoder(layers: Layers, size: AutoencoderSize, latent: Tensor) -> Tensor:
    """The autoencoder's decoder: latent 1×S×S×4 (already divided by its scale) → image 1×8S×8S×3, about −1 to 1."""
    x = layers.conv(latent, "post_quant_conv", _LATENT_CHANNELS, size=1)
    x = _middle(layers, size, layers.conv(x, "decoder.conv_in", size.channels[-1]), "decoder.mid_block")
    for level, channels in enumerate(reversed(size.channels)):
        name = f"decoder.up_blocks.{level}"
        for number in range(size.blocks + 1):
            x = _resnet(layers, x, f"{name}.resnets.{number}", channels, size.groups, 1e-6)
        if level < len(size.channels) - 1:
            x = layers.conv(layers.upsample(x), f"{name}.upsamplers.0.conv", channels)
    x = layers.silu(layers.group_norm(x, "decoder.conv_norm_out", size.groups, 1e-6))
    return layers.conv(x, "decoder.conv_out", 3, gain=0.5)
