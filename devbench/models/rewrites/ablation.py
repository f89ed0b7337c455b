"""A model baseline first, then with one rewrite after another, each upon those before it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from devbench.host.regular import writing
from devbench.models.graph.file import load_model
from devbench.models.rewrites.apply import rewrite_file
from devbench.models.rewrites.catalogue import Rewrite, RewriteOptions


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
    steps = [AblationStep("", baseline, _operators(baseline), 0, baseline.stat().st_size, None, False)]
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
        steps.append(AblationStep(rewrite.name, out, _operators(out), places, made.size_bytes, relative, rewrite.lossy))
    return steps


def _operators(path: Path) -> int:
    return len(load_model(path).subgraphs[0].operators)
