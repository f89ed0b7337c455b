"""The plan of a run: jobs (models × delegates × threads) on each device, and the repetitions that are still to run.

A run can be resumed only with the same plan; its jobs keep their numbers. Stored repetitions are not measured again. A
repetition that has raw output but is not stored is measured again, under the same name. Does no input or output.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from devbench.analysis.accuracy import Thresholds
from devbench.analysis.stats import estimate
from devbench.bench.stabilise import Stabilising
from devbench.errors import EnvironmentProblem, InputError
from devbench.models.case_inputs import CaseInputs
from devbench.models.files import ModelFile
from devbench.results.cases import case_text, subject_text
from devbench.tool.binaries import Via
from devbench.tool.case import Delegate, Require, ToolOptions
from devbench.tool.measurement import FailureKind

if TYPE_CHECKING:
    from devbench.results.counting import JobView, RunView
    from devbench.results.records import JobRecord, RepetitionRecord

T = TypeVar("T")
Called: TypeAlias = tuple[str, tuple[tuple[str, tuple[int, ...]], ...], int]


@dataclass(frozen=True, slots=True)
class Case:
    """A model under a delegate with options, independent of any device."""

    model: ModelFile
    delegate: Delegate
    options: ToolOptions
    require: Require

    @property
    def subject(self) -> str:
        """The model with its input shapes and signature: delegates are compared on the same subject."""
        return subject_text(self.model.name, asdict(self.options))

    @property
    def called(self) -> Called:
        """Identifies a computation: the model's bytes, the shapes of its inputs, the subgraph."""
        return self.model.sha256, self.options.input_shapes, self.options.signature_graph

    @property
    def title(self) -> str:
        return self.text("shell")

    def text(self, via: Via) -> str:
        """Return the case as text, as in the store; cases of different runs are matched by this text."""
        options = {**asdict(self.options), "via": via}
        return case_text(self.model.name, self.delegate.name, self.options.num_threads, options)


@dataclass(frozen=True, slots=True)
class OutputCheck:
    """The requested check of outputs. `inputs` are .npy files by the name of the input."""

    inputs: Mapping[str, Path]
    thresholds: Thresholds = field(default_factory=Thresholds)


@dataclass(frozen=True, slots=True)
class Limits:
    """How often and how long.

    Attributes:
        repetitions: processes per job that measure latency.
        profile_repetitions: processes per job that measure operators and memory; their latency is not used.
        repetition_timeout_s: deadline of one process; `None` to derive it from the tool's own limits.
        precision_pct: add latency processes until half the confidence interval is at most this percentage of the value.
        max_repetitions: latency processes per job at most, if a precision is requested.
        unreliable_retries: extra latency processes per job, to replace unreliable ones.
        cool_down_s: how long to wait for a device that throttles, before each process; 0: do not wait.
        output_repetitions: processes per job, before all others, whose outputs are compared with this machine's.
        max_output_bytes: a process of the tool, or a session of a pipeline, that prints more is ended.
        cold_starts: processes per job, after all others, that start with empty caches, if a cache can be emptied.
    """

    repetitions: int = 5
    profile_repetitions: int = 1
    repetition_timeout_s: float | None = None
    output_repetitions: int = 0
    cold_starts: int = 1
    precision_pct: float | None = None
    max_repetitions: int = 30
    unreliable_retries: int = 3
    cool_down_s: float = 120.0
    max_output_bytes: int = 64 << 20

    @property
    def steps(self) -> int:
        """Processes of a job, without cold starts."""
        return self.output_repetitions + self.repetitions + self.profile_repetitions


