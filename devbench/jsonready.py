"""Values made ready for JSON; knows nothing of what they are."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any


def plain(value: Any) -> Any:
    """The value with tuples as lists, enumerations as their values and times as ISO 8601."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return value.isoformat() if isinstance(value, datetime) else value
