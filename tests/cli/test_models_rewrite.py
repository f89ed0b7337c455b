"""`devbench models rewrite` as a person types it, without a converter: what it prints, refuses, and leaves behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from typer.testing import CliRunner, Result

from devbench.cli.app import application
from devbench.errors import DevbenchError, InputError
from devbench.models.equality import OutputsDiffer, output_error
from devbench.models.graph import file as graph_file
from devbench.models.graph.emit import Emitter
from devbench.models.graph.file import load_model, save_model
from tests.conftest import DATA
from tests.models.rewrites.graphs import make, operators, relative_error, run

CNN = DATA / "small_cnn.tflite"


def rewrite(*words: object) -> Result:
    return CliRunner().invoke(application(), ["models", "rewrite", *map(str, words)], catch_exceptions=True)


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    """Three rows through a dense layer and a GELU."""
    words = np.random.default_rng(1)
    weights = words.standard_normal((8, 6)).astype(np.float32)

    def body(emit: Emitter, x: int) -> int:
        options = schema.FullyConnectedOptionsT(keepNumDims=True)
        y = emit.make("FULLY_CONNECTED", [x, emit.constant(weights), -1], (1, 3, 8), options=options, version=5)
        return emit.make("GELU", [y], (1, 3, 8), options=schema.GeluOptionsT())

    path = tmp_path / "dense.tflite"
    save_model(make({"x": (1, 3, 6)}, body), path)
    return path


def test_it_says_what_it_changed_and_how_exact_that_is(dense: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.tflite"
    done = rewrite(dense, out, "--json", "--inputs", 5)
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["format"] == 1 and [change["rewrite"] for change in said["changes"]] == ["stable-gelu", "fc-to-conv"]
    assert said["exact"]["inputs"] == 5 and 0 < said["exact"]["outputs"][0]["relative"] < 1e-3 and said["lossy"] is None
    assert said["size_bytes"] == out.stat().st_size
    assert "CONV_2D" in operators(out) and relative_error(dense, out) < 1e-3
    table = rewrite(dense, out, "--only", "fc-to-conv", "-v").stdout
    assert "3×6 → 8" in table and "SNR" in table and "stable-gelu" not in table


def test_a_model_that_nothing_concerns_is_copied(dense: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.tflite"
    done = rewrite(dense, out, "--only", "groupnorm-4d")
    assert done.exit_code == 0 and "copied unchanged" in done.stdout
    assert out.read_bytes() == dense.read_bytes()


def test_what_does_not_compute_the_same_is_not_written(dense: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.tflite"
    done = rewrite(dense, out, "--tolerance", "1e-9")
    assert isinstance(done.exception, OutputsDiffer) and done.exception.exit_code == 1
    assert not out.exists() and not [path for path in tmp_path.iterdir() if path != dense]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--only", "groupnorm"], "no rewrite 'groupnorm'"),
        (["--along", "sideways"], "--along 'sideways'"),
        (["--device-profile", "galaxy-s32"], "no device profile 'galaxy-s32'"),
        (["--device-profile", "pixel-6"], "has no [gpu_limits]"),
        (["--device-profile", "galaxy-s23", "--texture-side", "8192"], "limits come from one place"),
    ],
)
def test_bad_options_are_one_clear_line(dense: Path, tmp_path: Path, words: list[str], says: str) -> None:
    done = rewrite(dense, tmp_path / "out.tflite", *words)
    assert isinstance(done.exception, InputError) and says in done.exception.what and done.exception.hint


def test_one_file_is_too_few(dense: Path) -> None:
    done = rewrite(dense)
    assert isinstance(done.exception, InputError) and "IN and OUT" in done.exception.what


def test_a_model_is_not_overwritten(dense: Path) -> None:
    before = dense.read_bytes()
    done = rewrite(dense, dense)
    assert isinstance(done.exception, InputError) and "both IN and OUT" in done.exception.what
    assert dense.read_bytes() == before


@pytest.mark.campaign
def test_damaged_files_end_in_one_line(tmp_path: Path) -> None:
    whole = CNN.read_bytes()
    words = np.random.default_rng(5)
    out = tmp_path / "out.tflite"
    for number in range(60):
        damaged = bytearray(whole)
        if number % 3 == 0:
            damaged = damaged[: int(words.integers(0, len(whole)))]
        else:
            # The tables at the end of the file, where the damage is felt.
            for place in words.integers(len(whole) - 6000, len(whole), 4):
                damaged[place] = int(words.integers(0, 256))
        path = tmp_path / "damaged.tflite"
        path.write_bytes(bytes(damaged))
        done = rewrite(path, out, "--inputs", 1)
        assert done.exit_code == 0 or isinstance(done.exception, DevbenchError), repr(done.exception)
        assert done.exit_code == 0 or not out.exists()
        out.unlink(missing_ok=True)


def test_limits_of_a_device_profile_are_taken(tmp_path: Path) -> None:
    wide = tmp_path / "wide.tflite"
    weights = np.zeros((4, 3, 3, 1920), np.float32)
    bias = np.zeros(4, np.float32)
    model = make({"x": (1, 4, 4, 1920)}, lambda e, x: e.conv(x, e.constant(weights), e.constant(bias), (1, 4, 4, 4)))
    save_model(model, wide)
    out = tmp_path / "out.tflite"
    done = rewrite(wide, out, "--device-profile", "galaxy-s23", "--only", "serialize-conv")
    assert "input split in 2" in done.stdout and operators(out).count("CONV_2D") == 2


def test_buffers_behind_the_flatbuffer_come_through(
    dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in files beyond 2 GB: written there, read from there, and rewritten again."""
    monkeypatch.setattr(graph_file, "MAX_INLINE_BYTES", 16)
    out, again = tmp_path / "out.tflite", tmp_path / "again.tflite"
    assert rewrite(dense, out).exit_code == 0
    model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAs(out.read_bytes()))
    assert all(buffer.data is None for buffer in model.buffers) and max(buffer.offset for buffer in model.buffers) > 100
    assert relative_error(dense, out) < 1e-3
    save_model(load_model(out), again)
    x = np.ones((1, 3, 6), np.float32)
    assert np.array_equal(run(out, [[x]])[0][0], run(again, [[x]])[0][0])


def test_the_list_has_every_rewrite() -> None:
    rows = json.loads(rewrite("--list", "--json").stdout)
    assert {"groupnorm-4d", "serialize-conv", "w8", "prune"} <= {row["name"] for row in rows}
    assert "layernorm-4d" in rewrite("--list").stdout


def test_not_finite_where_the_other_is_counts_as_infinitely_far() -> None:
    a = np.array([1.0, np.nan, np.inf])
    assert output_error("y", a, a.copy()).relative == 0
    assert output_error("y", a, np.array([1.0, 2.0, np.inf])).relative == np.inf
    assert output_error("y", np.array([2.0, 4.0]), np.array([2.0, 3.0])).relative == 0.25
