"""One process on a device: its output is kept whatever happens, conditions are fresh, a lost connection is tried again."""

from __future__ import annotations

import contextlib
import gzip
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest

from devbench.adb.errors import DeviceLost, OutputTooLong, ShellTimeout
from devbench.bench import process
from devbench.bench.command import Command
from devbench.bench.process import Processes, ProcessSpec, joined_streams
from devbench.device.lease import LeaseLost
from devbench.results.store import Store
from devbench.tool.measurement import FailureKind
from tests.made.samples import RUN, run_record

COMMAND = Command(("/d/b", "--graph=/d/m"))
CONDITIONS = "@@devbench:w\n\nload {load}\n\n@@w:end\n"


class FakeDevice:
    """A device whose shell prints what a script's sections would; `endings` replace the runs in turn.

    Attributes:
        scripts: those that it was given.
        load: what its conditions say.
    """

    serial = "SERIAL"

    def __init__(self, *endings: Callable[[], None] | None, said: str = "hello\n", prelude: str = "") -> None:
        self.endings = list(endings)
        self.scripts: list[str] = []
        self.load = 0.5
        self.said = said
        self.prelude = prelude

    def shell_to_file(self, script: str, out: BinaryIO, err: BinaryIO, **_: Any) -> int:
        self.scripts.append(script)
        found = re.search(r"@@[0-9a-f]{16}", script)
        assert found is not None
        conditions = CONDITIONS.format(load=self.load)
        before = f"{found[0]}:before\n{conditions}\n" if f"{found[0]}:before" in script else ""
        words = f"{found[0]}:prelude\n{self.prelude}\n" if self.prelude else ""
        out.write(f"{before}{words}{found[0]}:tool\n{self.said}".encode())
        err.write(b"a warning\n")
        ending = self.endings.pop(0) if self.endings else None
        if ending is not None:
            ending()
        out.write(f"\n{found[0]}:exit 0 1.0 2.5\n{found[0]}:after\n{conditions}\n{found[0]}:end\n".encode())
        return 0


class Keeper:
    """A lease that counts what was ended, and that may turn out to be lost."""

    def __init__(self) -> None:
        self.lease = SimpleNamespace(pid_file="/d/run/1.pid", app_file="/d/run/1.app", shell_functions=lambda: "")
        self.ended = 0
        self.lost = False

    left_to_the_script = staticmethod(contextlib.nullcontext)

    def end_process(self) -> None:
        self.ended += 1

    def check(self, *, certainly_lost: bool = False) -> None:
        if self.lost or certainly_lost:
            raise LeaseLost("SERIAL")


class Connection:
    """A reconnector that brings the device back so often."""

    uptime_s: float | None = None

    def __init__(self, comes_back: int = 0) -> None:
        self.comes_back = comes_back
        self.results = 0

    def __call__(self, error: Exception) -> bool:
        self.comes_back -= 1
        return self.comes_back >= 0

    def progress(self) -> None:
        self.results += 1

    def pause(self, seconds: float) -> None:
        assert seconds == 1.0


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as opened:
        opened.create_run(run_record())
        yield opened


def processes(store: Store, tmp_path: Path, device: FakeDevice, comes_back: int = 0) -> Processes:
    keeper: Any = Keeper()
    connection: Any = Connection(comes_back)
    given: Any = device
    return Processes(given, store, RUN, tmp_path, "/d/work", keeper, connection, 1 << 20)


def spec(name: str = "job0001-latency-000", model: str = "a" * 64) -> ProcessSpec:
    return ProcessSpec("model · cpu", name, model, False, 30.0)


def lost() -> None:
    raise DeviceLost("SERIAL", "running a")


def test_the_output_is_kept_and_the_sections_are_taken_apart(store: Store, tmp_path: Path) -> None:
    ran = processes(store, tmp_path, FakeDevice()).run(COMMAND, spec())
    assert store.artifacts.read(ran.raw_path) == b"hello\n==> standard error <==\na warning\n"
    assert gzip.decompress(ran.raw_file.read_bytes()).startswith(b"hello")
    assert (ran.failure, ran.lost, ran.output.exit_code, ran.argv) == (None, None, 0, COMMAND.argv)
    assert ran.output.on_device_ms == pytest.approx(1500.0)
    assert ran.around.before is not None and ran.around.after is not None
    assert ran.around.before["load_1min"] == 0.5


