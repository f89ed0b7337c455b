"""What a run tells whoever watches it; knows no terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from devbench.notices import Notice
from devbench.results.records import DeviceRecord, JobRecord, RepetitionRecord


@dataclass(frozen=True, slots=True)
class DeviceReady:
    """Facts are read, the binary is chosen; `steps` repetitions lie ahead on this device."""

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
    """The device has no more work; `error` says why where it ended early."""

    serial: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class MoreSteps:
    """A repetition more than planned will run: the device was in no fit state, or the precision is not reached."""

    serial: str


@dataclass(frozen=True, slots=True)
class CoolingDown:
    """The device throttles and is waited for. `words` say how hot it is."""

    serial: str
    words: str
    left_s: float


@dataclass(frozen=True, slots=True)
class WaitingForDevice:
    """Another run has the device and is waited for, `left_s` at most. `holder` says who has it."""

    serial: str
    holder: str
    left_s: float


@dataclass(frozen=True, slots=True)
class PipelineStep:
    """A stage alone or a session of a pipeline begins, or has ended; `words` say what came of it, or why not.

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
    | CoolingDown
    | ConnectionLost
    | WaitingForDevice
    | PipelineStep
)
Listener = Callable[[Event], None]
