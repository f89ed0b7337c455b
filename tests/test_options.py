"""The catalogue of options: one declaration is an option, a key of suites, a part of their schema and of pipelines."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from devbench.bench.pipeline_program import for_pipeline
from devbench.bench.suite import read_suite
from devbench.bench.suite_table import json_schema
from devbench.cli import run
from devbench.cli.app import application
from devbench.cli.takes import Taken, takes
from devbench.declare import option, options_of
from devbench.errors import InputError
from devbench.frozen import dataclass
from devbench.options import NightlyOptions, RunOptions


@dataclass(frozen=True, slots=True)
class Extended(RunOptions):
    """The catalogue with one more option."""

    brightness: int = option(
        50,
        "--brightness",
        text="Brightness of the screen in percent.",
        panel="The device's state",
        minimum=0,
        maximum=100,
        key="brightness",
        table="conditions",
        beside=("pipeline",),
        pipeline=20,
    )


def help_of(catalogue: type[RunOptions]) -> str:
    app = typer.Typer()
    app.callback()(lambda: None)
    app.command("run")(takes(options=Taken(catalogue, panels=True))(inspect.unwrap(run.run)))
    return CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "160", "NO_COLOR": "1"}).output


def test_a_declared_option_is_in_the_help_below_its_heading() -> None:
    assert "--brightness" not in help_of(RunOptions)
    lines = help_of(Extended).splitlines()
    found = next(number for number, line in enumerate(lines) if "--brightness" in line)
    heading = next(line for line in reversed(lines[:found]) if line.startswith("╭"))
    assert "The device's state" in heading
    assert "Brightness of the screen" in lines[found]
    assert "0<=x<=100" in lines[found]


def test_a_declared_option_is_a_key_of_suites(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    path.write_text('models = ["demo"]\n[conditions]\nbrightness = 30\n')
    assert read_suite(path, Extended).options == {"brightness": 30}
    with pytest.raises(InputError, match=r"suite\.toml:3: conditions\.brightness"):
        read_suite(path)
    path.write_text('models = ["demo"]\nbrightness = 101\n')
    with pytest.raises(InputError, match=r"suite\.toml:2: brightness is not between 0 and 100"):
        read_suite(path, Extended)


def test_a_declared_option_is_in_the_schema_of_suites() -> None:
    schema = json_schema(Extended)
    for properties in (schema["properties"], schema["$defs"]["Conditions"]["properties"]):
        assert properties["brightness"]["maximum"] == 100
        assert properties["brightness"]["description"] == "Brightness of the screen in percent."
    assert "brightness" not in json_schema()["properties"]


def test_a_declared_option_is_one_of_pipelines_with_its_default_there() -> None:
    assert for_pipeline(Extended(), ()).brightness == 20  # type: ignore[attr-defined]
    assert for_pipeline(Extended(brightness=70), {"brightness"}).brightness == 70  # type: ignore[attr-defined]
    run.refuse_with_file("pipeline", Extended, {"brightness"}, {}, "")
    with pytest.raises(InputError, match="--brightness with --suite"):
        run.refuse_with_file("suite", Extended, {"brightness"}, {}, "leave it out")


def test_each_option_of_a_number_has_bounds_and_each_key_belongs_to_one_option() -> None:
    for catalogue in (RunOptions, NightlyOptions):
        known = options_of(catalogue)
        assert [
            one.name for one in known if one.kind in ("number", "real") and None in (one.minimum, one.maximum)
        ] == []
        keys = [one.key for one in known if one.key]
        assert len(keys) == len(set(keys))
        assert all(one.text for one in known)


def test_commands_that_share_options_take_them_from_the_catalogue() -> None:
    app = application("nightly")
    output = CliRunner().invoke(app, ["nightly", "--help"], env={"COLUMNS": "160", "NO_COLOR": "1"}).output
    for one in options_of(NightlyOptions):
        assert one.shown in output
