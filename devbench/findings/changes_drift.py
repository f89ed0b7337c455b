"""The drift that the models of a device share, taken off their series; knows no form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from devbench.analysis.drift import common_drift
from devbench.findings.changes import DeviceDrift, MeasuredSeries

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Fewer models may have changed together for reasons of their own.
_LEAST_MODELS = 5


def without_drift(series: Sequence[MeasuredSeries]) -> tuple[list[Floats], tuple[DeviceDrift, ...]]:
    """The values of each series without the drift of its device, and that drift, where there is any.

    Times alone are looked at: memory and sizes do not drift.
    """
    import numpy as np

    values = [np.asarray(one.values, dtype=np.float64) for one in series]
    by_device: dict[tuple[str, str], list[int]] = {}
    for number, one in enumerate(series):
        if one.unit == "ms" and len(one.values) and values[number].min() > 0:
            by_device.setdefault((one.device_key, one.metric), []).append(number)
    drifts = []
    for numbers in by_device.values():
        if len({series[number].model for number in numbers}) < _LEAST_MODELS:
            continue
        nights = sorted({time for number in numbers for time in series[number].times_utc})
        place = {time: k for k, time in enumerate(nights)}
        places = [[place[time] for time in series[number].times_utc] for number in numbers]
        table = np.full((len(numbers), len(nights)), np.nan)
        for row, at, number in zip(table, places, numbers, strict=True):
            row[at] = values[number]
        curve = common_drift(table)
        if curve is None:
            continue
        for at, number in zip(places, numbers, strict=True):
            values[number] = values[number] * np.exp(-curve[at])
        ends = sorted((int(np.argmin(curve)), int(np.argmax(curve))))
        one, size = series[numbers[0]], math.expm1(float(curve[ends[1]] - curve[ends[0]]))
        drifts.append(
            DeviceDrift(one.device_key, one.device, one.virtual, one.metric, size, nights[ends[0]], nights[ends[1]])
        )
    return values, tuple(sorted(drifts, key=lambda drift: (drift.device, drift.metric)))
