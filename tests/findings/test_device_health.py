"""The health of devices, by stored repetitions: what counts against a device, what does not, and since when."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from devbench.findings.device_health import DeviceHealth, device_health
from devbench.results.store import Store
from tests.made.samples import NOW, job_record, repetition, run_record


@pytest.mark.parametrize(
    ("health", "score"),
    [
        (DeviceHealth(), 100),
        (DeviceHealth(100), 100),
        (DeviceHealth(100, unreliable=5, failed=5), 90),
        (DeviceHealth(100, lost=1), 91),
        (DeviceHealth(10, lost=10), 0),
        (DeviceHealth(10, unreliable=10), 0),
    ],
)
def test_the_score(health: DeviceHealth, score: int) -> None:
    assert health.score == score


def test_what_is_stored_becomes_health(tmp_path: Path) -> None:
    rows = [
        *({"verdict": "valid"} for _ in range(4)),
        {"verdict": "unreliable"},
        {"status": "failed", "failure_kind": "timeout", "verdict": "unreliable"},
        {"status": "failed", "failure_kind": "device_lost"},
        # The model's or the delegate's fault.
        {"status": "failed", "failure_kind": "delegate_not_applied"},
        {"status": "failed", "failure_kind": "no_model"},
    ]
    with Store(str(tmp_path / "results.db")) as store:
        store.create_run(run_record())
        store.add_job(job_record())
        for index, changes in enumerate(rows):
            store.add_repetition(repetition(index=index, **changes))
        found = device_health(store, NOW + timedelta(days=29))
        assert found == {"KEY": DeviceHealth(9, unreliable=1, failed=1, lost=1)}
        assert found["KEY"].score == 33
        assert device_health(store, NOW + timedelta(days=31)) == {}
