"""How large the submodels of Stable Diffusion v2.1 are, at full scale and at the sizes for tests; knows no framework.

Source of the full scale: the configuration files of Stable Diffusion v2.1 in diffusers' layout (`text_encoder`, `unet`,
`vae`), as described in Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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
        channels: of each level; all but the last have attention.
        head_width: channels of one attention head.
        groups: of each group normalisation.
    """

    side: int
    channels: tuple[int, ...]
    blocks: int
    head_width: int
    groups: int
    tokens: int
    context: int


@dataclass(frozen=True, slots=True)
class DecoderSize:
    """The decoder of the autoencoder: latent 1×side×side×4 → image 1×8·side×8·side×3, in −1 to 1.

    `channels` are those of the levels from the image inwards, as diffusers writes them.
    """

    side: int
    channels: tuple[int, ...]
    blocks: int
    groups: int


@dataclass(frozen=True, slots=True)
class ModelScale:
    """One size of all three."""

    text: TextSize
    unet: UnetSize
    decoder: DecoderSize


SCALES: Mapping[str, ModelScale] = {
    "full": ModelScale(
        TextSize(77, 49_408, 1024, 23, 16),
        UnetSize(64, (320, 640, 1280, 1280), 2, 64, 32, 77, 1024),
        DecoderSize(64, (128, 256, 512, 512), 2, 32),
    ),
    "small": ModelScale(
        TextSize(77, 4096, 256, 6, 4),
        UnetSize(32, (64, 128, 256, 256), 2, 32, 32, 77, 256),
        DecoderSize(32, (32, 64, 128, 128), 2, 32),
    ),
    "tiny": ModelScale(
        TextSize(16, 512, 64, 2, 2),
        UnetSize(16, (32, 64, 96, 96), 1, 16, 8, 16, 64),
        DecoderSize(8, (16, 32, 64, 64), 1, 8),
    ),
}