def test_conditions_of_a_moment_ago_are_used_and_stale_ones_are_taken_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(process, "time", SimpleNamespace(monotonic=lambda: clock.now))
    device = FakeDevice()
    made = processes(store, tmp_path, device)
    made.run(COMMAND, spec())
    device.load = 7.0
    clock.now += 1.9
    assert made.run(COMMAND, spec("1")).around.before["load_1min"] == 0.5  # type: ignore[index]
    clock.now += 2.1
    device.load = 9.0
    assert made.run(COMMAND, spec("2")).around.before["load_1min"] == 9.0  # type: ignore[index]
    assert [":before" in script for script in device.scripts] == [True, False, True]


def test_after_a_process_that_did_not_end_conditions_are_taken_again(store: Store, tmp_path: Path) -> None:
    device = FakeDevice(None, lost)
    made = processes(store, tmp_path, device)
    assert made.run(COMMAND, spec()).lost is None
    assert made.run(COMMAND, spec("1")).lost is not None
    assert made.last_conditions is None


def test_a_process_that_was_cut_off_is_ended_and_run_again_once_the_device_is_back(
    store: Store, tmp_path: Path
) -> None:
    device = FakeDevice(lost, lost)
    made = processes(store, tmp_path, device, comes_back=2)
    ran = made.run(COMMAND, spec())
    assert (ran.failure, ran.lost, len(device.scripts)) == (None, None, 3)
    assert made.keeper.ended == 2  # type: ignore[attr-defined]
    assert made.reconnector.results == 1  # type: ignore[attr-defined]


def test_a_device_that_stays_away_is_a_failure_and_its_output_is_kept(store: Store, tmp_path: Path) -> None:
    ran = processes(store, tmp_path, FakeDevice(lost)).run(COMMAND, spec())
    assert ran.failure is not None and ran.failure.kind is FailureKind.DEVICE_LOST
    assert isinstance(ran.lost, DeviceLost)
    assert ran.output.exit_code is None
    assert b"hello" in store.artifacts.read(ran.raw_path)


class Restarting(FakeDevice):
    """Ends its shells in the middle of their output, as a device does that restarts."""

    def shell_to_file(self, script: str, out: BinaryIO, err: BinaryIO, **_: Any) -> int:
        found = re.search(r"@@[0-9a-f]{16}", script)
        assert found is not None
        out.write(f"{found[0]}:tool\n{self.said}".encode())
        return 137


@pytest.mark.parametrize("there", [True, False])
def test_a_device_that_ends_its_shells_and_then_its_connection_is_lost(
    store: Store, tmp_path: Path, there: bool
) -> None:
    made = processes(store, tmp_path, Restarting())
    if not there:
        made.keeper.check = lost  # type: ignore[method-assign]
    ran = made.run(COMMAND, spec())
    assert b"hello" in store.artifacts.read(ran.raw_path)
    assert (ran.failure is None, ran.lost is None) == (there, there)
    if ran.failure is not None:
        assert (ran.failure.kind, ran.failure.message) == (
            FailureKind.DEVICE_LOST,
            "SERIAL went away while running model · cpu",
        )


def timeout() -> None:
    raise ShellTimeout("SERIAL", "b", 30.0)


def too_long() -> None:
    raise OutputTooLong("SERIAL", "running", 1 << 20)


@pytest.mark.parametrize(
    ("ending", "kind", "words"),
    [
        (timeout, FailureKind.TIMEOUT, "not finished after 30 s; ended by devbench"),
        (too_long, FailureKind.OUTPUT_TOO_LONG, "more than 1 MiB of output; ended by devbench"),
    ],
)
def test_what_takes_too_long_or_prints_too_much_is_ended(
    store: Store, tmp_path: Path, ending: Callable[[], None], kind: FailureKind, words: str
) -> None:
    made = processes(store, tmp_path, FakeDevice(ending))
    ran = made.run(COMMAND, spec())
    assert ran.failure is not None
    assert (ran.failure.kind, ran.failure.message) == (kind, words)
    assert made.keeper.ended == 1  # type: ignore[attr-defined]
    assert ran.lost is None


