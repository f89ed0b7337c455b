"""Inputs and outputs of a .tflite: name, type, shape; and deterministic inputs for it. Knows no device and no runtime.

An input is a user's .npy file by the tensor's name, or generated.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from devbench.errors import InputError
from devbench.frozen import dataclass
from devbench.host.whole_files import other_than_file
from devbench.models.graph.tables import FlatTable, open_tables
from devbench.models.graph.view import type_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Types that can be given as raw bytes; NumPy has the same names as the schema.
_RAW_TYPES = frozenset({
    "float32", "float16", "int32", "uint8", "int64", "bool", "int16", "complex64", "int8", "float64", "uint64",
    "uint32", "uint16",
})  # fmt: skip
_MAX_SIGNATURES = 1000
# Integers that are indices into a table (tokens, classes) must be within it.
_MAX_INDEX = 10
_MAX_NPY_BYTES = 1 << 30
# The largest size of all generated inputs of a model; a picture of 8K has 400 MB. NumPy's arrays have at most 32
# dimensions.
_MAX_BYTES = 512 << 20
_MAX_DIMENSIONS = 16


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor at the edge of the graph.

    Attributes:
        name: the tensor's.
        dtype: NumPy's name, empty for a type that has no raw form.
        alias: its name in the signature, which the model's author chose; empty without one.
        open_shape: the shape with -1 for each dimension that may have any size; empty if all are fixed.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    alias: str = ""
    open_shape: tuple[int, ...] = ()

    @property
    def shown(self) -> str:
        """The name to show, which options accept, too."""
        return self.alias or self.name

    @property
    def size_bytes(self) -> int:
        import numpy as np

        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class ModelTensors:
    """Inputs and outputs of a graph, in its order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """A way to call a model. `graph` is the number of the subgraph that it runs; 0 is the main graph."""

    name: str
    graph: int


def read_signatures(path: Path) -> tuple[Signature, ...]:
    """The signatures of a model in the file's order, as far as the file can be followed."""
    found: list[Signature] = []
    with contextlib.suppress(InputError), open_tables(path) as model:
        for number in range(min(model.count("signatures"), _MAX_SIGNATURES)):
            entry = model.item("signatures", number)
            found.append(Signature(entry.text("key"), entry.number("graph")))
    return tuple(found)


def read_tensors(path: Path, graph_number: int = 0) -> ModelTensors:
    """The tensors at the edge of a graph of the model, by default the main one.

    Raises:
        InputError: the file cannot be followed.
    """
    with open_tables(path) as model:
        graph = model.item("graphs", graph_number)
        signature = next((one for one in model.each("signatures") if one.number("graph") == graph_number), None)
        return ModelTensors(_edge(graph, "inputs", signature), _edge(graph, "outputs", signature))


def operator_names(path: Path, signature: str = "") -> list[str]:
    """For each operator of a signature's graph (of the main one without) its outputs, as the stock tool shows them.

    Raises:
        InputError: the file cannot be followed.
    """
    with open_tables(path) as model:
        graphs = (one.number("graph") for one in model.each("signatures") if signature and one.text("key") == signature)
        graph = model.item("graphs", next(graphs, 0))
        names = [tensor.text("name") for tensor in graph.each("tensors")]
        return [", ".join(names[number] for number in one.numbers("outputs")) for one in graph.each("operators")]


def _edge(graph: FlatTable, side: str, signature: FlatTable | None) -> tuple[TensorSpec, ...]:
    """The tensors of one side, with their names in the signature."""
    entries = signature.each(side) if signature is not None else ()
    aliases = {one.number("tensor"): one.text("name") for one in entries}
    return tuple(_spec(graph.item("tensors", number), aliases.get(number, "")) for number in graph.numbers(side))


