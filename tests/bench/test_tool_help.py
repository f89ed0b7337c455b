"""The flags of a binary are remembered for each device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devbench.adb.services import ShellResult
from devbench.bench import refusals


@dataclass
class SayingDevice:
    """Answers every command with one text."""

    serial: str
    text: str

    def shell(self, command: str, **more: Any) -> ShellResult:
        return ShellResult(self.text.encode(), b"", 0)


def test_a_device_that_lies_about_a_binary_is_not_believed_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary: Any = SimpleNamespace(
        name="tool", sha256="a" * 64, abi="arm64-v8a", is_apk=False, path=tmp_path / "tool", added_utc=""
    )
    monkeypatch.setattr(
        refusals, "Depot", lambda device: SimpleNamespace(ensure=lambda *a, **k: SimpleNamespace(remote="/tool"))
    )
    honest: Any = SayingDevice("honest", "Flags:\n\t--use_gpu=false\tbool\toptional\tuse gpu\n")
    liar: Any = SayingDevice("liar", "Flags:\n\t--nothing=false\tbool\toptional\tnothing\n")
    assert refusals.read_flags(liar, binary) == {"nothing"}
    assert refusals.read_flags(honest, binary) == {"use_gpu"}
    assert refusals.remembered_flags(binary, "honest") == {"use_gpu"}
    assert refusals.remembered_flags(binary) in ({"use_gpu"}, {"nothing"})
