"""What a model's outputs are on this machine's CPU, and what a run of it takes there.

LiteRT runs in a process of its own: a damaged model can crash a runtime, and must not crash a measurement; and the peak
memory of a process is that of one model. `python -m devbench.models.reference MODEL FOLDER` is that process. In FOLDER
it reads `call.json` and the inputs `SET.NUMBER`; it writes the outputs of each set to `SET.out`, and what it measured
to `took.json`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from devbench.errors import DevbenchError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Kernels = Literal["builtin", "xnnpack"]
_TIMEOUT_S = 600.0


class ReferenceFailed(DevbenchError):
    """LiteRT on this machine does not run the model, so that there is nothing to compare with."""


@dataclass(frozen=True, slots=True)
class HostRun:
    """What LiteRT gave and took for a model on this machine.

    Attributes:
        outputs: for each set of inputs all outputs one after the other, as the stock tool writes them.
        init_s: from opening the file to allocated tensors.
        run_s: the time of the last inference; NaN without one.
        peak_bytes: the largest resident memory of the process, Python and LiteRT themselves included.
        shapes: the shapes of the outputs of the last set.
        tensors: the shapes of the graph's tensors, by their numbers; only if values were requested.
        values: the requested values of tensors, by the tensors' numbers, each as a flat list.
    """

    outputs: tuple[bytes, ...]
    init_s: float
    run_s: float
    peak_bytes: int
    shapes: tuple[tuple[int, ...], ...] = ()
    tensors: Mapping[int, Sequence[int]] = field(default_factory=dict)
    values: Mapping[int, Sequence[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SignatureCall:
    """A signature to call in place of the main graph, with the names of its inputs and outputs in the graph's order."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def run_on_host(
    model: Path,
    sets: Sequence[Sequence[NDArray[np.generic]]],
    *,
    threads: int = 1,
    kernels: Kernels = "builtin",
    timeout_s: float = _TIMEOUT_S,
    signature: SignatureCall | None = None,
    wanted: Sequence[int] | None = None,
    hint: str = "run without checking outputs",
) -> HostRun:
    """One inference for each set of inputs, in a process of its own; all sets have the same shapes.

    Args:
        wanted: the numbers of the tensors of the main graph whose values after the last inference are returned.
        hint: what to do if LiteRT does not run the model.

    Raises:
        ReferenceFailed: LiteRT does not run the model, or does not end in time.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, inputs in enumerate(sets):
            for place, array in enumerate(inputs):
                (folder / f"{number}.{place}").write_bytes(array.tobytes())
        call = {
            "shapes": [list(array.shape) for array in (sets[0] if sets else ())], "sets": len(sets),
            "signature": signature and asdict(signature), "threads": threads, "kernels": kernels, "wanted": wanted,
        }  # fmt: skip
        (folder / "call.json").write_text(json.dumps(call), "utf-8")
        command = [sys.executable, "-m", __name__, str(model), name]
        try:
            done = subprocess.run(command, capture_output=True, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise ReferenceFailed(f"{model.name}: LiteRT on this machine is not done after {timeout_s:g} s") from None
        answer = folder / "took.json"
        if done.returncode or not answer.exists():
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            why = said[-1] if said else f"exit code {done.returncode}"
            raise ReferenceFailed(f"{model.name}: LiteRT on this machine does not run it: {why}", hint=hint)
        took = json.loads(answer.read_text("utf-8"))
        shapes = tuple(map(tuple, took.pop("shapes")))
        outputs = tuple((folder / f"{number}.out").read_bytes() for number in range(len(sets)))
        return HostRun(
            outputs, shapes=shapes, tensors=dict(took.pop("tensors")), values=dict(took.pop("values")), **took
        )


# Runs the model on arrays; returns its outputs and the seconds that it took.
Invoke = Callable[[Sequence[Any]], tuple[list[Any], float]]


def main(argv: Sequence[str]) -> int:
    """The process: gives its exit code."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    folder = Path(argv[2])
    call = json.loads((folder / "call.json").read_text("utf-8"))
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    started = time.perf_counter()
    interpreter = Interpreter(
        argv[1],
        experimental_op_resolver_type=plain if call["kernels"] == "builtin" else OpResolverType.AUTO,
        experimental_preserve_all_tensors=call["wanted"] is not None,
        num_threads=call["threads"],
    )
    kinds, invoke = (_main_graph if call["signature"] is None else _signature)(interpreter, call)
    init_s, run_s = time.perf_counter() - started, float("nan")
    outputs: list[Any] = []
    for number in range(call["sets"]):
        inputs = enumerate(zip(kinds, call["shapes"], strict=True))
        arrays = [np.fromfile(folder / f"{number}.{place}", kind).reshape(shape) for place, (kind, shape) in inputs]
        outputs, run_s = invoke(arrays)
        (folder / f"{number}.out").write_bytes(b"".join(np.ascontiguousarray(array).tobytes() for array in outputs))
    wanted, details = call["wanted"], [] if call["wanted"] is None else interpreter.get_tensor_details()
    took = {
        "init_s": init_s, "run_s": run_s, "peak_bytes": _peak_bytes(), "shapes": [array.shape for array in outputs],
        "tensors": [(int(one["index"]), one["shape"].tolist()) for one in details],
        "values": [(number, interpreter.get_tensor(number).reshape(-1).tolist()) for number in wanted or ()],
    }  # fmt: skip
    (folder / "took.json").write_text(json.dumps(took), "utf-8")
    return 0


def _main_graph(interpreter: Any, call: Mapping[str, Any]) -> tuple[list[Any], Invoke]:
    """The types of the main graph's inputs, and what runs it."""
    inputs = interpreter.get_input_details()
    for details, shape in zip(inputs, call["shapes"], strict=False):
        if list(details["shape"]) != shape:
            interpreter.resize_tensor_input(details["index"], shape)
    interpreter.allocate_tensors()

    def invoke(arrays: Sequence[Any]) -> tuple[list[Any], float]:
        for details, array in zip(inputs, arrays, strict=True):
            interpreter.set_tensor(details["index"], array)
        started = time.perf_counter()
        interpreter.invoke()
        run_s = time.perf_counter() - started
        return [interpreter.get_tensor(details["index"]) for details in interpreter.get_output_details()], run_s

    return [details["dtype"] for details in inputs], invoke


def _signature(interpreter: Any, call: Mapping[str, Any]) -> tuple[list[Any], Invoke]:
    """The same for a signature, whose inputs and outputs have names."""
    signature = call["signature"]
    runner = interpreter.get_signature_runner(signature["name"])

    def invoke(arrays: Sequence[Any]) -> tuple[list[Any], float]:
        named = dict(zip(signature["inputs"], arrays, strict=True))
        started = time.perf_counter()
        found = runner(**named)
        return [found[name] for name in signature["outputs"]], time.perf_counter() - started

    return [runner.get_input_details()[name]["dtype"] for name in signature["inputs"]], invoke


def _peak_bytes() -> int:
    """The largest resident memory of this process."""
    import resource

    try:
        # getrusage would include the parent's peak, which Linux passes on through fork and exec.
        status = Path("/proc/self/status").read_text("ascii")
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) * 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
