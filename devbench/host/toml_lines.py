"""On which line of a TOML file each key is: the standard reader gives values without positions.

Only for text that the standard reader accepts: for other text the lines are meaningless, but no error is raised.
Grammar: https://toml.io/en/v1.0.0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

Path = tuple[str | int, ...]

# Up to two more quotes before the closing three belong to the text.
_TOKEN = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?'{3,5}|"(?:\\.|[^"\\])*"|'[^']*'|[\[\]{}=,.\n]|[^\s\[\]{}=,."'#]+|#[^\n]*|.''',
    re.DOTALL,
)


def key_lines(text: str) -> dict[Path, int]:
    """The line (from 1) of each table, key and element of a list, by its path.

    Paths are as ("conditions", "cool_down") or ("models", 1). A table that only its
    dotted keys make has the line of the first of them.
    """
    return _Scanner(text).scan()


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    """Each token with its line; without space and comments, with line ends."""
    line = 1
    for token in _TOKEN.findall(text):
        if token[0] not in " \t\r\ufeff#":
            yield token, line
        line += token.count("\n")


class _Scanner:
    """Walks over the tokens once; `_at` is the position."""

    def __init__(self, text: str) -> None:
        self._tokens = [*_tokens(text), ("", 0)]
        self._at = 0
        self._lines: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip_lines():
            if self._next() == "[":
                table = self._header()
            else:
                self._pair(table)
            while self._next() not in ("", "\n"):
                self._at += 1
        return self._lines

    def _next(self) -> str:
        return self._tokens[self._at][0]

    def _take(self) -> str:
        """The next token, if there is one."""
        token = self._next()
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _skip_lines(self) -> str:
        """Over line ends; the next token, empty at the end."""
        while self._next() == "\n":
            self._at += 1
        return self._next()

    def _note(self, path: Path) -> None:
        for length in range(1, len(path) + 1):
            self._lines.setdefault(path[:length], self._tokens[self._at][1])

    def _header(self) -> Path:
        self._take()
        many = self._next() == "["
        if many:
            self._take()
        path: Path = ()
        for part in self._key():
            path = (*path, part)
            # Below a list of tables a name means its last element.
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
        if many:
            base = path[:-1] if path and isinstance(path[-1], int) else path
            self._counts[base] = self._counts.get(base, 0) + 1
            path = (*base, self._counts[base] - 1)
        self._note(path)
        return path

    def _pair(self, table: Path) -> None:
        path = (*table, *self._key())
        self._note(path)
        self._take()  # "="
        self._value(path)

    def _key(self) -> list[str]:
        parts = [_unquoted(self._take())]
        while self._next() == ".":
            self._take()
            parts.append(_unquoted(self._take()))
        return parts

    def _value(self, path: Path) -> None:
        opening = self._next()
        if opening not in ("[", "{"):
            # A number or a date may be several tokens.
            while self._next() not in ("", "\n", ",", "]", "}"):
                self._at += 1
            return
        self._take()
        number = 0
        while self._skip_lines() not in ("", "]", "}"):
            if self._next() == ",":
                self._take()
            elif opening == "[":
                self._note((*path, number))
                self._value((*path, number))
                number += 1
            else:
                self._pair(path)
        self._take()


def _unquoted(text: str) -> str:
    if text.startswith('"'):
        try:
            return str(json.loads(text))
        except ValueError:
            return text[1:-1]
    return text[1:-1] if text.startswith("'") else text
