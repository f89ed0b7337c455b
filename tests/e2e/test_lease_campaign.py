"""A short form of `benchmarks/lease_campaign.py`: each kind of trouble once, two hosts, one device, no overlap."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).parents[2] / "benchmarks" / "lease_campaign.py"


@pytest.mark.campaign
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="freezes and restarts processes as Linux has them")
def test_one_phone_has_one_tool_whatever_happens_to_its_hosts() -> None:
    command = [sys.executable, str(CAMPAIGN), "--tries", "13", "--lanes", "4"]
    env = {**os.environ, "PYTHONPATH": str(CAMPAIGN.parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 overlaps, 0 held past the expiry, 0 other problems" in done.stdout
