"""The levers of an ablation: changes to a pipeline that are applied one after the other, each on top of the last.

A lever is a rewrite of the stages' models, another number of steps, no guidance, or another residency. The pipeline
after each lever is measured as a whole. Knows no device and no output format.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from devbench.bench.pipeline import Pipeline
from devbench.options import Residency

if TYPE_CHECKING:
    from devbench.models.rewrites.apply import AblationStep

PRUNE = "prune-largest"
LOSSY = (PRUNE, "w8")
_LAST: tuple[Residency, ...] = ("pipelined", "pipelined-early")


@dataclass(frozen=True, slots=True)
class Lever:
    """The pipeline after one more lever.

    Attributes:
        name: `+ NAME` for a rewrite, else a few words for the change; "baseline" for the unchanged pipeline.
        pipeline: the pipeline with all levers so far.
        models: each stage's model with its history, by the name of the stage.
        changed: the models that this lever changed.
    """

    name: str
    pipeline: Pipeline
    models: Mapping[str, AblationStep]
    changed: tuple[AblationStep, ...] = ()

    def title(self, number: int) -> str:
        """Return a name for the lever's pipeline that no other lever's pipeline has."""
        return f"{self.pipeline.name} {number:02d} {self.name}"


def levers_of(
    pipeline: Pipeline,
    built: Mapping[str, Sequence[AblationStep]],
    exact: Sequence[str],
    lossy: Sequence[str],
    steps: Sequence[int],
) -> Iterator[Lever]:
    """Yield the levers in the paper's order: rewrites, no guidance, fewer steps, lossy rewrites, pipelined execution.

    Args:
        pipeline: the pipeline; its models are the baseline.
        built: for each stage, the baseline model, then the model after each rewrite that changed it.
        exact, lossy: the names of the exact and of the lossy rewrites, in order.
        steps: the number of steps of the baseline, then the lower numbers.
    """
    models = {name: several[0] for name, several in built.items()}
    now = replace(pipeline, steps=steps[0], guidance=True, residencies=("resident",))

    def rewritten(names: Sequence[str]) -> Iterator[Lever]:
        for name in names:
            changed = {stage: one for stage, several in built.items() for one in several if one.rewrite == name}
            if changed:
                models.update(changed)
                yield Lever(f"+ {name}", now, dict(models), tuple(changed.values()))

    yield Lever("baseline", now, dict(models), tuple(models.values()))
    yield from rewritten(exact)
    now = replace(now, guidance=False)
    yield Lever("no guidance", now, dict(models))
    for count in steps[1:]:
        now = replace(now, steps=count)
        yield Lever(f"{count} steps", now, dict(models))
    yield from rewritten(lossy)
    for residency in _LAST if now.keep is not None else ():
        overlap = max(1, now.steps // 2)
        yield Lever(residency, replace(now, residencies=(residency,), overlap_steps=overlap), dict(models))


def pipeline_of(lever: Lever, number: int, on_cpu: Collection[Path]) -> Pipeline:
    """Return the pipeline to measure; the delegate fails on the models in `on_cpu`, so those run with XNNPACK."""

    def path(name: str, model: str) -> Path:
        return lever.models[name].path if name in lever.models else Path(model)

    stages = tuple(
        replace(
            stage,
            model=str(path(stage.name, stage.model)),
            delegate="xnnpack" if path(stage.name, stage.model) in on_cpu else stage.delegate,
        )
        for stage in lever.pipeline.stages
    )
    return replace(lever.pipeline, name=lever.title(number), stages=stages, path=None)
