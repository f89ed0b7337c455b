"""LiteRT's C API through ctypes: one model, compiled for the CPU or the GPU, invoked and profiled; knows no flags.

The Python classes of `ai_edge_litert` do not expose the profiler and add work of their own to each inference; the
wheel's `libLiteRt.so` has the public C API (litert/c/*.h). Every call returns a status, 0 is OK; handles are
opaque pointers.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import functools
import importlib.util
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from devbench.virtual.benchmark_model.report import Event, ProfilerEvent, events_of

_STATUS_OK = 0
_CPU, _GPU = 1, 2
_LOCK_READ, _LOCK_WRITE = 0, 1
# The bits of a layout's first word that are its rank.
_RANK = 0x7F
_FLOAT32 = 1
# The names under which the runtime looks for each component's options.
_CPU_OPTIONS, _RUNTIME_OPTIONS, _GPU_OPTIONS = "xnnpack", "runtime_options_string", "gpu_options"


class _Layout(ctypes.Structure):
    """LiteRtLayout (litert/c/litert_layout.h): rank and flags, eight dimensions, eight strides."""

    _fields_ = (("rank", ctypes.c_uint32), ("sizes", ctypes.c_int32 * 8), ("strides", ctypes.c_uint32 * 8))


class _TensorType(ctypes.Structure):
    """LiteRtRankedTensorType (litert/c/litert_model_types.h), with room to spare."""

    _fields_ = (("element", ctypes.c_int32), ("layout", _Layout), ("spare", ctypes.c_char * 256))


class LiteRtError(Exception):
    """A call of the C API did not return OK."""

    def __init__(self, call: str, status: int) -> None:
        super().__init__(f"{call} returned status {status}")


@dataclass(frozen=True, slots=True)
class Backend:
    """How the model is executed. `kernels`: the runtime's name of the CPU kernels; "delegate" is XNNPACK."""

    gpu: bool = False
    kernels: Literal["delegate", "builtin"] = "delegate"
    num_threads: int = 0


def library_path() -> Path:
    """The runtime's library in the wheel.

    Raises:
        FileNotFoundError: the wheel is not installed, or has none.
    """
    spec = importlib.util.find_spec("ai_edge_litert")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for name in ("libLiteRt.so", "libLiteRt.dylib", "libLiteRt.dll"):
            if (Path(folder) / name).is_file():
                return Path(folder) / name
    raise FileNotFoundError("libLiteRt")


@functools.lru_cache(maxsize=1)
def load_library() -> ctypes.CDLL:
    """The runtime, loaded once."""
    return ctypes.CDLL(str(library_path()))


def load_gpu_accelerator() -> None:
    """Load the GPU accelerator, so that the runtime finds it by name; if it is missing, the runtime reports that."""
    with contextlib.suppress(OSError):
        ctypes.CDLL(str(library_path().with_name("libLiteRtWebGpuAccelerator.so")), mode=ctypes.RTLD_GLOBAL)


class Model:
    """A model file in memory.

    Raises:
        LiteRtError: the runtime cannot load it.
    """

    def __init__(self, path: str) -> None:
        self.api = load_library()
        self._libc = ctypes.CDLL(None)
        self._libc.strdup.restype = ctypes.c_void_p
        self.environment = self.get("LiteRtCreateEnvironment", 0, None)
        self.handle = self.get("LiteRtCreateModelFromFile", self.environment, path.encode())

    def call(self, name: str, *arguments: Any) -> None:
        """One call of the C API."""
        status = getattr(self.api, name)(*arguments)
        if status != _STATUS_OK:
            raise LiteRtError(name, status)

    def get(self, name: str, *arguments: Any, kind: Any = ctypes.c_void_p) -> Any:
        """The value that a call of the C API writes through its last argument, a pointer to a `kind`."""
        out = kind()
        self.call(name, *arguments, ctypes.byref(out))
        return out

    def options_text(self, identifier: str, text: str, into: ctypes.c_void_p) -> None:
        """Add a component's options, which are TOML text owned by the runtime."""
        payload = ctypes.c_void_p(self._libc.strdup(text.encode()))
        free = ctypes.cast(self._libc.free, ctypes.c_void_p)
        opaque = self.get("LiteRtCreateOpaqueOptions", identifier.encode(), payload, free)
        self.call("LiteRtAddOpaqueOptions", into, opaque)

    def main_graph(self) -> Any:
        """The handle of the main graph."""
        return self.get("LiteRtGetModelSubgraph", self.handle, ctypes.c_size_t(0))

    @property
    def operator_count(self) -> int:
        """Operators of the main graph."""
        return int(self.get("LiteRtGetNumSubgraphOps", self.main_graph(), kind=ctypes.c_size_t).value)

    def signature_number(self, name: str) -> int | None:
        """The number of the signature with that name, or of the main graph's for an empty name; `None` if missing."""
        count = self.get("LiteRtGetNumModelSignatures", self.handle, kind=ctypes.c_size_t).value
        main = self.main_graph()
        for number in range(count):
            signature = self.get("LiteRtGetModelSignature", self.handle, ctypes.c_size_t(number))
            key = self.get("LiteRtGetSignatureKey", signature, kind=ctypes.c_char_p)
            graph = self.get("LiteRtGetSignatureSubgraph", signature)
            if (key.value or b"").decode("utf-8", "replace") == name if name else graph.value == main.value:
                return number
        return None if name else 0


