"""A measurement as the JSON object of `devbench parse --json`: without values that the text does not contain."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from devbench.tool.measurement import Measurement


def to_json(measurement: Measurement) -> dict[str, Any]:
    """The object's keys are those of `Measurement`, except `profile`, which is `{init, runs}`. No value is `None`."""
    values = asdict(measurement)
    del values["recognised"]
    if measurement.failure is not None:
        values["failure"]["kind"] = measurement.failure.kind.value
    profile = {"init": values.pop("profile_init"), "runs": values.pop("profile_runs")}
    warnings = values.pop("warnings")
    return dict(_without_empty({**values, "profile": profile, "warnings": warnings}))


def _without_empty(value: Any) -> Any:
    """`value` without `None`, empty texts, lists and objects."""
    if isinstance(value, dict):
        pairs = ((key, _without_empty(item)) for key, item in value.items())
        return {key: item for key, item in pairs if item is not None and item != [] and item != {} and item != ""}
    if isinstance(value, (list, tuple)):
        return [_without_empty(item) for item in value]
    return value
