"""Parts of JSON Schemas that several exports share."""

from __future__ import annotations

from typing import Any

from devbench.notices import Effect, NoticeKind

NULL_NUMBER = {"type": ["number", "null"]}
NOTICE = {
    "kind": {"enum": [kind.value for kind in NoticeKind]},
    "subject": {"type": "string"},
    "text": {"type": "string"},
    "next_step": {"type": "string"},
    "effect": {"enum": [effect.value for effect in Effect]},
    "device_key": {"type": "string"},
    "job_number": {"type": "null"},
    "tally": {"type": ["object", "null"]},
}
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
