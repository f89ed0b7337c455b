"""The submodels of Stable Diffusion v2.1 as .tflite; knows no device and no tool."""

from __future__ import annotations

from collections.abc import Mapping

SUBMODELS: Mapping[str, str] = {
    "text_encoder": "text_encoder", "image_encoder": "vae", "unet": "unet", "image_decoder": "vae"
}  # fmt: skip
"""Each submodel, with the folder of a diffusers checkpoint that has its weights."""
