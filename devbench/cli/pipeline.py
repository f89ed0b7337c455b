"""`devbench pipeline ablation`: what each rewrite does to the stages of a pipeline on a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbench.cli.waiting import WaitOption

if TYPE_CHECKING:
    from devbench.bench.pipeline import Pipeline
    from devbench.bench.runner import RunOutcome
    from devbench.models.rewrites.catalogue import Rewrite
    from devbench.models.rewrites.steps import AblationStep
    from devbench.results.store import RunView

_EPILOG = (
    "Examples:\n\n  devbench models build mobile-sd --scale tiny --out sd/\n\n"
    "  devbench pipeline ablation sd/mobile-sd.toml --device R5CT1234ABC --delegate gpu\n\n"
    "  devbench pipeline ablation sd/mobile-sd.toml -d virtual -D xnnpack --only groupnorm-4d,fc-to-conv --also w8"
)


def register(app: typer.Typer) -> None:
    """Add the command group to the application."""
    group = typer.Typer(
        no_args_is_help=True, help="What makes up a pipeline's latency (see `devbench run --pipeline`)."
    )
    # A group of one command would otherwise be that command.
    group.callback()(_keep_group)
    group.command("ablation", epilog=_EPILOG)(ablation)
    app.add_typer(group, name="pipeline", rich_help_panel="Measure")


def _keep_group() -> None:
    """What makes up a pipeline's latency (see `devbench run --pipeline`)."""


def ablation(
    file: Annotated[Path, typer.Argument(help="The pipeline's TOML; its models are the baseline.")],
    device: Annotated[str | None, typer.Option("--device", "-d", help="One device, as for `devbench run`.")] = None,
    delegate: Annotated[str, typer.Option("--delegate", "-D", help="The delegate.")] = "gpu",
    only: Annotated[list[str] | None, typer.Option(help="Only these rewrites, as `devbench models rewrite`.")] = None,
    skip: Annotated[list[str] | None, typer.Option(help="Not these.")] = None,
    also: Annotated[list[str] | None, typer.Option(help="These besides the default ones: w8, fp16, prune…")] = None,
    stage: Annotated[list[str] | None, typer.Option(help="Only these stages; may be given again.")] = None,
    repetitions: Annotated[int, typer.Option("--repetitions", "-r", min=1, help="Processes of each model.")] = 3,
    threads: Annotated[str | None, typer.Option("--threads", "-t", help="CPU threads.")] = None,
    inputs: Annotated[int, typer.Option(min=0, help="Sets of inputs compared after each rewrite.")] = 1,
    check_outputs: Annotated[
        bool, typer.Option("--check-outputs/--no-check-outputs", help="Compare the device's outputs with the host's.")
    ] = True,
    out: Annotated[Path, typer.Option(help="Folder for models, chart and table.")] = Path("ablation"),
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the rows to this file too.")] = None,
    store_url: Annotated[str | None, typer.Option("--store", help="URL of the results store.")] = None,
    wait: WaitOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")] = False,
) -> None:
    """Measure a pipeline's stages as they are, then with one rewrite after another.

    Each row says how much of the graph the delegate takes, in how many partitions, the latency of all stages times
    their runs, peak memory, model size, and how far the outputs are: of the rewrite on this machine, and of the device
    compared with this machine. Failures are shown with the tool's own line.
    """
    from devbench.bench.lease_keeper import parse_wait
    from devbench.bench.pipeline import read_pipeline
    from devbench.cli.models_rewrite import split_names
    from devbench.cli.outcome import check_writable, finish
    from devbench.cli.output import console, plain
    from devbench.errors import InputError
    from devbench.models.rewrites.catalogue import chosen_rewrites

    check_writable(json_file)
    wait_s = parse_wait(wait)
    pipeline = read_pipeline(file)
    names = [one.name for one in pipeline.stages]
    for name in stage or ():
        if name not in names:
            raise InputError(f"--stage {name}: {file} has no such stage", hint=", ".join(names))
    rewrites = chosen_rewrites(split_names(only), split_names(skip), split_names(also))
    with console(stderr=True).status(plain(pipeline.name)) as status:
        steps = _build(
            pipeline, set(stage or names), rewrites, out / "models", inputs, lambda what: status.update(plain(what))
        )
    outcome, view = _measure(
        [str(step.path) for several in steps.values() for step in several],
        device, delegate, repetitions, threads, check_outputs, store_url, quiet, wait_s,
    )  # fmt: skip
    _show(pipeline, steps, view, [rewrite.name for rewrite in rewrites], out, json_file)
    if outcome.errors or outcome.status == "interrupted":
        finish(outcome, view)


