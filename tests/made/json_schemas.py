"""Parts of JSON Schemas that several exports share."""

from __future__ import annotations

from typing import Any

NULL_NUMBER = {"type": ["number", "null"]}
WHOSE = {
    "device_key": {"type": "string"},
    "device": {"type": "string"},
    "virtual": {"type": "boolean"},
    "case": {"type": "string"},
    "model": {"type": "string"},
    "delegate": {"type": "string"},
    "threads": {"type": ["integer", "null"]},
}


def strict(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(properties),
        "additionalProperties": False,
        "properties": properties,
    }


def several(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": strict(properties)}
