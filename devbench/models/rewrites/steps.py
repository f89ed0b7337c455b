"""A model rewritten several times: with one rewrite after another, each upon those before it; and with weights of each
precision, as it is, fp16, weight-only int8 and dynamic int8.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from devbench.host.regular import writing
from devbench.models.equality import compare_models
from devbench.models.graph.tables import count_operators
from devbench.models.rewrites.apply import rewrite_file
from devbench.models.rewrites.catalogue import Rewrite, RewriteOptions, chosen_rewrites

_REWRITES = (("as it is", ()), ("fp16", ("fp16",)), ("weight-only int8", ("w8",)), ("dynamic int8", ("dynamic-int8",)))


@dataclass(frozen=True, slots=True)
class AblationStep:
    """The model after one more rewrite.

    Attributes:
        rewrite: its name; empty for the baseline.
        operators: of its main graph.
        places: in how many places it changed something.
        relative_error: of the outputs on this machine, compared with the step before for a rewrite that computes the
            same, with the last such step for a lossy one; `None` if nothing was compared.
    """

    rewrite: str
    path: Path
    operators: int
    places: int
    size_bytes: int
    relative_error: float | None
    lossy: bool


def ablate(
    source: Path,
    folder: Path,
    rewrites: Sequence[Rewrite],
    options: RewriteOptions,
    *,
    inputs: int = 1,
    tell: Callable[[str], None] = lambda what: None,
    stem: str = "",
) -> list[AblationStep]:
    """Write the steps into `folder`, as STEM-NUMBER-REWRITE.tflite; a rewrite that changes nothing makes no step.

    An empty `stem` means that of the file.

    Raises:
        InputError: a file cannot be read or written.
        OutputsDiffer: a rewrite does not compute the same.
    """
    stem = stem or source.stem
    baseline = folder / f"{stem}-0-baseline.tflite"
    with writing(baseline):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, baseline)
    steps = [AblationStep("", baseline, count_operators(baseline) or 0, 0, baseline.stat().st_size, None, False)]
    for rewrite in rewrites:
        out = folder / f"{stem}-{len(steps)}-{rewrite.name}.tflite"
        made = rewrite_file(
            steps[-1].path, out, [rewrite], options, inputs=inputs, tell=lambda what: tell(f"{stem}: {what}")
        )
        if not made.changes:
            out.unlink()
            continue
        compared = made.exact or made.lossy
        relative = None if compared is None else compared.worst.relative
        places = sum(len(change.lines) for change in made.changes)
        steps.append(
            AblationStep(rewrite.name, out, count_operators(out) or 0, places, made.size_bytes, relative, rewrite.lossy)
        )
    return steps


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
    with writing(model):
        work = tempfile.TemporaryDirectory(prefix=".precisions-", dir=model.absolute().parent)
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
