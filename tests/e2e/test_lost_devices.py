"""Lost devices and kill -9 at random moments, then `--resume`: `benchmarks/lost_devices.py` with fewer moments."""

from __future__ import annotations

import pytest

from benchmarks.lost_devices import run


@pytest.mark.campaign
@pytest.mark.timeout(400)
def test_nothing_is_lost_and_nothing_is_doubled() -> None:
    trials = run(disconnects=3, kills=2, seed=5, workers=2)
    assert [problem for trial in trials for problem in trial.wrong] == []
    assert len(trials) == 5
