"""On which line of a TOML file each key stands: the standard reader gives values without positions.

Only for text that the standard reader has taken: what is not TOML gives no error here, but lines of no use.
Grammar: https://toml.io/en/v1.0.0.
"""

from __future__ import annotations

import json

Path = tuple[str | int, ...]

_BARE_ENDS = frozenset(" \t\r\n.=]#,{}[")


def key_lines(text: str) -> dict[Path, int]:
    """The line (from 1) of each table, key and element of a list, by its path.

    Paths are as ("conditions", "cool_down") or ("models", 1). A table that only its
    dotted keys make has the line of the first of them.
    """
    return _Scanner(text).scan()


class _Scanner:
    """Walks over the text once; `_at` is where it stands."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lines: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}
        # Positions come in order, so that lines are counted once.
        self._line, self._counted = 1, 0

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip():
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _note(self, path: Path) -> None:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        for length in range(1, len(path) + 1):
            self._lines.setdefault(path[:length], self._line)

    def _skip(self) -> bool:
        """Over space, line ends and comments; False at the end."""
        while self._at < len(self._text):
            letter = self._text[self._at]
            if letter == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            elif letter in " \t\r\n\ufeff":
                self._at += 1
            else:
                return True
        return False

    def _header(self) -> Path:
        many = self._text.startswith("[[", self._at)
        self._at += 2 if many else 1
        self._skip()
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
        end = self._text.find("]", self._at)
        self._at = len(self._text) if end < 0 else end + (2 if many else 1)
        return path

    def _pair(self, table: Path) -> None:
        start = self._at
        path = (*table, *self._key())
        self._note(path)
        self._skip()
        self._at += 1  # "="
        self._skip()
        self._value(path)
        self._at = max(self._at, start + 1)

    def _key(self) -> list[str]:
        parts: list[str] = []
        while self._skip():
            letter = self._text[self._at]
            if letter in "\"'":
                start = self._at
                self._string()
                parts.append(_unquoted(self._text[start : self._at]))
            else:
                start = self._at
                while self._at < len(self._text) and self._text[self._at] not in _BARE_ENDS:
                    self._at += 1
                parts.append(self._text[start : self._at])
            self._skip()
            if not self._text.startswith(".", self._at):
                break
            self._at += 1
        return parts

    def _value(self, path: Path) -> None:
        letter = self._text[self._at : self._at + 1]
        if letter in ("[", "{"):
            self._at += 1
            number = 0
            while self._skip() and self._text[self._at] not in "]}":
                if self._text[self._at] == ",":
                    self._at += 1
                elif letter == "[":
                    self._note((*path, number))
                    self._value((*path, number))
                    number += 1
                else:
                    self._pair(path)
            self._at += 1
        elif letter in ("'", '"'):
            self._string()
        else:
            start = self._at
            while self._at < len(self._text) and self._text[self._at] not in ",]}#\n":
                self._at += 1
            self._at = max(self._at, start + 1)

    def _string(self) -> None:
        quote = self._text[self._at]
        mark = quote * 3 if self._text.startswith(quote * 3, self._at) else quote
        self._at += len(mark)
        while self._at < len(self._text) and not self._text.startswith(mark, self._at):
            self._at += 2 if quote == '"' and self._text[self._at] == "\\" else 1
        self._at += len(mark)
        # Up to two more quotes before the closing three belong to the text.
        while len(mark) == 3 and self._text.startswith(quote, self._at):
            self._at += 1


def _unquoted(text: str) -> str:
    if text.startswith('"'):
        try:
            return str(json.loads(text))
        except ValueError:
            return text[1:-1]
    return text[1:-1]