def test_no_result_counts_once_the_lease_is_lost(store: Store, tmp_path: Path) -> None:
    made = processes(store, tmp_path, FakeDevice(timeout))
    made.keeper.lost = True  # type: ignore[attr-defined]
    with pytest.raises(LeaseLost):
        made.run(COMMAND, spec())
    assert b"hello" in store.artifacts.read(f"{RUN}/job0001-latency-000.txt.gz"), "what it printed is kept all the same"


def test_a_model_s_files_are_warm_from_its_second_process_on(store: Store, tmp_path: Path) -> None:
    made = processes(store, tmp_path, FakeDevice())
    states = [made.run(COMMAND, spec(str(n), model * 64)).file_cache for n, model in enumerate("aabab")]
    assert states == [None, "warm", None, "warm", "warm"]


def test_a_delegate_s_cache_is_warm_if_it_held_something_before_the_process(store: Store, tmp_path: Path) -> None:
    cached = Command(("/d/b",), prelude="true", has_cache=True)
    states = []
    for words in ("", "cached\n", "dropped\n"):
        ran = processes(store, tmp_path, FakeDevice(prelude=words)).run(cached, spec(str(len(states))))
        states.append((ran.kernel_cache, ran.file_cache))
    assert states == [("cold", None), ("warm", None), ("cold", "cold")]
    assert processes(store, tmp_path, FakeDevice()).run(COMMAND, spec()).kernel_cache is None


def test_a_session_s_shell_text_is_run_in_place_of_the_words(store: Store, tmp_path: Path) -> None:
    device = FakeDevice()
    processes(store, tmp_path, device).run(Command(("/d/words",), shell="( session )"), spec())
    assert "( session )" in device.scripts[0] and "/d/words" not in device.scripts[0]


def test_the_highest_clocks_that_were_seen_are_what_later_processes_are_judged_by(store: Store, tmp_path: Path) -> None:
    made = processes(store, tmp_path, FakeDevice())
    made.run(COMMAND, spec())
    made._remember(SimpleNamespace(after=None, known=[{"cpu_cap_khz": [100, 300]}, {"cpu_cap_khz": [200, 100]}]))  # type: ignore[arg-type]
    assert made.fitness.cpu_cap_khz == (200, 300)


@pytest.mark.parametrize(
    ("stdout", "stderr", "whole"),
    [
        (b"out\n", b"", b"out\n"),
        (b"out\n", b"err\n", b"out\n==> standard error <==\nerr\n"),
        (b"avg=12", b"err\n", b"==> standard error <==\nerr\n==> standard output <==\navg=12"),
        (b"avg=12", b"err", b"==> standard error <==\nerr\n==> standard output <==\navg=12"),
        (b"", b"err\n", b"==> standard error <==\nerr\n"),
    ],
    ids=["no error", "whole lines", "cut", "both cut", "no output"],
)
def test_a_stream_that_was_cut_in_a_line_comes_last(stdout: bytes, stderr: bytes, whole: bytes) -> None:
    stream = io.BytesIO(b"marker\n" + stdout + b"\nmarker")
    part = (7, 7 + len(stdout))
    assert b"".join(joined_streams(stream, part, io.BytesIO(stderr))) == whole


def test_of_an_output_that_is_too_long_only_the_start_is_kept(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_KEPT_OF_TOO_LONG_BYTES", 10)
    ran = processes(store, tmp_path, FakeDevice(too_long, said="0123456789abcdef\n")).run(COMMAND, spec())
    assert store.artifacts.read(ran.raw_path) == b"0123456789\n==> the rest was left out by devbench <==\n"
    whole = processes(store, tmp_path, FakeDevice(timeout, said="0123456789abcdef\n")).run(COMMAND, spec("1"))
    assert b"abcdef" in store.artifacts.read(whole.raw_path), "of one that took too long all is kept"
