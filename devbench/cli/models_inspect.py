"""`devbench models inspect` and `devbench models gpu-check`: what is in a model, and what the GPU delegate takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from devbench.models.compiled import Compiled
    from devbench.models.gpu.report import GpuReport, RefusalGroup
    from devbench.models.graph.view import ModelView, TensorView
    from devbench.models.model_facts import ModelFacts

_INSPECT = (
    "Examples:\n\n"
    "  devbench models inspect model.tflite\n\n"
    "  devbench models inspect unet.tflite --top 20\n\n"
    "  devbench models inspect model.tflite --json | jq '.operators[] | select(.largest_rank > 4)'"
)
_GPU_CHECK = (
    "Examples:\n\n"
    "  devbench models gpu-check model.tflite\n\n"
    "  devbench models gpu-check unet.tflite --no-analyzer --strict\n\n"
    "  devbench models gpu-check model.tflite --json | jq '.refusals[].fix' | sort | uniq -c"
)
_MOST_ROWS = 60
_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_EFFECTS = {
    "unloadable": "[red]the tool cannot load the model[/red]",
    "stops-always": "[red]the delegate gives up[/red]",
    "stops": "[red]the delegate gives up[/red]",
    "cpu": "[yellow]stays on the CPU[/yellow]",
    "wrong": "[red]taken, and gave wrong numbers on the bench phone[/red]",
    "driver": "[dim]does not build with every driver[/dim]",
}


def register(group: typer.Typer) -> None:
    """Add the commands to the group `models`."""
    group.command("inspect", epilog=_INSPECT)(inspect)
    group.command("gpu-check", epilog=_GPU_CHECK)(gpu_check)


def inspect(
    file: Annotated[str, typer.Argument(help="The .tflite file; `demo` is the small U-Net devbench ships.")],
    top: Annotated[int, typer.Option(min=0, max=1000, help="How many of the largest tensors to show.")] = 5,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object (docs/models.md has its keys).")
    ] = False,
) -> None:
    """Say what is in a model: operators, shapes, parameters, MACs, bytes, quantisation.

    Exit code 2 where the file is no model or is damaged.
    """
    from devbench.models.compiled import compiled_model
    from devbench.models.files import model_path
    from devbench.models.graph.read import read_model
    from devbench.models.model_facts import facts_of

    path = model_path(file)
    model = read_model(path)
    facts = facts_of(model, top=top)
    if as_json:
        from devbench.models.model_facts import to_json

        _print_json(to_json(model, facts, path.name, compiled_model(path)))
        return
    from devbench.cli.output import console

    screen = console()
    _print_model(model, facts, path, screen, compiled_model(path))


def gpu_check(
    file: Annotated[str, typer.Argument(help="The .tflite file; `demo` is the small U-Net devbench ships.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object (docs/models.md has its keys).")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 where anything is refused.")] = False,
    analyzer: Annotated[
        bool, typer.Option("--analyzer/--no-analyzer", help="Ask TensorFlow's own analyzer too, where it is installed.")
    ] = True,
    parts: Annotated[
        int, typer.Option("--max-parts", min=1, help="The tool's max_delegated_partitions, which is 1.")
    ] = 1,
) -> None:
    """Estimate what the stock GPU delegate takes of a model, why not the rest, and which rewrite fixes it.

    The rules are those seen in the stock tool of TensorFlow 2.14.1. The tool itself has the last word: try the model
    with `devbench run --delegate gpu --require full`.

    Exit code 0 when the file could be judged, whatever the verdict; with --strict 1 when an operator is refused.
    """
    from devbench.errors import EXIT_FAILED
    from devbench.models.files import model_path
    from devbench.models.gpu.analyzer import run_analyzer
    from devbench.models.gpu.report import make_report, to_json
    from devbench.models.graph.read import read_model

    path = model_path(file)
    model = read_model(path)
    answer = run_analyzer(path) if analyzer else None
    report = make_report(model, answer, path=path, max_parts=parts)
    if as_json:
        _print_json(to_json(report, path.name))
    else:
        from devbench.cli.output import console

        _print_check(report, path, console())
    if strict and report.refused:
        raise typer.Exit(EXIT_FAILED)


def _print_json(data: object) -> None:
    import json

    typer.echo(json.dumps(data, indent=2, allow_nan=False))


def _bytes(size: int) -> str:
    for unit, name in _UNITS:
        if size >= unit:
            return f"{size / unit:.2f} {name}"
    return f"{size} B"


def _count(number: int) -> str:
    """`865.6 M`, for parameters and MACs; whole below a thousand."""
    for unit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.4g} {name}"
    return str(number)


def _shape(tensor: TensorView) -> str:
    return "×".join(map(str, tensor.shape)) or "scalar"


def _grid() -> Table:
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _columns(title: str, *columns: tuple[str, bool]) -> Table:
    from rich.table import Table

    table = Table(title=title, box=None, header_style="bold", title_justify="left", pad_edge=False)
    for name, is_number in columns:
        table.add_column(name, justify="right" if is_number else "left", overflow="fold", no_wrap=is_number)
    return table


def _print_model(model: ModelView, facts: ModelFacts, path: Path, screen: Console, compiled: Compiled | None) -> None:
    from devbench.cli.output import plain

    graph, table = model.main, _grid()
    where = ""
    if model.outside:
        where = f", {_bytes(sum(model.outside))} of it in {len(model.outside)} buffers behind the flatbuffer"
    table.add_row("file", f"{plain(path.name)}, {_bytes(model.size_bytes)}{where}")
    described = f", {plain(model.description, 80)}" if model.description else ""
    table.add_row("schema", f"version {model.schema_version}{described}")
    if compiled is not None:
        count = f"{compiled.operators:,} of {compiled.of:,} operators"
        needs = {"npu": "an npu delegate", "edgetpu": "the Edge TPU's delegate"}.get(compiled.needs, compiled.needs)
        table.add_row("compiled", f"[yellow]{plain(compiled.words, 200)}[/yellow]: {count}; needs {needs}")
    for label, numbers in (("input", graph.inputs), ("output", graph.outputs)):
        for number in numbers[:_MOST_ROWS]:
            tensor = graph.tensors[number]
            changing = " (may change at run time)" if tensor.dynamic else ""
            table.add_row(label, f"{plain(tensor.name, 80)} {tensor.dtype} {_shape(tensor)}{changing}")
    leaves_out = f", without {plain(', '.join(facts.uncounted), 120)}" if facts.uncounted else ""
    table.add_row("operators", f"{len(graph.operators):,} in {len({row.type for row in facts.operators})} types")
    left_out = f", without {facts.left_out:,} values of integer constants (shapes, axes, indices)"
    table.add_row("parameters", f"{facts.parameters:,}{left_out if facts.left_out else ''}")
    table.add_row("MACs", f"{facts.macs:,} ({_count(facts.macs)}){leaves_out}")
    kinds = ", ".join(f"{plain(kind)} {_bytes(size)}" for kind, size in facts.weight_bytes.items())
    table.add_row("constants", kinds or "none")
    peak = (
        ""
        if facts.peak_operator is None
        else f", at most {_bytes(facts.peak_bytes)} at once (operator {facts.peak_operator})"
    )
    table.add_row("activations", f"{_bytes(facts.activation_bytes)} together{peak}")
    table.add_row("quantisation", _quantisation(facts))
    for signature in model.signatures[:_MOST_ROWS]:
        sides = [", ".join(plain(label, 40) for label, _ in side[:8]) for side in (signature.inputs, signature.outputs)]
        table.add_row("signature", f"{plain(signature.key, 60)}: {sides[0]} → {sides[1]}")
    if len(model.graphs) > 1:
        table.add_row("subgraphs", f"{len(model.graphs)}; the figures are of the first")
    if model.metadata:
        words = ", ".join(f"{plain(name, 40)} ({_bytes(size)})" for name, size in model.metadata[:8])
        table.add_row("metadata", words)
    screen.print(table)
    screen.print()
    _print_operators(facts, screen)
    for title, tensors in (
        ("largest constants", facts.largest_weights),
        ("largest activations", facts.largest_activations),
    ):
        if tensors:
            screen.print()
            screen.print(_tensors(title, tensors))


def _quantisation(facts: ModelFacts) -> str:
    found = facts.quantisation
    grains = (("per channel", found.per_channel), ("per tensor", found.per_tensor), ("in blocks", found.blockwise))
    counts = ", ".join(f"{count} {grain}" for grain, count in grains if count)
    return f"{found.kind}{f'; constants: {counts}' if counts else ''}"


def _print_operators(facts: ModelFacts, screen: Console) -> None:
    from devbench.cli.output import plain

    table = _columns(
        "operators",
        ("type", False),
        ("version", True),
        ("count", True),
        ("rank", True),
        ("MACs", True),
        ("share", True),
    )
    for row in facts.operators[:_MOST_ROWS]:
        share = f"{100 * row.macs / facts.macs:.1f} %" if row.macs else ""
        rank = f"[yellow]{row.largest_rank}[/yellow]" if row.largest_rank > 4 else str(row.largest_rank)
        name = f"{plain(row.type, 60)}{' (custom)' if row.custom else ''}"
        table.add_row(name, str(row.version), f"{row.count:,}", rank, _count(row.macs) if row.macs else "", share)
    screen.print(table)
    if len(facts.operators) > _MOST_ROWS:
        screen.print(f"… and {len(facts.operators) - _MOST_ROWS} more (--json has all)")


def _tensors(title: str, tensors: tuple[TensorView, ...]) -> Table:
    from devbench.cli.output import plain

    table = _columns(title, ("bytes", True), ("type", False), ("shape", True), ("name", False))
    for tensor in tensors:
        size = tensor.stored_bytes or tensor.size_bytes
        table.add_row(_bytes(size), tensor.dtype, _shape(tensor), plain(tensor.name, 120))
    return table


def _print_check(report: GpuReport, path: Path, screen: Console) -> None:
    from devbench.cli.output import plain
    from devbench.models.gpu.report import verdict
    from devbench.models.gpu.rules import SEEN_ON
    from devbench.models.rewrites.catalogue import rewrite_names

    good = report.estimate.complete
    colour = "green" if good else "red" if report.estimate.delegated == 0 else "yellow"
    table = _grid()
    table.add_row("model", plain(path.name))
    table.add_row("GPU (estimated)", f"[{colour}]{plain(verdict(report))}[/{colour}]")
    table.add_row("by the rules of", plain(SEEN_ON))
    answer = report.analyzer
    if answer is not None:
        texts = {True: "looks compatible to it", False: "not compatible", None: f"no answer: {answer.note}"}
        version = f" {answer.version}" if answer.version else ""
        table.add_row(f"TensorFlow{version}", plain(texts[answer.compatible]))
        for warning in answer.warnings[:10]:
            table.add_row("", plain(warning))
    if report.graphs > 1:
        table.add_row("graphs", f"{report.graphs}; the delegate looks at all, the estimate is of the main one")
    screen.print(table)
    if report.groups:
        screen.print()
        screen.print(_groups(report.groups))
    wrong = sum(len(group.operators) for group in report.groups if group.rule.effect.value == "wrong")
    if wrong:
        noun = "operator" if wrong == 1 else "operators"
        screen.print()
        screen.print(
            f"[red]warning: the delegate takes {wrong} {noun} that gave wrong numbers on the bench phone[/red]; "
            "compare outputs with `devbench accuracy` or `devbench run --check-outputs`",
            soft_wrap=True,
        )
    fixes = [name for name in rewrite_names() if any(group.fix == name for group in report.groups)]
    if fixes:
        screen.print()
        screen.print(
            f"fixes: devbench models rewrite {plain(path.name)} OUT  (applies {', '.join(fixes)})", soft_wrap=True
        )


def _groups(groups: tuple[RefusalGroup, ...]) -> Table:
    from devbench.cli.output import plain
    from devbench.models.gpu.report import places

    table = _columns("", ("operator", False), ("count", True), ("reason and effect", False), ("fix", False))
    for group in groups[:_MOST_ROWS]:
        fix = f"[green]{group.fix}[/green]" if group.fix else plain(group.rule.hint) or "none known"
        why = f"{plain(group.detail)}: {_EFFECTS[group.rule.effect.value]}\n[dim]{plain(places(group), 120)}[/dim]"
        table.add_row(plain(group.type, 60), f"{len(group.operators):,}", why, fix)
    table.title = None
    if len(groups) > _MOST_ROWS:
        table.caption = f"… and {len(groups) - _MOST_ROWS} more (--json has all)"
    return table
