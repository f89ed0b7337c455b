"""`devbench pipeline claims`: claims of the paper and of its author's page, with measured figures and verdicts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbench.cli.output import check_writable, print_document, say, status
from devbench.cli.takes import open_devices, open_store
from devbench.errors import InputError
from devbench.options import RESIDENCIES, RunOptions
from devbench.text import parts_of

if TYPE_CHECKING:
    from devbench.bench.pipeline import Pipeline

CLAIMS_EPILOG = (
    "Examples:\n\n  devbench pipeline claims sd/mobile-sd.toml --device R5CT1234ABC --delegate gpu\n\n"
    "  devbench pipeline claims sd/mobile-sd.toml -d virtual -D xnnpack --json claims.json\n\n"
    "The pipeline is the baseline of `devbench models build mobile-sd --out sd/`; docs/paper.md has the claims."
)


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
