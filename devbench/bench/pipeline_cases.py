"""From a pipeline's file and the options of a run to the cases of all stages; knows no command line."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from devbench.bench.pipeline import KIND, Pipeline
from devbench.bench.pipeline_program import PipelineCase
from devbench.bench.plan import Case, Plan
from devbench.declare import options_of
from devbench.errors import InputError
from devbench.host.tomlfile import wrong
from devbench.models.files import GivenModel, model_path, open_models
from devbench.options import RunOptions
from devbench.text import parts_of
from devbench.tool.delegates import find_delegate, load_delegates
from devbench.tool.libraries import check_delegate


def for_pipeline(options: RunOptions, typed: Collection[str]) -> RunOptions:
    """The options with a pipeline's own defaults for those whose names are not in `typed`."""
    known = options_of(type(options))
    own = {one.name: one.pipeline for one in known if one.pipeline is not None and one.name not in typed}
    return replace(options, residency=parts_of(options.residency), **own)


def plan_pipeline(pipeline: Pipeline, given: RunOptions, first: Plan) -> tuple[Plan, tuple[PipelineCase, ...]]:
    """The cases of all stages under all delegates, and which of them make up which pipeline.

    `first` is the plan for the first stage's model alone: it has the delegates, threads and limits.

    Raises:
        InputError: a model, delegate or number of threads is wrong.
    """
    known = load_delegates(given.delegates_file)
    files = list(dict.fromkeys(stage.model for stage in pipeline.stages))
    base = pipeline.path.parent if pipeline.path is not None else Path()
    opened = {
        model.path.resolve(): model for model in open_models([GivenModel(file) for file in files], base.resolve())
    }
    models = {file: opened[model_path(file).resolve()] for file in files}
    template = first.cases[0]
    cases: dict[Case, int] = {}
    pipelines = []
    for delegate, threads in dict.fromkeys((case.delegate, case.options.num_threads) for case in first.cases):
        numbers = []
        for number, stage in enumerate(pipeline.stages):
            own = delegate
            if stage.delegate is not None:
                try:
                    own = find_delegate(stage.delegate, known)
                    check_delegate(own)
                except InputError as error:
                    at = ("stage", number, "delegate")
                    raise wrong(KIND, pipeline.path or Path(), at, f": {error.what}", error.hint) from None
            count = threads if stage.threads is None else stage.threads
            require = template.require if given.require else own.require
            case = Case(models[stage.model], own, replace(template.options, num_threads=count), require)
            numbers.append(cases.setdefault(case, len(cases)))
        pipelines.append(PipelineCase(pipeline, delegate.name, threads, tuple(numbers)))
    return replace(first, cases=tuple(cases)), tuple(pipelines)
