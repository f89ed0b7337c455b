"""From a plan to the exit code: measures under the live display, then prints and writes the results."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from devbench.cli.output import console, open_page, print_document, print_error, say, say_path
from devbench.errors import EXIT_FAILED, EXIT_INTERRUPTED

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.bench.plan import Plan
    from devbench.bench.runner import RunOutcome
    from devbench.bench.session import Program
    from devbench.options import RunOptions
    from devbench.results.counting import RunView
    from devbench.results.store import Store


# What shows a run; imported while devices are prepared.
_AFTERWARDS = (
    "devbench.findings.run_build", "devbench.sections.run", "devbench.sections.subjects", "devbench.forms.terminal",
    "devbench.results.run_files", "rich.console", "rich.table",
)  # fmt: skip


def fitted(plan: Plan, devices: Sequence[str], *, chosen: bool) -> Plan:
    """The plan as these devices can run it; prints what is left out. `chosen`: the delegates were named."""
    from devbench.bench.planning import without_gpu

    fit = without_gpu(plan, devices, chosen=chosen)
    if fit is not plan:
        say("[dim]gpu is left out: a virtual device needs software Vulkan for it (docs/virtual.md)[/dim]", stderr=True)
    return fit


def measure(
    plan: Plan,
    devices: list[Device],
    store: Store,
    labels: dict[str, str],
    *,
    quiet: bool,
    program: Program | None = None,
    options: dict[str, Any] | None = None,
    resume: str | None = None,
    wait_s: float = 0.0,
) -> RunOutcome:
    """Run the plan on the devices under the live display.

    `labels` override those of a CI system. `program` is what runs on each device, by default the plan's jobs. `resume`
    names a run to continue; `wait_s` is how long to wait for a device that another run has.

    Raises:
        DeviceBusy: all devices are in use, so that nothing is stored.
    """
    from devbench.bench import runner
    from devbench.cli.live import RunDisplay
    from devbench.results.ci_labels import ci_labels
    from devbench.results.records import new_run_id

    labels = {**ci_labels(os.environ), **labels}
    run_id = new_run_id(datetime.now(timezone.utc)) if resume is None else _to_resume(store, resume)
    screen = None if quiet else console(stderr=True)
    with RunDisplay(screen, [device.serial for device in devices]) as display:
        outcome = runner.run(
            plan, devices, store, run_id=run_id, listener=display, labels=labels, options=options,
            program=program, resume=resume is not None, wait_s=wait_s, ahead=_AFTERWARDS,
        )  # fmt: skip
    if outcome.nothing_ran and resume is None:
        store.drop_run(run_id)
        first, *others = outcome.errors.values()
        first.more = tuple(others)
        raise first
    return outcome


def _to_resume(store: Store, name: str) -> str:
    """The run to resume; `latest` is also one that was stopped before it measured anything."""
    from devbench.results.counting import LATEST

    newest = store.newest_run_id() if name == LATEST else None
    return newest or store.run(name).run.run_id


def show_outcome(outcome: RunOutcome, store: Store, options: RunOptions) -> None:
    """Print and write what was measured, then end with the run's exit code."""
    from devbench.findings.run_build import build_report
    from devbench.results.run_files import write_csv, write_json
    from devbench.sections.run import run_document
    from devbench.sections.subjects import RunSubject

    view = store.run(outcome.run_id)
    measured = any(job.repetitions for job in view.jobs)
    if not options.report:
        # The store's process ends while the result is printed.
        store.close()
    subject = RunSubject(build_report(view), operators=options.operators)
    # Files first: standard output may be a pipe that is closed.
    if options.json_file is not None:
        write_json(view, options.json_file)
    if options.csv_file is not None:
        write_csv(view, options.csv_file)
    if measured:
        print_document(run_document(subject, "terminal"))
    if options.report and measured:
        from devbench.findings.subject import readable
        from devbench.forms.files import write_files

        folder = options.out or Path("reports") / outcome.run_id
        page, *_ = write_files(subject, folder, ("html", "md", "png"), readable(store.artifacts.read))
        say_path("Report: ", page)
        open_page(page, options.open_page)
    finish(outcome, view)


def show_pipelines(outcome: RunOutcome, store: Store, options: RunOptions) -> None:
    """Print and write what was measured of pipelines, then end with the run's exit code."""
    from devbench.findings.pipeline import build_pipeline_report
    from devbench.findings.run_build import build_report
    from devbench.forms.files import write_pipeline_json, write_pipelines
    from devbench.sections.pipeline import pipeline_document
    from devbench.sections.subjects import RunSubject

    view = store.run(outcome.run_id)
    sessions = store.pipeline_sessions(outcome.run_id)
    built = build_pipeline_report(view, sessions)
    subject = RunSubject(build_report(view), pipelines=built)
    # Files first: standard output may be a pipe that is closed.
    if options.json_file is not None:
        write_pipeline_json(subject, options.json_file)
    print_document(pipeline_document(built, "terminal"))
    if options.report and sessions:
        page = write_pipelines(subject, options.out or Path("reports") / outcome.run_id)
        say_path("Report: ", page)
        open_page(page, options.open_page)
    finish(outcome, view, also_failed=any(one.status == "failed" for one in sessions))


def finish(outcome: RunOutcome, view: RunView, *, also_failed: bool = False) -> None:
    """Print where the run is stored and what ended early, then end with the run's exit code.

    `also_failed`: something failed that is not a job.
    """
    from devbench.results.counting import job_failed

    measured = any(job.repetitions for job in view.jobs)
    if measured:
        say(f"Stored as run {outcome.run_id} (devbench show {outcome.run_id})")
    for error in outcome.errors.values():
        print_error(error)
    if outcome.status == "interrupted":
        rest = f"The same command with `--resume {outcome.run_id}` measures the rest."
        if "pipeline" in view.run.options:
            rest = "Runs of pipelines cannot be resumed."
        say(f"[yellow]Interrupted: what was measured until then is stored.[/yellow] {rest}")
        raise typer.Exit(EXIT_INTERRUPTED)
    if outcome.errors:
        codes = {error.exit_code for error in outcome.errors.values()}
        raise typer.Exit(codes.pop() if len(codes) == 1 and outcome.status == "failed" else EXIT_FAILED)
    if also_failed or not measured or any(job_failed(job.repetitions) for job in view.jobs):
        raise typer.Exit(EXIT_FAILED)
