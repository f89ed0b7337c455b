"""`devbench models rewrite`: a .tflite made fit for a delegate, compared with the original before it is written."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from devbench.cli.waiting import WaitOption

if TYPE_CHECKING:
    from devbench.models.equality import ModelComparison
    from devbench.models.rewrites.apply import Rewritten
    from devbench.models.rewrites.serialize import Along, Conv

EPILOG = (
    "Examples:\n\n  devbench models rewrite unet.tflite unet_mobile.tflite\n\n"
    "  devbench models rewrite unet.tflite out.tflite --only groupnorm-4d,stable-gelu --inputs 20\n\n"
    "  devbench models rewrite unet.tflite out.tflite --device-profile galaxy-s23 --also w8\n\n"
    "  devbench models rewrite --list"
)
_SHOWN = 3


def _names(incomplete: str) -> list[str]:
    from devbench.models.rewrites.catalogue import rewrite_names

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in rewrite_names() if name.startswith(last)]


def _profiles(incomplete: str) -> list[str]:
    from devbench.device.profiles import load_profiles

    return [profile.name for profile in load_profiles() if profile.name.startswith(incomplete)]


def rewrite(
    given: Annotated[str | None, typer.Argument(metavar="IN", help="The .tflite to rewrite, or `demo`.")] = None,
    out: Annotated[Path | None, typer.Argument(metavar="OUT", help="The .tflite to write.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only these rewrites, with commas. Default: those marked in --list.", autocompletion=_names),
    ] = None,
    skip: Annotated[list[str] | None, typer.Option(help="Not these.", autocompletion=_names)] = None,
    also: Annotated[
        list[str] | None, typer.Option(help="These in addition to the default ones: w8, prune…", autocompletion=_names)
    ] = None,
    texture_side: Annotated[
        int | None, typer.Option(min=64, help="For serialize-conv: the device's largest texture, in texels.")
    ] = None,
    weight_mib: Annotated[
        float | None, typer.Option(min=0.001, help="For serialize-conv: the most float32 weights of one convolution.")
    ] = None,
    device_profile: Annotated[
        str | None,
        typer.Option(help="For serialize-conv: a device profile with `gpu_limits`.", autocompletion=_profiles),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", "-d", help="For serialize-conv: ask the delegate on this device what it takes."),
    ] = None,
    delegate: Annotated[str, typer.Option("--delegate", "-D", help="The delegate to ask on --device.")] = "gpu",
    wait: WaitOption = None,
    along: Annotated[str, typer.Option(help="For serialize-conv: split along input, output, or auto.")] = "auto",
    prune_share: Annotated[float, typer.Option(min=0.0, max=0.95, help="For prune: the share of channels.")] = 0.25,
    inputs: Annotated[int, typer.Option(min=0, help="Sets of generated inputs to compare; 0 for none.")] = 3,
    tolerance: Annotated[
        float, typer.Option(min=0.0, help="The most an output may differ, relative to its largest value.")
    ] = 1e-3,
    list_all: Annotated[bool, typer.Option("--list", help="List the rewrites and end.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Every place that changed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Rewrite a model so that delegates take it, without changing what it computes.

    Every rewrite works on the .tflite itself, whatever converter wrote it. LiteRT runs the result and the original on
    this machine; the result is written only if its outputs are the same. For lossy rewrites (fp16, w8, prune…) the
    error is shown. If no rewrite applies, the model is copied unchanged.

    Exit code 1 where outputs differ, 2 where the input is wrong.
    """
    from devbench.cli.output import console, plain
    from devbench.errors import InputError
    from devbench.models.rewrites.catalogue import RewriteOptions, chosen_rewrites

    if list_all:
        _print_list(as_json)
        return
    if given is None or out is None:
        raise InputError("two files are needed: IN and OUT", hint="devbench models rewrite --help")
    from devbench.models.files import model_path
    from devbench.models.rewrites.apply import rewrite_file

    model = model_path(given)
    rewrites = chosen_rewrites(split_names(only), split_names(skip), split_names(also))
    say = console(stderr=True)
    with contextlib.ExitStack() as stack:
        allow = _limits(stack, texture_side, weight_mib, device_profile, device, delegate, wait)
        options = RewriteOptions(allow, _side(along), prune_share)
        status = stack.enter_context(say.status(plain(model.name)))
        made = rewrite_file(
            model,
            out,
            rewrites,
            options,
            inputs=inputs,
            tolerance=tolerance,
            tell=lambda what: status.update(plain(f"{model.name}: {what}")),
        )
    if as_json:
        import json

        typer.echo(json.dumps(_as_json(model, out, made), indent=2))
    else:
        _print(model, out, made, verbose)


def split_names(values: list[str] | None) -> list[str]:
    """Names given several times, with commas, or both."""
    return [name.strip() for value in values or () for name in value.split(",") if name.strip()]


