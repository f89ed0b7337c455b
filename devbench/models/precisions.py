"""A model in float32, fp16, weight-only int8 and dynamic int8: size, peak memory, time and output error of each."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from devbench.errors import InputError
from devbench.models.equality import compare_models
from devbench.models.rewrites.apply import rewrite_file
from devbench.models.rewrites.catalogue import RewriteOptions, chosen_rewrites

_REWRITES = (("as it is", ()), ("fp16", ("fp16",)), ("weight-only int8", ("w8",)), ("dynamic int8", ("dynamic-int8",)))


@dataclass(frozen=True, slots=True)
class Precision:
    """A model with weights of one kind, run on this machine by LiteRT with XNNPACK.

    Attributes:
        weights: as it is, fp16, weight-only int8 or dynamic int8.
        size_bytes: of the file.
        peak_bytes: the largest resident memory of a process that runs it, Python and LiteRT included.
        init_s, run_s: from opening the file to allocated tensors, and the last inference.
        relative: the largest difference of an output, relative to its largest value, compared with the model as it is.
        snr_db: infinite where outputs are equal.
    """

    weights: str
    size_bytes: int
    peak_bytes: int
    init_s: float
    run_s: float
    relative: float
    snr_db: float


def precisions(model: Path, *, inputs: int = 1, tell: Callable[[str], None] = lambda what: None) -> Iterator[Precision]:
    """Make each of them in turn, run it once for each set of inputs, and drop it.

    Weight-only int8 is dequantised by LiteRT at the start: a small file is not a small process.

    Raises:
        InputError: the model cannot be read, or its folder cannot be written.
        EnvironmentProblem: the quantiser is not installed.
        ReferenceFailed: LiteRT does not run one of them.
    """
    try:
        work = tempfile.TemporaryDirectory(prefix=".precisions-", dir=model.absolute().parent)
    except OSError as error:
        raise InputError(f"cannot write next to {model}: {error.strerror or error}") from None
    with work as folder:
        for weights, names in _REWRITES:
            tell(weights)
            path = Path(folder, "model.tflite")
            rewrite_file(model, path, chosen_rewrites(names, []) if names else [], RewriteOptions(), inputs=0)
            found = compare_models(model, path, inputs, kernels="xnnpack")
            took, worst = found.after, found.worst
            yield Precision(
                weights, path.stat().st_size, took.peak_bytes, took.init_s, took.run_s, worst.relative, worst.snr_db
            )
