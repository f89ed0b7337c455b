"""The forms of a night, as tests look at them."""

from __future__ import annotations

from typing import Any

from devbench.findings.night import NightResult
from devbench.forms.json import json_ready
from devbench.forms.junit import junit
from devbench.forms.message import message
from devbench.forms.summary import summary
from devbench.forms.terminal import terminal_text
from devbench.sections.night import night_document


def night_summary(result: NightResult) -> str:
    return summary(night_document(result, "markdown"))


def night_message(result: NightResult, where: str = "") -> str:
    return message(night_document(result, "message"), where)


def night_lines(result: NightResult) -> list[str]:
    return terminal_text(night_document(result, "terminal"), 200).splitlines()


def night_junit(result: NightResult) -> str:
    return junit(night_document(result, "junit"))


def night_json(result: NightResult) -> dict[str, Any]:
    return json_ready(night_document(result, "json"))
