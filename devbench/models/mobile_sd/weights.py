"""Where the submodels' weights come from: seeded random numbers, or a user's checkpoint; knows nothing of LiteRT.

Random weights keep the variance of what goes through them, so that no activation overflows or vanishes; latency does
not depend on their values. A checkpoint is a folder in diffusers' layout with safetensors files.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devbench.errors import EnvironmentProblem, InputError, install_hint

_SEED = 1
_TABLES = ("token_embedding.weight", "position_embedding.weight")
_NAMES_SHOWN = 3
_OLD_NAMES = ((".to_q.", ".query."), (".to_k.", ".key."), (".to_v.", ".value."), (".to_out.0.", ".proj_attn."))


@dataclass(frozen=True, slots=True)
class WeightSpec:
    """A weight that a submodel needs: its name in diffusers' checkpoints, its shape as TensorFlow's operators take it.

    `gain` is how large random values are, relative to those that keep the variance of their input.
    """

    name: str
    shape: tuple[int, ...]
    gain: float = 1.0

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def stored_axes(self) -> tuple[int, ...]:
        """The axes of `shape` in a checkpoint's order: PyTorch has convolutions as out×in×height×width, Dense layers as
        out×in."""
        is_dense = len(self.shape) == 2 and not self.name.endswith(_TABLES)
        return {4: (3, 2, 0, 1), 2: (1, 0) if is_dense else (0, 1)}.get(len(self.shape), (0,))

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """The shape in a checkpoint."""
        return tuple(self.shape[axis] for axis in self.stored_axes)


class RandomWeights:
    """Uniform random weights, always the same for a name."""

    def array(self, spec: WeightSpec) -> NDArray[np.float32]:
        digest = hashlib.sha256(f"{_SEED} {spec.name}".encode()).digest()
        words = np.random.default_rng(int.from_bytes(digest[:8], "little"))
        values: NDArray[np.float32] = words.random(spec.shape, dtype=np.float32)
        middle, width = (1.0, 0.1) if spec.name.endswith("weight") else (0.0, 0.05)
        if len(spec.shape) > 1:
            # Uniform on ±√3·σ has the standard deviation σ.
            inputs = 4.0 if spec.name.endswith(_TABLES) else float(math.prod(spec.shape[:-1]))
            middle, width = 0.0, spec.gain * math.sqrt(3.0 / inputs)
        values *= 2 * width
        values += middle - width
        return values

    def check(self, specs: Sequence[WeightSpec]) -> None:
        """There is a random weight for every name, so that nothing can be missing."""


class Checkpoint:
    """The safetensors files of one submodel's folder."""

    def __init__(self, folder: Path) -> None:
        try:
            from safetensors import safe_open
        except ImportError:
            raise EnvironmentProblem("reading a checkpoint needs safetensors", hint=install_hint("models")) from None
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise InputError(
                f"--weights: no .safetensors file in {folder}", hint="give the folder of a diffusers checkpoint"
            )
        self._folder = folder
        self._files: dict[str, Any] = {}
        # Half-precision files are in the same folder, with weights of the same names.
        for file in [file for file in files if ".fp16." not in file.name] or files:
            try:
                opened: Any = safe_open(file, framework="numpy")
                self._files |= dict.fromkeys(opened.keys(), opened)
            except Exception as error:
                raise InputError(f"--weights: {file} cannot be read: {error}", hint="is it whole?") from None

    def check(self, specs: Sequence[WeightSpec]) -> None:
        if missing := [spec.name for spec in specs if self._name(spec) not in self._files]:
            shown = ", ".join([*missing[:_NAMES_SHOWN], *("…" for _ in missing[_NAMES_SHOWN : _NAMES_SHOWN + 1])])
            raise InputError(
                f"--weights: {self._folder} lacks {len(missing)} of {len(specs)} weights: {shown}",
                hint="give a checkpoint of Stable Diffusion 2.x, in diffusers' layout, for the scale that is built",
            )
        for spec in specs:
            shape = tuple(self._files[self._name(spec)].get_slice(self._name(spec)).get_shape())
            if _squeezed(shape) != _squeezed(spec.stored_shape):
                raise InputError(
                    f"--weights: {spec.name} in {self._folder} is {list(shape)}, needed is {list(spec.stored_shape)}",
                    hint="is it of Stable Diffusion 2.x, and of the scale that is built?",
                )

    def array(self, spec: WeightSpec) -> NDArray[np.float32]:
        name = self._name(spec)
        try:
            stored = np.asarray(self._files[name].get_tensor(name)).astype(np.float32).reshape(spec.stored_shape)
        except Exception as error:
            raise InputError(
                f"--weights: {name} in {self._folder}: {error}", hint="is it float16 or float32?"
            ) from None
        return np.ascontiguousarray(stored.transpose(np.argsort(spec.stored_axes)))

    def _name(self, spec: WeightSpec) -> str:
        # Older releases of the autoencoder have other names for the layers of its attention.
        old = (spec.name.replace(*pair) for pair in _OLD_NAMES if ".attentions." in spec.name and pair[0] in spec.name)
        return spec.name if spec.name in self._files else next(old, spec.name)


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape without extents of 1: a Dense layer may be stored as a 1×1 convolution."""
    return tuple(size for size in shape if size != 1)


WeightSource = RandomWeights | Checkpoint
