"""What becomes of a run: measured under the live display, then printed, written, and ended with its exit code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.bench.plan import Plan
    from devbench.bench.runner import RunOutcome
    from devbench.bench.session import Program
    from devbench.results.records import RepetitionRecord
    from devbench.results.store import RunView, Store


# What shows a run.
_AFTERWARDS = (
    "devbench.findings.run_build", "devbench.sections.run", "devbench.sections.subjects", "devbench.forms.terminal",
    "devbench.results.run_files",
)  # fmt: skip


def fitted(plan: Plan, devices: Sequence[str], *, chosen: bool) -> Plan:
    """The plan as these devices can run it, as they were asked for; says what is left out.

    `chosen`: the delegates were named.
    """
    from devbench.bench.planning import without_gpu
    from devbench.cli.output import console

    fit = without_gpu(plan, devices, chosen=chosen)
    if fit is not plan:
        console(stderr=True).print(
            "[dim]gpu is left out: a virtual device needs software Vulkan for it (docs/virtual.md)[/dim]"
        )
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
    import os
    from datetime import datetime, timezone

    from devbench.bench import runner
    from devbench.cli.live import RunDisplay
    from devbench.cli.output import console
    from devbench.results.ci_labels import ci_labels
    from devbench.results.records import new_run_id

    labels = {**ci_labels(os.environ), **labels}
    run_id = new_run_id(datetime.now(timezone.utc)) if resume is None else _to_resume(store, resume)
    with RunDisplay(console(stderr=True), [device.serial for device in devices], quiet=quiet) as display:
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
    """The run to go on with; `latest` is also one that was stopped before it measured anything."""
    from devbench.results.store import LATEST

    newest = store.newest_run_id() if name == LATEST else None
    return newest or store.run(name).run.run_id


def show_outcome(
    outcome: RunOutcome, store: Store, json_file: Path | None, csv_file: Path | None, report: bool, out: Path | None
) -> None:
    """Print and write what was measured, then end with the exit code that it deserves."""
    from devbench.cli.output import console
    from devbench.findings.run_build import build_report
    from devbench.forms.terminal import print_document
    from devbench.results.run_files import write_csv, write_json
    from devbench.sections.run import run_document
    from devbench.sections.subjects import RunSubject

    view = store.run(outcome.run_id)
    screen = console()
    measured = any(job.repetitions for job in view.jobs)
    built = build_report(view)
    # Files first: standard output may be a pipe that is closed.
    if json_file is not None:
        write_json(view, json_file)
    if csv_file is not None:
        write_csv(view, csv_file)
    if measured:
        print_document(run_document(RunSubject(built), "terminal"), screen)
    if report and measured:
        from devbench.findings.raw import readable
        from devbench.forms.files import write_files

        folder = out or Path("reports") / outcome.run_id
        page, *_ = write_files(RunSubject(built), folder, ("html", "md", "png"), readable(store.read_raw))
        screen.print(f"Report: {page}", soft_wrap=True)
    finish(outcome, view)


def finish(outcome: RunOutcome, view: RunView, *, also_failed: bool = False) -> None:
    """Say where the run is stored and what ended early, then end with the exit code that it deserves.

    `also_failed`: something failed that is no job of its own.
    """
    from devbench.cli.output import console, print_error
    from devbench.errors import EXIT_FAILED, EXIT_INTERRUPTED

    screen = console()
    screen.print(f"Stored as run {outcome.run_id} (devbench show {outcome.run_id})", soft_wrap=True)
    for error in outcome.errors.values():
        print_error(error)
    if outcome.status == "interrupted":
        rest = f"The same command with `--resume {outcome.run_id}` measures the rest."
        if "pipeline" in view.run.options:
            rest = "Runs of pipelines cannot be resumed."
        screen.print(
            "[yellow]Interrupted: what was measured until then is stored.[/yellow] " + rest,
            soft_wrap=True,
        )
        raise typer.Exit(EXIT_INTERRUPTED)
    if outcome.errors:
        codes = {error.exit_code for error in outcome.errors.values()}
        raise typer.Exit(codes.pop() if len(codes) == 1 and outcome.status == "failed" else EXIT_FAILED)
    if (
        also_failed
        or not any(job.repetitions for job in view.jobs)
        or any(_job_failed(job.repetitions) for job in view.jobs)
    ):
        raise typer.Exit(EXIT_FAILED)


def _job_failed(repetitions: Sequence[RepetitionRecord]) -> bool:
    """Whether a repetition failed, or none was measured.

    One in which the device was lost counts no more when a later one of its kind was made: the run was resumed.
    """
    last: dict[str, int] = {}
    for repetition in repetitions:
        last[repetition.purpose] = max(repetition.index, last.get(repetition.purpose, 0))
    failed = [
        repetition
        for repetition in repetitions
        if repetition.status == "failed"
        and not (repetition.failure_kind == "device_lost" and repetition.index < last[repetition.purpose])
    ]
    return bool(failed) or not any(repetition.status == "ok" for repetition in repetitions)


def check_writable(*files: Path | None) -> None:
    """Refuse a result file that cannot be written now, not after an hour of measuring."""
    from devbench.errors import InputError

    for file in files:
        if file is not None and not file.absolute().parent.is_dir():
            raise InputError(f"cannot write {file}: its folder does not exist", hint="make the folder first")
