"""`devbench pipeline ablation`: what each rewrite does to the stages of a pipeline on a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbench.cli.choices import RUN_COMPLETION, SkipOption, complete_rewrites
from devbench.cli.output import check_writable, plain, print_document, say, status
from devbench.cli.takes import Taken, open_devices, open_store, takes
from devbench.cli.usage import several_of
from devbench.errors import InputError
from devbench.options import RunOptions
from devbench.text import parts_of

if TYPE_CHECKING:
    from devbench.bench.pipeline import Pipeline
    from devbench.bench.runner import RunOutcome
    from devbench.models.rewrites.apply import AblationStep
    from devbench.models.rewrites.catalogue import Rewrite
    from devbench.results.store import RunView

_EPILOG = (
    "Examples:\n\n  devbench pipeline ablation sd/mobile-sd.toml --device R5CT1234ABC --delegate gpu\n\n"
    "  devbench pipeline ablation sd/mobile-sd.toml -d virtual -D xnnpack --only groupnorm-4d,fc-to-conv --also w8\n\n"
    "The pipeline's file comes from `devbench models build mobile-sd --out sd/`, or is written by hand "
    "(docs/pipelines.md)."
)
_TAKEN = ("device", "delegate", "threads", "repetitions", "check_outputs", "json_file", "store_url", "wait", "quiet")
_DEFAULTS = {
    "delegate": ("gpu",), "repetitions": 3, "check_outputs": True, "cold_starts": 0, "num_runs": 3, "min_secs": 0.0,
    "warmup_min_secs": 0.0,
}  # fmt: skip
_TEXTS = {
    "device": "One device, named as for `devbench run`. Default: the only device.",
    "delegate": "The delegate; one.",
    "repetitions": "Processes per model that measure latency.",
    "check_outputs": "Compare the device's outputs with this computer's.",
    "json_file": "Also write the rows to this file.",
}


def register(app: typer.Typer) -> None:
    """Add the command group to the application."""
    group = typer.Typer(
        help="Find out what a pipeline's latency consists of. `devbench run --pipeline` measures a pipeline."
    )
    # A group of one command would otherwise be that command.
    group.callback()(lambda: None)
    taken = Taken(RunOptions, _TAKEN, defaults=_DEFAULTS, complete=RUN_COMPLETION, texts=_TEXTS)
    group.command("ablation", epilog=_EPILOG)(takes(ablation, run=taken))
    app.add_typer(group, name="pipeline", rich_help_panel="Measure")


def ablation(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The pipeline, a TOML file; its models are the baseline.")
    ],
    run: RunOptions,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only these rewrites, as for `devbench models rewrite`.", autocompletion=complete_rewrites),
    ] = None,
    skip: SkipOption = None,
    also: Annotated[
        list[str] | None,
        typer.Option(help="These in addition to the default ones: w8, fp16, prune…", autocompletion=complete_rewrites),
    ] = None,
    stage: Annotated[list[str] | None, typer.Option(help="Only this stage; may be given again.")] = None,
    inputs: Annotated[int, typer.Option(min=0, help="Sets of inputs compared after each rewrite.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for models, chart and table.")] = Path("ablation"),
) -> None:
    """Measure a pipeline's stages as they are, then with one rewrite after another.

    Each row shows the delegated share of the graph, the number of partitions, the latency of all stages times their
    runs, peak memory, model size, and two errors: that of the rewrite on this computer, and that of the device compared
    with this computer. Failures are shown with the tool's own line.
    """
    from devbench.bench.lease_keeper import parse_wait
    from devbench.bench.pipeline import read_pipeline
    from devbench.cli.outcome import finish
    from devbench.models.rewrites.catalogue import chosen_rewrites

    check_writable(run.json_file, folder=out)
    if len(parts_of(run.delegate)) != 1:
        raise InputError(f"--delegate {','.join(run.delegate)}: an ablation has one delegate", hint="give one")
    wait_s = parse_wait(run.wait)
    pipeline = read_pipeline(file)
    names = [one.name for one in pipeline.stages]
    wanted = several_of("--stage", stage, names) or names
    rewrites = chosen_rewrites(*(list(parts_of(given)) for given in (only, skip, also)))
    with status(pipeline.name) as tell:
        steps = _build(pipeline, wanted, rewrites, out / "models", inputs, tell)
    models = tuple(str(step.path) for several in steps.values() for step in several)
    outcome, view = _measure(replace(run, models=models), wait_s)
    _show(pipeline, steps, view, [rewrite.name for rewrite in rewrites], out, run.json_file)
    if outcome.errors or outcome.status == "interrupted":
        finish(outcome, view)


def _build(
    pipeline: Pipeline,
    wanted: Sequence[str],
    rewrites: Sequence[Rewrite],
    folder: Path,
    inputs: int,
    tell: Callable[[str], None],
) -> dict[str, list[AblationStep]]:
    from devbench.models.rewrites.apply import ablate
    from devbench.models.rewrites.catalogue import RewriteOptions

    sources = [Path(stage.model) for stage in pipeline.stages]
    stems = [source.stem for source in dict.fromkeys(sources)]
    found = {}
    for number, (stage, source) in enumerate(zip(pipeline.stages, sources, strict=True), start=1):
        # Models that share a file name are written side by side.
        stem = f"{number}-{source.stem}" if stems.count(source.stem) > 1 else ""
        if stage.name in wanted:
            found[stage.name] = ablate(source, folder, rewrites, RewriteOptions(), inputs=inputs, tell=tell, stem=stem)
    return found


def _measure(options: RunOptions, wait_s: float) -> tuple[RunOutcome, RunView]:
    from devbench.analysis.accuracy import FLOATS, Thresholds
    from devbench.bench.planning import make_plan
    from devbench.cli.outcome import measure

    # Wrong outputs are part of the result: they are shown with the latency.
    lenient = Thresholds().changed(FLOATS, least_snr_db=-1000.0, least_cosine=-2.0)
    plan = make_plan(options, thresholds=lenient if options.check_outputs else None)
    with open_store(options.store_url) as store, open_devices(options.device) as devices:
        if len(devices) != 1:
            raise InputError(f"{len(devices)} devices, but an ablation has one", hint="choose with --device SERIAL")
        outcome = measure(plan, devices, store, {}, quiet=options.quiet, options={"ablation": True}, wait_s=wait_s)
        return outcome, store.run(outcome.run_id)


def _show(
    pipeline: Pipeline,
    steps: dict[str, list[AblationStep]],
    view: RunView,
    order: list[str],
    out: Path,
    json_file: Path | None,
) -> None:
    from devbench.findings.ablation import StageStep, ablation_of
    from devbench.findings.run_build import build_report
    from devbench.forms.charts.files import chart_file
    from devbench.forms.json import json_text
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
    print_document(ablation_document(found, "terminal"))
    chart = ablation_chart(found)
    for form in ("png", "svg"):
        (out / f"ablation.{form}").write_bytes(chart_file(chart, form))
    run_id = view.run.run_id
    say(f"Chart: {plain(out / 'ablation.png')}; run {run_id}, `devbench show {run_id}`")
