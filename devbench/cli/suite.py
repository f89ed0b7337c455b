"""`devbench suite`: check a suite's file and see its plan before it is run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from devbench.cli.output import plain, print_json, print_table, say
from devbench.cli.takes import StoreOption, open_store
from devbench.errors import InputError
from devbench.sections.tables import Column

_CHECK = "Example:\n\n  devbench suite check nightly.toml"
_SCHEMA = "Example:\n\n  devbench suite schema > suite.schema.json"
app = typer.Typer(name="suite", help="Check suites: files that say what to measure.", rich_help_panel="Measure")


@app.command("check", epilog=_CHECK)
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The suite, a TOML file (docs/suites.md).")],
    store_url: StoreOption = None,
) -> None:
    """Check a suite, and show its plan and the expected time.

    Everything that `devbench run --suite` would refuse is reported with file, line and key. The expected time comes
    from earlier runs in the results store.
    """
    from devbench.bench.planning import check_here
    from devbench.bench.refusals import unfit_model
    from devbench.bench.suite import expected_durations, located, read_suite, suite_plan
    from devbench.device.boards import PREFIX, all_tags, load_tags
    from devbench.nightly.due import night_settings

    suite = read_suite(file)
    night_settings(suite)
    plan = suite_plan(suite)
    try:
        check_here(plan, suite.devices)
    except InputError as error:
        raise located(suite, error) from None
    with open_store(store_url) as store:
        expected = expected_durations(store, plan)
    columns: tuple[Column[Any], ...] = (
        Column("model", lambda row: row[0].subject, role="name"),
        Column("delegate", lambda row: row[0].delegate.name, role="name"),
        Column("threads", lambda row: str(row[0].options.num_threads or "default"), hidden=1),
        Column("processes", lambda _: str(plan.limits.steps), numeric=True),
        Column("expected", lambda row: f"{row[1]:.0f} s{'' if row[2] else ' (guess)'}", numeric=True),
    )
    print_table(columns, [(case, *one) for case, one in zip(plan.cases, expected, strict=True)], suite.name)
    for case in plan.cases:
        if refusal := unfit_model(case):
            say(f"[yellow]! {plain(case.title, 100)} will be refused: {plain(refusal, 300)}[/yellow]")
    tags = {word.removeprefix(PREFIX) for word in suite.devices if word.startswith(PREFIX)}
    for tag in sorted(tags - set(all_tags(load_tags()))):
        say(f"[yellow]! no device has the tag {plain(tag)} here: devbench devices tag DEVICE {plain(tag)}[/yellow]")
    guessed = sum(not known for _, known in expected)
    if guessed:
        which = f"{guessed} of {len(expected)} jobs have no earlier run"
        say(f"[dim]{which}: their time is guessed from min_secs and warmup_min_secs[/dim]")
    minutes, seconds = divmod(round(sum(expected_s for expected_s, _ in expected)), 60)
    more = ", more if the precision needs it" if plan.limits.precision_pct is not None else ""
    devices = plain(", ".join(suite.devices) or "the only device")
    say(f"{len(plan.cases)} jobs on each device ({devices}), {minutes}:{seconds:02d} min on each{more}")


@app.command("schema", epilog=_SCHEMA)
def schema() -> None:
    """Print the JSON Schema of suites, for editors that check and complete TOML files."""
    from devbench.bench.suite_table import json_schema

    print_json(json_schema())
