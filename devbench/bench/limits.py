"""The limits of the options that are numbers: the same for the command line and for suites; knows no option's use.

Beyond them a deadline overflows the clock of the operating system, or a run takes longer than anybody waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

_DAY_S = 86_400.0


class Limits(NamedTuple):
    """The least and the most value, both included; whole numbers where the option takes whole numbers."""

    least: float
    most: float


# By the name of the option, with underscores, as suites write it.
LIMITS: Mapping[str, Limits] = {
    "repetitions": Limits(1, 1000),
    "max_repetitions": Limits(1, 1000),
    "unreliable_retries": Limits(0, 100),
    "cold_starts": Limits(0, 100),
    "num_runs": Limits(1, 1_000_000),
    "warmup_runs": Limits(0, 1_000_000),
    "min_secs": Limits(0.0, _DAY_S),
    "max_secs": Limits(0.001, _DAY_S),
    "warmup_min_secs": Limits(0.0, _DAY_S),
    "cool_down": Limits(0.0, _DAY_S),
    "timeout": Limits(1.0, 7 * _DAY_S),
    "min_snr": Limits(-1000.0, 1000.0),
    "max_steps": Limits(0, 2**32),
    # In MiB; `devbench parse` reads no more either.
    "max_output": Limits(1, 256),
    "baseline_nights": Limits(0, 1000),
    "keep_raw_days": Limits(0, 36_500),
}


def outside(name: str, value: object) -> str:
    """What is wrong with a value of that option, in words; empty where it has no limits or lies within them."""
    limits = LIMITS.get(name)
    if limits is None or not isinstance(value, (int, float)) or limits.least <= value <= limits.most:
        return ""
    return f"is not between {limits.least:.10g} and {limits.most:.10g}"
