"""`devbench run --pipeline FILE`: the stages of a pipeline alone and as a whole, printed, written and stored."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from devbench.bench.pipeline import KIND, Pipeline, read_pipeline
from devbench.bench.plan import Case, Plan
from devbench.bench.planning import make_plan, split_words
from devbench.declare import options_of
from devbench.errors import InputError
from devbench.host.tomlfile import wrong
from devbench.models.files import GivenModel, model_path, open_models
from devbench.options import RunOptions

if TYPE_CHECKING:
    from devbench.bench.pipeline_program import PipelineCase
    from devbench.bench.runner import RunOutcome
    from devbench.results.store import Store


def run_pipeline(options: RunOptions, typed: Collection[str], labels: dict[str, str], wait_s: float) -> None:
    """Measure, print and write; ends with the exit code that the run deserves.

    `typed` are the names of the options that were given on the command line.
    """
    from devbench.bench.pipeline_program import PipelineProgram
    from devbench.bench.targets import open_targets
    from devbench.cli.outcome import check_writable, measure
    from devbench.results.store import Store

    given = for_pipeline(options, typed)
    file = options.pipeline or Path()
    pipeline = read_pipeline(file).changed(
        steps=given.steps, guidance=given.guidance, residency=split_words(given.residency)
    )
    check_writable(given.json_file)
    plan, cases = plan_pipeline(pipeline, given)
    kept = {
        "pipeline": pipeline.name,
        "steps": pipeline.steps,
        "guidance": pipeline.guidance,
        "residency": list(pipeline.residencies),
    }
    with Store(given.store_url) as store, open_targets(given.device, given.fault) as devices:
        outcome = measure(
            plan, devices, store, labels, quiet=given.quiet, program=PipelineProgram(cases), options=kept, wait_s=wait_s
        )
        _show(outcome, store, given)


def for_pipeline(options: RunOptions, typed: Collection[str]) -> RunOptions:
    """The options with a pipeline's own defaults for those that were not typed."""
    known = options_of(type(options))
    return replace(
        options, **{one.name: one.pipeline for one in known if one.pipeline is not None and one.name not in typed}
    )


def plan_pipeline(pipeline: Pipeline, given: RunOptions) -> tuple[Plan, tuple[PipelineCase, ...]]:
    """The cases of all stages under all delegates, and which of them make up which pipeline.

    Raises:
        InputError: a model, delegate or number of threads makes no sense.
    """
    from devbench.bench.pipeline_program import PipelineCase
    from devbench.cli.outcome import fitted
    from devbench.tool.delegates import find_delegate, load_delegates
    from devbench.tool.libraries import check_delegate

    known = load_delegates(given.delegates_file)
    files = list(dict.fromkeys(stage.model for stage in pipeline.stages))
    base = pipeline.path.parent if pipeline.path is not None else Path()
    opened = {
        model.path.resolve(): model for model in open_models([GivenModel(file) for file in files], base.resolve())
    }
    models = {file: opened[model_path(file).resolve()] for file in files}
    whole = make_plan(replace(given, models=(pipeline.stages[0].model,)))
    whole = fitted(whole, given.device, chosen=bool(given.delegate))
    template = whole.cases[0]
    asked = dict.fromkeys((case.delegate, case.options.num_threads) for case in whole.cases)
    cases: dict[Case, int] = {}
    pipelines = []
    for delegate, threads in asked:
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
    return replace(whole, cases=tuple(cases)), tuple(pipelines)


def _show(outcome: RunOutcome, store: Store, options: RunOptions) -> None:
    """Print what was measured, write it, and end with the exit code that it deserves."""
    from devbench.cli.outcome import finish
    from devbench.cli.output import console
    from devbench.findings.pipeline import build_pipeline_report
    from devbench.findings.run_build import build_report
    from devbench.forms.files import write_pipeline_json, write_pipelines
    from devbench.forms.terminal import print_document
    from devbench.results.pipelines import pipeline_sessions
    from devbench.sections.pipeline import pipeline_document
    from devbench.sections.subjects import RunSubject

    view = store.run(outcome.run_id)
    sessions = pipeline_sessions(store, outcome.run_id)
    built = build_pipeline_report(view, sessions)
    subject = RunSubject(build_report(view), pipelines=built)
    screen = console()
    # Files first: standard output may be a pipe that is closed.
    if options.json_file is not None:
        write_pipeline_json(subject, options.json_file)
    print_document(pipeline_document(built, "terminal"), screen)
    if options.report and sessions:
        folder = options.out or Path("reports") / outcome.run_id
        screen.print(f"Report: {write_pipelines(subject, folder)}", soft_wrap=True)
    finish(outcome, view, also_failed=any(one.status == "failed" for one in sessions))
