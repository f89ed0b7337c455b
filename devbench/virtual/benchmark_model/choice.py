"""What the flags select: the model file, its backend, signature and shapes, and how much of it XNNPACK runs."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from devbench.virtual.benchmark_model.flags import Flags
from devbench.virtual.benchmark_model.litert import Backend, CompiledModel, LiteRtError, Model
from devbench.virtual.benchmark_model.talk import Failed, info
from devbench.virtual.vulkan import driver_files


def graph_of(flags: Flags) -> str:
    """The path of the model's file.

    Raises:
        Failed: the flags name none.
    """
    graph = flags.text("graph")
    if not graph:
        raise Failed("Please specify the name of your TF Lite input file with --graph")
    return graph


def check_graph(graph: str) -> None:
    """Refuse a file that is no model, with the stock tool's message."""
    reason = ["The model is not a valid Flatbuffer buffer"]
    try:
        with Path(graph).open("rb") as file:
            if file.read(8)[4:] == b"TFL3":
                return
    except FileNotFoundError:
        reason = [f"Could not open '{graph}'.", "The model allocation is null/empty"]
    except OSError as problem:
        failed = f"Mmap of '3' at offset '0' failed with error '{problem.errno}'."
        reason = [failed, "The model allocation is null/empty"]
    raise Failed(*reason, f"Failed to load model {graph}")


@dataclass(frozen=True, slots=True)
class Chosen:
    """What runs the model, and the delegate that was requested by name; empty for the default."""

    backend: Backend
    delegate: str

    @property
    def name(self) -> str:
        """What runs the model, in devbench's words for delegates."""
        if self.backend.gpu:
            return "gpu"
        return "cpu" if self.backend.kernels == "builtin" else "xnnpack"


def choose(flags: Flags) -> Chosen:
    """The choice made by the flags. As in the stock tool, any flag of a delegate turns the default XNNPACK off."""
    gpu, xnnpack = flags.yes("use_gpu"), flags.yes("use_xnnpack")
    off = "use_xnnpack" in flags.named and not xnnpack
    if gpu:
        # SwiftShader is used from the browser's folder.
        os.environ.update(driver_files() or {})
        os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    backend = Backend(gpu, "builtin" if off else "delegate", max(1, flags.whole("num_threads")))
    return Chosen(backend, "GPU" if gpu else "XNNPACK" if xnnpack else "")


@dataclass(frozen=True, slots=True)
class Call:
    """A signature by its number, and the shapes of its inputs; no shapes for those of the file."""

    signature: int = 0
    shapes: tuple[tuple[int, ...], ...] = ()

    def compiled(self, model: Model, backend: Backend, *, profiling: bool = False) -> CompiledModel:
        """The model compiled for this call."""
        return CompiledModel(model, backend, profiling=profiling, signature=self.signature, shapes=self.shapes)


def call_of(flags: Flags, model: Model) -> Call:
    """How the flags want the model called.

    Raises:
        Failed: the model has no such signature, or a shape cannot be read.
    """
    name = flags.text("signature_to_run_for")
    number = model.signature_number(name)
    if number is None:
        raise Failed(f"Signature {name} does not exist in the model")
    if name:
        info(f"Signature to run for: [{name}]")
    text = flags.text("input_layer_shape")
    parts = text.split(":") if text.strip(":") else []
    try:
        return Call(number, tuple(tuple(map(int, part.split(","))) if part else () for part in parts))
    except ValueError:
        raise Failed(f"Failed to parse the input shapes {text}") from None


def xnnpack_extent(graph: str, model: Model, backend: Backend, call: Call) -> tuple[int, int, int]:
    """XNNPACK's partitions, the nodes in them, and the partitions of both kinds.

    The stock tool knows them while it applies the delegate. Here they need a second compilation and an inference. The
    result is kept on the device: later processes skip this work, so that it is not part of their load time and memory.

    Raises:
        Failed: the model cannot be run.
    """
    memory = _memory(graph, backend, call)
    if memory is not None:
        with contextlib.suppress(OSError, ValueError, TypeError):
            partitions, taken, groups = map(int, json.loads(memory.read_text("ascii")))
            return partitions, taken, groups
    found = _probe(model, backend, call)
    if memory is not None:
        with contextlib.suppress(OSError):
            memory.parent.mkdir(parents=True, exist_ok=True)
            memory.write_text(json.dumps(found), "ascii")
    return found


def _memory(graph: str, backend: Backend, call: Call) -> Path | None:
    """The file for this model and backend; `None` outside of a device."""
    root = os.environ.get("DEVBENCH_VIRTUAL_ROOT")
    if not root:
        return None
    file = Path(graph).stat()
    known = (graph, file.st_size, file.st_mtime_ns, file.st_ino, backend.kernels, backend.num_threads, call)
    return Path(root, "data", "local", "extents", sha256(repr(known).encode()).hexdigest()[:32])


def _probe(model: Model, backend: Backend, call: Call) -> tuple[int, int, int]:
    probe = call.compiled(model, backend, profiling=True)
    probe.fill_inputs()
    try:
        events = probe.profiled_run()
    except LiteRtError as problem:
        raise Failed(f"Failed to invoke: {problem}") from None
    finally:
        probe.close()
    places = [event.partition for event in events]
    partitions = {place for place in places if place is not None}
    groups = sum(before != now for before, now in zip([object(), *places], places, strict=False))
    return len(partitions), model.operator_count - places.count(None), groups
