"""The process in which LiteRT runs a model on this machine's CPU, for `reference`.

`python -m devbench.models.reference_process MODEL FOLDER SETS THREADS KERNELS` reads the inputs `SET.NUMBER` in FOLDER,
whose shapes and names are in `call.json`. It writes the outputs of each set to `SET.out`, and time and memory to
`took.json`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

Invoke = Callable[[Sequence[Path]], tuple[list[NDArray[Any]], float]]


def main(argv: Sequence[str]) -> int:
    """The process: gives its exit code."""
    model, name, sets, threads, kernels = argv[1:]
    folder = Path(name)
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    resolver = plain if kernels == "builtin" else OpResolverType.AUTO
    call = json.loads((folder / "call.json").read_text("utf-8"))
    started = time.perf_counter()
    interpreter = Interpreter(model, experimental_op_resolver_type=resolver, num_threads=int(threads))
    invoke = _main_graph(interpreter, call) if call["signature"] is None else _signature(interpreter, call)
    init_s, run_s = time.perf_counter() - started, float("nan")
    outputs: list[NDArray[Any]] = []
    for number in range(int(sets)):
        outputs, run_s = invoke([folder / f"{number}.{place}" for place in range(len(call["shapes"]))])
        with (folder / f"{number}.out").open("wb") as file:
            for array in outputs:
                file.write(np.ascontiguousarray(array).tobytes())
    took = {
        "init_s": init_s, "run_s": run_s, "peak_bytes": _peak_bytes(), "shapes": [array.shape for array in outputs],
    }  # fmt: skip
    (folder / "took.json").write_text(json.dumps(took), "utf-8")
    return 0


def _main_graph(interpreter: Any, call: Mapping[str, Any]) -> Invoke:
    """Runs the main graph on raw inputs; gives its outputs and the seconds that it took."""
    inputs = interpreter.get_input_details()
    for details, shape in zip(inputs, call["shapes"], strict=False):
        if list(details["shape"]) != shape:
            interpreter.resize_tensor_input(details["index"], shape)
    interpreter.allocate_tensors()

    def invoke(files: Sequence[Path]) -> tuple[list[NDArray[Any]], float]:
        for details, shape, file in zip(inputs, call["shapes"], files, strict=True):
            interpreter.set_tensor(details["index"], np.fromfile(file, details["dtype"]).reshape(shape))
        started = time.perf_counter()
        interpreter.invoke()
        run_s = time.perf_counter() - started
        return [interpreter.get_tensor(details["index"]) for details in interpreter.get_output_details()], run_s

    return invoke


def _signature(interpreter: Any, call: Mapping[str, Any]) -> Invoke:
    """The same for a signature, whose inputs and outputs go by their names."""
    signature = call["signature"]
    runner = interpreter.get_signature_runner(signature["name"])
    kinds = {name: details["dtype"] for name, details in runner.get_input_details().items()}

    def invoke(files: Sequence[Path]) -> tuple[list[NDArray[Any]], float]:
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
