"""`devbench export`, `import`, `merge`, `prune`: what they print, their JSON and exit codes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from devbench.cli.app import application
from devbench.errors import DevbenchError, InputError
from devbench.results import schema
from devbench.results.store import Store
from tests.made.samples import NOW, RUN, add_run, run_record


def devbench(*words: object) -> Result:
    result = CliRunner().invoke(application(), [str(word) for word in words])
    if isinstance(result.exception, DevbenchError):
        raise result.exception
    return result


@pytest.fixture
def store(tmp_path: Path) -> str:
    path = str(tmp_path / "a" / "results.db")
    with Store(path) as opened:
        add_run(opened)
        add_run(opened, 1)
        opened.artifacts.write(RUN, "job0001-0", b"raw")
    return path


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_export_and_import_say_what_they_did(store: str, tmp_path: Path, file_format: str) -> None:
    out, other = tmp_path / "out", tmp_path / "b" / "results.db"
    done = devbench("export", out, "--store", store, "--format", file_format, "--raw")
    assert done.exit_code == 0
    assert done.output.startswith("Exported to ")
    assert done.output.endswith(": runs: 2, jobs: 2, repetitions: 8, raw outputs: 1\n")
    assert {path.suffix for path in out.iterdir()} == {"", ".json", f".{file_format}"}
    first = devbench("import", out, "--store", other)
    assert first.output == "Added runs: 2, jobs: 2, repetitions: 8, operators: 6, raw outputs: 1\n"
    second = json.loads(devbench("import", out, "--store", other, "--json").output)
    assert set(second) == {"added", "runs", "conflicts", "raw_outputs"}
    assert (set(second["added"].values()), second["runs"]) == ({0}, [])


@pytest.mark.parametrize(
    ("options", "runs"),
    [
        (["--run", "latest"], 1), (["--run", "build=7", "--run", "build=8"], 2), (["--label", "build=7"], 1),
        (["--since", "2026-11-24"], 1), (["--until", "2026-11-23"], 1), (["--since", "2026-11", "--until", "2026-11"], 2),
    ],
)  # fmt: skip
def test_export_takes_what_is_asked_for(store: str, tmp_path: Path, options: list[str], runs: int) -> None:
    done = json.loads(devbench("export", tmp_path / "out", "--store", store, "--json", *options).output)
    assert done["rows"]["runs"] == runs


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["export", "OUT", "--format", "xml"], "--format 'xml'"),
        (["export", "OUT", "--run", "none"], "no run"),
        (["export", "OUT", "--since", "yesterday"], "date"),
        (["export", "OUT", "--label", "build"], "not key=value"),
        (["import", "OUT"], "no export"),
        (["merge", "OUT/none.db"], "no results store"),
        (["prune", "--older-than", "old"], "invalid age"),
    ],
)
def test_wrong_input_is_one_clear_line(store: str, tmp_path: Path, words: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        devbench(*(word.replace("OUT", str(tmp_path / "out")) for word in words), "--store", store)


def test_merge_ends_with_1_where_it_left_a_run_out(store: str, tmp_path: Path) -> None:
    other = str(tmp_path / "b" / "results.db")
    with Store(other) as opened:
        opened.create_run(run_record(at=NOW + timedelta(minutes=1)))
    done = devbench("merge", store, "--store", other)
    assert done.exit_code == 1
    assert f"Left out: run {RUN} is another run here" in done.output
    assert "Added runs: 1," in done.output


def test_prune_says_what_it_freed(store: str) -> None:
    wanted = devbench("prune", "--older-than", "0h", "--store", store, "--dry-run")
    assert wanted.output == "1 runs, 1 raw outputs: would free 0.0 MB.\n"
    done = json.loads(devbench("prune", "--older-than", "0h", "--store", store, "--json").output)
    assert (done["files"], done["dry_run"], done["runs"]) == (1, False, [RUN])


def test_prune_deletes_the_runs_of_a_host_with_their_raw_outputs(store: str) -> None:
    with Store(store) as opened:
        opened.create_run(replace(run_record(at=NOW + timedelta(hours=9)), run_id="20991231-235959-aaaa", host="other"))
        host = opened.run(RUN).run.host
    wanted = devbench("prune", "--host", host, "--store", store, "--dry-run")
    assert wanted.output == "2 runs would be deleted, 1 raw outputs: would free 0.0 MB.\n"
    done = json.loads(devbench("prune", "--host", host, "--store", store, "--json").output)
    assert (len(done["runs"]), done["files"], done["dry_run"]) == (2, 1, False)
    with Store(store) as opened:
        assert [run.host for run in opened.runs()] == ["other"]
        assert not (opened.artifacts.root / RUN).exists()
        with opened.database.reading() as connection:
            for table in (schema.jobs, schema.repetitions, schema.details, schema.operators, schema.job_metrics):
                assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == 0
    with pytest.raises(InputError, match="no run of a host"):
        devbench("prune", "--host", host, "--store", store)
