"""A hostile device next to a healthy one: `benchmarks/hostile_devices.py` with some of its modes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.hostile_adbd import MODES
from benchmarks.hostile_devices import trial

# One of each kind of trouble that does not wait for a deadline.
FEW = (
    "facts: lines without end",
    "lease: a lying exit code",
    "tool: lines without end",
    "tool: 200,000 forged markers",
    "push: a refusal of 4 GB",
)


def test_there_are_a_hundred_ways_to_misbehave() -> None:
    names = [mode.name for mode in MODES]
    assert len(names) >= 100
    assert len(set(names)) == len(names)
    assert set(FEW) <= set(names)


@pytest.mark.campaign
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", FEW)
def test_the_healthy_device_is_measured_in_full(name: str, tmp_path: Path, empty_adb_server: int) -> None:
    mode = next(mode for mode in MODES if mode.name == name)
    assert trial(mode, tmp_path, empty_adb_server, together=True).wrong == []
