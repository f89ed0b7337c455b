"""The catalogue of notices. A notice names a limit on the use of a number. Imports no other module of devbench.

A notice is created by the code that finds the problem, and shown wherever the number is shown. Notices about the device
and the plan are stored with the run. Notices that follow from stored values (`DERIVED`) are not stored; they are
computed again each time that a run is read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import Enum

from devbench.frozen import dataclass

VIRTUAL_NOTE = "virtual: measured on a computer; not representative of any phone"
LEAST_PROCESSES = 3
"""With fewer counted processes than this, no winner is chosen."""


class Effect(str, Enum):
    """The effect of a notice on the numbers of its subject."""

    INFORMATION = "information"
    EXCLUDED = "excluded"
    """Excluded from choosing a winner."""
    UNDECIDED = "undecided"
    """No verdict is possible."""


class NoticeKind(str, Enum):
    """The kinds of notices, in the order in which they are shown; each value is the name in JSON and in the store."""

    ALL_UNRELIABLE = "all_unreliable"
    DEPOT_FILE_CHANGED = "depot_file_changed"
    LIBRARY_CHANGED = "library_changed"
    TOO_FEW_PROCESSES = "too_few_processes"
    OPEN_SHAPES = "open_shapes"
    VIRTUAL_DEVICE = "virtual_device"
    SOME_UNRELIABLE = "some_unreliable"
    PARTLY_DELEGATED = "partly_delegated"
    FIRST_OF_SEVERAL_SIGNATURES = "first_of_several_signatures"
    OUTPUTS_NOT_CHECKED = "outputs_not_checked"
    NOT_DETERMINISTIC = "not_deterministic"
    STEP_NOT_APPLIED = "step_not_applied"
    DRIFT_REMOVED = "drift_removed"
    REFERENCE_NOT_USED = "reference_not_used"
    DEVICE_IDENTITY = "device_identity"
    THERMAL_STATUS = "thermal_status"
    BATTERY_OVERRIDDEN = "battery_overridden"
    LEASE_LOST = "lease_lost"
    STORE_DAMAGED = "store_damaged"


DERIVED = frozenset(
    {
        NoticeKind.ALL_UNRELIABLE,
        NoticeKind.SOME_UNRELIABLE,
        NoticeKind.TOO_FEW_PROCESSES,
        NoticeKind.VIRTUAL_DEVICE,
        NoticeKind.PARTLY_DELEGATED,
        NoticeKind.OUTPUTS_NOT_CHECKED,
        NoticeKind.LIBRARY_CHANGED,
        NoticeKind.DRIFT_REMOVED,
        NoticeKind.REFERENCE_NOT_USED,
    }
)
"""The kinds that are computed from stored values and are therefore not stored."""


@dataclass(frozen=True, slots=True)
class Tally:
    """A count with its total, for a sentence such as `7 of 8 repetitions are unreliable (throttled)`.

    Attributes:
        concerned, total: the 7 and the 8 of the example; `total` is at least 1.
        what: the counted thing in the singular, such as `repetition of the candidate`.
        state: the state of those concerned, such as `unreliable (throttled)`.
    """

    concerned: int
    total: int
    what: str
    state: str

    @property
    def text(self) -> str:
        """Return the sentence without a full stop."""
        noun, space, rest = self.what.partition(" ")
        many = f"{noun}s{space}{rest}"
        if self.total == 1:
            return f"the only {self.what} is {self.state}"
        if self.concerned == self.total:
            return f"{'both' if self.total == 2 else f'all {self.total}'} {many} are {self.state}"
        return f"{self.concerned} of {self.total} {many} {'is' if self.concerned == 1 else 'are'} {self.state}"


@dataclass(frozen=True, slots=True)
class Notice:
    """One limit on the use of numbers.

    Attributes:
        kind: its entry in the catalogue.
        subject: what it is about, by the name that users know: a model's key, a device's title, a case, a file.
        text: the problem, as one sentence without a full stop.
        next_step: what the user can do about it; empty if nothing can be done.
        effect: how it limits the numbers of the subject.
        device_key: the key in the store of the device that it is about; empty for a notice about all devices.
        job_number: the job of the run that it is about; `None` for a notice about all jobs of the subject.
        tally: the count in `text`, if there is one; the counts of notices with the same cause are added up. Not stored.
    """

    kind: NoticeKind
    subject: str
    text: str
    next_step: str = ""
    effect: Effect = Effect.INFORMATION
    device_key: str = ""
    job_number: int | None = None
    tally: Tally | None = None

    def concerns(self, device_key: str, job_number: int, names: Collection[str]) -> bool:
        """Whether the notice is about a given job of its run.

        Args:
            device_key: the job's device.
            job_number: the job's number.
            names: the names of the job's model, case and device.
        """
        if self.device_key not in ("", device_key):
            return False
        return self.subject in names if self.job_number is None else self.job_number == job_number


def merged(*sources: Iterable[Notice]) -> tuple[Notice, ...]:
    """Merge the notices of several sources about the same runs; if several sources have notices on one subject, those
    of the first source are used.
    """
    found: list[Notice] = []
    told: set[tuple[NoticeKind, str, str]] = set()
    for source in sources:
        new = [one for one in source if (one.kind, one.device_key, one.subject) not in told]
        found += new
        told |= {(one.kind, one.device_key, one.subject) for one in new}
    return tuple(found)
