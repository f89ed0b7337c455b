"""`devbench accuracy`: are a model's outputs right under each delegate; nothing is timed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from devbench.cli.waiting import WaitOption

_EPILOG = (
    "Examples:\n\n  devbench accuracy model.tflite --device R5CT1234ABC\n\n"
    "  devbench accuracy model.tflite -d virtual -D xnnpack,gpu --input image=cat.npy --min-snr 30"
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("accuracy", epilog=_EPILOG, rich_help_panel="Measure")(accuracy)


def accuracy(
    models: Annotated[list[str], typer.Argument(help="The .tflite files; `demo` is the small U-Net devbench ships.")],
    device: Annotated[list[str] | None, typer.Option("--device", "-d", help="As for `devbench run`.")] = None,
    delegate: Annotated[
        list[str] | None, typer.Option("--delegate", "-D", help="Default: cpu, xnnpack and gpu.")
    ] = None,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", help="NAME=FILE.npy; may be given again. Default: generated.")
    ] = None,
    input_shape: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=SHAPE", help="As of `devbench run`; may be given again."),
    ] = None,
    signature: Annotated[
        list[str] | None, typer.Option(metavar="NAME|all", help="As of `devbench run`; may be given again.")
    ] = None,
    min_snr: Annotated[
        float | None, typer.Option(help="Least signal to noise ratio of float outputs in dB. Default: 20.")
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option(min=0, help="Largest difference of integer outputs. Default: 3 for 8 bits, else 0.")
    ] = None,
    binary: Annotated[str | None, typer.Option(help="Name, file or hash of the benchmark_model to use.")] = None,
    delegates_file: Annotated[Path | None, typer.Option(help="A TOML file with delegates of your own.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything measured to this file.")] = None,
    store_url: Annotated[str | None, typer.Option("--store", help="URL of the results store.")] = None,
    wait: WaitOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")] = False,
) -> None:
    """Compare each delegate's outputs with this machine's CPU and with the device's own.

    The same inputs run once on the device under each delegate and once here, by LiteRT's built-in kernels.

    Exit code 1 where an output is wrong: NaN, Inf, all zero, of another size, or too far away for its type.
    """
    from devbench.bench.lease_keeper import parse_wait
    from devbench.bench.targets import open_targets
    from devbench.cli.outcome import finish, measure
    from devbench.cli.output import console
    from devbench.cli.run_input import RunInput, make_plan, virtual_without_gpu
    from devbench.findings.run_build import build_report
    from devbench.forms.export import write_json
    from devbench.forms.terminal import print_outputs
    from devbench.results.store import Store

    wait_s = parse_wait(wait)
    plan = make_plan(
        RunInput(
            models=tuple(models),
            delegates=tuple(delegate or ()),
            repetitions=0,
            profile=False,
            cold_starts=0,
            binary=binary,
            delegates_file=delegates_file,
            check_outputs=True,
            inputs=tuple(inputs or ()),
            min_snr_db=min_snr,
            max_steps=max_steps,
            shapes=(tuple(input_shape),) if input_shape else (),
            signatures=tuple(signature or ()),
        )
    )
    with Store(store_url) as store, open_targets(device or []) as devices:
        plan = virtual_without_gpu(plan, device or [], chosen=bool(delegate))
        outcome = measure(plan, devices, store, {}, quiet=quiet, wait_s=wait_s)
        view = store.run(outcome.run_id)
    print_outputs(build_report(view), console())
    if json_file is not None:
        write_json(view, json_file)
    finish(outcome, view)
