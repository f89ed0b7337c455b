"""LiteRT's C API through ctypes: one model, compiled for the CPU or the GPU, invoked and profiled; knows no flags.

The Python classes of `ai_edge_litert` do not expose the profiler and add work of their own to each inference; the
wheel's `libLiteRt.so` has the public C API (litert/c/*.h). Every call returns a status, 0 is OK; handles are
opaque pointers.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import mmap
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

_STATUS_OK = 0
_CPU, _GPU = 1, 2
_LOCK_READ, _LOCK_WRITE = 0, 1
# LiteRtRankedTensorType: element type, rank and flags, eight dimensions, eight strides; with room to spare.
_TENSOR_TYPE_BYTES = 512
_FLOAT32 = 1
# Kinds of profiler events that are operators (tflite::Profiler::EventType).
_CPU_OPERATOR, _DELEGATE_OPERATOR = 2, 8
# The names under which the runtime looks for each component's options.
_CPU_OPTIONS, _RUNTIME_OPTIONS, _GPU_OPTIONS = "xnnpack", "runtime_options_string", "gpu_options"


class KernelMode(Enum):
    """Whose kernels the CPU uses, in the words of the runtime's CPU options."""

    XNNPACK = "delegate"
    BUILTIN = "builtin"


class _ProfilerEvent(ctypes.Structure):
    """LiteRtProfilerEvent (litert/c/internal/litert_profiler.h)."""

    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("type", ctypes.c_int32),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory_begin", ctypes.c_uint64 * 3),
        ("memory_end", ctypes.c_uint64 * 3),
        ("index", ctypes.c_int64),
        ("graph", ctypes.c_int64),
        ("source", ctypes.c_int32),
    )


@dataclass(frozen=True, slots=True)
class Event:
    """An operator of one inference: `index` is the node on the CPU, else its place in the delegate's `partition`."""

    tag: str
    elapsed_us: int
    index: int
    partition: int | None


class LiteRtError(Exception):
    """A call of the C API did not return OK."""

    def __init__(self, call: str, status: int) -> None:
        super().__init__(f"{call} returned status {status}")
        self.call = call
        self.status = status


@dataclass(frozen=True, slots=True)
class Backend:
    """What runs the model."""

    gpu: bool = False
    kernel_mode: KernelMode = KernelMode.XNNPACK
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
    """Load the GPU accelerator, so that the runtime finds it by its name; without it the runtime says so."""
    with contextlib.suppress(OSError):
        ctypes.CDLL(str(library_path().with_name("libLiteRtWebGpuAccelerator.so")), mode=ctypes.RTLD_GLOBAL)


class Model:
    """A model file in memory.

    Raises:
        LiteRtError: the runtime does not take it.
    """

    def __init__(self, path: str) -> None:
        self.api = load_library()
        self._libc = ctypes.CDLL(None)
        self._libc.strdup.restype = ctypes.c_void_p
        self.environment = ctypes.c_void_p()
        self.handle = ctypes.c_void_p()
        self.call("LiteRtCreateEnvironment", 0, None, ctypes.byref(self.environment))
        self.call("LiteRtCreateModelFromFile", self.environment, path.encode(), ctypes.byref(self.handle))

    def call(self, name: str, *arguments: Any) -> None:
        """One call of the C API."""
        status = getattr(self.api, name)(*arguments)
        if status != _STATUS_OK:
            raise LiteRtError(name, status)

    def options_text(self, identifier: str, text: str, into: ctypes.c_void_p) -> None:
        """Add a component's options, which are TOML text owned by the runtime."""
        opaque = ctypes.c_void_p()
        payload = ctypes.c_void_p(self._libc.strdup(text.encode()))
        free = ctypes.cast(self._libc.free, ctypes.c_void_p)
        self.call("LiteRtCreateOpaqueOptions", identifier.encode(), payload, free, ctypes.byref(opaque))
        self.call("LiteRtAddOpaqueOptions", into, opaque)

    @property
    def operator_count(self) -> int:
        """Operators of the main graph."""
        graph, count = ctypes.c_void_p(), ctypes.c_size_t()
        self.call("LiteRtGetModelSubgraph", self.handle, ctypes.c_size_t(0), ctypes.byref(graph))
        self.call("LiteRtGetNumSubgraphOps", graph, ctypes.byref(count))
        return int(count.value)


