"""`devbench farm`: many hosts that share one queue and one store on PostgreSQL (docs/farm.md)."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from devbench.cli import farm_admin
from devbench.cli.choices import complete
from devbench.cli.farm_admin import FarmOption, StorageOption
from devbench.cli.output import console, plain, print_json, print_table, say
from devbench.cli.takes import JsonOption
from devbench.errors import EXIT_FAILED, InputError
from devbench.sections.tables import Column

_GROUP = (
    "Examples:\n\n  devbench farm init --url postgresql://postgres@db/devbench --host lab1 --submitter ana\n\n"
    "  DEVBENCH_FARM=postgresql://lab1:...@db/devbench devbench farm worker\n\n"
    "  devbench farm submit nightly.toml --devices 'soc=SM8650*' --any 3 --every night --at 01:00\n\n"
    "  devbench farm status --watch"
)
_SUBMIT = (
    "Examples:\n\n  devbench farm submit camera.toml\n\n"
    "  devbench farm submit camera.toml --devices 'soc=SM8650*' --any 3\n\n"
    "  devbench farm submit camera.toml --devices host=lab1 --devices android=15 --priority 10\n\n"
    "  devbench farm submit camera.toml --every night --at 01:00"
)
_JobArgument = Annotated[
    int, typer.Argument(metavar="JOB", help="The number of a job.", autocompletion=complete(farm_admin.job_numbers))
]
_MAX_PRIORITY = 100
_FRAME_S = 2.0
app = typer.Typer(name="farm", no_args_is_help=True, epilog=_GROUP, rich_help_panel="Measure")
app.add_typer(farm_admin.app)


@app.callback()
def farm() -> None:
    """Measure on many hosts: one queue, one store, each result exactly once (docs/farm.md)."""


@app.command("worker", epilog="Example:\n\n  devbench farm worker --url postgresql://lab1:...@db/devbench")
def worker(
    url: FarmOption = None,
    storage: StorageOption = None,
    phone: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="Offer only this phone; may be given again. Default: all.")
    ] = None,
    beat: Annotated[float, typer.Option(min=0.2, max=60, help="Seconds between two signs of life.")] = 2.0,
    cache: Annotated[int, typer.Option(min=1, max=100_000, help="GiB of models that this host keeps.")] = 20,
) -> None:
    """Offer this host's phones to the farm, and measure what comes, one job at a time per phone.

    One process per host. SIGTERM or Ctrl-C: running repetitions are finished, the rest goes back to the queue. Without
    the database, running jobs go on; their results are delivered when it is back.
    """
    from devbench.farm.database import farm_url
    from devbench.farm.worker import Settings, Worker

    settings = Settings(beat, tuple(phone or ()), cache << 30, storage or "")
    Worker(farm_url(url), settings, _log).run()


@app.command("keeper", epilog="Example:\n\n  devbench farm keeper --url postgresql://keep:...@db/devbench")
def keeper(
    url: FarmOption = None,
    silent: Annotated[
        float, typer.Option(min=1, max=3600, metavar="SECONDS", help="Give up a worker after this much silence.")
    ] = 10.0,
    artifacts: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder of the raw outputs. Default: as other commands.")
    ] = None,
) -> None:
    """Store what hosts deliver, give jobs of silent workers back to the queue, and queue what is due.

    One process next to the database; a second one does no harm.
    """
    from devbench.farm.database import farm_url
    from devbench.farm.keeper import Keeper

    keeping = Keeper(farm_url(url), silent, _log, artifacts)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: keeping.stop())
    keeping.run()


def _log(line: str) -> None:
    from datetime import datetime, timezone

    say(f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S} {plain(line, 1000)}", stderr=True)


@app.command("submit", epilog=_SUBMIT)
def submit(
    suites: Annotated[list[Path], typer.Argument(metavar="SUITE", help="TOML files that say what to measure.")],
    devices: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=PATTERN",
            help="Only phones of which this fact matches: soc, model, android, sdk, abi, title, host, device; with "
            "* and ?; may be given again. Default: all phones.",
        ),
    ] = None,
    each: Annotated[bool, typer.Option("--each", help="On every phone that matches. This is the default.")] = False,
    any_of: Annotated[
        int | None,
        typer.Option("--any", min=1, max=100_000, help="On this number of them, the same ones night after night."),
    ] = None,
    priority: Annotated[
        int, typer.Option(min=-_MAX_PRIORITY, max=_MAX_PRIORITY, help="Higher ones first; users take turns within one.")
    ] = 0,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Not before this time: 01:00, or 2026-12-01T01:00.")
    ] = None,
    every: Annotated[str, typer.Option(metavar="night", help="Again each night at this time.")] = "",
    label: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Stored with each run.")] = None,
    url: FarmOption = None,
    storage: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Queue suites for phones of the farm.

    The models go into the farm's storage, from which hosts fetch them. Phones are chosen when the job is due. The key
    `devices` of a suite is not used.
    """
    from devbench.bench.planning import parse_labels
    from devbench.farm.submit import next_time, submit_suite, wanted_of

    if each and any_of is not None:
        raise InputError("--each with --any", hint="give one of the two")
    if every not in ("", "night"):
        raise InputError(f"--every {every!r} is not known", hint="use night")
    wanted, due, labels = wanted_of(devices or ()), next_time(at), parse_labels(label or [])
    with farm_admin.open_farm(url) as opened:
        made = [
            submit_suite(
                opened,
                file,
                wanted,
                phones=any_of,
                priority=priority,
                due=due,
                every=every,
                labels=labels,
                storage=storage,
            )
            for file in suites
        ]
    if as_json:
        print_json(made)
        return
    for one in made:
        when = f"{one['jobs']} jobs queued" if due is None else f"due at {due:%Y-%m-%d %H:%M %Z}"
        say(f"Submission {one['submission']} ({plain(one['suite'])}): {when}")
        if due is None and not one["jobs"]:
            say("[yellow]No phone of the farm matches.[/yellow] See `devbench farm status`.")