@dataclass(frozen=True, slots=True)
class Care:
    """The care for each device, see `bench/care.py`.

    Attributes:
        reboot_s: restart the device before the run; it must boot within this time; 0: no restart.
        charge_to: charge its battery to this level before the run, in percent; `None`: no charging.
        battery_stop: stop measuring on it if its battery falls to this level, in percent; `None`: do not stop.
    """

    reboot_s: float = 0.0
    charge_to: int | None = None
    battery_stop: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """All cases of a run and how to run them; each device runs every case.

    `via`: the tool runs in the device's shell, or is an app (`bench/apk.py`). `signatures_chosen`: the signatures to
    measure were requested explicitly.
    """

    cases: tuple[Case, ...]
    limits: Limits = field(default_factory=Limits)
    binary_name: str | None = None
    output_check: OutputCheck | None = None
    stabilising: Stabilising = field(default_factory=Stabilising)
    care: Care = field(default_factory=Care)
    via: Via = "shell"
    signatures_chosen: bool = False


def make_cases(
    models: Sequence[ModelFile],
    delegates: Sequence[Delegate],
    threads: Sequence[int | None],
    options: ToolOptions,
    require: Require | None = None,
    inputs: Mapping[str, Sequence[CaseInputs]] | None = None,
) -> tuple[Case, ...]:
    """Return every combination as a case, each once, in the order given.

    `require` overrides the delegate's own setting; `inputs` has the shapes and signatures to call each model with, by
    the model's key.
    """
    cases = [
        Case(model, delegate, called(replace(options, num_threads=count), call), require or delegate.require)
        for model in models
        for call, delegate, count in itertools.product(
            (inputs or {}).get(model.name, (CaseInputs(),)), delegates, threads
        )
    ]
    return tuple(dict.fromkeys(cases))


def called(options: ToolOptions, call: CaseInputs) -> ToolOptions:
    """Return the options with the flags for these shapes and this signature; the tool assigns inputs by their order."""
    if call.all_shapes:
        layers = ",".join(f"i{number}" for number in range(len(call.all_shapes)))
        shapes = ":".join(",".join(map(str, shape)) for shape in call.all_shapes)
        options = replace(options, input_shapes=call.shapes, input_layer=layers, input_layer_shape=shapes)
    return replace(options, signature=call.signature, signature_graph=call.graph)


# Loading a model, building GPU kernels or compiling for an NPU can take this long before the first inference.
_START_BUDGET_S = 120.0


def repetition_deadline_s(options: ToolOptions, limits: Limits) -> float:
    """Deadline of one process in seconds.

    `max_secs` limits warm-up and main phase separately, and the tool finishes an inference that has begun. So a process
    may take the time to start, twice `max_secs`, and one inference per phase more, which `_START_BUDGET_S` includes.
    """
    if limits.repetition_timeout_s is not None:
        return limits.repetition_timeout_s
    return _START_BUDGET_S + 2 * options.max_secs


# The run's option with the plan's fingerprint.
PLAN = "plan"


def fingerprint(plan: Plan) -> str:
    """Return the fingerprint of the plan. It does not depend on the folders of the models."""
    values = asdict(plan)
    for case in values["cases"]:
        del case["model"]["path"]
    text = json.dumps(values, sort_keys=True, default=str)
    return sha256(text.encode()).hexdigest()[:16]


def check_same_plan(view: RunView, plan: Plan) -> None:
    """Refuse to resume a run with another plan.

    Raises:
        InputError: the plan is another one, the run measured pipelines, or an old devbench stored it without a plan.
    """
    if "pipeline" in view.run.options:
        raise InputError(f"run {view.run.run_id} is of pipelines, which cannot be resumed", hint="measure it again")
    if view.run.options.get(PLAN) != fingerprint(plan):
        raise InputError(
            f"run {view.run.run_id} had another plan: models, delegates or options are not the same",
            hint="give it the same options and files, or start a new run",
        )


