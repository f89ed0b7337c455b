"""The result of one check of `devbench doctor` or `devbench farm doctor`."""

from __future__ import annotations

from typing import Literal

from devbench.frozen import dataclass

Grade = Literal["ok", "warning", "bad"]


@dataclass(frozen=True, slots=True)
class Check:
    """What was checked, what was found and, if something is wrong, how to fix it."""

    subject: str
    grade: Grade
    words: str
    fix: str = ""
