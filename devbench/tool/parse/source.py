"""From blocks of bytes to the lines that may be the tool's, in bounded memory; knows words, not the meaning of lines.

Most of a foreign text is skipped quickly: one search finds the next word of the tool's lines. Only lists of operators
have lines without such words; the caller says when it is in a list.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol

from devbench.frozen import dataclass

BLOCK_BYTES = 1 << 18
MAX_LINE_BYTES = 20_000
_LAST_ERRORS = 50
# Pages have non-breaking spaces between words.
_BLANK = "\u00a0".encode()

# Each line of the tool, of its runtime or of a shell about its end contains one of these words, in lower case.
_OWN = (
    "starting!", "graph: ", "loaded model", "loading model", "num runs: ", "log parameter", "initialized session",
    "running benchmark", "tensorflow", "benchmarking failed", "benchmark_", "benchmark results", "count=",
    "unconsumed cmdline", "timings in us", "(microseconds)", "(bytes):", "model initialization", "warmup (",
    "inference (", "no inference runs", "footprint", "peak memory", "litert", "tflite", "delegat", "on the gpu, and",
    "profiling info", "run order", "top by ", "summary by", "summary of all", "nodes executed", "nodes observed", "node type",
    "primary graph", "subgraph", "failed to prepare", "failed to invoke", "run failed", "node number",
    "op for builtin", "custom op", "op builtin_code", "flatbuffer", "model identifier", "schema version",
    "allocation is null", "mmap of", "no selector", "accelerator", "opencl",
    "segmentation fault", "bus error", "illegal instruction", "floating point exc", "fatal signal", "(sig",
    "by signal", "terminate called", "terminating ", "fortify: ", "check failed", "sanitizer", "stack fault",
    "breakpoint trap", "not executable", "cannot link", "glibc_", "shared libraries", "format error",
    "cannot execute", "inaccessible", "e_machine", "position independent", ") instead", "killed", "aborted", "lmkd",
    "memorykiller", "zsh: ", "tf lite", "fully accelerated",
)  # fmt: skip
# Words of lines that look like an error. Foreign logs have many of them.
_LOOKS_BAD = (
    "error", "fail", "fatal", "unsupported", "not supported", "fall", "fell back", "not be executed", "could", "can't",
    "unable to", "cannot", "allowed", "not found", ".cc:",
)  # fmt: skip


# The most frequent letters of texts: a search for words that begin with them stops too often.
_COMMON_LETTERS = "etaoinsrhl "
# A row of a table: its share of the time, and the sum of the shares up to it.
_ROW = r"%(?:[\t ,]|\\t){1,40}[-+.0-9a-z]{1,16} ?%"


def _rare_end(word: str) -> str:
    """The end of `word` from its first letter that is not common; empty if that is too short."""
    start = next((at for at, letter in enumerate(word) if letter not in _COMMON_LETTERS), len(word))
    end = word[start:]
    return end if len(end) >= 3 or end.endswith(("!", "=", ":")) else ""


def _any_of(words: Iterable[str]) -> str:
    """A pattern for any of the words, in which each letter is compared once."""
    by_first: dict[str, set[str]] = {}
    for word in words:
        by_first.setdefault(word[:1], set()).add(word[1:])
    if "" in by_first:
        return ""
    parts = [re.escape(first) + _any_of(sorted(ends)) for first, ends in sorted(by_first.items())]
    return parts[0] if len(parts) == 1 else f"(?:{'|'.join(parts)})"


_NOT_EMPTY = re.compile(rb"[^\n]")
_HARD = re.compile(f"{_any_of(_OWN)}|{_ROW}".encode())
_SOFT = re.compile(_any_of(_LOOKS_BAD).encode())


class _Words:
    """Patterns for finding the next of some words."""

    def __init__(self, words: Iterable[str]) -> None:
        ends = {word: _rare_end(word) for word in words}
        self.pattern = re.compile(f"{_any_of(end for end in ends.values() if end)}|{_ROW}".encode())
        self.whole = tuple(word.encode() for word, end in ends.items() if not end)


_OWN_WORDS, _ALL_WORDS = _Words(_OWN), _Words((*_OWN, *_LOOKS_BAD))


class Listening(Protocol):
    """Which lines the caller needs at the moment."""

    @property
    def wants_errors(self) -> bool:
        """Whether all lines that only look like an error are needed; else only the last before a line of the tool."""
        ...

    @property
    def wants_all(self) -> bool:
        """Whether every line is needed: in a list of names that contain no known word."""
        ...


@dataclass(frozen=True, slots=True)
class RawLine:
    """A line that may be the tool's.

    Attributes:
        data: its bytes, without the line's end.
        cut: the text ends, or the line was shortened, in the middle of it.
        soft: it contains only words that are frequent in foreign logs.
    """

    data: bytes
    cut: bool = False
    soft: bool = False


def candidates(blocks: Iterable[bytes], listening: Listening) -> Iterator[RawLine]:
    """The lines of `blocks` that may be the tool's. Lines end with LF, CR or both; longer ones are cut."""
    scanner = _LineScanner(listening)
    carry, skipping = b"", False
    for block in blocks:
        block = block.replace(b"\r", b"\n").replace(_BLANK, b" ")
        if skipping:
            end = block.find(b"\n")
            if end < 0:
                continue
            block, skipping = block[end + 1 :], False
        data = carry + block
        end = data.rfind(b"\n") + 1
        yield from scanner.lines(data, end)
        carry = data[end:]
        if len(carry) > MAX_LINE_BYTES:
            yield from scanner.lines(carry[:MAX_LINE_BYTES], MAX_LINE_BYTES)
            carry, skipping = b"", True
    yield from scanner.lines(carry, len(carry))
    yield from scanner.waiting


