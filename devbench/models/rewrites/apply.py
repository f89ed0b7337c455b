"""Rewrites applied to a .tflite: what is written computes the same, or its error is shown.

Also a model rewritten several times: with one rewrite after another, each upon those before it (`ablate`); and with
weights of each precision, as it is, fp16, weight-only int8 and dynamic int8 (`precisions`).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devbench.errors import InputError
from devbench.host.whole_files import writing
from devbench.models.equality import (
    TOLERANCE,
    ModelComparison,
    OutputsDiffer,
    compare_models,
    output_errors,
    require_equal,
)
from devbench.models.graph.edit import Graph, compact
from devbench.models.graph.file import load_model, save_model
from devbench.models.graph.tables import count_operators
from devbench.models.reference import HostRun
from devbench.models.rewrites.catalogue import Rewrite, RewriteOptions, chosen_rewrites
from devbench.models.tensors import read_tensors

Tell = Callable[[str], None]
_REWRITES = (("as it is", ()), ("fp16", ("fp16",)), ("weight-only int8", ("w8",)), ("dynamic int8", ("dynamic-int8",)))


@dataclass(frozen=True, slots=True)
class RewriteChange:
    """What one rewrite changed in a model.

    Attributes:
        lines: one for each place.
    """

    rewrite: str
    lossy: bool
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A model that was rewritten.

    Attributes:
        changes: the changes of the rewrites that had something to change.
        exact: the original compared with the model after the rewrites that are not lossy; `None` if none changed
            anything, or nothing was compared.
        lossy: the original compared with what was written, if a lossy rewrite changed something.
        size_bytes: the size of the written file.
    """

    changes: tuple[RewriteChange, ...]
    exact: ModelComparison | None
    lossy: ModelComparison | None
    size_bytes: int


def rewrite_file(
    source: Path,
    out: Path,
    rewrites: Sequence[Rewrite],
    options: RewriteOptions,
    *,
    inputs: int = 3,
    tolerance: float = TOLERANCE,
    tell: Tell = lambda what: None,
) -> Rewritten:
    """Apply `rewrites` to the model at `source`, compare, and only then write `out`.

    If no rewrite applies, the model is copied byte by byte.

    Args:
        inputs: how many sets of generated inputs are compared; 0 for none.
        tolerance: how far outputs may be from the original's, relative to each output's largest value, after rewrites
            that are not lossy.

    Raises:
        InputError: `source` cannot be read, or `out` cannot be written.
        OutputsDiffer: the rewritten model computes something else; nothing is written.
        ReferenceFailed: LiteRT does not run the original or the rewritten model.
    """
    with writing(out):
        folder = tempfile.TemporaryDirectory(prefix=".rewrite-", dir=out.parent)
    lossy = [rewrite for rewrite in rewrites if rewrite.lossy]
    with folder as name:
        work = _RewrittenFile(source, Path(name), inputs, tell)
        changes = work.on_graph([rewrite for rewrite in rewrites if not rewrite.lossy], options)
        exact = work.compare() if changes else None
        if exact is not None:
            require_equal(exact, tolerance)
        after = work.on_graph(lossy, options) + [change for rewrite in lossy for change in work.on_file(rewrite)]
        loss = work.compare() if after else None
        if loss is not None and not all(error.relative < float("inf") for error in loss.errors):
            raise OutputsDiffer(
                f"{source.name}: {', '.join(change.rewrite for change in after)} makes outputs that are not finite",
                hint="leave it out",
            )
        with writing(out):
            if work.at == source:
                shutil.copyfile(source, out)
            else:
                work.at.replace(out)
    return Rewritten(tuple(changes + after), exact, loss, out.stat().st_size)