def _build(
    pipeline: Pipeline,
    wanted: set[str],
    rewrites: Sequence[Rewrite],
    folder: Path,
    inputs: int,
    tell: Callable[[str], None],
) -> dict[str, list[AblationStep]]:
    from devbench.models.rewrites.catalogue import RewriteOptions
    from devbench.models.rewrites.steps import ablate

    sources = [Path(stage.model) for stage in pipeline.stages]
    stems = [source.stem for source in dict.fromkeys(sources)]
    found = {}
    for number, (stage, source) in enumerate(zip(pipeline.stages, sources, strict=True), start=1):
        # Models that share a file name are written side by side.
        stem = f"{number}-{source.stem}" if stems.count(source.stem) > 1 else ""
        if stage.name in wanted:
            found[stage.name] = ablate(source, folder, rewrites, RewriteOptions(), inputs=inputs, tell=tell, stem=stem)
    return found


def _measure(
    models: list[str],
    device: str | None,
    delegate: str,
    repetitions: int,
    threads: str | None,
    check_outputs: bool,
    store_url: str | None,
    quiet: bool,
    wait_s: float,
) -> tuple[RunOutcome, RunView]:
    from devbench.analysis.accuracy import FLOATS, Thresholds
    from devbench.bench.planning import make_plan
    from devbench.bench.targets import open_targets
    from devbench.cli.outcome import measure
    from devbench.errors import InputError
    from devbench.options import RunOptions
    from devbench.results.store import Store

    given = RunOptions(
        models=tuple(models), delegate=(delegate,), threads=threads, repetitions=repetitions, profile=True,
        cold_starts=0, num_runs=3, min_secs=0.0, warmup_min_secs=0.0, check_outputs=check_outputs,
    )  # fmt: skip
    # Wrong outputs are part of the result: they are shown with the latency.
    lenient = Thresholds().changed(FLOATS, least_snr_db=-1000.0, least_cosine=-2.0)
    plan = make_plan(given, thresholds=lenient if check_outputs else None)
    with Store(store_url) as store, open_targets([device] if device else []) as devices:
        if len(devices) != 1:
            raise InputError(f"{len(devices)} devices", hint="an ablation is of one device: --device SERIAL")
        outcome = measure(plan, devices, store, {}, quiet=quiet, options={"ablation": True}, wait_s=wait_s)
        return outcome, store.run(outcome.run_id)


def _show(
    pipeline: Pipeline,
    steps: dict[str, list[AblationStep]],
    view: RunView,
    order: list[str],
    out: Path,
    json_file: Path | None,
) -> None:
    from devbench.cli.output import console, plain
    from devbench.findings.ablation import StageStep, ablation_of
    from devbench.findings.run_build import build_report
    from devbench.forms.charts.files import chart_file
    from devbench.forms.json import json_text
    from devbench.forms.terminal import print_document
    from devbench.sections.ablation import ablation_document
    from devbench.sections.row_charts import ablation_chart

    runs = {stage.name: count for stage, count in zip(pipeline.stages, pipeline.runs, strict=True)}

    def step(name: str, one: AblationStep) -> tuple[StageStep, str]:
        sizes = (one.operators, one.places, one.size_bytes, one.relative_error, one.lossy)
        return StageStep(name, one.rewrite, *sizes, runs[name]), one.path.stem

    stages = {name: [step(name, one) for one in several] for name, several in steps.items()}
    found = ablation_of(pipeline.name, build_report(view), order, stages)
    for file in {out / "ablation.json", json_file or out / "ablation.json"}:
        file.write_text(json_text(ablation_document(found, "json")), "utf-8")
    screen = console()
    print_document(ablation_document(found, "terminal"), screen)
    chart = ablation_chart(found)
    for form in ("png", "svg"):
        (out / f"ablation.{form}").write_bytes(chart_file(chart, form))
    run_id = view.run.run_id
    screen.print(f"Chart: {plain(out / 'ablation.png')}; run {run_id}, `devbench show {run_id}`", soft_wrap=True)
