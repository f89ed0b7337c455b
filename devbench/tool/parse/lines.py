"""From raw text to the tool's own lines: without colours, carriage returns, logcat tags, timestamps and prompts.

Knows the shapes in which people keep logs and nothing of what the tool says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Stands at the end of a line that the text leaves open. No number pattern matches before it, since the rest of the
# number may be missing.
CUT = "\x00"

_MOST_LINE_CHARACTERS = 20_000
_ANSI = re.compile(r"(?:\x1b\[|\x9b)[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]{0,2000}(?:\x07|\x1b\\)|\x1b[@-Z\\-_]?|\ufeff")
# A file that was not written to its end is filled up with zeros; what stands before them is cut.
_ZEROS = re.compile("\x00+")
_RETURNS = re.compile(r"\r+\n?")
# Two streams into one terminal: the second starts on the line that the first has not ended.
_MERGED = re.compile(r"(?<=[^\s\[(\"'`>|$#])(?=(?:INFO|WARN|WARNING|ERROR|FATAL|VERBOSE): )")

_TIME = r"\d{1,2}:\d{2}:\d{2}(?:[.,]\d{1,9})?"
_DATE = r"(?:\d{4}[-/])?\d{1,2}[-/]\d{1,2}"
_PRIORITY = "[VDIWEFAS]"
_LEVELS = {"V": "VERBOSE", "D": "VERBOSE", "I": "INFO", "W": "WARN", "E": "ERROR", "F": "FATAL", "A": "FATAL"}
_WORDS = {"WARNING": "WARN", "DEBUG": "VERBOSE"}

# What may stand before a line's own text; each is taken off, in any order, several times over.
_PREFIXES = tuple(
    re.compile(pattern)
    for pattern in (
        # logcat -v threadtime, with or without a date, a zone, a user id; epoch and monotonic
        rf"(?:(?:{_DATE}[ T])?{_TIME}(?: [+-]\d{{4}})?|\d{{1,12}}\.\d{{3,9}})(?:\s+[\w.]{{1,32}})??\s+(?P<pid>\d+)\s+\d+ "
        rf"(?P<level>{_PRIORITY}) (?P<tag>[^:\s][^:\n]{{0,80}}?)?\s*: ?",
        # logcat -v brief, tag, time
        rf"(?P<level>{_PRIORITY})/(?P<tag>[^(:\n]{{1,80}})(?:\(\s*(?P<pid>\d+)(?::\s*(?:0x)?[0-9a-f]+)?\))?: ?",
        # Android Studio, old and new
        rf"{_DATE} {_TIME} (?P<pid>\d+)-\d+/\S{{1,80}} (?P<level>{_PRIORITY})/(?P<tag>[^:\n]{{1,80}}): ?",
        rf"{_DATE} {_TIME} {{1,4}}(?P<pid>\d+)-\d+ {{1,4}}(?P<tag>\S{{1,80}}) {{1,40}}\S{{1,100}} {{1,40}}(?P<level>{_PRIORITY}) {{1,4}}",
        # GitHub's `gh run view --log`, compose, grep -n, syslog, Python's logging
        r"[^\t]{1,100}\t[^\t]{1,100}\t(?=\d{4}-\d\d-\d\dT)",
        r"[\w.-]{1,60} {1,40}\| ",
        r"[\w./-]{1,100}\.(?:log|txt|out):\d{1,9}:",
        r"\d{1,7}: (?=[A-Z])",
        rf"[A-Z][a-z]{{2}} +\d{{1,2}} {_TIME} [\w.-]{{1,60}} [\w./-]{{1,60}}(?:\[\d+\])?: ",
        rf"{_DATE} {_TIME} - (?P<level>INFO|WARNING|ERROR|DEBUG) - ",
        rf"{_DATE} {_TIME}[+-]\d{{4}} [\w.-]{{1,60}}\[\d+:\d+\] ",
        rf"\({_TIME}\) ",
        r"\[(?P<level>INFO|WARN|WARNING|ERROR|DEBUG)\] ",
        # logcat -v process and thread
        rf"(?P<level>{_PRIORITY})\(\s*\d+(?::\s*(?:0x)?[0-9a-f]+)?\) ",
        # glog and Abseil: I0730 12:00:00.123456 1234 benchmark_model.cc:77]
        rf"(?P<level>[IWEF])\d{{4}} {_TIME}\s+\d+ [^\]\s]{{1,200}}:\d+\] ?",
        # TensorFlow: 2019-05-01 10:11:12.123456: I tensorflow/lite/tools/benchmark/benchmark_model.cc:77]
        rf"{_DATE}[ T]{_TIME}: (?P<level>[IWEF]) [^\]\s]{{1,200}}:\d+\] ?",
        # LiteRT: [./litert/tools/benchmark_litert_model.h:88]
        r"\[[\w./+-]{1,200}:\d+\] ?",
        # timestamps of CI systems and of `ts`
        rf"\[?(?:{_DATE}[ T])?{_TIME}(?:Z|[+-]\d{{2}}:?\d{{2}})?\]?:?(?=\s) ",
        rf"\[?(?:[A-Z][a-z]{{2}} )?[A-Z][a-z]{{2}} +\d{{1,2}} {_TIME}(?: \d{{4}})?\]?:? ",
        r"\[\s*\d+\.\d{3,9}\] ",
        # a shell's prompt, with host or path, and quote marks of mails and issue trackers
        r"[\w.~-]{0,40}(?:@[\w.-]{1,40})?:[\w./~-]{0,120} ?[$#] ",
        r"[>|$#%`'\"] *",
        r"- (?=[A-Z])",
        r"adb: |stdout: |stderr: |stdout\| ",
        r"(?P<level>INFO|WARN|WARNING|ERROR|FATAL|VERBOSE|DEBUG): ?",
    )
)
_MOST_PREFIXES = 8
_PROCESS_SUFFIX = re.compile(r"(?<!\s)\s{2,20}\([\w.]{1,40}\)$")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the tool.

    Attributes:
        text: its own words; ends with `CUT` where the text stops in the middle of it.
        level: `INFO`, `WARN`, `ERROR`, `FATAL`, `VERBOSE`, or nothing where none was printed.
        named_level: the level stood in the tool's own words, not only in a log system's tag.
        whole: the line was ended.
        tag, pid: whose line it is in a logcat, as far as it says that.
    """

    text: str
    level: str = ""
    named_level: bool = False
    whole: bool = True
    tag: str = ""
    pid: str = ""

    @property
    def words(self) -> str:
        """The text for a person."""
        return self.text.removesuffix(CUT).strip()


