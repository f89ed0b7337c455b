"""A run over several devices: what one brings about stays with it, how the run ends, what is stored; no device is there."""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from devbench.bench import runner
from devbench.bench.events import DeviceFinished, Event, NoticeGiven
from devbench.bench.plan import PLAN, Plan, fingerprint
from devbench.bench.runner import JobProgram, RunOutcome
from devbench.errors import DevbenchError, EnvironmentProblem, InputError
from devbench.host.locks import Held, hold
from devbench.notices import Notice, NoticeKind
from devbench.results.ending import lock_of
from devbench.results.store import Store
from tests.made.bench import case, of_type, plan
from tests.made.samples import RUN, job_record

Does = Callable[[], None]


class FakeSession:
    """A device that does one thing; keeps how it was made."""

    does: dict[str, Does] = {}
    made: list[FakeSession] = []

    def __init__(self, device: Any, plan: Plan, store: Store, run_id: str, **options: Any) -> None:
        self.serial, self.plan, self.store, self.run_id, self.options = device.serial, plan, store, run_id, options
        self.interrupted = False
        self.made.append(self)

    def run(self) -> None:
        self.does.get(self.serial, lambda: None)()

    def interrupt(self) -> None:
        self.interrupted = True


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> type[FakeSession]:
    monkeypatch.setattr(runner, "DeviceSession", FakeSession)
    monkeypatch.setattr(runner, "plan_notices", lambda *_: [])
    FakeSession.does, FakeSession.made = {}, []
    return FakeSession


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as opened:
        yield opened


def run(store: Store, *serials: str, asked: Plan | None = None, **options: Any) -> tuple[RunOutcome, list[Event]]:
    events: list[Event] = []
    devices: Any = [SimpleNamespace(serial=serial) for serial in serials or ("A",)]
    given = asked or plan(case("a"))
    outcome = runner.run(given, devices, store, run_id=RUN, listener=events.append, **options)
    return outcome, events


def fail(error: BaseException) -> Does:
    def do() -> None:
        raise error

    return do


def test_each_device_gets_a_session_with_its_position_and_the_program(store: Store, sessions: Any) -> None:
    outcome, events = run(store, "A", "B", labels={"build": "7"}, options={"via": "shell"}, wait_s=5.0)
    assert (outcome.status, outcome.errors) == ("done", {})
    assert [(one.serial, one.options["position"], one.options["wait_s"]) for one in sessions.made] == [
        ("A", 0, 5.0), ("B", 1, 5.0),
    ]  # fmt: skip
    assert all(one.options["program"] == JobProgram() and one.run_id == RUN for one in sessions.made)
    assert sorted(one.serial for one in of_type(events, DeviceFinished)) == ["A", "B"]
    view = store.run(RUN)
    assert (view.status, view.end_reason, view.run.labels) == ("done", "", {"build": "7"})
    assert view.run.options == {"via": "shell", PLAN: fingerprint(plan(case("a")))}


def test_an_error_of_one_device_leaves_the_run_done_and_is_named(store: Store, sessions: Any) -> None:
    sessions.does = {"A": fail(EnvironmentProblem("A went away", hint="plug it in"))}
    outcome, events = run(store, "A", "B")
    assert outcome.status == "done"
    assert {serial: error.what for serial, error in outcome.errors.items()} == {"A": "A went away"}
    assert store.run(RUN).end_reason.startswith("1 of 2 devices failed; A went away")
    errors = {one.serial: one.error for one in of_type(events, DeviceFinished)}
    assert errors["B"] == "" and errors["A"].startswith("A went away")


def test_a_run_all_of_whose_devices_fail_has_failed(store: Store, sessions: Any) -> None:
    sessions.does = {name: fail(DevbenchError("no binary")) for name in "AB"}
    outcome, _ = run(store, "A", "B")
    assert outcome.status == "failed"
    assert store.run(RUN).end_reason.startswith("2 of 2 devices failed; A: no binary")


def test_an_error_that_nobody_expected_is_one_line_and_keeps_the_other_device(store: Store, sessions: Any) -> None:
    sessions.does = {"A": fail(KeyError("what no one\nexpected"))}
    outcome, _ = run(store, "A", "B")
    assert outcome.status == "done"
    error = outcome.errors["A"]
    assert "devbench failed on A: KeyError" in error.what and "\n" not in error.what
    assert "DEVBENCH_DEBUG=1" in error.hint


