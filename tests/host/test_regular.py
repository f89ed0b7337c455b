"""Pipes, devices and folders in place of files: one line and exit code 2, at once, wherever a file is expected."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devbench.cli.app import application
from devbench.errors import DevbenchError
from devbench.host.whole_files import other_than_file
from tests.conftest import DATA

MODEL = DATA / "tiny_groupnorm.tflite"


def devbench(*words: object) -> DevbenchError:
    with pytest.raises(DevbenchError) as refused:
        application(str(words[0]))(list(map(str, words)), standalone_mode=False)
    return refused.value


@pytest.fixture(params=["a pipe", "a folder", "a device"])
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    path = tmp_path / "odd.tflite"
    if request.param == "a pipe":
        os.mkfifo(path)
    elif request.param == "a folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    return path, request.param


@pytest.mark.timeout(60)
def test_what_is_no_file_is_refused_everywhere(odd: tuple[Path, str], tmp_path: Path) -> None:
    path, what = odd
    suite = tmp_path / "suite.toml"
    suite.write_text(f'models = ["{path}"]\n')
    for words in (
        ("run", path, "-d", "virtual"),
        ("run", "--suite", path),
        ("run", "--pipeline", path),
        ("suite", "check", path),
        ("suite", "check", suite),
        ("run", MODEL, "-d", "virtual", "--delegates-file", path),
        ("parse", path),
        ("detect", "--csv", path),
        ("models", "inspect", path),
        ("models", "gpu-check", path),
        ("accuracy", path),
    ):
        error = devbench(*words)
        assert error.exit_code == 2, (words, error)
        assert what in error.what, (words, error)


def test_files_and_nothing_are_nothing_else(tmp_path: Path) -> None:
    assert other_than_file(MODEL) == ""
    assert other_than_file(tmp_path / "absent") == ""
    assert other_than_file(MODEL / "below a file") == ""
    assert other_than_file(tmp_path) == "a folder"
