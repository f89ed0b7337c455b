"""What a model's outputs are on this machine's CPU, by LiteRT's built-in kernels without any delegate.

It runs in a process of its own: a damaged model can bring a runtime down, and must not bring a measurement down.
`python -m devbench.models.reference MODEL INPUT... OUTPUT` reads each input and writes all outputs as raw bytes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from devbench.errors import DevbenchError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TIMEOUT_S = 600.0


class ReferenceFailed(DevbenchError):
    """LiteRT on this machine does not run the model, so that there is nothing to compare with."""


def reference_outputs(model: Path, inputs: Sequence[NDArray[np.generic]]) -> bytes:
    """The outputs for these inputs one after the other, as the stock tool writes them.

    Raises:
        ReferenceFailed: LiteRT refuses the model, or does not end in time.
    """
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for number, array in enumerate(inputs):
            path = Path(folder, f"input{number}")
            path.write_bytes(array.tobytes())
            names.append(str(path))
        out = Path(folder, "outputs")
        command = [sys.executable, "-m", "devbench.models.reference", str(model), *names, str(out)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            raise ReferenceFailed(f"{model.name}: LiteRT on this machine is not done after {_TIMEOUT_S:g} s") from None
        if done.returncode or not out.exists():
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            why = said[-1] if said else f"exit code {done.returncode}"
            raise ReferenceFailed(
                f"{model.name}: LiteRT on this machine does not run it: {why}", hint="run without --check-outputs"
            )
        return out.read_bytes()


def main(argv: Sequence[str]) -> int:
    """The process: gives its exit code."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    model, *inputs, out = argv[1:]
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    for details, path in zip(interpreter.get_input_details(), inputs, strict=True):
        array = np.fromfile(path, details["dtype"]).reshape(details["shape"])
        interpreter.set_tensor(details["index"], array)
    interpreter.invoke()
    with Path(out).open("wb") as file:
        for details in interpreter.get_output_details():
            file.write(np.ascontiguousarray(interpreter.get_tensor(details["index"])).tobytes())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
