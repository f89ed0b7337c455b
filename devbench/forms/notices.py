"""Notices in the forms of a night; which are shown, and in which order, is decided by `sections.notices`."""

from __future__ import annotations

from collections.abc import Sequence

from devbench.notices import Effect
from devbench.sections.notices import NoticeLine, short_lines
from devbench.text import clean, for_chat, for_markdown

MAX_CHARACTERS = 600


def line_notices(lines: Sequence[NoticeLine]) -> list[str]:
    """One line each, with `!` if it limits a verdict or a winner and `i` for information."""
    return [
        f"{'i' if line.effect is Effect.INFORMATION else '!'} {clean(line.words, MAX_CHARACTERS)}" for line in lines
    ]


def summary_notices(lines: Sequence[NoticeLine]) -> list[str]:
    """The most important ones as an alert of GitHub's Markdown, which is a quotation anywhere else."""
    shown, rest = short_lines(lines)
    if not shown:
        return []
    kind = "NOTE" if shown[0].effect is Effect.INFORMATION else "WARNING"
    signs = {True: "", False: "⚠ "}
    texts = [f"{signs[one.effect is Effect.INFORMATION]}{for_markdown(one.words, MAX_CHARACTERS)}" for one in shown]
    bullets = [f"> - {line}" for line in (*texts, *([rest] if rest else []))]
    return [f"> [!{kind}]", *bullets, ""]


def chat_notices(lines: Sequence[NoticeLine]) -> list[str]:
    """The most important ones, a line each."""
    shown, rest = short_lines(lines)
    signs = {True: "ℹ️", False: "⚠️"}
    found = [f"{signs[line.effect is Effect.INFORMATION]} {for_chat(line.words, MAX_CHARACTERS)}" for line in shown]
    return [*found, *([rest] if rest else [])]