def split_lines(text: str) -> Iterator[Line]:
    """The lines of `text`, cleaned; empty ones are left out."""
    for part in _ZEROS.split(_RETURNS.sub("\n", _ANSI.sub("", text))):
        *whole, last = part.split("\n")
        for raw in whole:
            yield from _cleaned(raw, cut=False)
        if last:
            yield from _cleaned(last, cut=True)


def _cleaned(raw: str, *, cut: bool) -> Iterator[Line]:
    if len(raw) > _MOST_LINE_CHARACTERS:
        raw, cut = raw[:_MOST_LINE_CHARACTERS], True
    pieces = _MERGED.split(raw)
    for position, piece in enumerate(pieces):
        # A piece that was interrupted by another stream's line has lost its end as well.
        open_end = cut if position == len(pieces) - 1 else True
        line = _without_prefix(piece, open_end)
        if line is not None:
            yield line


def _without_prefix(text: str, cut: bool) -> Line | None:
    level, named, tag, pid = "", False, "", ""
    for _ in range(_MOST_PREFIXES):
        stripped = text.lstrip(" ")
        found = next((match for match in (p.match(stripped) for p in _PREFIXES) if match), None)
        if found is None:
            break
        groups = found.groupdict()
        tag, pid = (groups.get("tag") or tag).strip(), groups.get("pid") or pid
        word = groups.get("level") or ""
        if word:
            level = _LEVELS.get(word) or _WORDS.get(word, word)
            named = len(word) > 1
        text = stripped[found.end() :]
    text = _PROCESS_SUFFIX.sub("", text.rstrip(" ")) if not cut else text
    if not text.strip():
        return None
    return Line(text + CUT if cut else text, level, named, not cut, tag, pid)