class Compiled:
    """A model compiled for a backend, with buffers for its inputs and outputs.

    Raises:
        LiteRtError: the backend does not take the model.
    """

    def __init__(self, model: Model, backend: Backend, *, profiling: bool = False) -> None:
        self.model = model
        self._call = model.call
        options = ctypes.c_void_p()
        self._call("LiteRtCreateOptions", ctypes.byref(options))
        self._call("LiteRtSetOptionsHardwareAccelerators", options, _CPU | (_GPU if backend.gpu else 0))
        cpu = f'num_threads = {backend.num_threads}\nkernel_mode = "{backend.kernel_mode.value}"\n'
        model.options_text(_CPU_OPTIONS, cpu, options)
        if backend.gpu:
            # Without it a run returns before the GPU is done; and software GPUs do not have fp16.
            model.options_text(_GPU_OPTIONS, "benchmark_mode = true\n", options)
        if profiling:
            model.options_text(_RUNTIME_OPTIONS, "enable_profiling = true\n", options)
        self._handle = ctypes.c_void_p()
        self._call("LiteRtCreateCompiledModel", model.environment, model.handle, options, ctypes.byref(self._handle))
        self._gpu = backend.gpu
        self.profiling = profiling
        self._types: list[int] = []
        self._inputs = self._buffers("Input")
        self._outputs = self._buffers("Output")
        # Looked up once: what Python adds to an inference is in its time.
        self._invoke = functools.partial(
            model.api.LiteRtRunCompiledModel, self._handle, ctypes.c_size_t(0),
            ctypes.c_size_t(len(self._inputs)), self._inputs, ctypes.c_size_t(len(self._outputs)), self._outputs,
        )  # fmt: skip

    def _buffers(self, side: str) -> Any:
        """A buffer for each tensor of that side of the first signature."""
        signature, count = ctypes.c_void_p(), ctypes.c_size_t()
        zero = ctypes.c_size_t(0)
        self._call("LiteRtGetModelSignature", self.model.handle, zero, ctypes.byref(signature))
        self._call(f"LiteRtGetNumSignature{side}s", signature, ctypes.byref(count))
        buffers = (ctypes.c_void_p * count.value)()
        for number in range(count.value):
            index = ctypes.c_size_t(number)
            tensor, requirements, buffer = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
            kind = (ctypes.c_char * _TENSOR_TYPE_BYTES)()
            self._call(f"LiteRtGetSignature{side}TensorByIndex", signature, index, ctypes.byref(tensor))
            self._call("LiteRtGetRankedTensorType", tensor, kind)
            ask = f"LiteRtGetCompiledModel{side}BufferRequirements"
            self._call(ask, self._handle, zero, index, ctypes.byref(requirements))
            create = "LiteRtCreateManagedTensorBufferFromRequirements"
            self._call(create, self.model.environment, kind, requirements, ctypes.byref(buffer))
            buffers[number] = buffer
            if side == "Input":
                self._types.append(ctypes.cast(kind, ctypes.POINTER(ctypes.c_int32))[0])
        return buffers

    def fill_inputs(self, seed: int = 1) -> None:
        """Random inputs: numbers from -0.5 to 0.5 for floats, small integers for the rest."""
        words = random.Random(seed)
        for buffer, kind in zip(self._inputs, self._types, strict=True):
            size = self._size(buffer)
            if kind == _FLOAT32:
                import array

                data = array.array("f", (words.random() - 0.5 for _ in range(size // 4))).tobytes()
            else:
                data = bytes(size)
            self._locked(buffer, _LOCK_WRITE, functools.partial(_write, data=data))

    @property
    def input_count(self) -> int:
        return len(self._inputs)

    def set_input(self, number: int, data: bytes) -> bool:
        """Give an input its raw values; False where their size is another."""
        buffer = self._inputs[number]
        if len(data) != self._size(buffer):
            return False
        self._locked(buffer, _LOCK_WRITE, functools.partial(_write, data=data))
        return True

    def output_bytes(self) -> bytes:
        """The outputs one after the other; reading waits until they are there."""
        parts: list[bytes] = []
        for buffer in self._outputs:
            size = self._size(buffer)
            self._locked(buffer, _LOCK_READ, functools.partial(_read, size=size, into=parts))
        return b"".join(parts)

    def _size(self, buffer: int) -> int:
        size = ctypes.c_size_t()
        self._call("LiteRtGetTensorBufferPackedSize", ctypes.c_void_p(buffer), ctypes.byref(size))
        return int(size.value)

    def _locked(self, buffer: int, mode: int, use: Callable[[int], object]) -> None:
        address = ctypes.c_void_p()
        handle = ctypes.c_void_p(buffer)
        self._call("LiteRtLockTensorBuffer", handle, ctypes.byref(address), mode)
        try:
            use(address.value or 0)
        finally:
            self._call("LiteRtUnlockTensorBuffer", handle)

    def run(self) -> None:
        """One inference; returns when its outputs are there."""
        status = self._invoke()
        if status != _STATUS_OK:
            raise LiteRtError("LiteRtRunCompiledModel", status)
        if self._gpu:
            # An accelerator's call may return before it is done.
            for buffer in self._outputs:
                self._locked(buffer, _LOCK_READ, lambda address: None)

    def profiled_run(self) -> list[Event]:
        """One inference with every operator recorded, in the order of execution."""
        profiler, count = ctypes.c_void_p(), ctypes.c_int()
        self._call("LiteRtCompiledModelGetProfiler", self._handle, ctypes.byref(profiler))
        self._call("LiteRtResetProfiler", profiler)
        self._call("LiteRtStartProfiler", profiler)
        self.run()
        self._call("LiteRtStopProfiler", profiler)
        self._call("LiteRtGetNumProfilerEvents", profiler, ctypes.byref(count))
        records = (_ProfilerEvent * count.value)()
        self._call("LiteRtGetProfilerEvents", profiler, count, records)
        return _events(records)

    @property
    def gpu_takes_all(self) -> bool:
        """Whether an accelerator other than the CPU runs the whole graph."""
        answer = ctypes.c_bool()
        self._call("LiteRtCompiledModelIsNonCpuFullyAccelerated", self._handle, ctypes.byref(answer))
        return bool(answer.value)

    def close(self) -> None:
        """Give the compiled model back."""
        self.model.api.LiteRtDestroyCompiledModel(self._handle)


def _write(address: int, data: bytes) -> None:
    ctypes.memmove(address, data, len(data))


def _read(address: int, size: int, into: list[bytes]) -> None:
    into.append(ctypes.string_at(address, size))


def _events(records: Iterable[_ProfilerEvent]) -> list[Event]:
    """The operators among the records; a partition ends where the CPU or another partition goes on."""
    events: list[Event] = []
    partition, last = -1, -1
    for record in records:
        tag = (record.tag or b"").decode("utf-8", "replace")
        if record.type == _CPU_OPERATOR:
            events.append(Event(tag, record.elapsed_us, record.index, None))
            last = -1
        elif record.type == _DELEGATE_OPERATOR:
            if last < 0 or record.index <= last:
                partition += 1
            last = record.index
            events.append(Event(tag, record.elapsed_us, record.index, partition))
    return events


def operator_names(path: str) -> list[str]:
    """For each operator of the main graph the names of its outputs, as the stock tool shows them."""
    from ai_edge_litert import schema_py_generated as schema

    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        graph = schema.Model.GetRootAs(data).Subgraphs(0)
        names = []
        for number in range(graph.OperatorsLength()):
            operator = graph.Operators(number)
            outputs = [graph.Tensors(operator.Outputs(k)).Name() or b"" for k in range(operator.OutputsLength())]
            names.append(", ".join(name.decode("utf-8", "replace") for name in outputs))
        del graph
        return names
