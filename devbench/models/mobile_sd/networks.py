"""The three submodels of Stable Diffusion v2.1 as functions of tensors, with diffusers' names for the weights."""

from __future__ import annotations

from devbench.models.mobile_sd.layers import Layers, Tensor
from devbench.models.mobile_sd.sizes import DecoderSize, TextSize, UnetSize

# Branches that are added to a trunk are damped, so that random weights give a network that is stable: noise at its
# input stays noise, where undamped branches would make it chaotic.
_BRANCH = 0.3
_LATENT_CHANNELS = 4


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

    The sinusoids come from outside: their argument, up to 1000, is more than fp16 can take a sine of.
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


def image_decoder(layers: Layers, size: DecoderSize, latent: Tensor) -> Tensor:
    """The autoencoder's decoder: latent 1×S×S×4 (already divided by its scale) → image 1×8S×8S×3, about −1 to 1."""
    tf, top = layers.tf, size.channels[-1]

    def resnet(x: Tensor, name: str, channels: int) -> Tensor:
        return _resnet(layers, x, f"decoder.{name}", channels, size.groups, 1e-6)

    x = layers.conv(latent, "post_quant_conv", _LATENT_CHANNELS, size=1)
    x = resnet(layers.conv(x, "decoder.conv_in", top), "mid_block.resnets.0", top)
    name = "decoder.mid_block.attentions.0"
    _, height, width, _ = x.shape
    y = tf.reshape(layers.group_norm(x, f"{name}.group_norm", size.groups, 1e-6), [1, height * width, top])
    y = layers.attention(y, y, name, 1, projection="to_out.0", gain=_BRANCH, bias=True)
    x = resnet(x + tf.reshape(y, x.shape), "mid_block.resnets.1", top)
    for level, channels in enumerate(reversed(size.channels)):
        for number in range(size.blocks + 1):
            x = resnet(x, f"up_blocks.{level}.resnets.{number}", channels)
        if level < len(size.channels) - 1:
            x = layers.conv(layers.upsample(x), f"decoder.up_blocks.{level}.upsamplers.0.conv", channels)
    x = layers.silu(layers.group_norm(x, "decoder.conv_norm_out", size.groups, 1e-6))
    return layers.conv(x, "decoder.conv_out", 3, gain=0.5)
