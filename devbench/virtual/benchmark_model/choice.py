"""What the flags ask for: the model file and what runs it. Nothing is loaded here."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from devbench.virtual.benchmark_model.flags import Flags
from devbench.virtual.benchmark_model.litert import Backend, KernelMode
from devbench.virtual.benchmark_model.talk import Failed, error
from devbench.virtual.vulkan import driver_files


def graph_of(flags: Flags) -> str:
    """The path of the model's file.

    Raises:
        Failed: the flags name none; the message has been printed.
    """
    graph = flags.text("graph")
    if not graph:
        error("Please specify the name of your TF Lite input file with --graph")
        raise Failed
    return graph


def check_graph(graph: str) -> None:
    """Refuse a file that is no model, with the stock tool's message."""
    try:
        with Path(graph).open("rb") as file:
            head = file.read(8)
    except FileNotFoundError:
        error(f"Could not open '{graph}'.")
        error("The model allocation is null/empty")
    except OSError as problem:
        error(f"Mmap of '3' at offset '0' failed with error '{problem.errno}'.")
        error("The model allocation is null/empty")
    else:
        if head[4:8] == b"TFL3":
            return
        error("The model is not a valid Flatbuffer buffer")
    error(f"Failed to load model {graph}")
    raise Failed


@dataclass(frozen=True, slots=True)
class Choice:
    """What runs the model, and the delegate that was asked for by name; empty for the default."""

    backend: Backend
    delegate: str

    @property
    def name(self) -> str:
        """What runs the model, in devbench's words for delegates."""
        if self.backend.gpu:
            return "gpu"
        return "cpu" if self.backend.kernel_mode is KernelMode.BUILTIN else "xnnpack"


def choose(flags: Flags) -> Choice:
    """Naming the flag of a delegate at all, true or false, turns the default XNNPACK off, as in the stock tool."""
    gpu, xnnpack = flags.yes("use_gpu"), flags.yes("use_xnnpack")
    off = "use_xnnpack" in flags.named and not xnnpack
    mode = KernelMode.BUILTIN if off else KernelMode.XNNPACK
    if gpu:
        # SwiftShader is found where its browser put it.
        os.environ.update(driver_files() or {})
        os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    backend = Backend(gpu=gpu, kernel_mode=mode, num_threads=max(1, flags.whole("num_threads")))
    return Choice(backend, "GPU" if gpu else "XNNPACK" if xnnpack else "")
