"""One suite's night, from what is due to its report; prints nothing and knows no command line.

Every step can be cut off at any moment and done again: measurements are stored one by one, the state of the night is
in the store, files are written whole or not at all. After a crash a message may be sent twice, but none is lost.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from devbench.bench import runner
from devbench.bench.lease_keeper import parse_wait
from devbench.bench.plan import Plan, fingerprint
from devbench.bench.targets import find_present, open_names
from devbench.errors import EXIT_BUSY, DevbenchError, EnvironmentProblem, InputError
from devbench.findings.changes import ChangesSettings
from devbench.findings.changes_build import find_changes
from devbench.findings.comparison import ComparisonReport, ComparisonSettings
from devbench.findings.comparison_build import build_comparison
from devbench.findings.night import NightResult
from devbench.findings.run_build import build_report
from devbench.findings.subject import readable
from devbench.forms.files import write_files
from devbench.forms.junit import junit
from devbench.forms.message import message as message_text
from devbench.forms.summary import summary as summary_text
from devbench.host.garbage import no_cycle_search
from devbench.host.locks import hold
from devbench.host.paths import data_dir
from devbench.host.whole_files import write_whole
from devbench.nightly.due import OPTION, Due, Night, Period, decide, nights_of, parse_period
from devbench.nightly.webhook import message, post
from devbench.options import NightlyOptions
from devbench.results.kept import memory_file
from devbench.results.records import new_run_id
from devbench.sections.night import night_document
from devbench.sections.subjects import RunSubject

if TYPE_CHECKING:
    from devbench.bench.events import Listener
    from devbench.results.counting import RunView
    from devbench.results.history import History
    from devbench.results.store import Store


@dataclass(frozen=True, slots=True)
class Asked:
    """The settings of a night's measurement and report.

    Attributes:
        suite: its name, by which its nights are found again.
        devices: as the command line takes them.
        fault: the faults of virtual devices.
    """

    suite: str
    plan: Plan
    devices: tuple[str, ...]
    settings: NightlyOptions
    labels: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""

    @property
    def period(self) -> Period:
        """Return how often a device is measured."""
        return parse_period(self.settings.period)


@dataclass(frozen=True, slots=True)
class Screen:
    """The output: `display` shows the progress of a run on these devices, `tell` prints a line."""

    display: Callable[[list[str]], AbstractContextManager[Listener]]
    tell: Callable[[str], None]


@contextmanager
def only_nightly(wait_s: float) -> Iterator[None]:
    """Hold the lock of this user's nightly on this machine: two at once would disturb each other's measurements.

    Raises:
        Held: another one is running, also after `wait_s` seconds.
    """
    hint = "it goes on by itself; --wait SECONDS waits for it"
    lock = data_dir() / "locks" / "nightly.lock"
    with hold(lock, held="another `devbench nightly` is running", hint=hint, wait_s=wait_s, exit_code=EXIT_BUSY):
        yield


def run_night(asked: Asked, store: Store, history: Callable[[], History], screen: Screen) -> NightResult:
    """Measure what is due, compare it, report it.

    Args:
        asked: how the night is measured and reported.
        store: where results go.
        history: opens the same store for reading.
        screen: shows what happens.

    Raises:
        InputError: the settings contradict each other.
        KeyboardInterrupt: it was stopped; the next call resumes.
    """
    now = datetime.now().astimezone()
    name = f"{asked.period.began(now):%Y-%m-%d}"
    nights = nights_of(store.runs_with_option(OPTION), asked.suite)
    present = find_present(asked.devices)
    # Another machine may have the same suite and the same store: its nights are used for comparison only.
    own = [one for one in nights if one.host == socket.gethostname()]
    due = decide(
        own,
        present.names,
        plan=fingerprint(asked.plan),
        period=asked.period,
        now=now,
        force=asked.settings.force,
    )
    result = NightResult(asked.suite, name, absent=present.absent, due=due.to_report)
    night = due.night
    if due.names:
        night, failed = _measure(asked, store, due, own, screen)
        result = replace(result, absent={**present.absent, **failed})
    if night is not None and due.to_report:
        earlier = [[one.run_id] for one in nights if one.finished and one.started_utc < night.started_utc]
        result = analyse(asked, store, history, store.run(night.run_id), [night.run_id], earlier, result, screen)
    if due.to_report or (night is None and present.absent):
        publish(asked, result, screen)
    if night is not None and due.to_report:
        store.note_option(night.run_id, OPTION, replace(night, reported=True).option())
    if asked.settings.keep_raw_days is not None:
        _drop_old(store, timedelta(days=asked.settings.keep_raw_days), screen)
    return result


def _measure(
    asked: Asked, store: Store, due: Due, nights: Sequence[Night], screen: Screen
) -> tuple[Night, dict[str, DevbenchError]]:
    """Measure what is due; return the night afterwards, and the devices that are still incomplete."""
    now = datetime.now(timezone.utc)
    night = due.night
    if night is None:
        _give_up(store, nights, now)
        night = Night(new_run_id(now), now, socket.gethostname(), asked.suite, fingerprint(asked.plan))
    else:
        screen.tell(f"going on with run {night.run_id}")
        night = replace(night, reported=False)
        store.note_option(night.run_id, OPTION, night.option())
    with open_names(due.names, asked.fault) as devices:
        serials = {device.serial: known for known, device in devices.items()}
        with screen.display(list(serials)) as listener:
            outcome = runner.run(
                asked.plan,
                list(devices.values()),
                store,
                run_id=night.run_id,
                listener=listener,
                labels=asked.labels,
                options={OPTION: night.option()},
                resume=due.night is not None,
                wait_s=parse_wait(asked.settings.device_wait),
            )
    if outcome.status == "interrupted":
        raise KeyboardInterrupt
    failed = {serials[serial]: error for serial, error in outcome.errors.items()}
    finished = dict.fromkeys([*night.finished, *(known for known in devices if known not in failed)])
    night = replace(night, finished=tuple(finished))
    store.note_option(night.run_id, OPTION, night.option())
    return night, failed


def _give_up(store: Store, nights: Sequence[Night], now: datetime) -> None:
    """Close the interrupted nights that are too old to resume; their results stay."""
    for night in nights:
        if not night.reported:
            store.finish_run(night.run_id, "interrupted", now, "it was cut off, and another night began")
            store.note_option(night.run_id, OPTION, replace(night, reported=True).option())


def analyse(
    asked: Asked,
    store: Store,
    history: Callable[[], History],
    view: RunView,
    runs: Sequence[str],
    earlier: Sequence[Sequence[str]],
    result: NightResult,
    screen: Screen,
) -> NightResult:
    """Compare with the baseline, look for changes, write the report of the night.

    Args:
        asked, store, history, screen: as of `run_night`.
        view: what was measured.
        runs: ids of the runs that it is from.
        earlier: ids of the runs of each earlier night, the newest night first.
        result: the night so far.
    """
    report = build_report(view)
    result = replace(result, report=report)
    if not any(job.repetitions for job in report.jobs):
        return result
    screen.tell("comparing")
    with no_cycle_search(), history() as results:
        comparison = _compare(asked, results, runs, earlier, screen)
        since = comparison.baseline.first_utc if comparison is not None else None
        memory = memory_file(results.store.database.shown, asked.suite)
        changes = find_changes(results, ChangesSettings(labels={"suite": asked.suite}, changed_since=since), memory)
    screen.tell("writing the report")
    folder = asked.settings.reports / view.run.run_id
    for part in folder.glob(".*"):
        # Unfinished files of a killed process; no other process writes here.
        part.unlink(missing_ok=True)
    subject = RunSubject(report, comparison, changes)
    write_files(subject, folder, ("html", "md", "png"), readable(store.artifacts.read))
    return replace(result, comparison=comparison, changes=changes, folder=folder)


def _compare(
    asked: Asked, history: History, runs: Sequence[str], earlier: Sequence[Sequence[str]], screen: Screen
) -> ComparisonReport | None:
    """Return the comparison with the baseline; `None` if there is no baseline yet."""
    settings = asked.settings
    try:
        if settings.baseline:
            baseline = [run_id for run_id in history.find_runs(settings.baseline) if run_id not in runs]
            title = settings.baseline
        else:
            nights = earlier[: settings.baseline_nights][::-1]
            baseline = [run_id for night in nights for run_id in night]
            title = f"the last {len(nights)} nights" if len(nights) != 1 else "the night before"
        if not baseline:
            return None
        rules = ComparisonSettings(unreliable=settings.unreliable)
        return build_comparison(history, baseline, runs, rules, titles=(title, "tonight"))
    except InputError as problem:
        # For example a label that no run has yet. The night's own results are reported anyway.
        screen.tell(f"not compared: {problem}")
        return None


def publish(asked: Asked, result: NightResult, screen: Screen) -> None:
    """Write JUnit and the summary, then post the message; if posting fails, the files are there anyway."""
    summary = summary_text(night_document(result, "markdown"))
    cases = junit(night_document(result, "junit"))
    folder = result.folder or asked.settings.reports
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if asked.settings.junit is not None:
            asked.settings.junit.parent.mkdir(parents=True, exist_ok=True)
        step = os.environ.get("GITHUB_STEP_SUMMARY")
        if step:
            with Path(step).open("a", encoding="utf-8") as file:
                file.write(f"{summary}\n")
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write to {error.filename or folder}: {error.strerror or error}", hint="make it writable"
        ) from None
    for path in (folder / "junit.xml", asked.settings.junit):
        if path is not None:
            write_whole(path, lambda file: file.write(cases))
    write_whole(folder / "summary.md", lambda file: file.write(f"{summary}\n"))
    if asked.settings.webhook:
        screen.tell("posting")
        where = _where(result, asked.settings.report_url)
        problem = post(asked.settings.webhook, message(message_text(night_document(result, "message"), where)))
        if problem:
            screen.tell(f"the webhook did not take the message: {problem}")


def _drop_old(store: Store, older_than: timedelta, screen: Screen) -> None:
    """Delete old raw outputs. If that fails, it is shown, and the night does not fail."""
    try:
        dropped = store.prune(older_than, datetime.now(timezone.utc))
    except EnvironmentProblem as problem:
        screen.tell(f"raw outputs stay: {problem}")
        return
    if dropped.runs:
        several = "" if len(dropped.runs) == 1 else "s"
        screen.tell(f"dropped the raw outputs of {len(dropped.runs)} run{several}, {dropped.size_bytes / 1e6:,.1f} MB")


def _where(result: NightResult, report_url: str) -> str:
    """Return the address of the report for the message, else that of the CI's page; empty if there is none."""
    if report_url and result.folder is not None:
        return f"{report_url.rstrip('/')}/{result.folder.name}/report.html"
    github = [os.environ.get(f"GITHUB_{word}", "") for word in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
    if all(github):
        return "{}/{}/actions/runs/{}".format(*github)
    return os.environ.get("CI_JOB_URL") or os.environ.get("BUILD_URL") or ""
