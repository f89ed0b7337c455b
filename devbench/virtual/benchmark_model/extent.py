"""How much of a graph XNNPACK takes: seen in one profiled inference, and remembered on the device.

The stock tool knows it while it applies the delegate; here it takes a second compilation and an inference. What was
seen once is kept beside the device's files, so that later processes load as fast, and need as much memory, as a load
does.
"""

from __future__ import annotations

import contextlib
import json
import os
from hashlib import sha256
from pathlib import Path

from devbench.virtual.benchmark_model.call import Call
from devbench.virtual.benchmark_model.litert import Backend, LiteRtError, Model
from devbench.virtual.benchmark_model.talk import Failed, error


def xnnpack_extent(graph: str, model: Model, backend: Backend, call: Call) -> tuple[int, int, int]:
    """XNNPACK's partitions, the nodes in them, and the partitions of both kinds.

    Raises:
        Failed: the model cannot be run; everything there is to say has been printed.
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
    with contextlib.suppress(OSError):
        file = Path(graph).stat()
        runs = (backend.kernel_mode.value, backend.num_threads, call)
        known = (graph, file.st_size, file.st_mtime_ns, file.st_ino, *runs)
        return Path(root) / "data" / "local" / "extents" / sha256(repr(known).encode()).hexdigest()[:32]
    return None


def _probe(model: Model, backend: Backend, call: Call) -> tuple[int, int, int]:
    probe = call.compiled(model, backend, profiling=True)
    try:
        events = probe.profiled_run()
    except LiteRtError as problem:
        error(f"Failed to invoke: {problem}")
        raise Failed from None
    finally:
        probe.close()
    partitions = {event.partition for event in events if event.partition is not None}
    on_cpu = sum(event.partition is None for event in events)
    changes = [event.partition for event in events]
    groups = sum(1 for before, now in zip([object(), *changes], changes, strict=False) if before != now)
    return len(partitions), model.operator_count - on_cpu, groups