class CompiledModel:
    """A model compiled for a backend, with buffers for its inputs and outputs.

    Args:
        signature: the number of the signature that runs.
        shapes: the shapes of its inputs, in their order; empty for those of the file.

    Raises:
        LiteRtError: the backend refuses the model or a shape.
    """

    def __init__(
        self,
        model: Model,
        backend: Backend,
        *,
        profiling: bool = False,
        signature: int = 0,
        shapes: Sequence[Sequence[int]] = (),
    ) -> None:
        self.model = model
        self._call = model.call
        self._signature = ctypes.c_size_t(signature)
        self._shapes = self._resized(shapes)
        options = model.get("LiteRtCreateOptions")
        self._call("LiteRtSetOptionsHardwareAccelerators", options, _CPU | (_GPU if backend.gpu else 0))
        cpu = f'num_threads = {backend.num_threads}\nkernel_mode = "{backend.kernels}"\n'
        model.options_text(_CPU_OPTIONS, cpu, options)
        if backend.gpu:
            # Without it a run returns before the GPU has finished.
            model.options_text(_GPU_OPTIONS, "benchmark_mode = true\n", options)
        if profiling:
            model.options_text(_RUNTIME_OPTIONS, "enable_profiling = true\n", options)
        self._handle = model.get("LiteRtCreateCompiledModel", model.environment, model.handle, options)
        self._gpu = backend.gpu
        self.profiling = profiling
        for number, shape in self._shapes.items():
            index, rank = ctypes.c_size_t(number), ctypes.c_size_t(len(shape))
            sizes = (ctypes.c_int32 * len(shape))(*shape)
            self._call("LiteRtCompiledModelResizeInputTensor", self._handle, self._signature, index, sizes, rank)
        self._types: list[int] = []
        self._inputs = self._buffers("Input")
        self._outputs = self._buffers("Output")
        # Prepared once, since Python's work is part of an inference's time.
        self._invoke = functools.partial(
            model.api.LiteRtRunCompiledModel, self._handle, self._signature,
            ctypes.c_size_t(len(self._inputs)), self._inputs, ctypes.c_size_t(len(self._outputs)), self._outputs,
        )  # fmt: skip

    def _buffers(self, side: str) -> Any:
        """A buffer for each tensor of that side of the signature."""
        kinds = self._kinds(side)
        buffers = (ctypes.c_void_p * len(kinds))()
        layouts = self._layouts(side, len(kinds))
        for number, kind in enumerate(kinds):
            index = ctypes.c_size_t(number)
            if layouts is not None:
                # The type in the file has no sizes for open dimensions.
                kind.layout = layouts[number]
            ask = f"LiteRtGetCompiledModel{side}BufferRequirements"
            requirements = self.model.get(ask, self._handle, self._signature, index)
            create = "LiteRtCreateManagedTensorBufferFromRequirements"
            buffers[number] = self.model.get(create, self.model.environment, ctypes.byref(kind), requirements)
            if side == "Input":
                self._types.append(kind.element)
        return buffers

    def _kinds(self, side: str) -> list[_TensorType]:
        """The types of that side's tensors, as the file has them."""
        get, by_index = self.model.get, f"LiteRtGetSignature{side}TensorByIndex"
        signature = get("LiteRtGetModelSignature", self.model.handle, self._signature)
        count = get(f"LiteRtGetNumSignature{side}s", signature, kind=ctypes.c_size_t).value
        tensors = [get(by_index, signature, ctypes.c_size_t(number)) for number in range(count)]
        return [get("LiteRtGetRankedTensorType", tensor, kind=_TensorType) for tensor in tensors]

    def _resized(self, shapes: Sequence[Sequence[int]]) -> dict[int, tuple[int, ...]]:
        """The inputs whose shape differs from the file's; an open dimension is 1, as in the stock tool."""
        found = {}
        for number, kind in enumerate(self._kinds("Input")):
            of_file = tuple(kind.layout.sizes[: kind.layout.rank & _RANK])
            closed = tuple(1 if size < 0 else size for size in of_file)
            shape = tuple(shapes[number]) if number < len(shapes) else closed
            if shape != of_file:
                found[number] = shape
        return found

    def _layouts(self, side: str, count: int) -> Any:
        """The layouts of that side's tensors if inputs were resized, else `None`."""
        if not self._shapes:
            return None
        layouts = (_Layout * count)()
        if side == "Output":
            name, number = "LiteRtGetCompiledModelOutputTensorLayouts", ctypes.c_size_t(count)
            self._call(name, self._handle, self._signature, number, layouts, ctypes.c_bool(True))
        else:
            for place in range(count):
                name, index = "LiteRtGetCompiledModelInputTensorLayout", ctypes.c_size_t(place)
                self._call(name, self._handle, self._signature, index, ctypes.byref(layouts[place]))
        return layouts

    def fill_inputs(self, seed: int = 1) -> None:
        """Random inputs: numbers from -0.5 to 0.5 for floats, small integers for the rest."""
        words = random.Random(seed)
        for buffer, kind in zip(self._inputs, self._types, strict=True):
            size = self._size(buffer)
            if kind == _FLOAT32:
                data = array.array("f", (words.random() - 0.5 for _ in range(size // 4))).tobytes()
            else:
                data = bytes(size)
            self._write(buffer, data)

    @property
    def input_count(self) -> int:
        return len(self._inputs)

    def set_input(self, number: int, data: bytes) -> bool:
        """Give an input its raw values; False if their size does not fit."""
        buffer = self._inputs[number]
        if len(data) != self._size(buffer):
            return False
        self._write(buffer, data)
        return True

    def output_bytes(self) -> bytes:
        """The outputs one after the other; reading waits until they are complete."""
        parts: list[bytes] = []
        for buffer in self._outputs:
            with self._locked(buffer, _LOCK_READ) as address:
                parts.append(ctypes.string_at(address, self._size(buffer)))
        return b"".join(parts)

    def _size(self, buffer: int) -> int:
        name = "LiteRtGetTensorBufferPackedSize"
        return int(self.model.get(name, ctypes.c_void_p(buffer), kind=ctypes.c_size_t).value)

    def _write(self, buffer: int, data: bytes) -> None:
        with self._locked(buffer, _LOCK_WRITE) as address:
            ctypes.memmove(address, data, len(data))

    @contextlib.contextmanager
    def _locked(self, buffer: int, mode: int) -> Iterator[int]:
        address = ctypes.c_void_p()
        handle = ctypes.c_void_p(buffer)
        self._call("LiteRtLockTensorBuffer", handle, ctypes.byref(address), mode)
        try:
            yield address.value or 0
        finally:
            self._call("LiteRtUnlockTensorBuffer", handle)

    def run(self) -> None:
        """One inference; returns when its outputs are complete."""
        status = self._invoke()
        if status != _STATUS_OK:
            raise LiteRtError("LiteRtRunCompiledModel", status)
        if self._gpu:
            # An accelerator's call may return before the inference ends.
            for buffer in self._outputs:
                with self._locked(buffer, _LOCK_READ):
                    pass

    def profiled_run(self) -> list[Event]:
        """One inference with every operator recorded, in the order of execution."""
        profiler = self.model.get("LiteRtCompiledModelGetProfiler", self._handle)
        self._call("LiteRtResetProfiler", profiler)
        self._call("LiteRtStartProfiler", profiler)
        self.run()
        self._call("LiteRtStopProfiler", profiler)
        count = self.model.get("LiteRtGetNumProfilerEvents", profiler, kind=ctypes.c_int)
        records = (ProfilerEvent * count.value)()
        self._call("LiteRtGetProfilerEvents", profiler, count, records)
        return events_of(records)

    @property
    def gpu_takes_all(self) -> bool:
        """Whether an accelerator other than the CPU runs the whole graph."""
        name = "LiteRtCompiledModelIsNonCpuFullyAccelerated"
        return bool(self.model.get(name, self._handle, kind=ctypes.c_bool).value)

    def close(self) -> None:
        """Free the compiled model."""
        self.model.api.LiteRtDestroyCompiledModel(self._handle)
