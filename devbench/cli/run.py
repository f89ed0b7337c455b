"""`devbench run`: models × delegates × threads on devices, stored, printed and reported."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import typer

from devbench.cli.choices import RUN_COMPLETION
from devbench.cli.output import check_writable
from devbench.cli.takes import Taken, is_typed, open_devices, takes
from devbench.declare import File, options_of
from devbench.errors import InputError
from devbench.options import RunOptions
from devbench.results.store_process import StoreProcess

if TYPE_CHECKING:
    from pathlib import Path

    from devbench.results.store import Store

_EPILOG = (
    "Examples:\n\n"
    "  devbench run model.tflite --device virtual\n\n"
    "  devbench run model.tflite -D xnnpack,gpu -r 10 --open\n\n"
    "  devbench run *.tflite -d R5CT1234ABC -D xnnpack,gpu -t 1,4\n\n"
    "  devbench run model.tflite -d all --require full --json results.json --label build=1234\n\n"
    "  devbench run model.tflite -d R5CT1234ABC --resume latest\n\n"
    "  devbench run --suite nightly.toml\n\n"
    "  devbench run --pipeline mobile-sd.toml -D gpu --steps 20 --residency resident,pipelined\n\n"
    "Exit codes: 0 all jobs were measured; 1 a job failed; 2 wrong input; 3 a device cannot be used; 130 interrupted."
)
app = typer.Typer()


@app.command("run", epilog=_EPILOG, rich_help_panel="Measure")
@takes(options=Taken(RunOptions, panels=True, complete=RUN_COMPLETION))
def run(context: typer.Context, options: RunOptions) -> None:
    """Measure models on devices under each delegate, and say which delegate is the fastest.

    A case is a model under a delegate with its options; a job is a case on a device. Each job is measured by several
    processes (repetitions) of benchmark_model. Results are stored, printed as a table and written as a report.
    """
    typed = {one.name for one in options_of(type(options)) if is_typed(context, one.name)}
    with StoreProcess(options.store_url) as store:
        if options.pipeline is not None:
            _run_pipeline(options, options.pipeline, typed, store)
        else:
            _refuse_only_pipeline(options)
            _run_models(options, typed, store)


def _run_models(options: RunOptions, typed: Collection[str], store: Store) -> None:
    """Measure, print and write; ends with the run's exit code."""
    from devbench.bench.lease_keeper import parse_wait
    from devbench.bench.planning import make_plan, parse_labels
    from devbench.cli.outcome import fitted, measure, show_outcome

    labels, wait_s, devices = parse_labels(options.label), parse_wait(options.wait), options.device
    if options.resume is not None and labels:
        raise InputError("--label with --resume", hint="leave --label out: a resumed run keeps its labels")
    check_writable(options.json_file, options.csv_file, folder=options.out)
    if options.suite is not None:
        from devbench.bench.suite import read_suite, suite_plan

        refuse_with_file("suite", type(options), typed, {}, "write it in the suite instead")
        suite = read_suite(options.suite)
        plan, chosen = suite_plan(suite), bool(suite.options.get("delegate"))
        labels, devices = {**suite.labels, **labels}, devices or suite.devices
    elif not options.models:
        raise InputError(
            "devbench run needs a model", hint="for example: devbench run model.tflite, or devbench run --suite FILE"
        )
    else:
        plan, chosen = make_plan(options), bool(options.delegate)
    with open_devices(devices, options.fault) as opened:
        plan = fitted(plan, devices, chosen=chosen)
        outcome = measure(plan, opened, store, labels, quiet=options.quiet, resume=options.resume, wait_s=wait_s)
        show_outcome(outcome, store, options)


def _run_pipeline(options: RunOptions, file: Path, typed: Collection[str], store: Store) -> None:
    """Measure a pipeline's stages alone and as a whole, print and write; ends with the run's exit code."""
    from devbench.bench.lease_keeper import parse_wait
    from devbench.bench.pipeline import read_pipeline
    from devbench.bench.pipeline_program import PipelineProgram, for_pipeline, plan_pipelines
    from devbench.bench.planning import make_plan, parse_labels
    from devbench.cli.outcome import fitted, measure, show_pipelines
    from devbench.findings.copies import COPIES
    from devbench.models.copies import copies_of

    labels, wait_s = parse_labels(options.label), parse_wait(options.wait)
    if options.resume is not None:
        raise InputError("--resume with --pipeline", hint="leave --resume out: the pipeline is measured as a new run")
    check_writable(options.json_file, options.csv_file, folder=options.out)
    hint = "leave it out: the file names the models of its stages"
    refuse_with_file("pipeline", type(options), typed, {"models": hint, "suite": hint}, "leave it out")
    given = for_pipeline(options, typed)
    pipeline = read_pipeline(file).changed(given)
    first = make_plan(replace(given, models=(pipeline.stages[0].model,)))
    plan, cases = plan_pipelines([pipeline], given, fitted(first, given.device, chosen=bool(given.delegate)))
    kept = {
        "pipeline": pipeline.name, "steps": pipeline.steps, "guidance": pipeline.guidance,
        "residency": list(pipeline.residencies),
        COPIES: {model.name: asdict(copies_of(model.path)) for model in dict.fromkeys(one.model for one in plan.cases)},
    }  # fmt: skip
    with open_devices(given.device, given.fault) as devices:
        outcome = measure(
            plan, devices, store, labels, quiet=given.quiet, program=PipelineProgram(cases), options=kept, wait_s=wait_s
        )
        show_pipelines(outcome, store, given)


def refuse_with_file(
    file: File, catalogue: type, typed: Collection[str], hints: dict[str, str], otherwise: str
) -> None:
    """Refuse options that cannot be given together with a suite's or a pipeline's file.

    Raises:
        InputError: names the first such option.
    """
    for one in options_of(catalogue):
        if one.name in typed and file not in one.beside:
            raise InputError(f"{one.shown} with --{file}", hint=hints.get(one.name, otherwise))


def _refuse_only_pipeline(options: RunOptions) -> None:
    """Refuse options that need a pipeline's file."""
    for one in options_of(type(options)):
        if one.only_pipeline and getattr(options, one.name) not in (None, ()):
            raise InputError(f"{one.shown} is for pipelines", hint="add --pipeline FILE, or leave it out")
