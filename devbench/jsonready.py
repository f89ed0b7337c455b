"""Converts values to types that JSON has; knows nothing of their meaning."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any


def plain(value: Any) -> Any:
    """Convert tuples to lists, enumerations to their values and times to ISO 8601 text, at any depth."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return value.isoformat() if isinstance(value, datetime) else value
