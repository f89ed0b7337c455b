"""`devbench models rewrite`: a .tflite changed for a delegate, compared with the original before it is written."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from devbench.cli.choices import SkipOption, complete_delegates, complete_profiles, complete_rewrites, complete_serials
from devbench.cli.output import check_writable, plain, print_json, print_table, say, status
from devbench.cli.takes import JsonOption, open_devices, typer_option
from devbench.cli.usage import one_of
from devbench.errors import InputError
from devbench.options import RunOptions
from devbench.sections.tables import Column
from devbench.text import parts_of

if TYPE_CHECKING:
    from devbench.models.equality import ModelComparison
    from devbench.models.rewrites.apply import RewriteChange, Rewritten
    from devbench.models.rewrites.catalogue import Rewrite
    from devbench.models.rewrites.serialize import Along, Conv

EPILOG = (
    "Examples:\n\n  devbench models rewrite unet.tflite unet_mobile.tflite\n\n"
    "  devbench models rewrite unet.tflite out.tflite --only groupnorm-4d,stable-gelu --inputs 20\n\n"
    "  devbench models rewrite unet.tflite out.tflite --device-profile galaxy-s23 --also w8\n\n"
    "  devbench models rewrite --list\n\n"
    "Exit codes: 0 written; 1 the outputs differ, nothing was written; 2 wrong input."
)
_SHOWN = 3


def rewrite(
    given: Annotated[str | None, typer.Argument(metavar="IN", help="The .tflite to rewrite, or `demo`.")] = None,
    out: Annotated[Path | None, typer.Argument(metavar="OUT", help="The .tflite to write.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these rewrites, with commas. Default: those marked in --list.", autocompletion=complete_rewrites
        ),
    ] = None,
    skip: SkipOption = None,
    also: Annotated[
        list[str] | None,
        typer.Option(help="These in addition to the default ones: w8, prune…", autocompletion=complete_rewrites),
    ] = None,
    texture_side: Annotated[
        int | None, typer.Option(min=64, help="For serialize-conv: the device's largest texture, in texels.")
    ] = None,
    weight_mib: Annotated[
        float | None,
        typer.Option(min=0.001, help="For serialize-conv: the most float32 weights of a convolution, MiB."),
    ] = None,
    device_profile: Annotated[
        str | None,
        typer.Option(help="For serialize-conv: a device profile with `gpu_limits`.", autocompletion=complete_profiles),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            "-d",
            help="For serialize-conv: try on this device what the delegate takes.",
            autocompletion=complete_serials,
        ),
    ] = None,
    delegate: Annotated[
        str,
        typer.Option("--delegate", "-D", help="The delegate to try on --device.", autocompletion=complete_delegates),
    ] = "gpu",
    wait: Annotated[str | None, typer_option(RunOptions, "wait")] = None,
    along: Annotated[
        str, typer.Option(metavar="input|output|auto", help="For serialize-conv: which channels to split.")
    ] = "auto",
    prune_share: Annotated[
        float, typer.Option(min=0.0, max=0.95, help="For prune and prune-largest: the share of parameters to remove.")
    ] = 0.11,
    inputs: Annotated[int, typer.Option(min=0, help="Sets of generated inputs to compare; 0 for none.")] = 3,
    tolerance: Annotated[
        float, typer.Option(min=0.0, help="The most that an output may differ, relative to its largest value.")
    ] = 1e-3,
    list_all: Annotated[bool, typer.Option("--list", help="List the rewrites and exit.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show every place that changed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Rewrite a model so that delegates take it, without changing what it computes.

    Rewrites work on the .tflite file itself, whatever converter wrote it. LiteRT runs the result and the original on
    this computer; the result is written only if its outputs are the same. For lossy rewrites (fp16, w8, prune…) the
    error is shown. If no rewrite applies, the model is copied unchanged.
    """
    from devbench.models.rewrites.catalogue import RewriteOptions, chosen_rewrites

    if list_all:
        _print_list(as_json)
        return
    if given is None or out is None:
        raise InputError(
            "devbench models rewrite needs IN and OUT", hint="for example: devbench models rewrite in.tflite out.tflite"
        )
    from devbench.models.files import model_path
    from devbench.models.rewrites.apply import rewrite_file

    check_writable(out)
    model = model_path(given)
    if out.exists() and out.samefile(model):
        raise InputError(f"{out} is both IN and OUT", hint="write to another file: the original is needed to compare")
    rewrites = chosen_rewrites(*(list(parts_of(names)) for names in (only, skip, also)))
    side = cast("Along", one_of("--along", along, ("input", "output", "auto")))
    with contextlib.ExitStack() as stack:
        allow = _limits(stack, texture_side, weight_mib, device_profile, device, delegate, wait)
        tell = stack.enter_context(status(model.name))
        options = RewriteOptions(allow, side, prune_share)
        made = rewrite_file(model, out, rewrites, options, inputs=inputs, tolerance=tolerance, tell=tell)
    if as_json:
        print_json(_as_json(model, out, made))
    else:
        _print(model, out, made, verbose)


