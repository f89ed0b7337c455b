"""Resumes a run whose process died: its plan must be the same, its jobs keep their numbers; prints nothing.

What is stored is not made again. A repetition whose raw output was kept but which did not come into the store is made
again, under the same name.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from typing import TYPE_CHECKING

from devbench.errors import EnvironmentProblem, InputError

if TYPE_CHECKING:
    from devbench.bench.plan import Plan
    from devbench.results.store import JobView, RunView

# The run's option with the plan's fingerprint.
PLAN = "plan"


def fingerprint(plan: Plan) -> str:
    """Equal for two equal plans; the places of the models' files do not matter."""
    values = asdict(plan)
    for case in values["cases"]:
        del case["model"]["path"]
    text = json.dumps(values, sort_keys=True, default=str)
    return sha256(text.encode()).hexdigest()[:16]


def check_same_plan(view: RunView, plan: Plan) -> None:
    """Refuse to resume a run with another plan.

    Raises:
        InputError: the plan is another one, the run is of pipelines, or it is from before plans were kept.
    """
    if "pipeline" in view.run.options:
        raise InputError(f"run {view.run.run_id} is of pipelines, which cannot be resumed", hint="measure it again")
    if view.run.options.get(PLAN) != fingerprint(plan):
        raise InputError(
            f"run {view.run.run_id} had another plan: models, delegates or options are not the same",
            hint="give it the same options and files, or start a new run",
        )


class Earlier:
    """What a run had stored when it was resumed, by device; nothing for a new run. Thread-safe.

    Args:
        cases: the number of cases in the plan; each device's jobs have as many consecutive numbers.
        view: the run as stored; `None` for a new one.
    """

    def __init__(self, cases: int, view: RunView | None = None) -> None:
        self._cases = max(1, cases)
        self._jobs: dict[str, dict[int, JobView]] = {}
        for item in view.jobs if view is not None else ():
            self._jobs.setdefault(item.job.device.key, {})[item.job.number] = item
        self._firsts = {key: self._first_of(min(jobs)) for key, jobs in self._jobs.items()}
        self._claimed: set[str] = set()
        self._lock = threading.Lock()

    def claim(self, key: str, serial: str, position: int) -> tuple[int, Mapping[int, JobView]]:
        """The number of a device's first job, and its jobs that are stored, by number.

        Args:
            key: the device's hardware key.
            serial: its address, for the error.
            position: its place among the run's devices, from 0: where it is new, its place among the jobs if free.

        Raises:
            EnvironmentProblem: the device is in the run already, over another connection.
        """
        with self._lock:
            if key in self._claimed:
                raise EnvironmentProblem(
                    f"{serial} is {key}, which is in this run already", hint="it is connected twice: name it once"
                )
            self._claimed.add(key)
            if key not in self._firsts:
                taken = set(self._firsts.values())
                wanted = 1 + position * self._cases
                while wanted in taken:
                    wanted += self._cases
                self._firsts[key] = wanted
            return self._firsts[key], self._jobs.get(key, {})

    def _first_of(self, number: int) -> int:
        return number - (number - 1) % self._cases
