"""What a model's outputs are on this machine's CPU, and what a run of it takes there.

It runs in a process of its own: a damaged model can bring a runtime down, and must not bring a measurement down; and
the peak memory of a process is that of one model. `python -m devbench.models.reference MODEL FOLDER SETS THREADS
KERNELS` reads the inputs `SET.NUMBER` in FOLDER, whose shapes and names are in `call.json`, and writes the outputs of
each set to `SET.out` and what it took to `took.json`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
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
        run_s: of the last inference; NaN without one.
        peak_bytes: the largest resident memory of the process, Python and LiteRT themselves included.
        shapes: of the outputs of the last set.
    """

    outputs: tuple[bytes, ...]
    init_s: float
    run_s: float
    peak_bytes: int
    shapes: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class SignatureCall:
    """A signature to call in place of the main graph, with the names of its inputs and outputs in the graph's order."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def reference_outputs(model: Path, inputs: Sequence[NDArray[np.generic]]) -> bytes:
    """The outputs for these inputs one after the other, by LiteRT's built-in kernels without any delegate.

    Raises:
        ReferenceFailed: LiteRT refuses the model, or does not end in time.
    """
    return run_on_host(model, [inputs]).outputs[0]


def run_on_host(
    model: Path,
    sets: Sequence[Sequence[NDArray[np.generic]]],
    *,
    threads: int = 1,
    kernels: Kernels = "builtin",
    timeout_s: float = _TIMEOUT_S,
    signature: SignatureCall | None = None,
) -> HostRun:
    """One inference for each set of inputs, in a process of its own; all sets have the same shapes.

    Raises:
        ReferenceFailed: LiteRT refuses the model, or does not end in time.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, inputs in enumerate(sets):
            for place, array in enumerate(inputs):
                (folder / f"{number}.{place}").write_bytes(array.tobytes())
        call = {
            "shapes": [list(array.shape) for array in (sets[0] if sets else ())],
            "signature": None if signature is None else asdict(signature),
        }
        (folder / "call.json").write_text(json.dumps(call), "utf-8")
        command = [sys.executable, "-m", "devbench.models.reference", str(model), name]
        command += [str(len(sets)), str(threads), kernels]
        try:
            done = subprocess.run(command, capture_output=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired:
            raise ReferenceFailed(f"{model.name}: LiteRT on this machine is not done after {timeout_s:g} s") from None
        took = folder / "took.json"
        if done.returncode or not took.exists():
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            why = said[-1] if said else f"exit code {done.returncode}"
            raise ReferenceFailed(
                f"{model.name}: LiteRT on this machine does not run it: {why}", hint="run without checking outputs"
            )
        outputs = tuple((folder / f"{number}.out").read_bytes() for number in range(len(sets)))
        said = json.loads(took.read_text("utf-8"))
        shapes = tuple(map(tuple, said.pop("shapes")))
        return HostRun(outputs, **said, shapes=shapes)


def main(argv: Sequence[str]) -> int:
    """The process: gives its exit code."""
    import time

    import numpy as np
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    model, name, sets, threads, kernels = argv[1:]
    folder = Path(name)
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    resolver = plain if kernels == "builtin" else OpResolverType.AUTO
    call = json.loads((folder / "call.json").read_text("utf-8"))
    started = time.perf_counter()
    interpreter = Interpreter(model, experimental_op_resolver_type=resolver, num_threads=int(threads))
    invoke = _main_graph(interpreter, call) if call["signature"] is None else _signature(interpreter, call)
    init_s, run_s = time.perf_counter() - started, float("nan")
    outputs: list[np.ndarray] = []
    for number in range(int(sets)):
        files = [folder / f"{number}.{place}" for place in range(len(call["shapes"]))]
        outputs, run_s = invoke(files)
        with (folder / f"{number}.out").open("wb") as file:
            for array in outputs:
                file.write(np.ascontiguousarray(array).tobytes())
    took = {
        "init_s": init_s, "run_s": run_s, "peak_bytes": _peak_bytes(), "shapes": [array.shape for array in outputs],
    }  # fmt: skip
    (folder / "took.json").write_text(json.dumps(took), "utf-8")
    return 0


Invoke = Callable[[Sequence[Path]], "tuple[list[np.ndarray], float]"]


def _main_graph(interpreter: Any, call: Mapping[str, Any]) -> Invoke:
    """Runs the main graph on raw inputs; gives its outputs and the seconds that it took."""
    import time

    import numpy as np

    inputs = interpreter.get_input_details()
    for details, shape in zip(inputs, call["shapes"], strict=False):
        if list(details["shape"]) != shape:
            interpreter.resize_tensor_input(details["index"], shape)
    interpreter.allocate_tensors()

    def invoke(files: Sequence[Path]) -> tuple[list[np.ndarray], float]:
        for details, shape, file in zip(inputs, call["shapes"], files, strict=True):
            interpreter.set_tensor(details["index"], np.fromfile(file, details["dtype"]).reshape(shape))
        started = time.perf_counter()
        interpreter.invoke()
        run_s = time.perf_counter() - started
        return [interpreter.get_tensor(details["index"]) for details in interpreter.get_output_details()], run_s

    return invoke


def _signature(interpreter: Any, call: Mapping[str, Any]) -> Invoke:
    """The same for a signature, whose inputs and outputs go by their names."""
    import time

    import numpy as np

    signature = call["signature"]
    runner = interpreter.get_signature_runner(signature["name"])
    kinds = {name: details["dtype"] for name, details in runner.get_input_details().items()}

    def invoke(files: Sequence[Path]) -> tuple[list[np.ndarray], float]:
        arrays = {
            name: np.fromfile(file, kinds[name]).reshape(shape)
            for name, shape, file in zip(signature["inputs"], call["shapes"], files, strict=True)
        }
        started = time.perf_counter()
        found = runner(**arrays)
        return [found[name] for name in signature["outputs"]], time.perf_counter() - started

    return invoke


def _peak_bytes() -> int:
    """The largest resident memory of this process."""
    import resource

    try:
        # What getrusage says is the parent's peak too: Linux hands it down through fork and exec.
        status = Path("/proc/self/status").read_text("ascii")
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) * 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
