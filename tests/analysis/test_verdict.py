"""The verdict on a device's state: its reasons, and what does not make a repetition suspect."""

from __future__ import annotations

from typing import Any

import pytest

from devbench.analysis.verdict import judge


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ({"thermal_status": 0}, {"thermal_status": 2}, "throttled: thermal status 0 → 2"),
        ({"thermal_status": 1}, {"thermal_status": 0}, "throttled: thermal status 1 → 0"),
        (None, {"thermal_status": 3}, "throttled: thermal status 3"),
        ({}, {"battery_level": 9, "battery_charging": False}, "battery low: 9 %"),
        ({"load_1min": 20.0}, {}, "other load: 20.0 on 8 CPUs"),
    ],
)
def test_a_device_in_no_fit_state_is_suspect_and_says_why(before: Any, after: Any, reason: str) -> None:
    verdict = judge(before, after, 8)
    assert verdict.word == "suspect"
    assert verdict.reasons == (reason,)


@pytest.mark.parametrize(
    "sample",
    [
        {},
        {"thermal_status": 0, "battery_level": 9, "battery_charging": True, "load_1min": 8.0},
        {"thermal_status": None},
    ],
)
def test_a_device_that_works_as_it_should_is_valid(sample: Any) -> None:
    assert judge(sample, sample, 8).word == "valid"


def test_nothing_known_is_said_to_be_unknown() -> None:
    assert judge(None, None, 8).word == "unknown"
    assert judge({"load_1min": 99.0}, {}, None).word == "valid"
