"""Runs one process of the tool on one device, keeps its raw output, parses it, and reads the conditions around it.

Decides nothing about the result."""

from __future__ import annotations

import io
import secrets
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO

from devbench.adb.errors import LOST, DeviceLost, DeviceRestarted, OutputTooLong, ShellTimeout
from devbench.analysis.reliability import Around, Fitness
from devbench.bench import apk
from devbench.bench.command import CACHED, DROPPED, Command
from devbench.bench.lease_keeper import LeaseKeeper
from devbench.bench.records import ProcessResult
from devbench.bench.script import ScriptOutput, build_script, split_output
from devbench.bench.waiting import Reconnector
from devbench.device import conditions as device_conditions
from devbench.device.gauge import Gauge
from devbench.device.sampler import ConditionSample, parse_samples, sampler_script, samples_to_json
from devbench.tool.apk import PACKAGE
from devbench.tool.flags import command_line
from devbench.tool.measurement import Failure, FailureKind

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.errors import EnvironmentProblem
    from devbench.results.records import CacheState
    from devbench.results.store import Store

# Conditions read this long ago still describe the device before the next repetition.
_CONDITIONS_FRESH_S = 2.0
_RAW_SPLIT = b"==> standard error <==\n"
_BLOCK_BYTES = 1 << 18
# The part of too long an output that is kept: its start.
_KEPT_OF_TOO_LONG_BYTES = 4 << 20
# A device that restarts ends its processes first, and its connection within this time.
_RESTART_S = 1.0
_SAMPLER = sampler_script()


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """The purpose of a process: its title in errors, the name of its raw output, the model that it reads."""

    title: str
    name: str
    model_sha256: str
    sample_memory: bool
    deadline_s: float


