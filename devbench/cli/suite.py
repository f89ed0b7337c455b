"""`devbench suite`: check a suite's file and see its plan before a night is spent on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devbench.bench.plan import Plan
    from devbench.bench.suite import Suite
    from devbench.models.files import GivenModel
    from devbench.nightly.settings import NightlySettings

_EPILOG = "Examples:\n\n  devbench suite check nightly.toml\n\n  devbench suite schema > suite.schema.json"
# What a process takes beside its inferences, where no history says more.
_START_S = 1.5


def register(app: typer.Typer) -> None:
    """Add the command group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Check suites: files that say what to measure.")
    group.command("check", epilog=_EPILOG)(check)
    group.command("schema")(schema)
    app.add_typer(group, name="suite", rich_help_panel="Measure")


def suite_plan(suite: Suite) -> Plan:
    """What the suite asks for; models that are to be fetched are fetched.

    Raises:
        InputError: names the file, the line and the key of what a run would refuse.
    """
    from devbench.bench.planning import make_plan
    from devbench.bench.suite import RemoteModel, located
    from devbench.errors import InputError
    from devbench.models.files import GivenModel, fetch_model
    from devbench.options import RunOptions

    models = tuple(
        GivenModel(str(fetch_model(m.url, m.sha256)), m.name, _source(m.url)) if isinstance(m, RemoteModel) else m
        for m in suite.models
    )
    try:
        _check_reference(suite, models)
        return make_plan(
            RunOptions(**suite.options), models=models, base=suite.path.parent, thresholds=suite.thresholds
        )
    except InputError as error:
        raise located(suite, error) from None


def night_settings(suite: Suite) -> NightlySettings:
    """How the suite's nightly is to be done.

    Raises:
        InputError: names the file, the line and the key of a value that makes no sense.
    """
    from devbench.errors import InputError
    from devbench.host.tomlfile import wrong
    from devbench.nightly.settings import NightlySettings

    settings = NightlySettings()
    for key, value in suite.nightly.items():
        try:
            settings = settings.changed({key: value})
        except InputError as error:
            raise wrong("suite", suite.path, ("nightly", key), f": {error.what}", error.hint) from None
    return settings


def _source(url: str) -> str:
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(url)
    return f"{parts.hostname or ''}{unquote(parts.path)}"


def _check_reference(suite: Suite, models: Sequence[GivenModel]) -> None:
    """A reference that nothing measures would correct nothing, and nobody would know."""
    from devbench.errors import InputError
    from devbench.models.files import open_models

    reference = suite.labels.get("reference")
    if reference is None:
        return
    names = [model.name for model in open_models(models, suite.path.parent)]
    if reference not in names:
        raise InputError(
            f"suite {suite.path}: reference {reference!r} is none of its models", hint=f"they are {', '.join(names)}"
        )


def check(
    file: Annotated[Path, typer.Argument(help="A suite's TOML file.")],
    store_url: Annotated[str | None, typer.Option("--store", help="URL of the results store with the history.")] = None,
) -> None:
    """Validate a suite and show its plan and how long it takes on a device, by what its cases took before."""
    from rich.table import Table

    from devbench.bench.planning import check_here
    from devbench.bench.refusals import unfit_model
    from devbench.bench.suite import located, read_suite
    from devbench.cli.output import console, plain
    from devbench.errors import InputError
    from devbench.results.store import Store

    suite = read_suite(file)
    night_settings(suite)
    plan = suite_plan(suite)
    try:
        check_here(plan, suite.devices)
    except InputError as error:
        raise located(suite, error) from None
    with Store(store_url) as store:
        seconds = [_seconds(store, plan, number) for number in range(len(plan.cases))]
    table = Table(box=None, pad_edge=False, header_style="bold", title=plain(suite.name), title_justify="left")
    for column in ("model", "delegate", "threads"):
        table.add_column(column)
    for column in ("processes", "expected"):
        table.add_column(column, justify="right")
    for case, (expected_s, known) in zip(plan.cases, seconds, strict=True):
        threads = "default" if case.options.num_threads is None else str(case.options.num_threads)
        words = f"{expected_s:.0f} s{'' if known else ' (guess)'}"
        table.add_row(plain(case.subject, 120), plain(case.delegate.name), threads, str(plan.limits.steps), words)
    screen = console()
    screen.print(table)
    for case in plan.cases:
        if refusal := unfit_model(case):
            screen.print(f"[yellow]! {plain(case.title, 100)} will be refused: {plain(refusal, 300)}[/yellow]")
    from devbench.device.boards import PREFIX, all_tags, load_tags

    tags = {word.removeprefix(PREFIX) for word in suite.devices if word.startswith(PREFIX)}
    for tag in sorted(tags - set(all_tags(load_tags()))):
        screen.print(f"[yellow]! no device has the tag {plain(tag)} here: devbench devices tag SERIAL TAG[/yellow]")
    minutes, rest = divmod(round(sum(expected_s for expected_s, _ in seconds)), 60)
    devices = ", ".join(suite.devices) or "the only device"
    guessed = sum(not known for _, known in seconds)
    if guessed:
        which = f"{guessed} of {len(seconds)} jobs have no history"
        screen.print(f"[dim]{which}: what they take is guessed from min_secs and warmup_min_secs[/dim]")
    more = ", more where the precision asks for it" if plan.limits.precision_pct is not None else ""
    screen.print(f"{len(plan.cases)} jobs on each device ({plain(devices)}), {minutes}:{rest:02d} min on each{more}")


def _seconds(store: object, plan: Plan, number: int) -> tuple[float, bool]:
    """What a case takes on a device, and whether history says so."""
    from devbench.results.store import Store

    assert isinstance(store, Store)
    case = plan.cases[number]
    model, delegate = case.model.name, case.delegate.name
    before = store.typical_duration_s(model, delegate, via=plan.via, case=case.text(plan.via))
    if before is None:
        # Other threads or shapes say more than nothing: most of a process is what --min-secs asks for.
        before = store.typical_duration_s(model, delegate, via=plan.via)
    each = before if before is not None else _START_S + case.options.warmup_min_secs + case.options.min_secs
    return each * plan.limits.steps, before is not None


def schema() -> None:
    """Print the JSON Schema of a suite's file, for editors."""
    import json

    from devbench.bench.file_models import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))
