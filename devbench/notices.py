"""The catalogue of notices: everything that limits what a number may be used for; knows nothing else of devbench.

A notice is created where its fact is found, stored with the run, and shown by whatever shows the number.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

VIRTUAL_NOTE = "virtual: measured on a computer, says nothing about a phone"


class Effect(str, Enum):
    """What a notice does to the numbers of its subject."""

    INFORMATION = "information"
    EXCLUDED = "excluded"
    """Excluded from choosing a winner."""
    UNDECIDED = "undecided"
    """No verdict is possible."""


class NoticeKind(str, Enum):
    """Every kind of notice, by the name that JSON and the store have for it."""

    OPEN_SHAPES = "open_shapes"
    FIRST_OF_SEVERAL_SIGNATURES = "first_of_several_signatures"
    NOT_DETERMINISTIC = "not_deterministic"
    STEP_NOT_APPLIED = "step_not_applied"
    LIBRARY_CHANGED = "library_changed"
    ALL_UNRELIABLE = "all_unreliable"
    DEPOT_FILE_CHANGED = "depot_file_changed"
    DEVICE_IDENTITY = "device_identity"
    THERMAL_STATUS = "thermal_status"
    BATTERY_OVERRIDDEN = "battery_overridden"
    LEASE_LOST = "lease_lost"
    STORE_DAMAGED = "store_damaged"


@dataclass(frozen=True, slots=True)
class Notice:
    """One limit on what numbers may be used for.

    Attributes:
        kind: which of the catalogue.
        subject: what it is about, as people know it: a model's key, a device's title, a case.
        text: what is the matter, one sentence without a full stop.
        next_step: what the reader can do about it; empty if nothing can be done.
        effect: what it does to the numbers of the subject.
        device_key: the device in the store that it is about; empty for a notice about all of them.
        job_number: the job of the run that it is about; `None` for a notice about all jobs of the subject.
    """

    kind: NoticeKind
    subject: str
    text: str
    next_step: str = ""
    effect: Effect = Effect.INFORMATION
    device_key: str = ""
    job_number: int | None = None
