"""`devbench pipeline ablation`: what each lever brings to a pipeline on a device. `claims`: verdicts on the paper."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbench import numbers
from devbench.cli.choices import RUN_COMPLETION, SkipOption, complete_rewrites
from devbench.cli.output import check_writable, plain, print_document, say, status
from devbench.cli.takes import Taken, open_devices, open_store, takes
from devbench.cli.usage import several_of
from devbench.errors import InputError
from devbench.options import RESIDENCIES, RunOptions
from devbench.text import parts_of

if TYPE_CHECKING:
    from devbench.bench.levers import Lever
    from devbench.bench.pipeline import Pipeline
    from devbench.bench.runner import RunOutcome
    from devbench.models.rewrites.apply import AblationStep
    from devbench.models.rewrites.catalogue import Rewrite
    from devbench.results.counting import RunView

_ABLATION = (
    "Examples:\n\n  devbench pipeline ablation sd/mobile-sd.toml --device R5CT1234ABC --delegate gpu\n\n"
    "  devbench pipeline ablation sd/mobile-sd.toml -d virtual -D xnnpack --only groupnorm-4d --steps 20,8\n\n"
    "The pipeline's file comes from `devbench models build mobile-sd --out sd/`, or is written by hand "
    "(docs/pipelines.md)."
)
_CLAIMS = (
    "Examples:\n\n  devbench pipeline claims sd/mobile-sd.toml --device R5CT1234ABC --delegate gpu\n\n"
    "  devbench pipeline claims sd/mobile-sd.toml -d virtual -D xnnpack --json claims.json\n\n"
    "The pipeline is the baseline of `devbench models build mobile-sd --out sd/`; docs/paper.md has the claims."
)
_TAKEN = ("device", "delegate", "threads", "repetitions", "json_file", "store_url", "wait", "timeout", "quiet", "fault")
_DEFAULTS = {
    "delegate": ("gpu",), "repetitions": 3, "check_outputs": True, "cold_starts": 0, "num_runs": 1, "min_secs": 0.0,
    "warmup_min_secs": 0.0, "warmup_runs": 0, "profile": False, "timeout": 3600.0,
}  # fmt: skip
_TEXTS = {
    "device": "One device, named as for `devbench run`. Default: the only device.",
    "delegate": "The delegate to use; exactly one.",
    "repetitions": "Sessions per lever.",
    "timeout": "Seconds after which a process is ended.",
    "json_file": "Also write the rows to this file.",
}
_RUN = Taken(RunOptions, _TAKEN, defaults=_DEFAULTS, complete=RUN_COMPLETION, texts=_TEXTS)
app = typer.Typer(
    name="pipeline",
    help="Measure how rewrites change a pipeline.\n\nTo measure one: `devbench run --pipeline FILE`.",
    rich_help_panel="Measure",
)


@app.command("ablation", epilog=_ABLATION)
@takes(run=_RUN)
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
        typer.Option(help="These rewrites in addition: fp16, dynamic-int8…", autocompletion=complete_rewrites),
    ] = None,
    stage: Annotated[list[str] | None, typer.Option(help="Rewrite only this stage; may be given again.")] = None,
    steps: Annotated[str, typer.Option(metavar="N,…", help="Steps of the baseline, then fewer.")] = "50,20,10,8,4",
    inputs: Annotated[int, typer.Option(min=0, help="Sets of inputs compared after each rewrite.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for models, charts and table.")] = Path("ablation"),
) -> None:
    """Measure what each lever brings: a pipeline as it is, then with one lever more at a time.

    The levers, in their order: each rewrite that computes the same; no guidance; fewer steps; pruning of the repeated
    stage (11 % of its parameters) and int8 weights; pipelined execution in both orders. Each row is measured as
    sessions of the whole pipeline. The outputs of each model are compared on this computer and on the device.
    """
    from devbench.bench.lease_keeper import parse_wait
    from devbench.bench.levers import LOSSY, levers_of
    from devbench.bench.pipeline import read_pipeline
    from devbench.cli.outcome import finish
    from devbench.models.rewrites.catalogue import chosen_rewrites

    check_writable(run.json_file, folder=out)
    if len(parts_of(run.delegate)) != 1:
        raise InputError(f"--delegate {','.join(run.delegate)}: an ablation has one delegate", hint="give one")
    counts = [numbers.whole(one, minimum=1, maximum=10_000) for one in parts_of((steps,))]
    if not counts or None in counts:
        raise InputError(f"--steps {steps}: not a list of numbers", hint="for example 50,20,8")
    wait_s = parse_wait(run.wait)
    pipeline = read_pipeline(file)
    names = [one.name for one in pipeline.stages]
    wanted = several_of("--stage", stage, names) or names
    lossy = () if only else LOSSY
    rewrites = chosen_rewrites(list(parts_of(only)), list(parts_of(skip)), [*parts_of(also), *lossy])
    rewrites.sort(key=lambda one: one.lossy)
    with status(pipeline.name) as tell:
        built = _build(pipeline, wanted, rewrites, out / "models", inputs, tell)
    exact, lossy_names = ([one.name for one in rewrites if one.lossy is kind] for kind in (False, True))
    levers = list(levers_of(pipeline, built, exact, lossy_names, [count for count in counts if count]))
    outcome, view = _measure(run, pipeline, levers, wait_s)
    _show(view, out, run)
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
    from devbench.bench.levers import PRUNE
    from devbench.models.rewrites.apply import ablate
    from devbench.models.rewrites.catalogue import RewriteOptions

    sources = [Path(stage.model) for stage in pipeline.stages]
    stems = [source.stem for source in dict.fromkeys(sources)]
    found = {}
    for number, (stage, source) in enumerate(zip(pipeline.stages, sources, strict=True), start=1):
        # Models that share a file name are written side by side.
        stem = f"{number}-{source.stem}" if stems.count(source.stem) > 1 else ""
        chosen = [one for one in rewrites if stage.runs is None or one.name != PRUNE] if stage.name in wanted else []
        found[stage.name] = ablate(source, folder, chosen, RewriteOptions(), inputs=inputs, tell=tell, stem=stem)
    return found


def _measure(
    options: RunOptions, pipeline: Pipeline, levers: Sequence[Lever], wait_s: float
) -> tuple[RunOutcome, RunView]:
    """Check each model in a process of its own, then measure the pipeline of each lever."""
    from devbench.analysis.accuracy import FLOATS, Thresholds
    from devbench.bench.levers import pipeline_of
    from devbench.bench.pipeline_program import PipelineProgram, plan_pipelines
    from devbench.bench.planning import make_plan
    from devbench.cli.outcome import measure
    from devbench.findings.ablation import OPTION, LeverFacts, checks_of, with_checks
    from devbench.findings.run_build import build_report

    models = {one.path: one for lever in levers for one in lever.models.values()}
    # Wrong outputs are part of the result: they are shown with the latency.
    lenient = Thresholds().changed(FLOATS, least_snr_db=-1000.0, least_cosine=-2.0)
    plan = make_plan(replace(options, models=tuple(map(str, models))), thresholds=lenient)
    once = replace(plan, limits=replace(plan.limits, repetitions=0))
    with open_store(options.store_url) as store, open_devices(options.device, options.fault) as devices:
        if len(devices) != 1:
            raise InputError(f"{len(devices)} devices, but an ablation has one", hint="choose with --device SERIAL")
        outcome = measure(once, devices, store, {}, quiet=options.quiet, wait_s=wait_s)
        view = store.run(outcome.run_id)
        if outcome.errors or outcome.status == "interrupted":
            return outcome, view
        checks = checks_of(build_report(view), {path.stem: one.operators for path, one in models.items()})
        on_cpu = [path for path in models if not checks[path.stem].applied]
        made = [pipeline_of(lever, number, on_cpu) for number, lever in enumerate(levers)]
        rows = [
            with_checks(
                LeverFacts(
                    lever.name, one.name, one.steps, one.guidance, one.residencies[0],
                    sum(step.places for step in lever.changed), sum(step.size_bytes for step in lever.models.values()),
                    error=max((e for step in lever.changed if (e := step.relative_error) is not None), default=None),
                ),
                {stage: checks[step.path.stem] for stage, step in lever.models.items()},
            )
            for lever, one in zip(levers, made, strict=True)
        ]  # fmt: skip
        sessions, cases = plan_pipelines(made, options, replace(plan, output_check=None), whole_only=True)
        kept = {OPTION: {"pipeline": pipeline.name, "rows": [asdict(row) for row in rows]}, "pipeline": pipeline.name}
        outcome = measure(
            sessions, devices, store, {}, quiet=options.quiet, program=PipelineProgram(cases), options=kept,
            wait_s=wait_s,
        )  # fmt: skip
        return outcome, store.run(outcome.run_id)


def _show(view: RunView, out: Path, options: RunOptions) -> None:
    from devbench.findings.ablation import ablation_of
    from devbench.findings.subject import pipelines_of
    from devbench.forms.charts.files import chart_file
    from devbench.forms.json import json_text
    from devbench.sections.ablation import ablation_charts, ablation_document

    with open_store(options.store_url) as store:
        report = pipelines_of(store, view)
    found = ablation_of(report) if report else None
    if found is None:
        return
    for file in {out / "ablation.json", options.json_file or out / "ablation.json"}:
        file.write_text(json_text(ablation_document(found, "json")), "utf-8")
    print_document(ablation_document(found, "terminal"))
    for chart in ablation_charts(found):
        for form in ("png", "svg"):
            (out / f"{chart.name}.{form}").write_bytes(chart_file(chart, form))
    run_id = view.run.run_id
    say(f"Charts: {plain(out / 'ablation.png')}, {plain(out / 'ablation-memory.png')}")
    say(f"Stored as run {run_id} (devbench show {run_id}, devbench chart ablation {run_id})")


@app.command("claims", epilog=_CLAIMS)
@takes(run=_RUN)
def claims(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The pipeline, a TOML file; its models are the baseline.")
    ],
    run: RunOptions,
    steps: Annotated[int, typer.Option(min=4, max=1000, help="Steps of the sessions; some have half of them.")] = 20,
    out: Annotated[Path, typer.Option(help="Folder for models and claims.json.")] = Path("claims"),
) -> None:
    """Test the claims of the Mobile Stable Diffusion paper: each gets a figure and a verdict.

    Models are rewritten and compared on this computer, and sessions of the pipeline are measured on the device. A claim
    is reproduced, refuted, or cannot be decided without a phone.
    """
    from devbench.bench.lease_keeper import parse_wait
    from devbench.bench.pipeline import read_pipeline
    from devbench.findings.claims import judge
    from devbench.forms.json import json_text
    from devbench.sections.claims import ClaimsSubject, claims_document

    check_writable(run.json_file, folder=out)
    if len(parts_of(run.delegate)) != 1:
        raise InputError(f"--delegate {','.join(run.delegate)}: claims have one delegate", hint="give one")
    wait_s = parse_wait(run.wait)
    pipeline = read_pipeline(file)
    if pipeline.keep is None:
        raise InputError(f"{file}: no stage stays in memory", hint='add runs = "steps" to the U-Net\'s stage')
    with status(pipeline.name) as tell:
        mobile, figures = _models(pipeline, out / "models", tell)
    where, measured = _sessions(replace(pipeline, path=None), mobile, steps, run, wait_s)
    figures |= measured
    found = ClaimsSubject(where, judge(figures), figures)
    for path in {out / "claims.json", run.json_file or out / "claims.json"}:
        path.write_text(json_text(claims_document(found, "json")), "utf-8")
    print_document(claims_document(found, "terminal"))


def _models(pipeline: Pipeline, folder: Path, tell: Callable[[str], None]) -> tuple[dict[str, Path], dict[str, float]]:
    """The rewritten submodels and the figures of the models; both are kept in `folder` for a second call."""
    from devbench import __version__
    from devbench.host.hashing import sha256_of
    from devbench.host.tables import load
    from devbench.host.whole_files import write_whole
    from devbench.models.copies import copies_of
    from devbench.models.files import model_path
    from devbench.models.mobile_sd import paper
    from devbench.models.rewrites.apply import rewrite_file
    from devbench.models.rewrites.catalogue import RewriteOptions

    folder.mkdir(parents=True, exist_ok=True)
    baseline = {stage.name: model_path(stage.model) for stage in pipeline.stages}
    mobile = {name: folder / f"{name}-mobile.tflite" for name in baseline}
    kept, key = folder / "figures.json", " ".join((__version__, *map(sha256_of, baseline.values())))
    known: dict[str, dict[str, float]] = load(kept, dict, "delete it to measure the models again")
    if key in known and all(path.is_file() for path in mobile.values()):
        return mobile, known[key]
    for name, source in baseline.items():
        tell(name)
        rewrite_file(source, mobile[name], paper.rewrites(), RewriteOptions(), inputs=1)
    assert pipeline.keep is not None
    unet = pipeline.stages[pipeline.keep].name
    figures = paper.delegation(baseline, mobile) | paper.remedies(baseline, unet, folder, tell)
    copied = copies_of(baseline[unet])
    named = {"copied_in": copied.in_bytes, "copied_out": copied.out_bytes, "copy_us": copied.host_us}
    figures |= paper.gelu_in_fp16() | named
    write_whole(kept, lambda part: json.dump({key: figures}, part))
    return mobile, figures


def _sessions(
    pipeline: Pipeline, mobile: Mapping[str, Path], steps: int, options: RunOptions, wait_s: float
) -> tuple[str, dict[str, float]]:
    """Where sessions were measured, and their figures."""
    from devbench.bench.pipeline_program import PipelineProgram, plan_pipelines
    from devbench.bench.planning import make_plan
    from devbench.cli.outcome import finish, measure
    from devbench.findings.claims import session_figures
    from devbench.findings.subject import pipelines_of

    stages = tuple(replace(stage, model=str(mobile[stage.name])) for stage in pipeline.stages)
    full = replace(
        pipeline, stages=stages, steps=steps, guidance=False, residencies=RESIDENCIES, overlap_steps=max(1, steps // 4)
    )
    half = replace(full, name=f"{pipeline.name} half", steps=steps // 2, residencies=("resident",))
    guided = replace(full, name=f"{pipeline.name} guided", guidance=True, residencies=("resident",))
    plan = make_plan(replace(options, models=(stages[0].model,), check_outputs=False))
    plan, cases = plan_pipelines([full, half, guided], options, plan, whole_only=True)
    with open_store(options.store_url) as store, open_devices(options.device, options.fault) as devices:
        if len(devices) != 1:
            raise InputError(f"{len(devices)} devices, but claims have one", hint="choose with --device SERIAL")
        outcome = measure(
            plan, devices, store, {}, quiet=options.quiet, program=PipelineProgram(cases),
            options={"pipeline": pipeline.name}, wait_s=wait_s,
        )  # fmt: skip
        view = store.run(outcome.run_id)
        if outcome.errors or outcome.status == "interrupted":
            finish(outcome, view)
        report = pipelines_of(store, view)
    if report is None:
        return "", {}
    say(f"Stored as run {outcome.run_id} (devbench show {outcome.run_id})")
    first = report.variants[0]
    notes = [report.virtual_note] if report.virtual_note else []
    if any(whole.all_unreliable for variant in report.variants for whole in variant.wholes):
        notes.append("all sessions of a pipeline are unreliable: measure again on an idle device")
    where = f"{pipeline.name} on {first.device.title}, {first.title}" + "".join(f" ({note})" for note in notes)
    return where, session_figures(report, full.name, half.name, guided.name)