def apply_rewrites(
    model: Any, rewrites: Sequence[Rewrite], options: RewriteOptions, tell: Tell = lambda what: None
) -> list[RewriteChange]:
    """Apply those rewrites that work on graphs to every subgraph of `model` (the schema's `ModelT`), in place."""
    changes = []
    for rewrite in rewrites:
        if rewrite.apply is None:
            continue
        tell(rewrite.name)
        try:
            graphs = (Graph(model, index) for index in range(len(model.subgraphs)))
            lines = tuple(line for graph in graphs for line in rewrite.apply(graph, options))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
            # A damaged file may be inconsistent anywhere.
            raise InputError(
                f"{rewrite.name} cannot follow the model: {type(error).__name__}: {error}",
                hint=f"is it whole? --skip {rewrite.name} leaves the rewrite out",
            ) from error
        if lines:
            changes.append(RewriteChange(rewrite.name, rewrite.lossy, lines))
    if changes:
        compact(model)
    return changes


class _RewrittenFile:
    """A model while it is rewritten: `at` is the current file, the original until something changes."""

    def __init__(self, source: Path, folder: Path, inputs: int, tell: Tell) -> None:
        self.at = self._source = source
        self._folder, self._inputs, self._tell = folder, inputs, tell

    def on_graph(self, rewrites: Sequence[Rewrite], options: RewriteOptions) -> list[RewriteChange]:
        if all(rewrite.apply is None for rewrite in rewrites):
            return []
        model = load_model(self.at)
        changes = apply_rewrites(model, rewrites, options, self._tell)
        if changes:
            self._tell("writing")
            after = self._folder / f"{rewrites[0].name}.graph.tflite"
            save_model(model, after)
            self._move_on(after)
        return changes

    def on_file(self, rewrite: Rewrite) -> list[RewriteChange]:
        if rewrite.apply_to_file is None:
            return []
        self._tell(rewrite.name)
        after = self._folder / f"{rewrite.name}.tflite"
        lines = rewrite.apply_to_file(self.at, after)
        if not lines:
            return []
        self._move_on(after)
        return [RewriteChange(rewrite.name, rewrite.lossy, tuple(lines))]

    def compare(self) -> ModelComparison | None:
        return compare_models(self._source, self.at, self._inputs, tell=self._tell) if self._inputs else None

    def _move_on(self, after: Path) -> None:
        # Only one state of a large model is kept on disk.
        if self.at != self._source:
            self.at.unlink(missing_ok=True)
        self.at = after


@dataclass(frozen=True, slots=True)
class AblationStep:
    """The model after one more rewrite.

    Attributes:
        rewrite: its name; empty for the baseline.
        operators: the number of operators of its main graph.
        places: in how many places it changed something.
        relative_error: the error of the outputs on this machine, compared with the step before for a rewrite that
            computes the same, with the last such step for a lossy one; `None` if nothing was compared.
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
    tell: Tell = lambda what: None,
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
        size_bytes: the size of the file.
        peak_bytes: the largest resident memory of a process that runs it, Python and LiteRT included.
        init_s, run_s: from opening the file to allocated tensors, and the last inference.
        relative: the largest difference of an output, relative to its largest value, compared with the model as it is.
        snr_db: infinite if outputs are equal.
        to_weight_only: the largest difference of dynamic int8 from weight-only int8, the two ways in which devices use
            such weights; `None` for the others.
    """

    weights: str
    size_bytes: int
    peak_bytes: int
    init_s: float
    run_s: float
    relative: float
    snr_db: float
    to_weight_only: float | None = None


def precisions(model: Path, *, inputs: int = 1, tell: Tell = lambda what: None) -> Iterator[Precision]:
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
        runs: dict[str, HostRun] = {}
        for weights, names in _REWRITES:
            tell(weights)
            path = Path(folder, "model.tflite")
            rewrite_file(model, path, chosen_rewrites(names, []) if names else [], RewriteOptions(), inputs=0)
            found = compare_models(model, path, inputs, kernels="xnnpack")
            runs[weights] = took = found.after
            worst, between = found.worst, None
            if weights == "dynamic int8":
                errors = output_errors(read_tensors(model), runs["weight-only int8"], took)
                between = max(error.relative for error in errors)
            yield Precision(
                weights, path.stat().st_size, took.peak_bytes, took.init_s, took.run_s, worst.relative, worst.snr_db,
                between,
            )  # fmt: skip
