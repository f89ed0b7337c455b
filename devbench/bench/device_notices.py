"""Notices about a device: requested steps that it did not take, values that are not readings; knows no connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from devbench.analysis.reliability import STATUS_PROBLEMS, Around
from devbench.notices import Effect, Notice, NoticeKind

if TYPE_CHECKING:
    from devbench.bench.stabilise import Stabilising
    from devbench.device.lease import LeaseLost
    from devbench.results.records import DeviceRecord

_MAX_LISTED = 4
_NEXT_STEPS = {
    "not_ready": "restart the device if its thermal service should work; until then, clocks and temperatures are used",
    "overridden": "`adb shell cmd thermalservice reset`",
}


def steps_not_applied(
    done: Mapping[str, bool], wanted: Stabilising, device: DeviceRecord, *, via: str
) -> Sequence[Notice]:
    """One notice for each requested step that the device did not take."""
    values = {"governor": wanted.governor, "clock": wanted.clock_pct}
    left = {name: _why(name, device.facts.get("root")) for name, taken in done.items() if not taken}
    if wanted.affinity and via == "apk":
        left["affinity"] = "an app chooses its CPUs itself; use --via shell"
        values["affinity"] = wanted.affinity
    return [
        Notice(
            NoticeKind.STEP_NOT_APPLIED,
            device.title,
            f"--stabilise {name}{f'={values[name]}' if name in values else ''} was requested and not applied",
            next_step,
            Effect.INFORMATION,
            device.key,
        )
        for name, next_step in left.items()
    ]


def _why(name: str, root: object) -> str:
    if name in ("governor", "clock"):
        if root is not True:
            return "it needs root: run `adb root` on a userdebug build, or leave the step out"
        return (
            "the kernel refused it: `devbench devices --json` lists the supported values; "
            "leave the step out if there are none"
        )
    if name == "performance":
        return "the device has no fixed performance mode: leave the step out"
    return "the device refused the command: leave the step out, or set it by hand"


def shared_serial(device: DeviceRecord, others: Sequence[str]) -> Sequence[Notice]:
    """A notice if the store has other devices with the factory serial number of this one."""
    if not others:
        return []
    listed = ", ".join(others[:_MAX_LISTED])
    text = f"its factory serial number is also that of {listed}, which is stored as another device"
    next_step = f"if it is the same board, `devbench devices merge {others[0]} {device.key}`"
    return [Notice(NoticeKind.DEVICE_IDENTITY, device.title, text, next_step, Effect.INFORMATION, device.key)]


def invalid_readings(around: Around, device: DeviceRecord) -> Sequence[Notice]:
    """One notice for each kind of value that the device reported and that is not a reading."""
    problems = {str(sample.get("thermal_status_problem") or "") for sample in around.known}
    found = [
        (NoticeKind.THERMAL_STATUS, STATUS_PROBLEMS[problem], _NEXT_STEPS[problem])
        for problem in sorted(problems & STATUS_PROBLEMS.keys())
    ]
    if any(sample.get("battery_overridden") for sample in around.known):
        found.append(
            (
                NoticeKind.BATTERY_OVERRIDDEN,
                "battery unknown: its values were set by a command",
                "`adb shell dumpsys battery reset`",
            )
        )
    return [Notice(kind, device.title, text, step, device_key=device.key) for kind, text, step in found]


def lease_lost(error: LeaseLost, device: DeviceRecord) -> Notice:
    """The notice of a run that lost its device before it had measured everything there."""
    text = "the lease on the device was lost to another run or revoked: only earlier results are stored"
    next_step = (
        "`devbench devices` shows who uses the device; `devbench run --resume` measures the rest, except of pipelines"
    )
    return Notice(NoticeKind.LEASE_LOST, device.title or error.serial, text, next_step, device_key=device.key)
