"""`devbench run`: models × delegates × threads on devices, stored, printed and reported."""

from __future__ import annotations

from collections.abc import Collection

import typer

from devbench.cli.run_completion import RUN_COMPLETION
from devbench.cli.takes import Taken, is_typed, takes
from devbench.declare import File, options_of
from devbench.options import RunOptions

_EPILOG = (
    "Examples:\n\n"
    "  devbench run model.tflite --device virtual\n\n"
    "  devbench run *.tflite -d R5CT1234ABC -D xnnpack,gpu -t 1,4 -r 10\n\n"
    "  devbench run model.tflite -d all --require full --json results.json --label build=1234\n\n"
    "  devbench run model.tflite -d R5CT1234ABC --resume latest\n\n"
    "  devbench run --pipeline mobile-sd.toml -D gpu --steps 20 --residency resident,pipelined"
)


def register(app: typer.Typer, catalogue: type[RunOptions] = RunOptions) -> None:
    """Add the command to the application."""
    taken = Taken(catalogue, panels=True, complete=RUN_COMPLETION)
    app.command("run", epilog=_EPILOG, rich_help_panel="Measure")(takes(run, options=taken))


def run(context: typer.Context, options: RunOptions) -> None:
    """Measure models on devices under each delegate.

    Latency, start-up, operators and memory of every model under every delegate on every device.

    Each repetition is a process of its own; the results are stored, printed as a table and written as a report.
    """
    from devbench.bench.lease_keeper import parse_wait
    from devbench.bench.planning import make_plan, parse_labels
    from devbench.bench.targets import open_targets
    from devbench.cli.later import StoreLater
    from devbench.cli.outcome import check_writable, fitted, measure, show_outcome
    from devbench.errors import InputError

    typed = {one.name for one in options_of(type(options)) if is_typed(context, one.name)}
    labels = parse_labels(options.label)
    wait_s = parse_wait(options.wait)
    if options.resume is not None and options.pipeline is not None:
        raise InputError(
            "a run of pipelines cannot be resumed", hint="leave --resume out to measure it again as a new run"
        )
    if options.resume is not None and labels:
        raise InputError("--label with --resume", hint="a resumed run keeps its labels")
    if options.pipeline is not None:
        from devbench.cli.run_pipeline import run_pipeline

        hint = "the stages and their models stand in the file"
        refuse_beside("pipeline", type(options), typed, {"models": hint, "suite": hint}, "leave it out")
        run_pipeline(options, typed, labels, wait_s)
        return
    refuse_only_pipeline(options)
    devices = options.device
    if options.suite is not None:
        from devbench.bench.suite import read_suite
        from devbench.cli.suite import suite_plan

        refuse_beside("suite", type(options), typed, {}, "a suite says what to measure: write it there")
        suite = read_suite(options.suite)
        plan, chosen = suite_plan(suite), bool(suite.options.get("delegate"))
        labels, devices = {**suite.labels, **labels}, devices or suite.devices
    elif not options.models:
        raise InputError("no model to measure", hint="devbench run MODEL.tflite, or --suite FILE")
    else:
        plan, chosen = make_plan(options), bool(options.delegate)
    check_writable(options.json_file, options.csv_file)
    with StoreLater(options.store_url) as store, open_targets(devices, options.fault) as opened:
        plan = fitted(plan, devices, chosen=chosen)
        outcome = measure(plan, opened, store, labels, quiet=options.quiet, resume=options.resume, wait_s=wait_s)
        show_outcome(outcome, store, options.json_file, options.csv_file, options.report, options.out)


def refuse_beside(file: File, catalogue: type, typed: Collection[str], hints: dict[str, str], otherwise: str) -> None:
    """Refuse what cannot be said on the command line beside such a file.

    Raises:
        InputError: names the first such option.
    """
    from devbench.errors import InputError

    for one in options_of(catalogue):
        if one.name in typed and file not in one.beside:
            raise InputError(f"{one.shown} beside --{file}", hint=hints.get(one.name, otherwise))


def refuse_only_pipeline(options: RunOptions) -> None:
    """Refuse what makes no sense without a pipeline's file."""
    from devbench.errors import InputError

    known = [one for one in options_of(type(options)) if one.only_pipeline]
    if any(getattr(options, one.name) not in (None, ()) for one in known):
        *others, last = (one.shown for one in known)
        raise InputError(f"{', '.join(others)} and {last} are a pipeline's", hint="add --pipeline FILE")
