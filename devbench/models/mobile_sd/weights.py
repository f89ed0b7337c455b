"""Where the submodels' weights come from: seeded random numbers, or a user's checkpoint; knows nothing of LiteRT.

Random weights keep the variance of what goes through them, so that no activation overflows or vanishes; latency does
not depend on their values. A checkpoint is a folder in diffusers' layout with safetensors files.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from devbench.errors import EnvironmentProblem, InputError, install_hint

_SEED = 1
_TABLES = ("token_embedding.weight", "position_embedding.weight")
_NAMES_SHOWN = 3


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
    def stored_shape(self) -> tuple[int, ...]:
        """The shape in a checkpoint: PyTorch keeps convolutions as out×in×height×width and Dense layers as out×in."""
        if len(self.shape) == 4:
            height, width, inputs, outputs = self.shape
            return (outputs, inputs, height, width)
        if len(self.shape) == 2 and not self.name.endswith(_TABLES):
            return (self.shape[1], self.shape[0])
        return self.shape


class WeightSource(Protocol):
    """Gives weights by what is asked for."""

    def array(self, spec: WeightSpec) -> NDArray[np.float32]:
        """The weight as float32, in the shape of `spec`."""

    def check(self, specs: Sequence[WeightSpec]) -> None:
        """Raise InputError unless every one of `specs` can be given."""


class RandomWeights:
    """Uniform random weights, the same for a name every time."""

    def array(self, spec: WeightSpec) -> NDArray[np.float32]:
        digest = hashlib.sha256(f"{_SEED} {spec.name}".encode()).digest()
        words = np.random.default_rng(int.from_bytes(digest[:8], "little"))
        values: NDArray[np.float32] = words.random(spec.shape, dtype=np.float32)
        # Uniform on ±√3·σ has the standard deviation σ.
        if len(spec.shape) == 1:
            middle, width = (1.0, 0.1) if spec.name.endswith("weight") else (0.0, 0.05)
        else:
            middle = 0.0
            inputs = 4.0 if spec.name.endswith(_TABLES) else float(math.prod(spec.shape[:-1]))
            width = spec.gain * math.sqrt(3.0 / inputs)
        values *= 2 * width
        values += middle - width
        return values

    def check(self, specs: Sequence[WeightSpec]) -> None:
        """There is a random weight for every name."""


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
        # Half-precision variants are in the same folder as the full ones under the same names.
        plain = [file for file in files if ".fp16." not in file.name] or files
        self._folder = folder
        self._files: dict[str, Any] = {}
        for file in plain:
            try:
                opened: Any = safe_open(file, framework="numpy")
                self._files |= dict.fromkeys(opened.keys(), opened)
            except Exception as error:
                raise InputError(f"--weights: {file} cannot be read: {error}", hint="is it whole?") from None

    def check(self, specs: Sequence[WeightSpec]) -> None:
        missing = [spec.name for spec in specs if self._name(spec) not in self._files]
        if missing:
            shown = ", ".join(missing[:_NAMES_SHOWN])
            raise InputError(
                f"--weights: {self._folder} lacks {len(missing)} of {len(specs)} weights: {shown}"
                + (", …" if len(missing) > _NAMES_SHOWN else ""),
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
        if len(spec.shape) == 4:
            return np.ascontiguousarray(stored.transpose(2, 3, 1, 0))
        return np.ascontiguousarray(stored.T) if _is_dense(spec) else stored

    def _name(self, spec: WeightSpec) -> str:
        if spec.name in self._files:
            return spec.name
        # Older releases of the autoencoder call its attention's layers otherwise.
        for new, old in _OLD_NAMES.items():
            if new in spec.name and ".attentions." in spec.name:
                return spec.name.replace(new, old)
        return spec.name


_OLD_NAMES: Mapping[str, str] = {
    ".to_q.": ".query.",
    ".to_k.": ".key.",
    ".to_v.": ".value.",
    ".to_out.0.": ".proj_attn.",
}


def _is_dense(spec: WeightSpec) -> bool:
    return len(spec.shape) == 2 and not spec.name.endswith(_TABLES)


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A Dense layer may be kept as a 1×1 convolution."""
    return tuple(size for size in shape if size != 1)
