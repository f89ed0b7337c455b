"""Comparing two models: an unchanged model is not run again on the same inputs, a changed one is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from devbench.models import equality
from devbench.models.files import model_path
from devbench.models.reference import HostRun
from devbench.models.tensors import read_tensors


def test_an_unchanged_file_runs_once_also_under_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo, ran = model_path("demo"), []
    size = sum(spec.size_bytes for spec in read_tensors(demo).outputs)

    def run(path: Path, sets: Any, **more: Any) -> HostRun:
        ran.append((path.stem, len(sets), more["kernels"]))
        return HostRun((bytes(size),) * len(sets), 0.0, 0.0, 0)

    monkeypatch.setattr(equality, "run_on_host", run)
    monkeypatch.setattr(equality, "_runs", {})
    one, two, three = (tmp_path / f"{name}.tflite" for name in ("one", "two", "three"))
    for path in (one, two):
        shutil.copyfile(demo, path)
    equality.compare_models(one, two, 1)
    two.rename(three)
    assert equality.compare_models(three, one, 1).worst.relative == 0
    assert ran == [("one", 1, "builtin"), ("two", 1, "builtin")]
    equality.compare_models(one, three, 2)
    equality.compare_models(one, one, 1, kernels="xnnpack")
    assert ran[2:] == [("one", 2, "builtin"), ("three", 2, "builtin"), ("one", 1, "xnnpack")]
    os.utime(one, ns=(0, 0))
    equality.compare_models(one, three, 1)
    assert ran[5:] == [("one", 1, "builtin")]


def test_only_the_newest_runs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo, kept = model_path("demo"), dict[Any, Any]()
    size = sum(spec.size_bytes for spec in read_tensors(demo).outputs)
    monkeypatch.setattr(equality, "_runs", kept)
    monkeypatch.setattr(equality, "run_on_host", lambda *words, **more: HostRun((bytes(size),), 0.0, 0.0, 0))
    for number in range(20):
        path = tmp_path / f"{number}.tflite"
        shutil.copyfile(demo, path)
        equality.compare_models(path, path, 1)
    assert len(kept) == 8
