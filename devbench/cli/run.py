"""`devbench run`: models × delegates × threads on devices, stored, printed and reported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbench.cli.limited import limited
from devbench.cli.run_completion import complete_delegates, complete_serials, complete_signatures
from devbench.cli.runs import run_ids

if TYPE_CHECKING:
    from devbench.cli.run_input import RunInput

_EPILOG = (
    "Examples:\n\n"
    "  devbench run model.tflite --device virtual\n\n"
    "  devbench run *.tflite -d R5CT1234ABC -D xnnpack,gpu -t 1,4 -r 10\n\n"
    "  devbench run model.tflite -d all --require full --json results.json --label build=1234\n\n"
    "  devbench run model.tflite -d R5CT1234ABC --resume latest\n\n"
    "  devbench run --pipeline mobile-sd.toml -D gpu --steps 20 --residency resident,pipelined"
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("run", epilog=_EPILOG, rich_help_panel="Measure")(run)


def run(
    context: typer.Context,
    models: Annotated[
        list[str] | None, typer.Argument(help="The .tflite files; `demo` is the small U-Net devbench ships.")
    ] = None,
    suite: Annotated[
        Path | None, typer.Option("--suite", help="A TOML file that says what to measure (docs/suites.md).")
    ] = None,
    pipeline: Annotated[
        Path | None, typer.Option("--pipeline", help="A TOML file with stages to run as one (docs/pipelines.md).")
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            "-d",
            autocompletion=complete_serials,
            help="Serial, hardware serial, tag, or part of the title; host:port; tag:NAME for all devices "
            "with that tag; `virtual`, `virtual:N` or `all`; may be given again. Default: the only device.",
        ),
    ] = None,
    delegate: Annotated[
        list[str] | None,
        typer.Option(
            "--delegate",
            "-D",
            autocompletion=complete_delegates,
            help="Delegates, with commas or given again. Default: cpu, xnnpack, gpu; `devbench delegates` lists all.",
        ),
    ] = None,
    threads: Annotated[
        str | None, typer.Option("--threads", "-t", help="CPU threads, several as 1,2,4. Default: the tool's own.")
    ] = None,
    repetitions: Annotated[
        int,
        limited(
            "repetitions", "--repetitions", "-r", text="Processes per job that measure latency.", panel="How often"
        ),
    ] = 5,
    precision: Annotated[
        str | None,
        typer.Option(
            help="Add processes until half the interval of the median is within this, such as 2%.",
            rich_help_panel="How often",
        ),
    ] = None,
    max_repetitions: Annotated[
        int, limited("max_repetitions", text="Most repetitions per job with --precision.", panel="How often")
    ] = 30,
    cool_down: Annotated[
        float,
        limited(
            "cool_down",
            text="Seconds to wait at most for a device that throttles; 0 does not wait.",
            panel="The device's state",
        ),
    ] = 120.0,
    unreliable_retries: Annotated[
        int,
        limited(
            "unreliable_retries",
            text="Extra attempts per job to replace unreliable repetitions.",
            panel="How often",
        ),
    ] = 3,
    stabilise: Annotated[
        list[str] | None,
        typer.Option(
            help="Steps undone afterwards: awake, screen-off, screen-on, airplane, performance, background, "
            "affinity=CPUS, governor=NAME, clock=PERCENT.",
            rich_help_panel="The device's state",
        ),
    ] = None,
    num_runs: Annotated[int, limited("num_runs", text="Inferences per process, at least.", panel="How often")] = 50,
    min_secs: Annotated[
        float, limited("min_secs", text="Seconds of inferences per process, at least.", panel="How often")
    ] = 1.0,
    max_secs: Annotated[
        float,
        limited("max_secs", text="Seconds after which a phase starts no inference.", panel="How often"),
    ] = 150.0,
    warmup_runs: Annotated[
        int, limited("warmup_runs", text="Warm-up inferences per process, at least.", panel="How often")
    ] = 1,
    warmup_min_secs: Annotated[
        float, limited("warmup_min_secs", text="Seconds of warm-up per process, at least.", panel="How often")
    ] = 0.5,
    profile: Annotated[
        bool,
        typer.Option(
            help="One more process per job for operators and memory; its latency is not used.",
            rich_help_panel="How often",
        ),
    ] = True,
    cold_starts: Annotated[
        int,
        limited(
            "cold_starts",
            text="Processes per job that start with empty caches, if root or the delegate allows it.",
            panel="How often",
        ),
    ] = 1,
    check_outputs: Annotated[
        bool,
        typer.Option(
            "--check-outputs",
            help="First compare each delegate's outputs with this machine's CPU.",
            rich_help_panel="Checks",
        ),
    ] = False,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            help="An input for that check, as NAME=FILE.npy; may be given again. Default: generated.",
            rich_help_panel="Checks",
        ),
    ] = None,
    input_shape: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SHAPE",
            help="The shape of an input with open dimensions, as image=1x224x224x3; without NAME= for a model with one "
            "input. May be given again for other inputs.",
            rich_help_panel="The model",
        ),
    ] = None,
    signature: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|all",
            help="Which signature of the model to measure; may be given again. Default: that of the main graph.",
            autocompletion=complete_signatures,
            rich_help_panel="The model",
        ),
    ] = None,
    min_snr: Annotated[
        float | None,
        limited("min_snr", text="Least signal to noise ratio of float outputs in dB. Default: 20.", panel="Checks"),
    ] = None,
    max_steps: Annotated[
        int | None,
        limited(
            "max_steps", text="Largest difference of integer outputs. Default: 3 for 8 bits, else 0.", panel="Checks"
        ),
    ] = None,
    require: Annotated[
        str | None,
        typer.Option(
            help="`full` fails a job whose graph is only partly on the delegate, `any` does not.",
            rich_help_panel="Checks",
        ),
    ] = None,
    binary: Annotated[
        str | None,
        typer.Option(
            help="Name, file or hash of the benchmark_model to use. Default: by the device's ABI.",
            rich_help_panel="The tool",
        ),
    ] = None,
    via: Annotated[
        str,
        typer.Option(
            help="`shell` runs the binary; `apk` Google's benchmark app, as an app would run the model (docs/apk.md).",
            rich_help_panel="The tool",
        ),
    ] = "shell",
    tool_flag: Annotated[
        list[str] | None,
        typer.Option(
            help="A further flag for the tool, as name=value; may be given again.", rich_help_panel="The tool"
        ),
    ] = None,
    delegates_file: Annotated[
        Path | None, typer.Option(help="A TOML file with delegates of your own.", rich_help_panel="The tool")
    ] = None,
    timeout: Annotated[
        float | None,
        limited("timeout", text="Deadline of one process in seconds. Default: from --max-secs.", panel="How often"),
    ] = None,
    max_output: Annotated[
        int,
        limited("max_output", text="MiB of output after which a process of the tool is ended.", panel="How often"),
    ] = 64,
    steps: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help="Steps, in place of the file's.", rich_help_panel="Pipelines"),
    ] = None,
    guidance: Annotated[
        bool | None,
        typer.Option(
            "--guidance/--no-guidance",
            help="Two passes a step or one, in place of the file's.",
            rich_help_panel="Pipelines",
        ),
    ] = None,
    residency: Annotated[
        list[str] | None,
        typer.Option(
            help="resident, sequential, pipelined; with commas or given again. Default: the file's.",
            rich_help_panel="Pipelines",
        ),
    ] = None,
    wait: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Wait up to this long for a device that another run has, such as 90s, 10m or 2h. Default: do not.",
            rich_help_panel="The device's state",
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            autocompletion=run_ids,
            help="Go on with a run that was interrupted or died, with the same options: what it has is not measured "
            "again.",
            rich_help_panel="How often",
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            help="Kept with the run, as key=value; may be given again. CI systems' branch, commit and build are, too.",
            rich_help_panel="Results",
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write everything measured to this file.", rich_help_panel="Results")
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write one row per repetition to this file.", rich_help_panel="Results")
    ] = None,
    report: Annotated[bool, typer.Option(help="Write the HTML and Markdown report.", rich_help_panel="Results")] = True,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the report. Default: reports/RUN.", rich_help_panel="Results")
    ] = None,
    store_url: Annotated[
        str | None, typer.Option("--store", help="URL of the results store.", rich_help_panel="Results")
    ] = None,
    fault: Annotated[str, typer.Option(help="How virtual devices misbehave, for tests.", hidden=True)] = "",
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress, only the result.", rich_help_panel="Results")
    ] = False,
) -> None:
    """Measure models on devices under each delegate.

    Latency, start-up, operators and memory of every model under every delegate on every device.

    Each repetition is a process of its own; the results are stored, printed as a table and written as a report.
    """
    from devbench.bench.lease_keeper import parse_wait
    from devbench.bench.targets import open_targets
    from devbench.cli.outcome import check_writable, measure, show_outcome
    from devbench.cli.run_input import RunInput, make_plan, parse_labels, virtual_without_gpu
    from devbench.errors import InputError
    from devbench.results.store import Store

    given = RunInput(
        models=tuple(models or ()),
        delegates=tuple(delegate or ()),
        threads=threads,
        repetitions=repetitions,
        profile=profile,
        cold_starts=cold_starts,
        num_runs=num_runs,
        min_secs=min_secs,
        max_secs=max_secs,
        warmup_runs=warmup_runs,
        warmup_min_secs=warmup_min_secs,
        require=require,
        binary=binary,
        via=via,
        tool_flags=tuple(tool_flag or ()),
        delegates_file=delegates_file,
        timeout_s=timeout,
        max_output_mib=max_output,
        precision=precision,
        most_repetitions=max_repetitions,
        cool_down_s=cool_down,
        unreliable_retries=unreliable_retries,
        stabilise=tuple(stabilise or ()),
        check_outputs=check_outputs,
        inputs=tuple(inputs or ()),
        min_snr_db=min_snr,
        max_steps=max_steps,
        shapes=(tuple(input_shape),) if input_shape else (),
        signatures=tuple(signature or ()),
    )
    labels = parse_labels(label or [])
    wait_s = parse_wait(wait)
    if resume is not None and pipeline is not None:
        raise InputError(
            "a run of pipelines cannot be resumed", hint="leave --resume out to measure it again as a new run"
        )
    if resume is not None and labels:
        raise InputError("--label with --resume", hint="a resumed run keeps its labels")
    if pipeline is not None:
        from devbench.cli.run_pipeline import PipelineInput, run_pipeline

        asked = PipelineInput(given, pipeline, steps, guidance, tuple(residency or ()))
        folder = (lambda run_id: out or Path("reports") / run_id) if report else None
        run_pipeline(
            asked,
            context,
            labels,
            device or [],
            json_file,
            folder,
            store_url=store_url,
            fault=fault,
            quiet=quiet,
            wait_s=wait_s,
        )
        return
    if steps is not None or guidance is not None or residency:
        raise InputError("--steps, --guidance and --residency are a pipeline's", hint="add --pipeline FILE")
    if suite is not None:
        given, labels, device = _from_suite(suite, labels, device, context)
    elif not models:
        raise InputError("no model to measure", hint="devbench run MODEL.tflite, or --suite FILE")
    check_writable(json_file, csv_file)
    plan = make_plan(given)
    with Store(store_url) as store, open_targets(device or [], fault) as devices:
        plan = virtual_without_gpu(plan, device or [], chosen=bool(given.delegates))
        outcome = measure(plan, devices, store, labels, quiet=quiet, resume=resume, wait_s=wait_s)
        show_outcome(outcome, store, json_file, csv_file, report, out)


# What a suite does not set: where to run, what to keep beside it, where the results go.
_BESIDE_A_SUITE = frozenset(
    {
        "suite",
        "device",
        "label",
        "json_file",
        "csv_file",
        "report",
        "out",
        "store_url",
        "quiet",
        "fault",
        "resume",
        "wait",
    }
)


def _from_suite(
    file: Path, labels: dict[str, str], device: list[str] | None, context: typer.Context
) -> tuple[RunInput, dict[str, str], list[str]]:
    """Options, labels and devices of a suite; devices and labels of the command line count for more."""
    from devbench.bench.suite import read_suite
    from devbench.cli.suite import suite_input
    from devbench.errors import InputError

    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE" and name not in _BESIDE_A_SUITE:
            shown = "models" if name == "models" else f"--{name.replace('_', '-')}"
            raise InputError(f"{shown} beside --suite", hint="a suite says what to measure: write it there")
    suite = read_suite(file)
    return suite_input(suite), {**suite.labels, **labels}, device or list(suite.devices)