@app.command("status", epilog="Examples:\n\n  devbench farm status\n\n  devbench farm status --watch")
def status(
    url: FarmOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every 2 seconds, until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show hosts, phones, running and waiting jobs, and the time left by earlier nights."""
    from devbench.farm.status import add_health, read_status

    with farm_admin.open_farm(url) as opened, suppress(KeyboardInterrupt):
        while True:
            found = read_status(opened)
            add_health(opened.url, found["phones"])
            if as_json:
                print_json(found)
            else:
                if watch:
                    console().clear()
                _show(found)
            if not watch:
                return
            time.sleep(_FRAME_S)


def _show(found: dict[str, Any]) -> None:
    print_table(_HOSTS, found["hosts"], "Hosts")
    print_table(_PHONES, found["phones"], "Phones")
    if found["jobs"]:
        print_table(_JOBS, found["jobs"], "Jobs")
    for one in found["later"]:
        again = ", each night" if one["every"] else ""
        say(f"Submission {one['id']} ({plain(one['suite'])}) is due at {one['due_utc']:%Y-%m-%d %H:%M %Z}{again}")


def _host_state(host: dict[str, Any]) -> str:
    return "never seen" if host["seen_utc"] is None else "silent" if not host["alive"] else (
        "draining" if host["draining"] else "ok"
    )  # fmt: skip


def _percent(health: dict[str, int] | None) -> str:
    return f"{health['score']} %" if health else ""


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min"


_HOSTS: tuple[Column[dict[str, Any]], ...] = (
    Column("host", lambda row: str(row["name"]), role="name"),
    Column("state", _host_state),
    Column("phones", lambda row: f"{row['present']} of {row['phones']}"),
    Column("devbench", lambda row: str(row["devbench"])),
)
_PHONES: tuple[Column[dict[str, Any]], ...] = (
    Column("phone", lambda row: str(row["device"]), role="name"),
    Column("host", lambda row: str(row["host"])),
    Column("title", lambda row: str(row["facts"].get("title", "")), hidden=1),
    Column("state", lambda row: str(row["state"])),
    Column("job", lambda row: "" if row["job"] is None else str(row["job"]), numeric=True),
    Column("waiting", lambda row: str(row["waiting"]), numeric=True),
    Column("time left", lambda row: _seconds(row["left_s"]), numeric=True),
    Column("health", lambda row: _percent(row["health"]), numeric=True, only_if=lambda row: row["health"]),
    Column("why", lambda row: str(row["quarantine"] or ""), wide=True, only_if=lambda row: row["quarantine"]),
)
_STATES = {"todo": "waiting", "doing": "measuring", "succeeded": "done", "aborted": "cancelled"}
_JOBS: tuple[Column[dict[str, Any]], ...] = (
    Column("job", lambda row: str(row["id"]), role="name", numeric=True),
    Column("suite", lambda row: str(row["suite"])),
    Column("phone", lambda row: str(row["device"])),
    Column("user", lambda row: str(row["submitter"]), hidden=2),
    Column("state", lambda row: _STATES.get(row["state"], row["state"])),
    Column("attempt", lambda row: str(row["attempts"] or ""), numeric=True, hidden=3),
    Column("repetitions", lambda row: str(row["repetitions"]), numeric=True, hidden=4),
    Column("run", lambda row: str(row["run_id"]), hidden=1),
    Column(
        "why",
        lambda row: str(row["end_reason"] or row["outcome"] or ""),
        wide=True,
        only_if=lambda row: row["end_reason"],
    ),
)


@app.command("logs", epilog="Examples:\n\n  devbench farm logs 17\n\n  devbench farm logs 17 --raw outputs/")
def logs(
    job: _JobArgument,
    raw: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Also copy the job's raw outputs from the storage to this folder."),
    ] = None,
    url: FarmOption = None,
    storage: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what happened to a job: events, attempts with their hosts, and results that were refused."""
    from devbench.farm.status import copy_raw, read_log

    with farm_admin.open_farm(url) as opened:
        found = read_log(opened, job)
        if raw is not None:
            copy_raw(opened, job, raw, storage)
    if as_json:
        print_json(found)
        return
    one = found["job"]
    say(f"Job {one['id']}: {plain(one['suite'])} on {plain(one['device'])}, run {plain(one['run_id'])}")
    for line in sorted(_lines(found)):
        say(plain(line, 4000))


def _lines(found: dict[str, Any]) -> Iterator[str]:
    for event in found["events"]:
        yield f"{event['at']:%Y-%m-%d %H:%M:%S} {event['type'].replace('_', ' ')}"
    for one in found["attempts"]:
        yield f"{one['began_utc']:%Y-%m-%d %H:%M:%S} attempt {one['number']} on {one['host']} begins"
        if one["ended_utc"] is not None:
            yield f"{one['ended_utc']:%Y-%m-%d %H:%M:%S} attempt {one['number']} ends: {one['outcome'] or 'done'}"
    for one in found["refused"]:
        yield f"refused from {one['host']}: {one['purpose']} {one['index']} of case {one['number']}: {one['problem']}"


@app.command("retry", epilog="Example:\n\n  devbench farm retry 17")
def retry(job: _JobArgument, url: FarmOption = None) -> None:
    """Queue a failed job once more; what it has stored is not measured again."""
    _act(url, "retry", job, f"Job {job} is queued again.", f"job {job} has not failed")


@app.command("cancel", epilog="Examples:\n\n  devbench farm cancel 17\n\n  devbench farm cancel 4 --rounds")
def cancel(
    job: Annotated[
        int, typer.Argument(metavar="JOB", help="The number of a job.", autocompletion=complete(farm_admin.job_numbers))
    ],
    rounds: Annotated[
        bool, typer.Option("--rounds", help="JOB is a submission: it has no further rounds; queued jobs stay.")
    ] = False,
    url: FarmOption = None,
) -> None:
    """Cancel a job: one that waits is removed, one that runs is stopped. What was measured stays."""
    if rounds:
        _act(url, "cancel_submission", job, f"Submission {job} has no further rounds.", f"submission {job} has none")
    else:
        _act(url, "cancel", job, f"Job {job} is cancelled.", f"job {job} neither waits nor runs")


def _act(url: str | None, function: str, number: int, done: str, otherwise: str) -> None:
    with farm_admin.open_farm(url) as opened:
        opened.check_schema()
        if not opened.call(function, number):
            say(f"[yellow]Nothing changed:[/yellow] {otherwise}.")
            raise typer.Exit(EXIT_FAILED)
    say(done)
