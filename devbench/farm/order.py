"""The order that a worker passes to a measuring process. Imports little, because the worker imports it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Order:
    """The order that a worker passes to a measuring process: one attempt of one job.

    Attributes:
        device: the phone's key.
        name: the phone's name in adb.
        body: the job as JSON (`job.read`).
        accepted: payloads of the job's results that the farm already has.
        folder: the attempt's folder in the spool.
        storage: the address of the farm's storage.
        cache_bytes: the largest size of this host's cache of the storage's files.
    """

    job: int
    attempt: int
    token: str
    run_id: str
    device: str
    name: str
    body: Mapping[str, Any]
    accepted: tuple[bytes, ...]
    folder: Path
    storage: str
    cache_bytes: int