def test_the_traceback_is_shown_only_if_it_is_asked_for(
    store: Store, sessions: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sessions.does = {"A": fail(KeyError("x"))}
    run(store)
    assert "Traceback" not in capsys.readouterr().err
    assert store.run(RUN).end_reason.startswith("devbench failed on A: KeyError"), "it names the device itself"
    monkeypatch.setenv("DEVBENCH_DEBUG", "1")
    run(store, resume=True)
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_ends_every_device_waits_until_it_is_tidied_up_and_closes_the_run_as_interrupted(
    store: Store, sessions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    tidied: list[str] = []

    def measure() -> None:
        assert released.wait(30)
        time.sleep(0.3)
        tidied.append("a device")

    def interrupt_and_measure() -> None:
        sessions.made[0].options["stored"].result(30)
        _thread.interrupt_main()
        measure()

    sessions.does = {"A": interrupt_and_measure, "B": measure}
    monkeypatch.setattr(FakeSession, "interrupt", lambda self: (setattr(self, "interrupted", True), released.set()))
    # It may be ignored where the tests were started in the background.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        outcome, _ = run(store, "A", "B")
    finally:
        signal.signal(signal.SIGINT, before)
    assert outcome.status == "interrupted"
    assert [one.interrupted for one in sessions.made] == [True, True]
    assert tidied == ["a device"] * 2
    assert store.run(RUN).end_reason == "stopped by Ctrl-C or a signal"


def test_notices_of_the_plan_are_stored_and_told_once(
    store: Store, sessions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    notice = Notice(NoticeKind.OPEN_SHAPES, "a", "input x has an open shape")
    monkeypatch.setattr(runner, "plan_notices", lambda *_: [notice])
    _, events = run(store, "A", "B")
    assert [one.notice for one in of_type(events, NoticeGiven)] == [notice]
    assert list(store.run(RUN).notices) == [notice]


def test_a_run_is_resumed_only_with_its_own_plan(store: Store, sessions: Any) -> None:
    asked = plan(case("a"), case("b"))
    run(store, asked=asked)
    store.add_job(job_record(number=2))
    statuses: list[str] = []
    sessions.does = {"A": lambda: statuses.append(store.run(RUN).status)}
    run(store, asked=asked, resume=True)
    assert statuses == ["running"], "it has no end until it ends again"
    first, jobs = sessions.made[-1].options["earlier"].claim("KEY", "A", 0)
    assert (first, sorted(jobs)) == (1, [2]), "the stored job keeps its number"
    with pytest.raises(InputError, match="had another plan"):
        run(store, asked=plan(case("a")), resume=True)
    assert len(sessions.made) == 2


def test_a_run_of_pipelines_is_not_resumed(store: Store, sessions: Any) -> None:
    run(store, options={"pipeline": "sd"})
    with pytest.raises(InputError, match="is of pipelines, which cannot be resumed"):
        run(store, resume=True)


def test_a_run_that_another_process_measures_is_left_alone(
    store: Store, sessions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(store)
    monkeypatch.setattr(runner, "_LOCK_WAIT_S", 0.0)
    with hold(lock_of(RUN), held=""), pytest.raises(Held, match="is still being measured"):
        run(store, resume=True)
    assert len(sessions.made) == 1


def test_a_run_that_cannot_begin_is_closed_as_failed_and_its_devices_are_left(
    store: Store, sessions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    sessions.does = {"A": lambda: seen.append(sessions.made[0].options["stored"].result())}
    monkeypatch.setattr(runner, "plan_notices", lambda *_: fail(InputError("no notices"))())
    with pytest.raises(InputError):
        run(store)
    view = store.run(RUN)
    assert (view.status, view.end_reason) == ("failed", "no notices")
    assert seen == [False]
    assert sessions.made[0].interrupted


def test_with_a_wrong_profile_nothing_is_stored(store: Store, sessions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "load_profiles", fail(InputError("profiles.toml:3: no such key")))
    with pytest.raises(InputError, match="no such key"):
        run(store)
    assert store.runs(10) == []
    assert sessions.made == []


def test_a_device_is_entered_while_the_run_is_stored_and_measured_after_that(
    store: Store, sessions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, stored = threading.Event(), []

    def enter() -> None:
        entered.set()
        stored.append(sessions.made[0].options["stored"].result(timeout=10))

    create = store.create_run

    def create_run(record: Any) -> None:
        # The device is there before the run is.
        assert entered.wait(10)
        assert stored == []
        create(record)

    sessions.does = {"A": enter}
    monkeypatch.setattr(store, "create_run", create_run)
    outcome, _ = run(store)
    assert outcome.status == "done"
    assert stored == [True]


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["--webhook", "https://x/SECRET", "-q"], "devbench --webhook '***' -q"),
        (["--webhook=https://x/SECRET"], "devbench '--webhook=***'"),
        (["--webhook"], "devbench --webhook"),
        (
            ["--store", "postgresql+psycopg://me:SECRET@host/db"],
            "devbench --store 'postgresql+psycopg://me:***@host/db'",
        ),
        (["--store=postgresql://me:SECRET@host/db"], "devbench '--store=postgresql://me:***@host/db'"),
        (["run", "a b.tflite", "--label", "x=a@b"], "devbench run 'a b.tflite' --label x=a@b"),
    ],
)
def test_no_secret_is_kept_with_a_run(
    words: list[str], kept: str, store: Store, sessions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["devbench", *words])
    run(store)
    assert store.run(RUN).run.command == kept
