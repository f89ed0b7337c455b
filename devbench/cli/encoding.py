"""Readable output in the encoding of the terminal or file, never a UnicodeEncodeError.

devbench's texts have arrows, degree signs and dashes; names of devices and files may have any letter. A character that
the encoding (cp1252 on Windows, latin-1, ASCII) does not have becomes plain letters, or an escape.
"""

from __future__ import annotations

import codecs
import io
import sys

HANDLER = "devbench-readable"

_PLAIN = {
    "→": "->", "←": "<-", "↔": "<->", "⇒": "=>", "↑": "^", "↓": "v", "⚠": "!", "✓": "ok", "✔": "ok", "✗": "x", "✘": "x",
    "●": "*", "○": "o", "•": "*", "·": "-", "…": "...", "–": "-", "—": "-", "−": "-", "‑": "-", "‐": "-", "×": "x",
    "±": "+/-", "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "°": " deg", "µ": "u", "μ": "u", "σ": "sigma", "Δ": "d",
    "²": "^2", "³": "^3", "½": "1/2", "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "«": '"', "»": '"',
    "━": "-", "─": "-", "│": "|", "╸": "-", "╺": "-", "█": "#", "▏": "|", "∞": "inf", "\u00a0": " ", "\u202f": " ",
    "\u2009": " ", "©": "(c)", "®": "(R)", "™": "(TM)", "ß": "ss", "æ": "ae", "ø": "o", "ł": "l",
}  # fmt: skip
_DEGREES = {"°C": "degC", "°F": "degF"}
# Error handlers that stop at such a character, or write unreadable text; others are the user's choice.
_UNREADABLE = ("strict", "surrogateescape", "backslashreplace")


class _AsciiText(io.TextIOWrapper):
    """An ASCII stream under a name that libraries do not replace by UTF-8."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "ascii-text"


def write_in_any_encoding() -> None:
    """Make standard output and error write readable text in their encoding; a handler that the user chose stays."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper) or stream.errors not in _UNREADABLE:
            continue
        if codecs.lookup(stream.encoding).name == "ascii":
            stream.flush()
            plain = _AsciiText(stream.buffer, "ascii", HANDLER, line_buffering=stream.line_buffering or stream.isatty())
            setattr(sys, name, plain)
        else:
            stream.reconfigure(errors=HANDLER)


def _readable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text, at = error.object, error.start
    if text[at : at + 2] in _DEGREES:
        return _DEGREES[text[at : at + 2]], at + 2
    # One character at a time: a degree sign and its letter are handled together.
    return _letter(text[at]), at + 1


def _letter(sign: str) -> str:
    import unicodedata

    if sign in _PLAIN:
        return _PLAIN[sign]
    if 0xDC80 <= ord(sign) <= 0xDCFF:
        return f"\\x{ord(sign) - 0xDC00:02x}"  # a byte of a file's name that is no text
    bare = "".join(part for part in unicodedata.normalize("NFKD", sign) if not unicodedata.combining(part))
    return bare if bare and bare.isascii() else sign.encode("ascii", "backslashreplace").decode("ascii")


codecs.register_error(HANDLER, _readable)
