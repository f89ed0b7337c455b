"""What a worker hands to the process that measures; imports little, as the worker does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker hands to the process that measures.

    Attributes:
        device: the phone's key, `name` how adb reaches it.
        body: the job as JSON (`job.read`).
        accepted: what the farm has of the job already, as payloads.
        folder: the folder of the spool.
        storage: the address of the farm's files; `cache_bytes` for those of this host.
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
