"""What a model's outputs are on this machine's CPU, and what a run of it takes there.

LiteRT runs in a process of its own (`reference_process`): a damaged model can crash a runtime, and must not crash a
measurement; and the peak memory of a process is that of one model.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
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
        arguments = [str(model), name, str(len(sets)), str(threads), kernels]
        took = litert_process(
            "devbench.models.reference_process", arguments, folder / "took.json", model.name, timeout_s
        )
        outputs = tuple((folder / f"{number}.out").read_bytes() for number in range(len(sets)))
        return HostRun(outputs, **{**took, "shapes": tuple(map(tuple, took["shapes"]))})


def litert_process(
    module: str,
    arguments: Sequence[str],
    answer: Path,
    name: str,
    timeout_s: float = _TIMEOUT_S,
    hint: str = "run without checking outputs",
) -> Any:
    """What `python -m MODULE ARGUMENTS` writes to `answer`, as JSON.

    Raises:
        ReferenceFailed: LiteRT refuses the model called `name`, or does not end in time.
    """
    try:
        done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise ReferenceFailed(f"{name}: LiteRT on this machine is not done after {timeout_s:g} s") from None
    if done.returncode or not answer.exists():
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        why = said[-1] if said else f"exit code {done.returncode}"
        raise ReferenceFailed(f"{name}: LiteRT on this machine does not run it: {why}", hint=hint)
    return json.loads(answer.read_text("utf-8"))