class Earlier:
    """What a run had stored when it was resumed, by device; empty for a new run. Thread-safe.

    Args:
        cases: the number of cases in the plan; each device has that many jobs, with consecutive numbers.
        view: the run as stored; `None` for a new one.
    """

    def __init__(self, cases: int, view: RunView | None = None) -> None:
        self._cases = max(1, cases)
        self._jobs: dict[str, dict[int, JobView]] = {}
        for item in view.jobs if view is not None else ():
            self._jobs.setdefault(item.job.device.key, {})[item.job.number] = item
        self._firsts = {key: 1 + (min(jobs) - 1) // self._cases * self._cases for key, jobs in self._jobs.items()}
        self._claimed: set[str] = set()
        self._lock = threading.Lock()

    def claim(self, key: str, serial: str, position: int) -> tuple[int, Mapping[int, JobView]]:
        """Return the number of a device's first job, and the device's stored jobs by number.

        Args:
            key: the device's hardware key.
            serial: its address, for the error.
            position: its place among the run's devices, from 0; it determines the job numbers of a new device unless
                they are taken.

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


# Failures that chance, load or memory pressure can cause; a repetition that failed otherwise would fail again.
_MAY_PASS_NEXT_TIME = frozenset({FailureKind.CRASH, FailureKind.KILLED, FailureKind.OUTPUT_INCOMPLETE})
_MAX_FAILURES_IN_A_JOB = 2
_CONFIDENCE = 0.95


@dataclass(slots=True)
class JobProgress:
    """A job on its device.

    Attributes:
        record: the job as the store keeps it.
        asked: the requested number of latency repetitions; more run only to replace others or for the precision.
        graph: the model's path on the device.
        stopped: the job gets no more repetitions.
        retried: the number of latency repetitions beyond the requested number.
        valid_us: the latencies of repetitions that are not unreliable.
        done: the number of stored repetitions by purpose; their indices count from 0 without a gap.
        lost: how many of `done`, by purpose, failed because the device was lost before the run was resumed; each is
            replaced.
    """

    record: JobRecord
    case: Case
    asked: int
    graph: str = ""
    failures: int = 0
    stopped: bool = False
    retried: int = 0
    valid_us: list[float] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)

    def wants(self, purpose: str, index: int, asked: int) -> bool:
        """Whether the repetition with this index, of `asked` in all, still has to run."""
        return self.done.get(purpose, 0) <= index < asked + self.lost.get(purpose, 0)

    def needs_more(self, limits: Limits) -> bool:
        """Whether another latency repetition is needed: for an unreliable one, or for the requested precision."""
        if self.stopped or not limits.repetitions:
            return False
        if len(self.valid_us) < limits.repetitions and self.retried < limits.unreliable_retries:
            return True
        if limits.precision_pct is None or self.done.get("latency", 0) >= limits.max_repetitions:
            return False
        found = estimate(self.valid_us)
        if found is None or found.half_width_pct is None or (found.coverage or 0.0) < _CONFIDENCE:
            return True
        return found.half_width_pct > limits.precision_pct

    def left(self, planned: int) -> int:
        """Return how many planned repetitions have not run; a stopped job will not run them."""
        return max(0, planned + sum(self.lost.values()) - sum(self.done.values()))

    def count(self, record: RepetitionRecord, *, earlier: bool = False) -> None:
        """Take a stored repetition into account, and decide whether the job continues.

        `earlier`: it was stored before the run was resumed. If it failed because the device was lost, that does not
        stop the job.
        """
        self.done[record.purpose] = self.done.get(record.purpose, 0) + 1
        if record.latency_avg_us is not None:
            if record.verdict != "unreliable":
                self.valid_us.append(record.latency_avg_us)
            # A repetition beyond the requested number counts as a retry, whether it is reliable or not.
            self.retried += record.index >= self.asked + self.lost.get("latency", 0)
        if record.failure_kind is None:
            return
        kind = FailureKind(record.failure_kind)
        if earlier and kind is FailureKind.DEVICE_LOST:
            self.lost[record.purpose] = self.lost.get(record.purpose, 0) + 1
            return
        self.failures += 1
        self.stopped |= kind not in _MAY_PASS_NEXT_TIME or self.failures >= _MAX_FAILURES_IN_A_JOB


def in_turn(items: Sequence[T], number: int) -> list[T]:
    """Return the items in the order of a round.

    Each round starts with another item, since the first item of a round runs under different conditions.
    """
    start = number % max(1, len(items))
    return [*items[start:], *items[:start]]