@dataclass(slots=True)
class Processes:
    """Runs processes on one device, one at a time.

    Attributes:
        device, store, run_id: where they run and where their raw output goes.
        incoming: a folder on this machine for output that is still arriving.
        work_dir: the device's folder in which they run.
        keeper: the lease on the device.
        max_output_bytes: a process that prints more is ended.
        fitness: what the device showed to be able to do so far.
        gauge: what is known of its fuel gauge.
        last_conditions: those after the last process, and when they were read on this machine's clock.
    """

    device: Device
    store: Store
    run_id: str
    incoming: Path
    work_dir: str
    keeper: LeaseKeeper
    reconnector: Reconnector
    max_output_bytes: int
    fitness: Fitness = field(default_factory=Fitness)
    gauge: Gauge = field(default_factory=Gauge)
    last_conditions: tuple[float, Mapping[str, Any]] | None = None
    # Models that a process has read since the device's file cache was last emptied.
    _read: set[str] = field(default_factory=set)

    def run(self, command: Command, spec: ProcessSpec) -> ProcessResult:
        """Run one process; its output is in the artifacts when this returns, even after an error.

        One that was cut off by a lost connection is ended and run again once the device is back; if it does not come
        back, `ProcessResult.lost` is the reason.

        Raises:
            LeaseLost: another run took the device; the output is kept, and no result of it counts.
        """
        while True:
            ran = self._run(command, spec)
            if ran.lost is None:
                self.reconnector.progress()
            elif self.reconnector(ran.lost):
                self.keeper.end_process()
                continue
            elif self.reconnector.uptime_s is not None:
                doing = f"running {spec.title}"
                error = DeviceRestarted(self.device.serial, doing, self.reconnector.uptime_s)
                ran = replace(ran, lost=error, failure=Failure(FailureKind.DEVICE_LOST, error.what))
            return ran

    def _run(self, command: Command, spec: ProcessSpec) -> ProcessResult:
        began = time.monotonic()
        marker = f"@@{secrets.token_hex(8)}"
        before = self._fresh_conditions(began)
        prelude = command.prelude
        if command.stop:
            # An app is no process of the shell: the next run on the device finds it by its name.
            prelude = f"echo {PACKAGE} > {shlex.quote(self.keeper.lease.app_file)}\n{prelude}"
        script = build_script(
            command.shell or command_line(command.argv, command.env),
            prelude=prelude,
            marker=marker,
            lease=self.keeper.lease,
            deadline_s=spec.deadline_s,
            work_dir=self.work_dir,
            conditions_command=device_conditions.CONDITIONS_COMMAND,
            sampler=_SAMPLER,
            before=before is None,
            sample_memory=spec.sample_memory,
        )
        failure: Failure | None = None
        lost: EnvironmentProblem | None = None
        started_utc = datetime.now(timezone.utc)
        shell_began = time.monotonic()
        # Files without a name: nothing of them stays if this process is killed.
        with TemporaryFile(dir=self.incoming) as out, TemporaryFile(dir=self.incoming) as err:
            try:
                with self.keeper.left_to_the_script():
                    self.device.shell_to_file(
                        script, out, err, timeout_s=spec.deadline_s, max_bytes=self.max_output_bytes,
                        doing=f"running {spec.title}",
                    )  # fmt: skip
            except ShellTimeout:
                failure = Failure(FailureKind.TIMEOUT, f"not finished after {spec.deadline_s:g} s; ended by devbench")
            except OutputTooLong:
                most = f"{self.max_output_bytes / (1 << 20):g} MiB"
                failure = Failure(FailureKind.OUTPUT_TOO_LONG, f"more than {most} of output; ended by devbench")
            except LOST as error:
                failure, lost = Failure(FailureKind.DEVICE_LOST, error.what), error
            if failure is not None and lost is None:
                # Ending the shell may not have ended the tool. Only the holder of the lease may end what runs there.
                self.keeper.end_process()
                if command.stop and self.keeper.is_held():
                    apk.stop(self.device)
            duration_s = time.monotonic() - shell_began
            finished_utc = datetime.now(timezone.utc)
            output = split_output(out, marker)
            blocks = joined_streams(out, output.tool, err)
            if failure is not None and failure.kind is FailureKind.OUTPUT_TOO_LONG:
                blocks = _only_start(blocks)
            raw_path = self.store.artifacts.write(self.run_id, spec.name, blocks)
        around = self._around(before, output, started_utc, finished_utc)
        self._remember(around)
        if output.lease_lost:
            self.keeper.check(certainly_lost=True)
        elif output.exit_code is None and lost is None:
            if failure is None:
                self.reconnector.pause(_RESTART_S)
            try:
                self.keeper.check()
            except LOST:
                lost = DeviceLost(self.device.serial, f"running {spec.title}")
                failure = failure or Failure(FailureKind.DEVICE_LOST, lost.what)
        ran = ProcessResult(
            failure=failure,
            lost=lost,
            started_utc=started_utc,
            finished_utc=finished_utc,
            duration_s=duration_s,
            argv=command.argv,
            raw_path=raw_path,
            raw_file=self.store.artifacts.root / raw_path,
            output=output,
            around=around,
            file_cache=self._file_cache(spec.model_sha256, output.prelude),
            kernel_cache=("warm" if CACHED in output.prelude else "cold") if command.has_cache else None,
            host_overhead_ms=(time.monotonic() - began - duration_s) * 1000,
        )
        return apk.interpret(ran) if command.stop else ran

    def _around(
        self, before: Mapping[str, Any] | None, output: ScriptOutput, started_utc: datetime, finished_utc: datetime
    ) -> Around:
        """The conditions of one process, the battery's current in mA as far as the gauge's unit is known."""
        samples = parse_samples(output.samples, started_utc)
        read = [
            device_conditions.parse_conditions(text, taken_utc)
            for text, taken_utc in ((output.conditions_before, started_utc), (output.conditions_after, finished_utc))
            if text is not None
        ]
        first = read[: output.conditions_before is not None]
        last = read[len(first) :]
        settled = self.gauge.settle([*first, *(sample.conditions for sample in samples), *last])
        during = [
            ConditionSample(sample.t_s, one) for sample, one in zip(samples, settled[len(first) :], strict=False)
        ]  # fmt: skip
        return Around(
            before=before or (device_conditions.to_json(settled[0]) if first else None),
            after=device_conditions.to_json(settled[-1]) if last else None,
            during=samples_to_json(during),
        )

    def _fresh_conditions(self, now: float) -> Mapping[str, Any] | None:
        """The conditions after the last process, if they are recent: reading them again takes device time."""
        if self.last_conditions is None or now - self.last_conditions[0] > _CONDITIONS_FRESH_S:
            return None
        return self.last_conditions[1]

    def _remember(self, around: Around) -> None:
        self.last_conditions = (time.monotonic(), around.after) if around.after is not None else None
        for sample in around.known:
            self.fitness = self.fitness.raised(sample)

    def _file_cache(self, model_sha256: str, prelude: Sequence[str]) -> CacheState | None:
        """Whether a process found its files in memory; not known for the first one of a model."""
        if DROPPED in prelude:
            self._read = {model_sha256}
            return "cold"
        known: CacheState | None = "warm" if model_sha256 in self._read else None
        self._read.add(model_sha256)
        return known


def joined_streams(stdout: BinaryIO, part: tuple[int, int], stderr: BinaryIO) -> Iterator[bytes]:
    """Both streams of the tool as one text, in blocks, as they are kept and parsed.

    A stream that was cut in the middle of a line comes last: a number at its end must not look whole because another
    line follows.

    Args:
        stdout: the script's standard output.
        part: the first and the last place in it of what the tool printed.
        stderr: the tool's standard error.
    """
    start, end = part
    size = stderr.seek(0, io.SEEK_END)
    if not size:
        yield from _blocks(stdout, start, end)
    elif end > start and not _ends_a_line(stdout, end):
        yield _RAW_SPLIT
        yield from _blocks(stderr, 0, size)
        yield (b"" if _ends_a_line(stderr, size) else b"\n") + b"==> standard output <==\n"
        yield from _blocks(stdout, start, end)
    else:
        yield from _blocks(stdout, start, end)
        yield _RAW_SPLIT
        yield from _blocks(stderr, 0, size)


def _blocks(stream: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    stream.seek(start)
    while start < end and (block := stream.read(min(_BLOCK_BYTES, end - start))):
        start += len(block)
        yield block


def _ends_a_line(stream: BinaryIO, end: int) -> bool:
    stream.seek(end - 1)
    return stream.read(1) == b"\n"


def _only_start(blocks: Iterator[bytes]) -> Iterator[bytes]:
    left = _KEPT_OF_TOO_LONG_BYTES
    for block in blocks:
        yield block[:left]
        left -= len(block)
        if left <= 0:
            yield b"\n==> the rest was left out by devbench <==\n"
            return
