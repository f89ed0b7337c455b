"""What can be measured of the Mobile Stable Diffusion paper (arXiv 2307.01193) on this machine: figures of its models.

Each function gives numbers by name; `devbench/findings/claims.py` says what they mean. Knows no device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from devbench.models.gpu.check import check, estimate_model
from devbench.models.graph.read import read_model
from devbench.models.graph.view import ModelView, OperatorView
from devbench.models.rewrites.apply import rewrite_file
from devbench.models.rewrites.catalogue import REWRITES, Rewrite, RewriteOptions
from devbench.models.rewrites.serialize import Conv, ConvLimits, smallest_factor

Figures = dict[str, float]
# The convolution of the paper, and the texture sides that GPUs of phones report.
_CONV = Conv(1, 32, 32, 1920, 640, 3, 3, 32, 32)
_SIDES = (16_384, 8_192)


def rewrites(*names: str) -> list[Rewrite]:
    """The named rewrites; without names, those that are not lossy and are applied by default."""
    return [one for one in REWRITES if (one.name in names if names else one.by_default and not one.lossy)]


def delegation(baseline: Mapping[str, Path], mobile: Mapping[str, Path]) -> Figures:
    """How many submodels the GPU delegate takes whole by the rules of `gpu-check`, and what it refuses of the U-Net."""
    found = Figures()
    for name, models in (("baseline", baseline), ("mobile", mobile)):
        views = {stage: read_model(path) for stage, path in models.items()}
        checked = {stage: check(view) for stage, view in views.items()}
        found[f"{name}_whole"] = sum(estimate_model(one).complete for one in checked.values())
        refused = [refusal.operator for one in checked.values() for graph in one for refusal in graph.refusals]
        found[f"{name}_dense_refused"] = sum(map(_is_large_dense, refused))
        found[f"{name}_rank5"] = sum(_rank5(view) for view in views.values())
    found["submodels"] = len(baseline)
    return found


def _is_large_dense(operator: OperatorView) -> bool:
    """A dense layer of more than one row."""
    given = operator.inputs[0] if operator.inputs else None
    return operator.type == "FULLY_CONNECTED" and given is not None and math.prod(given.shape[:-1]) > 1


def _rank5(view: ModelView) -> int:
    """Operators with a tensor of five dimensions or more, and BROADCAST_TO."""
    operators = [one for graph in view.graphs for one in graph.operators]
    tensors = ([*(t for t in one.inputs if t is not None), *one.outputs] for one in operators)
    wide = (any(len(tensor.shape) > 4 for tensor in several) for several in tensors)
    return sum(one or operator.type == "BROADCAST_TO" for one, operator in zip(wide, operators, strict=True))


def remedies(baseline: Mapping[str, Path], unet: str, folder: Path, tell: Callable[[str], None]) -> Figures:
    """Errors of outputs after single rewrites, relative to the largest value, and what they save."""
    found = Figures()
    source = baseline[unet]

    def error(name: str, options: RewriteOptions, *names: str, model: Path = source) -> None:
        tell(name)
        out = folder / f"{name}.tflite"
        made = rewrite_file(model, out, rewrites(*names), options, inputs=1)
        # At full scale, each file has 3 GB.
        out.unlink()
        compared = made.lossy or made.exact
        if compared is not None:
            found[f"{name}_error"] = compared.worst.relative
            found[f"{name}_run_s"] = compared.after.run_s
            found[f"{name}_size_share"] = made.size_bytes / model.stat().st_size
            found[f"{name}_places"] = sum(len(change.lines) for change in made.changes)

    plain = RewriteOptions()
    error("dense", plain, "fc-to-conv")
    error("groupnorm", plain, "groupnorm-4d")
    error("gelu", plain, "stable-gelu")
    # A limit that makes some convolutions of this scale too large, as the paper's convolution is at full scale.
    limits = ConvLimits(weight_bytes=max(1, _largest_conv_bytes(read_model(source)) // 2 + 1))
    for side in ("input", "output"):
        error(f"split_{side}", replace(plain, allow=limits.allow, along=side), "serialize-conv")
    error("w8", plain, "w8")
    error("prune", plain, "prune-largest")
    for texels in _SIDES:
        for along in ("input", "output"):
            factor = smallest_factor(_CONV, along, ConvLimits(texture_side=texels).allow)
            found[f"{along}_factor_{texels}"] = factor or 0
    return found


def _largest_conv_bytes(view: ModelView) -> int:
    kinds = (one for one in view.graphs[0].operators if one.type == "CONV_2D")
    return max((one.inputs[1].stored_bytes for one in kinds if one.inputs[1] is not None), default=0)


def gelu_in_fp16() -> Figures:
    """Whether the cube of GELU's argument overflows fp16, and what clipping it at ±10 changes in float32."""
    x = np.linspace(-60.0, 60.0, 240_001, dtype=np.float32)

    def gelu(argument: NDArray[np.float32]) -> NDArray[np.float32]:
        inner = np.float32(0.7978846) * (argument + np.float32(0.044715) * argument**3)
        return np.asarray(np.float32(0.5) * x * (1 + np.tanh(inner)), np.float32)

    with np.errstate(over="ignore"):
        half = x.astype(np.float16)
        overflowing = np.abs(x[np.isinf(half * half * half)])
    change = np.abs(gelu(x) - gelu(np.clip(x, -10, 10)))
    return {"gelu_overflow_from": float(overflowing.min()), "gelu_clip_change": float(change.max())}
