"""A short form of `benchmarks/farm_campaign.py`: hosts, database and networks fail, each repetition counts once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).parents[2] / "benchmarks" / "farm_campaign.py"


@pytest.mark.campaign
@pytest.mark.postgres
@pytest.mark.timeout(420)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="freezes hosts as Linux does")
def test_each_repetition_counts_once_whatever_happens_to_a_farm() -> None:
    words = ["--jobs", "100", "--kills", "10", "--databases", "2", "--freezes", "5", "--limit-s", "330"]
    env = {**os.environ, "PYTHONPATH": str(CAMPAIGN.parents[1])}
    command = [sys.executable, str(CAMPAIGN), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 kills, 2 of the database, 5 freezes" in done.stdout
    assert "0 jobs with a wrong number of repetitions or another problem, 0 overlaps" in done.stdout
