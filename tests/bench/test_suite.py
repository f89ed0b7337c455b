"""Suites: what a file asks for, and one clear line with file, line and key for each thing wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from devbench.bench.suite import RemoteModel, json_schema, read_suite
from devbench.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.tflite", "a.tflite", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def suite(folder: Path, text: str) -> Path:
    path = folder / "nightly.toml"
    path.write_text(text)
    return path


def test_a_suite_becomes_the_run_s_options(folder: Path) -> None:
    found = read_suite(
        suite(
            folder,
            'models = ["*.tflite", {url = "https://x.org/c.tflite", sha256 = "' + "AB" * 32 + '"}, "demo"]\n'
            'devices = ["all"]\ndelegates = ["cpu", "gpu"]\nthreads = [1, 4]\nprecision = "2%"\nmin_secs = 0\n'
            'check_outputs = true\ntimeout = 30.5\ndelegates_file = "mine.toml"\n[labels]\nteam = "camera"\n',
        )
    )
    assert found.models == (
        str(folder / "a.tflite"),
        str(folder / "b.tflite"),
        RemoteModel("https://x.org/c.tflite", "ab" * 32),
        "demo",
    )
    assert found.name == "nightly"
    assert found.devices == ("all",)
    assert found.labels == {"suite": "nightly", "team": "camera"}
    assert found.options == {
        "delegates": ("cpu", "gpu"),
        "threads": "1,4",
        "precision": "2%",
        "min_secs": 0,
        "check_outputs": True,
        "timeout_s": 30.5,
        "delegates_file": (folder / "mine.toml").resolve(),
    }


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("models = ['a.tflite']\nrepititions = 3\n", ":2:", "did you mean repetitions?"),
        ("models = ['a.tflite']\n\nthreads = 4\n", ":3:", "threads is not a list of numbers"),
        ("models = ['a.tflite']\nthreads = [0]\n", ":2:", "threads is not a list of numbers"),
        ("models = ['a.tflite']\nprofile = 'yes'\n", ":2:", "profile is not true or false"),
        ("models = ['a.tflite']\nrepetitions = -1\n", ":2:", "repetitions is not a whole number"),
        ("models = ['a.tflite']\nrepetitions = true\n", ":2:", "repetitions is not a whole number"),
        ("models = ['a.tflite']\n[labels]\nx = 1\n", ":2:", "labels is not a table of texts"),
        ("models = ['*.onnx']\n", ":1:", "'*.onnx' matches no file"),
        ("models = [3]\n", ":1:", "something else than paths"),
        ("models = [{url = 'ftp://x', sha256 = 'a'}]\n", ":1:", "not an address"),
        ("models = [{url = 'https://x/y', sha256 = 'a'}]\n", ":1:", "not 64 hex digits"),
        ("models = []\n", ":1:", "models is not a list of models"),
        ("name = 'x'\n", "", "has no models"),
        ("models = [", "", "not TOML"),
    ],
)
def test_what_is_wrong_is_said_with_file_line_and_key(folder: Path, text: str, where: str, said: str) -> None:
    path = suite(folder, text)
    with pytest.raises(InputError) as caught:
        read_suite(path)
    assert said in str(caught.value)
    assert f"{path}{where}" in caught.value.what


def test_the_schema_for_editors_has_every_key() -> None:
    schema = json_schema()
    assert schema["additionalProperties"] is False
    assert {"models", "devices", "delegates", "precision", "labels"} <= set(schema["properties"])
    assert all("description" in value for value in schema["properties"].values())