def _spec(tensor: FlatTable, alias: str) -> TensorSpec:
    shape, signed = tensor.numbers("shape"), tensor.numbers("shape_signature")
    is_open = len(signed) == len(shape) and any(size < 0 for size in signed)
    dtype = type_name(tensor.number("type"))
    raw = dtype if dtype in _RAW_TYPES else ""
    return TensorSpec(tensor.text("name"), raw, shape, alias, signed if is_open else ())


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
        index_limits: by the name of an integer input, the first number that is too large.

    Raises:
        InputError: a file is for no input of the model, or its type or shape is not the input's; an input has a type
            or a shape that cannot be generated, or all of them are too large.
    """
    by_name = {spec.alias: spec for spec in specs if spec.alias} | {spec.name: spec for spec in specs}
    files: dict[str, Path] = {}
    for name, path in given.items():
        if name not in by_name:
            hint = f"it has {', '.join(spec.shown for spec in specs)}"
            raise InputError(f"--input {name}: the model has no such input", hint=hint)
        if files.setdefault(by_name[name].name, path) != path:
            raise InputError(f"--input {name}: given twice, by both of its names", hint="leave one out")
    needed = sum(spec.size_bytes for spec in specs if spec.dtype and spec.name not in files)
    if needed > _MAX_BYTES:
        largest = max(specs, key=lambda spec: spec.size_bytes if spec.dtype else 0)
        raise InputError(
            f"inputs of {needed:,} bytes are too large to be generated ({largest.name}: {_type_text(largest)})",
            hint=f"at most {_MAX_BYTES >> 20} MiB; give smaller shapes",
        )
    limits = {spec.name: _MAX_INDEX for spec in specs} | dict(index_limits or {})
    return [
        _load(spec, files[spec.name]) if spec.name in files else _generate(spec, seed, limits[spec.name])
        for spec in specs
    ]


def _type_text(spec: TensorSpec) -> str:
    sizes = [str(size) for size in spec.shape[:_MAX_DIMENSIONS]]
    return f"{spec.dtype}[{', '.join(sizes)}{', …' if len(spec.shape) > _MAX_DIMENSIONS else ''}]"


def _generate(spec: TensorSpec, seed: int, index_limit: int) -> NDArray[np.generic]:
    import numpy as np

    if not spec.dtype or spec.dtype == "complex64":
        raise InputError(f"input {spec.name}: its type cannot be generated", hint="leave --check-outputs out")
    if any(size < 0 for size in spec.shape) or len(spec.shape) > _MAX_DIMENSIONS:
        raise InputError(f"input {spec.name}: {_type_text(spec)} is not a valid shape", hint="is the model whole?")
    # The name is the seed, so that an input has the same values in any order of the inputs.
    words = np.random.default_rng(int.from_bytes(hashlib.sha256(spec.name.encode()).digest()[:8], "little") + seed)
    kind = np.dtype(spec.dtype)
    if kind.kind == "f":
        return words.uniform(-1.0, 1.0, spec.shape).astype(kind)
    low, high = (0, 2 if kind.kind == "b" else index_limit)
    if kind.itemsize == 1 and kind.kind != "b":
        low, high = np.iinfo(kind).min, np.iinfo(kind).max + 1
    return words.integers(low, high, spec.shape).astype(kind)


def _load(spec: TensorSpec, path: Path) -> NDArray[np.generic]:
    import numpy as np

    what = f"--input {spec.name}: {path}"
    try:
        if other := other_than_file(path):
            raise InputError(f"{what} is {other}", hint="give a .npy file")
        if path.stat().st_size > _MAX_NPY_BYTES:
            raise InputError(f"{what} is larger than {_MAX_NPY_BYTES >> 20} MiB", hint="is it an input?")
        array: NDArray[np.generic] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{what} is not a .npy file: {error}", hint="write it with numpy.save") from None
    if array.dtype != np.dtype(spec.dtype) or array.shape != spec.shape:
        hint = f"the model takes {spec.dtype}{list(spec.shape)}"
        raise InputError(f"{what} contains {array.dtype}{list(array.shape)}", hint=hint)
    return np.ascontiguousarray(array)
