"""Observations of a comparison's series, and which of them are reliable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from devbench.metrics import METRICS

# Device and case.
Key = tuple[str, str]
# Device, case, metric, type of operator.
Series = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Values:
    """Observations of a series, each with the run that made it and whether it is unreliable."""

    values: Sequence[float]
    runs: Sequence[str]
    unreliable: Sequence[bool]


def reliable_values(
    values: Mapping[Series, Values],
) -> tuple[dict[Series, Values], frozenset[Series], dict[Key, tuple[int, int, str]]]:
    """The reliable values of each series, all of them if none is reliable; the series of which none is.

    And of each case how many values at most were left out of how many.
    """
    found = dict(values)
    unreliable = set()
    left_out: dict[Key, tuple[int, int, str]] = {}
    for series, of in values.items():
        if METRICS[series[2]].exact or not any(of.unreliable):
            continue
        if all(of.unreliable):
            unreliable.add(series)
            continue
        kept = [k for k, bad in enumerate(of.unreliable) if not bad]
        counts = (len(of.values) - len(kept), len(of.values), "")
        left_out[series[:2]] = max(left_out.get(series[:2], counts), counts)
        found[series] = replace(
            of,
            values=[of.values[k] for k in kept],
            runs=[of.runs[k] for k in kept],
            unreliable=[False] * len(kept),
        )
    return found, frozenset(unreliable), left_out
