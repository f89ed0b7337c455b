"""`devbench models inspect` and `devbench models gpu-check`: what is in a model, and what the GPU delegate takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbench.cli.output import plain, print_facts, print_json, print_table, say
from devbench.errors import EXIT_FAILED
from devbench.sections.tables import Cell, Column

if TYPE_CHECKING:
    from devbench.models.compiled import Compiled
    from devbench.models.gpu.report import GpuReport, RefusalGroup
    from devbench.models.graph.view import ModelView, TensorView
    from devbench.models.model_facts import ModelFacts, OperatorCount

INSPECT = (
    "Examples:\n\n"
    "  devbench models inspect model.tflite\n\n"
    "  devbench models inspect unet.tflite --top 20\n\n"
    "  devbench models inspect model.tflite --json | jq '.operators[] | select(.largest_rank > 4)'"
)
GPU_CHECK = (
    "Examples:\n\n"
    "  devbench models gpu-check model.tflite\n\n"
    "  devbench models gpu-check unet.tflite --no-analyzer --strict\n\n"
    "  devbench models gpu-check model.tflite --json | jq '.refusals[].fix' | sort | uniq -c\n\n"
    "Exit codes: 0 the file could be checked, whatever the verdict; 1 with --strict if an operator is refused; 2 wrong "
    "input."
)
_MAX_ROWS = 60
_EFFECTS = {
    "unloadable": "the tool cannot load the model",
    "stops-always": "the delegate gives up",
    "stops": "the delegate gives up",
    "cpu": "stays on the CPU",
    "wrong": "taken, and gave wrong numbers on the bench phone",
    "driver": "does not build with every driver",
}
_NEEDS = {"npu": "an npu delegate", "edgetpu": "the Edge TPU's delegate"}
_FileArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="The .tflite file; `demo` is the small U-Net that devbench ships.")
]
_JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object (docs/models.md has its keys).")]


def inspect(
    file: _FileArgument,
    top: Annotated[int, typer.Option(min=0, max=1000, help="How many of the largest tensors to show.")] = 5,
    as_json: _JsonOption = False,
) -> None:
    """Show what is in a model: operators, shapes, parameters, MACs, bytes, quantisation."""
    from devbench.models.compiled import compiled_model
    from devbench.models.files import model_path
    from devbench.models.graph.read import read_model
    from devbench.models.model_facts import facts_of

    path = model_path(file)
    model = read_model(path)
    facts = facts_of(model, top=top)
    compiled = compiled_model(path)
    if as_json:
        from devbench.models.model_facts import to_json

        print_json(to_json(model, facts, path.name, compiled))
        return
    print_facts(_model_facts(model, facts, path, compiled))
    say("")
    _print_operators(facts)
    for title, tensors in (
        ("largest constants", facts.largest_weights),
        ("largest activations", facts.largest_activations),
    ):
        if tensors:
            say("")
            _print_tensors(title, tensors)


def gpu_check(
    file: _FileArgument,
    as_json: _JsonOption = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if an operator is refused.")] = False,
    analyzer: Annotated[
        bool, typer.Option("--analyzer/--no-analyzer", help="Also ask TensorFlow's own analyzer, if it is installed.")
    ] = True,
    parts: Annotated[
        int, typer.Option("--max-parts", min=1, help="The tool's max_delegated_partitions; its default is 1.")
    ] = 1,
) -> None:
    """Estimate which operators the stock GPU delegate takes, why it refuses others, and which rewrite fixes them.

    The rules are those seen in the stock tool of TensorFlow 2.14.1. To be sure, run the model:
    `devbench run MODEL --delegate gpu --require full`.
    """
    from devbench.models.files import model_path
    from devbench.models.gpu.analyzer import run_analyzer
    from devbench.models.gpu.report import make_report, to_json
    from devbench.models.graph.read import read_model

    path = model_path(file)
    model = read_model(path)
    answer = run_analyzer(path) if analyzer else None
    report = make_report(model, answer, path=path, max_parts=parts)
    if as_json:
        print_json(to_json(report, path.name))
    else:
        _print_check(report, path)
    if strict and report.refused:
        raise typer.Exit(EXIT_FAILED)


def _scaled(number: int, units: tuple[tuple[float, str], ...], digits: str) -> str:
    for unit, name in units:
        if number >= unit:
            return f"{number / unit:{digits}} {name}"
    return str(number)


def _bytes(size: int) -> str:
    found = _scaled(size, ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")), ".2f")
    return f"{found} B" if found.isdigit() else found


def _count(number: int) -> str:
    """`865.6 M`, for parameters and MACs; numbers below a thousand as they are."""
    return _scaled(number, ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")), ".4g")


def _shape(tensor: TensorView) -> str:
    return "×".join(map(str, tensor.shape)) or "scalar"


def _model_facts(
    model: ModelView, facts: ModelFacts, path: Path, compiled: Compiled | None
) -> Iterator[tuple[str, str]]:
    graph = model.main
    where = ""
    if model.outside:
        where = f", {_bytes(sum(model.outside))} of it in {len(model.outside)} buffers behind the flatbuffer"
    yield "file", f"{plain(path.name)}, {_bytes(model.size_bytes)}{where}"
    described = f", {plain(model.description, 80)}" if model.description else ""
    yield "schema", f"version {model.schema_version}{described}"
    if compiled is not None:
        count = f"{compiled.operators:,} of {compiled.of:,} operators"
        needs = _NEEDS.get(compiled.needs, compiled.needs)
        yield "compiled", f"[yellow]{plain(compiled.words, 200)}[/yellow]: {count}; needs {needs}"
    for label, numbers in (("input", graph.inputs), ("output", graph.outputs)):
        for number in numbers[:_MAX_ROWS]:
            tensor = graph.tensors[number]
            changing = " (may change at run time)" if tensor.dynamic else ""
            yield label, f"{plain(tensor.name, 80)} {tensor.dtype} {_shape(tensor)}{changing}"
    yield "operators", f"{len(graph.operators):,} in {len({row.type for row in facts.operators})} types"
    left_out = f", without {facts.left_out:,} values of integer constants (shapes, axes, indices)"
    yield "parameters", f"{facts.parameters:,}{left_out if facts.left_out else ''}"
    uncounted = f", without {plain(', '.join(facts.uncounted), 120)}" if facts.uncounted else ""
    yield "MACs", f"{facts.macs:,} ({_count(facts.macs)}){uncounted}"
    kinds = ", ".join(f"{plain(kind)} {_bytes(size)}" for kind, size in facts.weight_bytes.items())
    yield "constants", kinds or "none"
    peak = ""
    if facts.peak_operator is not None:
        peak = f", at most {_bytes(facts.peak_bytes)} at once (operator {facts.peak_operator})"
    yield "activations", f"{_bytes(facts.activation_bytes)} together{peak}"
    found = facts.quantisation
    grains = (("per channel", found.per_channel), ("per tensor", found.per_tensor), ("in blocks", found.blockwise))
    counts = ", ".join(f"{count} {grain}" for grain, count in grains if count)
    yield "quantisation", f"{found.kind}{f'; constants: {counts}' if counts else ''}"
    for signature in model.signatures[:_MAX_ROWS]:
        sides = [", ".join(plain(label, 40) for label, _ in side[:8]) for side in (signature.inputs, signature.outputs)]
        yield "signature", f"{plain(signature.key, 60)}: {sides[0]} → {sides[1]}"
    if len(model.graphs) > 1:
        yield "subgraphs", f"{len(model.graphs)}; the figures are of the first"
    if model.metadata:
        yield "metadata", ", ".join(f"{plain(name, 40)} ({_bytes(size)})" for name, size in model.metadata[:8])


def _print_operators(facts: ModelFacts) -> None:
    columns: tuple[Column[OperatorCount], ...] = (
        Column("type", lambda row: f"{row.type}{' (custom)' if row.custom else ''}"),
        Column("version", lambda row: str(row.version), numeric=True, hidden=1),
        Column("count", lambda row: f"{row.count:,}", numeric=True),
        Column(
            "rank", lambda row: Cell(str(row.largest_rank), kind="warn" if row.largest_rank > 4 else ""), numeric=True
        ),
        Column("MACs", lambda row: _count(row.macs) if row.macs else "", numeric=True),
        Column("share", lambda row: f"{100 * row.macs / facts.macs:.1f} %" if row.macs else "", numeric=True),
    )
    print_table(columns, facts.operators[:_MAX_ROWS], "operators")
    _print_rest(len(facts.operators))


def _print_rest(count: int) -> None:
    if count > _MAX_ROWS:
        say(f"… and {count - _MAX_ROWS} more (--json has all)")


def _print_tensors(title: str, tensors: tuple[TensorView, ...]) -> None:
    columns: tuple[Column[TensorView], ...] = (
        Column("bytes", lambda tensor: _bytes(tensor.stored_bytes or tensor.size_bytes), numeric=True),
        Column("type", lambda tensor: tensor.dtype, role="name"),
        Column("shape", _shape, numeric=True),
        Column("name", lambda tensor: plain(tensor.name, 120)),
    )
    print_table(columns, tensors, title)


def _print_check(report: GpuReport, path: Path) -> None:
    from devbench.models.rewrites.catalogue import rewrite_names

    print_facts(_check_facts(report, path))
    if report.groups:
        say("")
        _print_groups(report.groups)
    wrong = sum(len(group.operators) for group in report.groups if group.rule.effect.value == "wrong")
    if wrong:
        noun = "operator" if wrong == 1 else "operators"
        say(
            f"\n[red]warning: the delegate takes {wrong} {noun} that gave wrong numbers on the bench phone[/red]; "
            "compare outputs with `devbench accuracy` or `devbench run --check-outputs`"
        )
    fixes = [name for name in rewrite_names() if any(group.fix == name for group in report.groups)]
    if fixes:
        say(f"\nfixes: devbench models rewrite {plain(path.name)} OUT  (applies {', '.join(fixes)})")


def _check_facts(report: GpuReport, path: Path) -> Iterator[tuple[str, str]]:
    from devbench.models.gpu.report import verdict
    from devbench.models.gpu.rules import SEEN_ON

    colour = "green" if report.estimate.complete else "red" if report.estimate.delegated == 0 else "yellow"
    yield "model", plain(path.name)
    yield "GPU (estimated)", f"[{colour}]{plain(verdict(report))}[/{colour}]"
    yield "by the rules of", plain(SEEN_ON)
    answer = report.analyzer
    if answer is not None:
        texts = {True: "compatible", False: "not compatible", None: f"no answer: {answer.note}"}
        version = f" {answer.version}" if answer.version else ""
        yield f"TensorFlow{version}", plain(texts[answer.compatible])
        for warning in answer.warnings[:10]:
            yield "", plain(warning)
    if report.graphs > 1:
        yield "graphs", f"{report.graphs}; the delegate looks at all, the estimate is of the main one"


def _print_groups(groups: tuple[RefusalGroup, ...]) -> None:
    from devbench.models.gpu.report import places

    columns: tuple[Column[RefusalGroup], ...] = (
        Column("operator", lambda group: group.type, role="name"),
        Column("count", lambda group: f"{len(group.operators):,}", numeric=True),
        Column(
            "reason and effect",
            lambda group: Cell(f"{group.detail}: {_EFFECTS[group.rule.effect.value]}", aside=places(group)),
        ),
        Column(
            "fix",
            lambda group: Cell(group.fix, kind="good") if group.fix else Cell(group.rule.hint or "none known"),
        ),
    )
    print_table(columns, groups[:_MAX_ROWS])
    _print_rest(len(groups))