class _LineScanner:
    """Finds the lines of one text; `waiting` are the last ones that look like an error and were not wanted."""

    def __init__(self, listening: Listening) -> None:
        self.listening = listening
        self.waiting: deque[RawLine] = deque(maxlen=_LAST_ERRORS)

    def lines(self, data: bytes, end: int) -> Iterator[RawLine]:
        """The lines in `data[:end]`, which are complete lines or one that is cut."""
        listening, words, at = self.listening, data.lower(), 0
        nearest = _Nearest(words, end)
        while at < end:
            if listening.wants_all:
                begins = _NOT_EMPTY.search(data, at, end)
                found = begins.start() if begins is not None else end
            else:
                found = nearest.after(at, _ALL_WORDS if listening.wants_errors else _OWN_WORDS)
            if not listening.wants_errors:
                self._look_back(data, words, at, found)
            if found >= end:
                return
            start = max(data.rfind(b"\n", at, found) + 1, at)
            stop = data.find(b"\n", found, end)
            cut = stop < 0
            stop = end if cut else stop
            at = stop + 1
            hard = listening.wants_all or _HARD.search(words, start, stop) is not None
            if not hard and _SOFT.search(words, start, stop) is None:
                continue
            if stop > start:
                line = _raw(data, start, stop, cut=cut, soft=not hard)
                if hard or listening.wants_errors:
                    yield from self.waiting
                    self.waiting.clear()
                    yield line
                else:
                    self.waiting.append(line)

    def _look_back(self, data: bytes, words: bytes, begin: int, end: int) -> None:
        """Keep the last lines in `data[begin:end]` that look like an error; the last one there may be another's start."""
        found: list[RawLine] = []
        stop = data.rfind(b"\n", begin, end)
        for _ in range(_LAST_ERRORS):
            if stop < begin:
                break
            start = max(data.rfind(b"\n", begin, stop) + 1, begin)
            if _SOFT.search(words, start, stop) is not None:
                found.append(_raw(data, start, stop, cut=False, soft=True))
            stop = start - 1
        self.waiting.extend(reversed(found))


def _raw(data: bytes, start: int, stop: int, *, cut: bool, soft: bool) -> RawLine:
    if stop - start > MAX_LINE_BYTES:
        stop, cut = start + MAX_LINE_BYTES, True
    return RawLine(data[start:stop], cut, soft)


class _Nearest:
    """Finds the next of several words from a position on. Positions must ascend from call to call."""

    def __init__(self, text: bytes, end: int) -> None:
        self._text, self._end = text, end
        self._words: _Words | None = None
        self._places: list[int] = []

    def after(self, at: int, words: _Words) -> int:
        """The first position of one of the words at or after `at`; the end of the text if there is none."""
        if words is not self._words:
            self._words, self._places = words, [-1] * (len(words.whole) + 1)
        places = self._places
        for number, place in enumerate(places):
            if place >= at:
                continue
            if number < len(words.whole):
                found = self._text.find(words.whole[number], at, self._end)
                places[number] = found if found >= 0 else self._end
            else:
                match = words.pattern.search(self._text, at, self._end)
                places[number] = match.start() if match is not None else self._end
        return min(places)
