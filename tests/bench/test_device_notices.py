"""What a device was asked and did not do, and what it reported without having read it, become notices."""

from __future__ import annotations

from typing import Any

import pytest

from devbench.analysis.reliability import Around
from devbench.bench.notices import invalid_readings, steps_not_applied
from devbench.bench.stabilise import parse_stabilising
from devbench.notices import NoticeKind
from devbench.results.records import DeviceRecord


def device(root: bool | None = False) -> DeviceRecord:
    return DeviceRecord("key", "serial", "Pixel 8 (key)", False, "pixel-8", {"root": root})


def test_each_step_that_was_requested_and_not_applied_is_a_notice() -> None:
    wanted = parse_stabilising(["awake,performance,governor=powersave,clock=70"])
    done = {"awake": True, "performance": False, "governor": False, "clock": False}
    found = steps_not_applied(done, wanted, device(), via="shell")
    assert {notice.kind for notice in found} == {NoticeKind.STEP_NOT_APPLIED}
    assert [notice.text for notice in found] == [
        "--stabilise performance was requested and not applied",
        "--stabilise governor=powersave was requested and not applied",
        "--stabilise clock=70 was requested and not applied",
    ]
    assert "needs root" in found[1].next_step
    assert {(notice.subject, notice.device_key) for notice in found} == {("Pixel 8 (key)", "key")}


def test_with_root_a_refused_governor_has_another_reason() -> None:
    (found,) = steps_not_applied(
        {"governor": False}, parse_stabilising(["governor=fast"]), device(root=True), via="shell"
    )
    assert "root" not in found.next_step


def test_steps_that_were_applied_are_no_notices() -> None:
    wanted = parse_stabilising(["awake,affinity=f0"])
    assert not steps_not_applied({"awake": True}, wanted, device(), via="shell")
    assert [n.text for n in steps_not_applied({"awake": True}, wanted, device(), via="apk")] == [
        "--stabilise affinity=f0 was requested and not applied"
    ]


@pytest.mark.parametrize(
    ("sample", "kinds"),
    [
        ({"thermal_status": 0}, []),
        ({"thermal_status_problem": "not_ready"}, [NoticeKind.THERMAL_STATUS]),
        ({"thermal_status_problem": "overridden", "battery_overridden": True},
         [NoticeKind.THERMAL_STATUS, NoticeKind.BATTERY_OVERRIDDEN]),
        ({"thermal_status_problem": "something else"}, []),
    ],
)  # fmt: skip
def test_defaults_and_overrides_are_notices(sample: dict[str, Any], kinds: list[NoticeKind]) -> None:
    assert [notice.kind for notice in invalid_readings(Around(sample, None), device())] == kinds