def _limits(
    stack: contextlib.ExitStack,
    texture_side: float | None,
    weight_mib: float | None,
    device_profile: str | None,
    device: str | None,
    delegate: str,
    wait: str | None,
) -> Callable[[Conv], bool]:
    """Which convolutions are allowed, by the one source of limits that was given."""
    from devbench.models.rewrites.serialize import ConvLimits

    given = [name for name, value in (("--device", device), ("--device-profile", device_profile)) if value]
    if texture_side is not None or weight_mib is not None:
        given.append("--texture-side or --weight-mib")
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)}: limits come from one place", hint="leave one out")
    if device:
        from devbench.bench.conv_probe import conv_probe
        from devbench.bench.lease_keeper import holding, parse_wait

        wait_s = parse_wait(wait)
        found = stack.enter_context(open_devices([device]))[0]
        return conv_probe(found, stack.enter_context(holding(found, wait_s)), delegate)
    if device_profile:
        from devbench.device.profiles import find_profile

        gpu = find_profile(device_profile).gpu_limits
        texture_side, weight_mib = gpu.texture_side, gpu.weight_mib
        if texture_side is None and weight_mib is None:
            raise InputError(
                f"device profile {device_profile} has no [gpu_limits]",
                hint="add texture_side or weight_mib there, or try the delegate with --device",
            )
    return ConvLimits(texture_side, None if weight_mib is None else int(weight_mib * 2**20)).allow


def _print_list(as_json: bool) -> None:
    from devbench.models.rewrites.catalogue import REWRITES

    if as_json:
        names = ("name", "about", "by_default", "lossy")
        print_json([{name: getattr(one, name) for name in names} for one in REWRITES])
        return
    columns: tuple[Column[Rewrite], ...] = (
        Column("rewrite", lambda one: one.name, role="name"),
        Column("default", lambda one: "yes" if one.by_default else "", role="name"),
        Column("lossy", lambda one: "yes" if one.lossy else "", role="name"),
        Column("what it does", lambda one: one.about),
    )
    print_table(columns, REWRITES)


def _print(model: Path, out: Path, made: Rewritten, verbose: bool) -> None:
    if not made.changes:
        say(f"{plain(out)}: no applicable rewrites; {plain(model.name)} copied unchanged")
        return

    def places(change: RewriteChange) -> str:
        lines = change.lines if verbose else change.lines[:_SHOWN]
        return "; ".join(lines) + ("" if len(lines) == len(change.lines) else " …")

    columns: tuple[Column[RewriteChange], ...] = (
        Column("rewrite", lambda change: change.rewrite, role="name"),
        Column("places", lambda change: str(len(change.lines)), numeric=True),
    )
    if verbose:
        print_table(columns, made.changes)
        for change in made.changes:
            for line in change.lines:
                say(f"{plain(change.rewrite)}: {plain(line, 1000)}")
    else:
        print_table((*columns, Column("for example", places)), made.changes)
    for what, comparison in (("same outputs", made.exact), ("lossy rewrites", made.lossy)):
        if comparison is not None:
            worst = comparison.worst
            say(
                f"{what}: {plain(worst.output)} differs by at most {worst.relative:.2g} of its largest value, "
                f"SNR {worst.snr_db:.0f} dB, {comparison.inputs} sets of inputs"
            )
    if made.lossy is not None:
        before, after = made.lossy.before.peak_bytes / 1e6, made.lossy.after.peak_bytes / 1e6
        say(
            f"peak memory of a run on this computer: {before:,.0f} → {after:,.0f} MB; "
            "`devbench models precisions` compares all kinds of weights"
        )
    if made.exact is None and made.lossy is None:
        say("[yellow]outputs were not compared[/yellow] (--inputs 0)")
    say(f"{plain(out)}: {made.size_bytes / 1e6:.2f} MB (the original has {model.stat().st_size / 1e6:.2f} MB)")


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
    if comparison is None:
        return None
    rows = [
        {
            "output": error.output,
            "largest": error.largest,
            "relative": error.relative,
            "snr_db": error.snr_db if math.isfinite(error.snr_db) else None,
        }
        for error in comparison.errors
    ]
    return {"inputs": comparison.inputs, "outputs": rows}
