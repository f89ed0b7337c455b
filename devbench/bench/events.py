"""The events of a run, for a display or a log; knows no terminal."""

from __future__ import annotations

from collections.abc import Callable

from devbench.frozen import dataclass
from devbench.notices import Notice
from devbench.results.records import DeviceRecord, JobRecord, RepetitionRecord


@dataclass(frozen=True, slots=True)
class DeviceReady:
    """Facts are read and the binary is chosen; `steps` processes are planned on this device."""

    serial: str
    device: DeviceRecord
    steps: int


@dataclass(frozen=True, slots=True)
class NoticeGiven:
    """Something that limits the use of the numbers was found."""

    serial: str
    notice: Notice


@dataclass(frozen=True, slots=True)
class FilePushed:
    """Progress of a file on its way to the device."""

    serial: str
    name: str
    done_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class RepetitionStarted:
    serial: str
    job: JobRecord
    purpose: str
    index: int
    of: int


@dataclass(frozen=True, slots=True)
class RepetitionDone:
    """`skipped` later repetitions of the same job will not run, since they would fail in the same way."""

    serial: str
    job: JobRecord
    repetition: RepetitionRecord
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class DeviceFinished:
    """The device has no more work; `error` is the reason if it ended early."""

    serial: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class MoreSteps:
    """One more repetition than planned will run, for an unreliable one or for the precision."""

    serial: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """The run waits for a device, at most for `left_s`. `words`: for what."""

    serial: str
    words: str
    left_s: float


@dataclass(frozen=True, slots=True)
class PipelineStep:
    """A stage alone or a session of a pipeline begins, or has ended; `words`: the result, or the reason for a failure.

    `skipped` further steps will not run.
    """

    serial: str
    title: str
    done: bool = False
    words: str = ""
    failed: bool = False
    unreliable: bool = False
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The connection to a device was lost, or is `back`. `words`: what happened."""

    serial: str
    words: str
    back: bool = False


Event = (
    DeviceReady
    | NoticeGiven
    | FilePushed
    | RepetitionStarted
    | RepetitionDone
    | DeviceFinished
    | MoreSteps
    | Waiting
    | ConnectionLost
    | PipelineStep
)
Listener = Callable[[Event], None]
