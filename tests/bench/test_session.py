"""A device session: what it prepares, in which order, what it stores, and how it ends; the device is made up."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devbench.adb.errors import DeviceLost
from devbench.analysis.reliability import Around, Fitness
from devbench.bench import session as module
from devbench.bench.events import DeviceReady, Event, NoticeGiven, RepetitionDone
from devbench.bench.plan import Case, Earlier, Plan
from devbench.bench.process import ProcessSpec
from devbench.bench.records import ProcessResult
from devbench.bench.runner import JobProgram
from devbench.bench.session import DeviceSession
from devbench.device.conditions import ThermalLimits
from devbench.device.facts import DeviceFacts
from devbench.device.gauge import Gauge
from devbench.device.lease import LeaseLost
from devbench.device.profiles import DeviceProfile
from devbench.errors import EnvironmentProblem, InputError
from devbench.notices import NoticeKind
from devbench.results.store import Store
from devbench.tool.measurement import Failure, FailureKind
from tests.made.bench import BINARY, GPU, case, of_type, plan, ran
from tests.made.samples import RUN, run_record

OUTPUT = (
    "STARTING!\nINFO: count=50 first=900 curr=700 min=650 max=750 avg=700 std=9\n"
    "INFO: Inference timings in us: Init: 1500, First inference: 900, Warmup (avg): 800, Inference (avg): 700\n"
)
AT = "2026-11-23T12:00:00+00:00"
FACTS = DeviceFacts("KEY", "SERIAL", model="Phone", abis=("arm64-v8a",), cpu_count=8, root=True)
ONCE = {"profile_repetitions": 0, "cold_starts": 0, "unreliable_retries": 0, "cool_down_s": 0.0}


# The run is stored.
STORED: Future[bool] = Future()
STORED.set_result(True)
IMPORTED: Future[None] = Future()
IMPORTED.set_result(None)


@dataclass
class Parts:
    """What a session is made of, in place of a device: each call is a line of `log`.

    Attributes:
        results: how processes end, in turn; the last one for all further ones.
        printed: what the tool prints.
        during: is called while a process runs.
    """

    root: Path
    log: list[str] = field(default_factory=list)
    results: list[ProcessResult] = field(default_factory=lambda: [ran()])
    printed: str = OUTPUT
    conditions: list[dict[str, Any]] = field(default_factory=list)
    lease_lost: bool = False
    scripts: list[str] = field(default_factory=list)
    preludes: list[str] = field(default_factory=list)
    last_conditions: Any = None
    fitness: Fitness = field(default_factory=Fitness)
    gauge: Gauge = field(default_factory=Gauge)
    started: bool = True
    held: bool = True
    during: Callable[[], None] | None = None
    replaced: Sequence[str] = ()
    changed: Sequence[str] = ()
    serial: str = "SERIAL"
    recover: Any = None
    facts: Any = None
    lease: Any = field(default_factory=lambda: SimpleNamespace(pid_file="/d/run/1.pid"))

    # -- the device
    def shell(self, script: str, **_: Any) -> Any:
        self.scripts.append(script)
        self.log.append("folders")
        return SimpleNamespace(stdout=b"undo\n")

    # -- the lease
    def take_within(self, wait_s: float, stop: Any, tell: Any) -> None:
        self.log.append("take lease")

    def raise_if_lost(self) -> None:
        if self.lease_lost:
            raise LeaseLost(self.serial)

    def end_process(self) -> None:
        self.log.append("end process")

    def is_held(self) -> bool:
        return self.held

    def leave(self) -> None:
        self.log.append("leave lease")

    # -- the depot
    def ensure(self, path: Path, **_: Any) -> Any:
        self.log.append(f"push {path.name}")
        return SimpleNamespace(remote=f"/d/{path.name}")

    def changed_in_use(self) -> Sequence[str]:
        return self.changed

    # -- stabilising
    def recover_(self) -> None:
        self.log.append("undo of a dead run")

    def start(self, silence_s: float) -> dict[str, bool]:
        self.log.append("stabilise")
        return {"awake": True, "performance": False}

    def alive(self, silence_s: float) -> str:
        return f"alive {silence_s:g}"

    def stop(self) -> None:
        self.log.append("undo")

    # -- processes
    def run(self, command: Any, spec: ProcessSpec) -> ProcessResult:
        self.log.append(spec.name)
        self.preludes.append(command.prelude)
        if self.during is not None:
            self.during()
        found = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        raw = self.root / f"{spec.name}.txt.gz"
        raw.write_bytes(gzip.compress(self.printed.encode()))
        return replace(found, raw_file=raw, argv=command.argv)

    # -- the connection
    def give_up(self) -> None:
        self.log.append("give up")


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Parts:
    made = Parts(tmp_path)
    binary = tmp_path / "benchmark_model"
    binary.write_bytes(b"tool")
    stabiliser = SimpleNamespace(
        started=True, recover=made.recover_, start=made.start, alive=made.alive, stop=made.stop
    )  # fmt: skip
    for name in ("LeaseKeeper", "Depot", "Reconnector", "Processes"):
        monkeypatch.setattr(module, name, lambda *_, **__: made)
    monkeypatch.setattr(module, "Stabiliser", lambda *_: stabiliser)
    monkeypatch.setattr(module, "read_facts", lambda device: FACTS)
    monkeypatch.setattr(module, "match_profile", lambda facts, profiles: DeviceProfile("phone", "Phone"))
    monkeypatch.setattr(module, "choose", lambda *_, **__: replace(BINARY, path=binary))
    monkeypatch.setattr(module, "read_flags", lambda *_: frozenset())
    monkeypatch.setattr(module, "refusals", lambda *_, **__: [])
    return made


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as opened:
        opened.create_run(run_record())
        yield opened


def around(**conditions: Any) -> Around:
    return Around({"taken_utc": AT, **conditions}, {"taken_utc": AT, **conditions})


class Idle:
    """A program that runs a given function."""

    def __init__(self, do: Any = None) -> None:
        self.do = do

    def steps(self, session: DeviceSession) -> int:
        return 5

    def steps_of(self, session: DeviceSession, job: Any) -> int:
        return 3

    def run(self, session: DeviceSession) -> None:
        if self.do is not None:
            self.do(session)


def make(
    parts: Parts, store: Store, *cases: Case, program: Any = None, earlier: Earlier | None = None, **limits: Any
) -> tuple[DeviceSession, list[Event]]:
    events: list[Event] = []
    given: Plan = plan(*cases, **{**ONCE, **limits})
    device: Any = parts
    session = DeviceSession(
        device, given, store, RUN, program=program or Idle(), position=0, earlier=earlier or Earlier(len(given.cases)),
        profiles=(), expected={}, listener=events.append, imported=IMPORTED, stored=STORED, incoming=parts.root,
    )  # fmt: skip
    return session, events


def test_a_device_is_prepared_before_the_program_and_left_as_it_was(parts: Parts, store: Store) -> None:
    session, events = make(parts, store, case("a"), program=Idle(lambda session: parts.log.append("program")))
    session.run()
    assert parts.log == [
        "take lease", "folders", "undo of a dead run", "stabilise", "push benchmark_model", "push a.tflite", "program",
        "give up", "undo", "leave lease",
    ]  # fmt: skip
    (ready,) = of_type(events, DeviceReady)
    assert (ready.device.key, ready.steps) == ("KEY", 5)
    assert session.jobs[0].graph == "/d/a.tflite"


def test_a_device_of_a_run_that_could_not_be_stored_is_left_as_it_was(
    parts: Parts, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: Future[bool] = Future()
    stored.set_result(False)
    session, events = make(parts, store, case("a"), program=Idle(lambda session: parts.log.append("program")))
    monkeypatch.setattr(session, "_stored", stored)
    session.run()
    assert parts.log == ["take lease", "folders", "undo of a dead run", "give up", "undo", "leave lease"]
    assert of_type(events, DeviceReady) == []


def test_a_device_is_left_as_it_was_after_an_error_too(parts: Parts, store: Store) -> None:
    def fail(session: DeviceSession) -> None:
        raise KeyError("unexpected")

    session, _ = make(parts, store, program=Idle(fail))
    with pytest.raises(KeyError):
        session.run()
    assert parts.log[-3:] == ["give up", "undo", "leave lease"]


def test_what_another_run_may_have_changed_is_not_undone(parts: Parts, store: Store) -> None:
    parts.held = False
    session, _ = make(parts, store)
    session.run()
    assert "undo" not in parts.log and parts.log[-1] == "leave lease"


def test_a_device_that_was_not_taken_is_not_touched(
    parts: Parts, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any) -> None:
        raise EnvironmentProblem("SERIAL is busy")

    monkeypatch.setattr(Parts, "take_within", busy)
    session, _ = make(parts, store)
    with pytest.raises(EnvironmentProblem, match="busy"):
        session.run()
    assert parts.log == ["give up"]


def test_each_model_is_sent_once_and_a_refused_job_s_not_at_all(
    parts: Parts, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = Failure(FailureKind.REFUSED, "gpu: no")
    monkeypatch.setattr(module, "refusals", lambda device, commands, jobs, *_, **__: [(jobs[2], failure)])
    session, events = make(parts, store, case("a"), case("a", GPU), case("b", GPU))
    session.run()
    assert [line for line in parts.log if ".tflite" in line] == ["push a.tflite"]
    assert [job.stopped for job in session.jobs] == [False, False, True]
    (stored,) = store.run(RUN).jobs[2].repetitions
    assert (stored.status, stored.failure_kind, stored.failure_message) == ("failed", "refused", "gpu: no")
    (done,) = of_type(events, RepetitionDone)
    assert (done.repetition.job_number, done.skipped) == (3, 2), "of the program's three steps of a job"


def test_steps_that_the_device_did_not_take_are_a_notice_of_the_run(parts: Parts, store: Store) -> None:
    session, events = make(parts, store)
    session.run()
    (given,) = of_type(events, NoticeGiven)
    assert given.notice.kind is NoticeKind.STEP_NOT_APPLIED
    assert list(store.run(RUN).notices) == [given.notice]
    assert session.jobs[0].record.options["stabilised"] == {"awake": True, "performance": False}


def test_a_file_that_was_changed_while_it_was_measured_is_a_notice(parts: Parts, store: Store) -> None:
    parts.changed = [case("a").model.sha256]
    session, events = make(parts, store, case("a"))
    session.run()
    kinds = [given.notice.kind for given in of_type(events, NoticeGiven)]
    assert NoticeKind.DEPOT_FILE_CHANGED in kinds


def test_a_lost_lease_is_a_notice_of_the_run_and_ends_the_device(parts: Parts, store: Store) -> None:
    def lose(session: DeviceSession) -> None:
        parts.lease_lost = True
        session.wait_until_fit()

    session, events = make(parts, store, program=Idle(lose))
    with pytest.raises(LeaseLost):
        session.run()
    last = of_type(events, NoticeGiven)[-1].notice
    assert (last.kind, last.device_key) == (NoticeKind.LEASE_LOST, "KEY")
    assert last in store.run(RUN).notices


def test_a_lost_device_is_stored_as_a_failure_and_what_was_measured_before_stays(parts: Parts, store: Store) -> None:
    lost = DeviceLost("SERIAL", "running a")
    gone = ran(Failure(FailureKind.DEVICE_LOST, lost.what), exit_code=None, lost=lost)
    parts.results = [ran(), gone]
    session, _ = make(parts, store, case("a"), case("b"), program=JobProgram(), repetitions=3)
    with pytest.raises(DeviceLost):
        session.run()
    first, second = store.run(RUN).jobs
    assert [one.latency_avg_us for one in first.repetitions] == [700.0]
    (failed,) = second.repetitions
    assert (failed.failure_kind, failed.latency_avg_us, failed.init_us) == ("device_lost", None, None)
    assert failed.measurement["inference_avg_us"] == 700.0, "what arrived is kept, and is no result"


def test_a_delegate_that_was_not_applied_gives_no_latency(parts: Parts, store: Store) -> None:
    session, _ = make(parts, store, case("a", GPU), program=JobProgram(), repetitions=3)
    session.run()
    (failed,) = store.run(RUN).jobs[0].repetitions
    assert (failed.status, failed.failure_kind, failed.latency_avg_us) == ("failed", "delegate_not_applied", None)


class Checked:
    """A check of outputs whose answer is given."""

    def __init__(self, failure: Failure | None = None) -> None:
        self.failure = failure
        self.judged: list[str] = []

    def options(self, one: Case) -> Any:
        return one.options, "/d/out"

    def judge(self, one: Case, out: str) -> Any:
        self.judged.append(out)
        return [{"name": "y", "against": "host", "wrong": self.failure is not None}], self.failure


@pytest.mark.parametrize("failure", [None, Failure(FailureKind.OUTPUT_MISMATCH, "output y: wrong")])
def test_outputs_are_judged_once_and_a_job_with_wrong_ones_is_not_timed(
    parts: Parts, store: Store, monkeypatch: pytest.MonkeyPatch, failure: Failure | None
) -> None:
    check = Checked(failure)
    session, _ = make(parts, store, case("a"), program=JobProgram(), output_repetitions=1, repetitions=2)
    monkeypatch.setattr(session, "outputs", check)
    session.run()
    assert check.judged == ["/d/out"]
    stored = store.run(RUN).jobs[0].repetitions
    assert [one.purpose for one in stored] == (["outputs", "latency", "latency"] if failure is None else ["outputs"])
    assert (stored[0].failure_kind, stored[0].latency_avg_us) == (failure and "output_mismatch", None)
    assert stored[0].outputs[0]["against"] == "host"


def test_a_process_that_failed_has_no_outputs_to_judge(
    parts: Parts, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts.results = [ran(Failure(FailureKind.TIMEOUT, "x"))]
    check = Checked()
    session, _ = make(parts, store, case("a"), program=JobProgram(), output_repetitions=1, repetitions=1)
    monkeypatch.setattr(session, "outputs", check)
    session.run()
    assert check.judged == []


@pytest.mark.parametrize(
    ("ending", "stored"), [(ran(exit_code=130), 0), (ran(Failure(FailureKind.TIMEOUT, "x")), 0), (ran(), 1)]
)
def test_after_ctrl_c_a_broken_off_process_is_nothing_and_a_finished_one_counts(
    parts: Parts, store: Store, ending: ProcessResult, stored: int
) -> None:
    parts.results = [ending]
    session, _ = make(parts, store, case("a"), program=JobProgram(), repetitions=5)
    parts.during = session.interrupt
    session.run()
    assert len(store.run(RUN).jobs[0].repetitions) == stored
    assert parts.log[-5:] == ["job0001-latency-000", "end process", "give up", "undo", "leave lease"]


def test_the_device_hears_how_long_this_machine_may_be_silent(parts: Parts, store: Store) -> None:
    session, _ = make(parts, store, program=JobProgram(), repetitions=1, repetition_timeout_s=20.0)
    session.run()
    assert parts.preludes == ["alive 20"]


def test_what_a_device_reports_without_having_read_it_is_said_once(parts: Parts, store: Store) -> None:
    session, events = make(parts, store)
    session.run()
    overridden = around(battery_overridden=True)
    verdicts = [session.judge(overridden).word for _ in range(3)]
    found = [one.notice.kind for one in of_type(events, NoticeGiven)]
    assert found.count(NoticeKind.BATTERY_OVERRIDDEN) == 1
    assert verdicts == ["valid"] * 3


def test_limits_of_the_device_s_profile_make_a_repetition_unreliable(
    parts: Parts, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        module, "match_profile", lambda *_: DeviceProfile("hot", "Phone", limits=ThermalLimits(thermal_status=1))
    )  # fmt: skip
    session, _ = make(parts, store)
    session.run()
    assert session.judge(around(thermal_status=1)).word == "valid"
    assert session.judge(around(thermal_status=2)).word == "unreliable"
    assert session.judge(Around(None, None)).reasons == ("conditions unknown",)


@pytest.mark.parametrize(
    ("deadline_s", "known", "asked"),
    [(60.0, {"thermal_status": 0}, 0), (60.0, {"thermal_status": 3}, 1), (60.0, None, 1), (0.0, {"thermal_status": 3}, 0)],
)  # fmt: skip
def test_a_device_is_asked_again_only_if_it_was_over_its_limits_or_is_not_known(
    parts: Parts, store: Store, monkeypatch: pytest.MonkeyPatch, deadline_s: float, known: Any, asked: int
) -> None:
    calls: list[float] = []

    def wait(device: Any, limits: Any, deadline_s: float, *_: Any) -> Any:
        calls.append(deadline_s)
        return module.from_json({"taken_utc": AT, "thermal_status": 0})

    monkeypatch.setattr(module, "cool_down", wait)
    session, _ = make(parts, store, cool_down_s=deadline_s)
    session.run()
    if known is not None:
        parts.last_conditions = (0.0, {"taken_utc": AT, **known})
    session.wait_until_fit()
    assert len(calls) == asked
    if asked:
        assert parts.last_conditions[1]["thermal_status"] == 0


def test_a_resumed_run_must_have_the_same_tool(parts: Parts, store: Store, tmp_path: Path) -> None:
    first, _ = make(parts, store, case("a"), program=JobProgram(), repetitions=2)
    first.run()
    again, _ = make(parts, store, case("a"), earlier=Earlier(1, store.run(RUN)), repetitions=2)
    again.run()
    assert again.jobs[0].done == {"latency": 2}
    (tmp_path / "benchmark_model").write_bytes(b"another tool")
    other, _ = make(parts, store, case("a"), earlier=Earlier(1, store.run(RUN)), repetitions=2)
    with pytest.raises(InputError, match="began with another"):
        other.run()
