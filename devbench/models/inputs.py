"""Deterministic inputs for a model: a user's .npy files by tensor name, generated ones for the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from devbench.errors import InputError
from devbench.host.regular import other_than_file
from devbench.models.tensors import TensorSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Whole numbers that are indices into a table (tokens, classes) must not lie beyond it.
_MAX_INDEX = 10
_MAX_NPY_BYTES = 1 << 30
# Of all generated inputs of a model; a picture of 8K has 400 MB. NumPy's arrays have 32 dimensions at most.
_MAX_BYTES = 512 << 20
_MAX_DIMENSIONS = 16


def make_inputs(
    specs: Sequence[TensorSpec],
    given: Mapping[str, Path],
    seed: int = 0,
    index_limits: Mapping[str, int] | None = None,
) -> list[NDArray[np.generic]]:
    """An array for each input, in the model's order; the same every time.

    Floats are drawn from −1 to 1, 8-bit integers from their whole range, other integers from 0 to 9.

    Args:
        specs: the model's inputs.
        given: .npy files by the name of the input that they are for: the tensor's, or that in the signature.
        seed: for other values than those of seed 0.
        index_limits: by the name of an input of whole numbers, how many there are to draw from.

    Raises:
        InputError: a file is for no input of the model, or its type or shape is not the input's; an input has a type
            or a shape that cannot be generated, or all of them are too large.
    """
    by_name = {spec.alias: spec for spec in specs if spec.alias} | {spec.name: spec for spec in specs}
    files: dict[str, Path] = {}
    for name, path in given.items():
        if name not in by_name:
            known = ", ".join(spec.alias or spec.name for spec in specs)
            raise InputError(f"--input {name}: the model has no such input", hint=f"it has {known}")
        if files.setdefault(by_name[name].name, path) != path:
            raise InputError(f"--input {name}: given twice, by both of its names", hint="leave one out")
    needed = sum(spec.size_bytes for spec in specs if spec.dtype and spec.name not in files)
    if needed > _MAX_BYTES:
        largest = max(specs, key=lambda spec: spec.size_bytes if spec.dtype else 0)
        raise InputError(
            f"inputs of {needed:,} bytes are too large to be generated ({largest.name}: {_shown(largest)})",
            hint=f"at most {_MAX_BYTES >> 20} MiB; give smaller shapes",
        )
    limits = {spec.name: _MAX_INDEX for spec in specs} | dict(index_limits or {})
    return [
        _load(spec, files[spec.name]) if spec.name in files else _generate(spec, seed, limits[spec.name])
        for spec in specs
    ]


def _shown(spec: TensorSpec) -> str:
    sizes = [str(size) for size in spec.shape[:_MAX_DIMENSIONS]]
    return f"{spec.dtype}[{', '.join(sizes)}{', …' if len(spec.shape) > _MAX_DIMENSIONS else ''}]"


def _generate(spec: TensorSpec, seed: int, index_limit: int) -> NDArray[np.generic]:
    import numpy as np

    if not spec.dtype or spec.dtype == "complex64":
        raise InputError(f"input {spec.name}: its type cannot be generated", hint="leave --check-outputs out")
    if any(size < 0 for size in spec.shape) or len(spec.shape) > _MAX_DIMENSIONS:
        raise InputError(f"input {spec.name}: {_shown(spec)} is no shape", hint="is the model whole?")
    # The name is the seed, so that an input has the same values in any order of the inputs.
    words = np.random.default_rng(int.from_bytes(hashlib.sha256(spec.name.encode()).digest()[:8], "little") + seed)
    kind = np.dtype(spec.dtype)
    if kind.kind == "f":
        return words.uniform(-1.0, 1.0, spec.shape).astype(kind)
    if kind.kind == "b":
        return words.integers(0, 2, spec.shape).astype(kind)
    if kind.itemsize == 1:
        limits = np.iinfo(kind)
        return words.integers(limits.min, limits.max, spec.shape, endpoint=True).astype(kind)
    return words.integers(0, index_limit, spec.shape).astype(kind)


def _load(spec: TensorSpec, path: Path) -> NDArray[np.generic]:
    import numpy as np

    try:
        if other := other_than_file(path):
            raise InputError(f"--input {spec.name}: {path} is {other}", hint="give a .npy file")
        if path.stat().st_size > _MAX_NPY_BYTES:
            raise InputError(
                f"--input {spec.name}: {path} is larger than {_MAX_NPY_BYTES >> 20} MiB", hint="is it an input?"
            )
        array: NDArray[np.generic] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"--input {spec.name}: {path} is no .npy file: {error}", hint="write it with numpy.save"
        ) from None
    if array.dtype != np.dtype(spec.dtype) or array.shape != spec.shape:
        raise InputError(
            f"--input {spec.name}: {path} contains {array.dtype}{list(array.shape)}",
            hint=f"the model takes {spec.dtype}{list(spec.shape)}",
        )
    return np.ascontiguousarray(array)
