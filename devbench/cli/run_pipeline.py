"""`devbench run --pipeline FILE`: the stages of a pipeline alone and as a whole, printed, written and stored."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from devbench.bench.pipeline_file import Pipeline, read_pipeline
from devbench.bench.plan import Case, Plan
from devbench.cli.run_input import RunInput, make_plan, virtual_without_gpu
from devbench.errors import InputError
from devbench.models.keys import GivenModel, open_models
from devbench.models.tflite_file import model_path

if TYPE_CHECKING:
    from devbench.bench.pipeline_session import Variant
    from devbench.bench.runner import RunOutcome
    from devbench.results.store import Store

_REPETITIONS = 3
# Of each stage alone: so many steady inferences, begun within so many seconds.
_ALONE_RUNS, _ALONE_S = 10, 15.0
# What makes no sense for a pipeline, or is its own.
_NOT_BESIDE = (
    "models", "suite", "precision", "max_repetitions",
    "unreliable_retries", "min_secs", "warmup_runs", "warmup_min_secs",
    "profile", "cold_starts", "check_outputs", "inputs", "min_snr", "max_steps", "via", "csv_file",
    "input_shape", "signature",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PipelineInput:
    """The options as typed: those of any run, the pipeline's file, and what counts in place of the file's."""

    given: RunInput
    file: Path
    steps: int | None = None
    guidance: bool | None = None
    residency: tuple[str, ...] = ()


def run_pipeline(
    asked: PipelineInput,
    context: typer.Context,
    labels: dict[str, str],
    device: list[str],
    json_file: Path | None,
    folder: Callable[[str], Path] | None,
    *,
    store_url: str | None,
    fault: str,
    quiet: bool,
    wait_s: float = 0.0,
) -> None:
    """Measure, print and write; ends with the exit code that the run deserves.

    `folder` gives where the report of a run goes; `None` writes none.
    """
    from devbench.bench.pipeline_session import PipelineSession
    from devbench.bench.targets import open_targets
    from devbench.cli.outcome import check_writable, measure
    from devbench.results.store import Store

    given = _given(asked.given, context)
    words = [part.strip() for text in asked.residency for part in text.split(",") if part.strip()]
    pipeline = read_pipeline(asked.file).changed(steps=asked.steps, guidance=asked.guidance, residency=words)
    check_writable(json_file)
    plan, variants = plan_pipeline(pipeline, given, device)
    session_type = functools.partial(PipelineSession, variants=variants)
    options = {
        "pipeline": pipeline.name,
        "steps": pipeline.steps,
        "guidance": pipeline.guidance,
        "residency": list(pipeline.residencies),
    }
    with Store(store_url) as store, open_targets(device, fault) as devices:
        outcome = measure(
            plan, devices, store, labels, quiet=quiet, session_type=session_type, options=options, wait_s=wait_s
        )
        _show(outcome, store, json_file, folder)


def _given(given: RunInput, context: typer.Context) -> RunInput:
    """The options of any run as a pipeline takes them; those that make no sense for it are refused."""

    def typed(name: str) -> bool:
        source = context.get_parameter_source(name)
        return source is not None and source.name == "COMMANDLINE"

    for name in _NOT_BESIDE:
        if typed(name):
            shown = "models" if name == "models" else f"--{name.replace('_file', '').replace('_', '-')}"
            hint = "the stages and their models stand in the file" if name in ("models", "suite") else "leave it out"
            raise InputError(f"{shown} beside --pipeline", hint=hint)
    return replace(
        given,
        repetitions=given.repetitions if typed("repetitions") else _REPETITIONS,
        num_runs=given.num_runs if typed("num_runs") else _ALONE_RUNS,
        max_secs=given.max_secs if typed("max_secs") else _ALONE_S,
        min_secs=0.0,
        warmup_runs=1,
        warmup_min_secs=0.0,
        profile=False,
        cold_starts=0,
        unreliable_retries=0,
    )


def plan_pipeline(pipeline: Pipeline, given: RunInput, devices: list[str]) -> tuple[Plan, tuple[Variant, ...]]:
    """The cases of all stages under all delegates, and which of them make up which pipeline.

    Raises:
        InputError: a model, delegate or number of threads makes no sense.
    """
    from devbench.bench.pipeline_session import Variant
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
    whole = virtual_without_gpu(whole, devices, chosen=bool(given.delegates))
    template = whole.cases[0]
    asked = dict.fromkeys((case.delegate, case.options.num_threads) for case in whole.cases)
    cases: dict[Case, int] = {}
    variants = []
    for delegate, threads in asked:
        numbers = []
        for stage in pipeline.stages:
            own = delegate if stage.delegate is None else find_delegate(stage.delegate, known)
            check_delegate(own)
            count = threads if stage.threads is None else stage.threads
            require = template.require if given.require else own.require
            case = Case(models[stage.model], own, replace(template.options, num_threads=count), require)
            numbers.append(cases.setdefault(case, len(cases)))
        variants.append(Variant(pipeline, delegate.name, threads, tuple(numbers)))
    return replace(whole, cases=tuple(cases)), tuple(variants)


def _show(outcome: RunOutcome, store: Store, json_file: Path | None, folder: Callable[[str], Path] | None) -> None:
    """Print what was measured, write it, and end with the exit code that it deserves."""
    from devbench.cli.outcome import finish
    from devbench.cli.output import console
    from devbench.findings.pipeline import build_pipeline_report
    from devbench.forms.pipeline_export import write_pipeline_json
    from devbench.forms.pipeline_terminal import print_pipelines
    from devbench.results.pipelines import pipeline_sessions

    view = store.run(outcome.run_id)
    sessions = pipeline_sessions(store, outcome.run_id)
    built = build_pipeline_report(view, sessions)
    screen = console()
    # Files first: standard output may be a pipe that is closed.
    if json_file is not None:
        write_pipeline_json(built, json_file)
    print_pipelines(built, screen)
    if folder is not None and sessions:
        from devbench.forms.pipeline_page import write_pipeline_page

        screen.print(f"Report: {write_pipeline_page(built, folder(outcome.run_id))}", soft_wrap=True)
    finish(outcome, view, also_failed=any(one.status == "failed" for one in sessions))
