"""Text from outside made safe to show: one line, without control characters. Every package may use it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# Control, ANSI and direction characters, because names of devices and models must not control the user's terminal. Also
# lone surrogates: Python uses them in file names that are not UTF-8, and no text file can contain them.
_CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-_]?|"
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_MIN_PREFIX = 2
# Characters with a meaning in Markdown. An underscore within a word has none, nor a list sign that is not at the start.
_SPECIAL = re.compile(r"([\\`*\[\]<>#|~]|^[-+](?= )|(?<=^\d)[.)](?= )|(?<![^\W_])_|_(?![^\W_])|&(?=#|\w+;))")


def without_control(text: str, instead: str = "") -> str:
    """Return `text` on one line, with `instead` for each control, ANSI or direction character; several blanks become
    one.
    """
    return " ".join(_CONTROL.sub(instead, text).split())


def clean(text: object, most: int = 300) -> str:
    """Return `text` on one line of at most `most` characters, without invisible characters."""
    line = without_control(str(text)[: 8 * most], " ")
    return line if len(line) <= most else line[: most - 1] + "…"


def for_markdown(text: object, most: int = 300) -> str:
    """Clean the text and escape it for Markdown: no emphasis, link, table, heading or HTML."""
    return _SPECIAL.sub(r"\\\1", clean(text, most))


def for_chat(text: object, most: int = 300) -> str:
    """Clean the text and neutralise it for a chat: no link, mention or emphasis."""
    found = clean(text, most)
    for letter, code in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        found = found.replace(letter, code)
    # A word joiner (an invisible character) after each sign keeps the text readable and prevents a meaning in a chat.
    for letter in "*_~`@#":
        found = found.replace(letter, f"{letter}\u2060")
    return found


def near(word: str, known: Iterable[str], otherwise: str, cutoff: float = 0.6) -> str:
    """Return the hint for an unknown word: the known word that is probably meant, or `otherwise` if none is similar.

    `cutoff`: how similar the words must be, 0 to 1; file names need a higher value because they share their endings.
    """
    import difflib

    by_case = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), by_case, n=1, cutoff=cutoff)
    if len(word) > _MIN_PREFIX:
        found += [name for name in by_case if word.lower() in name]
    return f"did you mean {by_case[found[0]]}?" if found else otherwise


def parts_of(texts: Sequence[str] | None) -> tuple[str, ...]:
    """Split the values of an option that may be repeated and may contain commas; each word is returned once."""
    return tuple(dict.fromkeys(part.strip() for text in texts or () for part in text.split(",") if part.strip()))
