"""The commands of `devbench farm` for its admins: init, doctor, drain, quarantine, prune, assign."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from devbench.cli.choices import complete, moment
from devbench.cli.doctor import show_checks
from devbench.cli.output import plain, print_json, say
from devbench.cli.takes import JsonOption
from devbench.errors import InputError

if TYPE_CHECKING:
    from devbench.farm.database import Farm

FarmOption = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="The farm's database, in PostgreSQL. Default: DEVBENCH_FARM."),
]
StorageOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL|FOLDER", help="The storage of files, if this host reaches it by another address than the farm's. "
        "Default: DEVBENCH_STORAGE, or the farm's.", envvar="DEVBENCH_STORAGE",
    ),
]  # fmt: skip
_INIT = (
    "Examples:\n\n  devbench farm init --url postgresql://postgres@db/devbench --storage s3://lab/devbench\n\n"
    "  devbench farm init --host lab1 --host lab2 --submitter ana --keeper keep"
)
_QUARANTINE = (
    "Examples:\n\n  devbench farm quarantine R5CT1234ABC-1f2e3d --why 'battery swollen'\n\n"
    "  devbench farm quarantine R5CT1234ABC-1f2e3d --end"
)


def _named(statement: str) -> Iterator[str]:
    with open_farm(None) as farm:
        yield from (str(row["name"]) for row in farm.rows(statement))


def job_numbers() -> Iterator[str]:
    """Numbers of jobs, the newest first, for completion."""
    return _named("SELECT id AS name FROM farm.jobs ORDER BY id DESC LIMIT 50")


def _hosts() -> Iterator[str]:
    return _named("SELECT name FROM farm.hosts ORDER BY name")


def _phones() -> Iterator[str]:
    return _named("SELECT device AS name FROM farm.phones ORDER BY device")


_HostArgument = Annotated[
    str, typer.Argument(metavar="HOST", help="A host of the farm.", autocompletion=complete(_hosts))
]
_PhoneArgument = Annotated[
    str,
    typer.Argument(
        metavar="DEVICE", help="The key of a phone, from `devbench farm status`.", autocompletion=complete(_phones)
    ),
]
app = typer.Typer()


def open_farm(url: str | None) -> Farm:
    """The farm of `--url`, imported now."""
    from devbench.farm.database import Farm, farm_url

    return Farm(farm_url(url))


@app.command("init", epilog=_INIT)
def init(
    host: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Add a host; may be given again.")] = None,
    submitter: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Add a user who queues and reads; may be given again.")
    ] = None,
    keeper: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Add a user for `farm keeper`.")] = None,
    admin: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Add an admin.")] = None,
    storage: Annotated[
        str | None, typer.Option(metavar="URL|FOLDER", help="The storage of files that all hosts reach.")
    ] = None,
    url: FarmOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prepare a database for a farm, and add hosts and users.

    Makes the tables of the queue, of the store and of the farm, and the roles with their rights. What exists stays; a
    farm of an older devbench is upgraded.
    The URL of each new user, with its password, is printed once. A user that is named again gets a new password.
    """
    from devbench.farm.database import farm_url
    from devbench.farm.database import init as prepare

    names = {"host": host or [], "submitter": submitter or [], "keeper": keeper or [], "admin": admin or []}
    logins = prepare(farm_url(url), names, storage)
    if as_json:
        print_json([{"name": one.name, "role": one.role, "url": one.url} for one in logins])
        return
    say("The farm is ready.")
    for one in logins:
        say(f"{one.role} {plain(one.name)}: DEVBENCH_FARM={one.url}", markup=False)


@app.command("doctor", epilog="Example:\n\n  devbench farm doctor")
def doctor(url: FarmOption = None, storage: StorageOption = None, as_json: JsonOption = False) -> None:
    """Check database, role, encryption, hosts, clocks, versions, keeper and storage, and say how to fix what is wrong.

    Exit code 1 if something keeps the farm from working.
    """
    from devbench.farm.status import examine

    with open_farm(url) as farm:
        show_checks(list(examine(farm, storage or "")), as_json=as_json)


@app.command("drain", epilog="Examples:\n\n  devbench farm drain lab1\n\n  devbench farm drain lab1 --end")
def drain(
    host: _HostArgument,
    end: Annotated[bool, typer.Option("--end", help="Let it take jobs again.")] = False,
    url: FarmOption = None,
) -> None:
    """Let a host finish its jobs and take no others."""
    _act(url, "drain", host, not end, unknown=f"there is no host {host!r}", hint="devbench farm status lists them")
    say(f"{plain(host)} takes jobs again." if end else f"{plain(host)} finishes its jobs and takes no others.")


@app.command("quarantine", epilog=_QUARANTINE)
def quarantine(
    device: _PhoneArgument,
    why: Annotated[str, typer.Option(metavar="TEXT", help="The reason, for others.")] = "",
    until: Annotated[str | None, typer.Option(metavar="DATE", help="It ends by itself on this day or time.")] = None,
    end: Annotated[bool, typer.Option("--end", help="Use the phone again.")] = False,
    url: FarmOption = None,
) -> None:
    """Take a phone out of use; its job is finished, and no other one begins."""
    if end:
        _act(url, "end_quarantine", device, unknown=f"{device!r} is not in quarantine", hint="see devbench farm status")
        say(f"{plain(device)} is used again.")
        return
    if not why:
        raise InputError("--why is missing", hint="others need the reason: --why 'battery swollen'")
    _act(url, "set_quarantine", device, why, moment(until, "--until", end=True))
    say(f"{plain(device)} is in quarantine.")


@app.command("prune", epilog="Example:\n\n  devbench farm prune --older-than 30d --dry-run")
def prune(
    older_than: Annotated[str, typer.Option(metavar="AGE", help="Age of the files, at least 2d: 30d, 12w, 6m, 1y.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted.")] = False,
    url: FarmOption = None,
    storage: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete old files of the farm's storage that no stored result and no queued job refers to."""
    from devbench.farm.retention import prune_storage
    from devbench.results.selection import parse_age

    age = parse_age(older_than)
    with open_farm(url) as farm:
        removed = prune_storage(farm, age, storage=storage or "", dry_run=dry_run)
    if as_json:
        print_json({"files": removed.files, "size_bytes": removed.size_bytes, "dry_run": dry_run})
        return
    say(f"{removed.files} files: {'would free' if dry_run else 'freed'} {removed.size_bytes / 1e6:.1f} MB.")


@app.command("assign", epilog="Example:\n\n  devbench farm assign R5CT1234ABC-1f2e3d lab2")
def assign(device: _PhoneArgument, host: _HostArgument, url: FarmOption = None) -> None:
    """Give a phone to another host, after it was moved there."""
    _act(url, "assign", device, host, unknown=f"there is no phone {device!r}", hint="devbench farm status lists them")
    say(f"{plain(device)} belongs to {plain(host)}.")


def _act(url: str | None, function: str, *values: Any, unknown: str = "", hint: str = "") -> None:
    with open_farm(url) as farm:
        farm.check_schema()
        if farm.call(function, *values) is False:
            raise InputError(unknown, hint=hint)