def _side(along: str) -> Along:
    from devbench.errors import InputError

    sides: dict[str, Along] = {"input": "input", "output": "output", "auto": "auto"}
    if along in sides:
        return sides[along]
    raise InputError(f"--along {along}: there is no such side", hint="input, output or auto")


def _limits(
    stack: contextlib.ExitStack,
    texture_side: int | None,
    weight_mib: float | None,
    device_profile: str | None,
    device: str | None,
    delegate: str,
    wait: str | None,
) -> Callable[[Conv], bool]:
    """Which convolutions are allowed, by the one source of limits that was given."""
    from devbench.errors import InputError
    from devbench.models.rewrites.serialize import ConvLimits

    given = [name for name, value in (("--device", device), ("--device-profile", device_profile)) if value]
    if texture_side is not None or weight_mib is not None:
        given.append("--texture-side or --weight-mib")
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)}: limits come from one place", hint="leave one out")
    if device:
        from devbench.bench.conv_probe import conv_probe
        from devbench.bench.lease_keeper import holding, parse_wait
        from devbench.bench.targets import open_targets

        wait_s = parse_wait(wait)
        found = stack.enter_context(open_targets([device]))[0]
        return conv_probe(found, stack.enter_context(holding(found, wait_s)), delegate)
    if device_profile:
        from devbench.device.profiles import find_profile

        gpu = find_profile(device_profile).gpu_limits
        if gpu.texture_side is None and gpu.weight_bytes is None:
            raise InputError(
                f"device profile {device_profile} has no [gpu_limits]",
                hint="add texture_side or weight_mib there, or ask the delegate with --device",
            )
        return ConvLimits(gpu.texture_side, gpu.weight_bytes).allow
    return ConvLimits(texture_side, None if weight_mib is None else int(weight_mib * 2**20)).allow


def _print_list(as_json: bool) -> None:
    from rich.table import Table

    from devbench.cli.output import console
    from devbench.models.rewrites.catalogue import REWRITES

    if as_json:
        import json

        rows = [
            {"name": one.name, "about": one.about, "by_default": one.by_default, "lossy": one.lossy} for one in REWRITES
        ]
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("rewrite", "default", "lossy", "what it does"):
        table.add_column(column, no_wrap=column == "rewrite")
    for one in REWRITES:
        table.add_row(one.name, "yes" if one.by_default else "", "yes" if one.lossy else "", one.about)
    console().print(table)


def _print(model: Path, out: Path, made: Rewritten, verbose: bool) -> None:
    from rich.table import Table

    from devbench.cli.output import console, plain

    show = console()
    if not made.changes:
        show.print(f"{plain(out)}: no applicable rewrites; {plain(model.name)} copied unchanged")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("rewrite", no_wrap=True)
    table.add_column("places", justify="right")
    table.add_column("what changed" if verbose else "for instance", overflow="fold")
    for change in made.changes:
        lines = change.lines if verbose else change.lines[:_SHOWN]
        rest = "" if len(lines) == len(change.lines) else " …"
        table.add_row(change.rewrite, str(len(change.lines)), plain("; ".join(lines), 100_000) + rest)
    show.print(table)
    for what, comparison in (("same outputs", made.exact), ("lossy rewrites", made.lossy)):
        if comparison is not None:
            worst = comparison.worst
            show.print(
                f"{what}: {plain(worst.output)} differs by {worst.relative:.2g} of its largest value at most, "
                f"SNR {worst.snr_db:.0f} dB, {comparison.inputs} sets of inputs"
            )
    if made.lossy is not None:
        before, after = made.lossy.before.peak_bytes / 1e6, made.lossy.after.peak_bytes / 1e6
        show.print(
            f"peak memory of a run here: {after:,.0f} MB (it was {before:,.0f} MB); "
            "`devbench models precisions` has all kinds of weights side by side"
        )
    if made.exact is None and made.lossy is None:
        show.print("[yellow]outputs were not compared[/yellow] (--inputs 0)")
    show.print(f"{plain(out)}: {made.size_bytes / 1e6:.2f} MB (it was {model.stat().st_size / 1e6:.2f} MB)")


def _as_json(model: Path, out: Path, made: Rewritten) -> dict[str, Any]:
    return {
        "format": 1,
        "model": str(model),
        "out": str(out),
        "size_bytes": made.size_bytes,
        "changes": [
            {"rewrite": change.rewrite, "lossy": change.lossy, "places": list(change.lines)} for change in made.changes
        ],
        "exact": _comparison_json(made.exact),
        "lossy": _comparison_json(made.lossy),
    }


def _comparison_json(comparison: ModelComparison | None) -> dict[str, Any] | None:
    import math

    if comparison is None:
        return None
    return {
        "inputs": comparison.inputs,
        "outputs": [
            {
                "output": error.output,
                "largest": error.largest,
                "relative": error.relative,
                "snr_db": error.snr_db if math.isfinite(error.snr_db) else None,
            }
            for error in comparison.errors
        ],
    }
