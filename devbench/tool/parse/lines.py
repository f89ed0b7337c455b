"""From raw text to the tool's own lines: without colours, carriage returns, logcat tags, timestamps and prompts.

Knows the forms in which people store logs, and nothing of the lines' meaning.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from devbench.frozen import dataclass
from devbench.tool.parse.source import RawLine

# The end of a line without a line end. No number pattern matches before it, since the rest of the number may be
# missing.
CUT = "\x00"

_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-9;?]*[ -/]*[@-~]|\x1b[\]_][^\x07\x1b]{0,2000}(?:\x07|\x1b\\)|\x1b[@-Z\\-_]?|\ufeff"
)
_ANSI_BEGINS = re.compile("[\x1b\x9b\ufeff]")
# The end of a file that was not written completely may be zeros; the line before them is cut.
_ZEROS = re.compile("\x00+")
# Two streams in one terminal: the second starts on the line that the first has not ended.
_MERGED = re.compile(r"(?<=[^\s\[(\"'`>|$#])(?=(?:INFO|WARN|WARNING|ERROR|FATAL|VERBOSE): )")
_MERGED_WORDS = re.compile(r"INFO: |WARN: |WARNING: |ERROR: |FATAL: |VERBOSE: ")

_TIME = r"\d{1,2}:\d{2}:\d{2}(?:[.,]\d{1,9})?"
_DATE = r"(?:\d{4}[-/])?\d{1,2}[-/]\d{1,2}"
_PRIORITY = "[VDIWEFAS]"
_LEVELS = {"V": "VERBOSE", "D": "VERBOSE", "I": "INFO", "W": "WARN", "E": "ERROR", "F": "FATAL", "A": "FATAL"}
_WORDS = {
    "WARNING": "WARN",
    "DEBUG": "VERBOSE",
    "info": "INFO",
    "warning": "WARN",
    "error": "ERROR",
    "debug": "VERBOSE",
}

# Prefixes of a line's own text. They are removed in any order and repeatedly; each is tried only if the line begins with
# one of its characters.
_PREFIXES: tuple[tuple[str, str], ...] = (
    # Python's logging, pytest's and loguru's forms of it: INFO:root:, INFO bench:, INFO     | bench.run:main:31 -
    (
        "[IWED]",
        r"(?P<level>INFO|WARNING|ERROR|DEBUG)"
        r"(?::[\w.-]{1,60}:| {1,8}(?:\| )?[\w.-]{1,60}:(?:[\w.<>-]{1,60}:\d{1,6}(?: -)?)?) ?",
    ),
    ("[IWEFVD]", r"(?P<level>INFO|WARN|WARNING|ERROR|FATAL|VERBOSE|DEBUG): ?"),
    # logcat -v threadtime, with or without a date, a zone, a user id; epoch and monotonic
    (
        r"\d",
        rf"(?:(?:{_DATE}[ T])?{_TIME}(?: [+-]\d{{4}})?|\d{{1,12}}\.\d{{3,9}})(?:\s+[\w.]{{1,32}})??\s+(?P<pid>\d+)\s+\d+ "
        rf"(?P<level>{_PRIORITY}) (?P<tag>[^:\s][^:\n]{{0,80}}?)?\s*: ?",
    ),
    # logcat -v brief, tag, time
    (
        _PRIORITY,
        rf"(?P<level>{_PRIORITY})/(?P<tag>[^(:\n]{{1,80}})(?:\(\s*(?P<pid>\d+)(?::\s*(?:0x)?[0-9a-f]+)?\))?: ?",
    ),
    # the same without its time, as people cut it
    (_PRIORITY, rf"(?P<level>{_PRIORITY}) (?P<tag>tflite\w*|litert|native) *: ?"),
    # Android Studio, old and new
    (r"\d", rf"{_DATE} {_TIME} (?P<pid>\d+)-\d+/\S{{1,80}} (?P<level>{_PRIORITY})/(?P<tag>[^:\n]{{1,80}}): ?"),
    (
        r"\d",
        rf"(?:{_DATE} )?{_TIME} {{1,4}}(?P<pid>\d+)-\d+ {{1,4}}(?P<tag>\S{{1,80}}) {{1,60}}(?:\S{{1,100}} {{1,60}})?"
        rf"(?P<level>{_PRIORITY}) {{1,4}}",
    ),
    # shortened forms: without process and thread, or only from the package's name on
    (r"\d", rf"{_DATE} {_TIME} (?P<level>{_PRIORITY}) (?P<tag>[^:\s][^:\n]{{0,80}}?)\s*: ?"),
    (r"[\w.]", rf"\w{{1,60}}(?:\.\w{{1,60}}){{1,8}} {{2,60}}(?P<level>{_PRIORITY})  "),
    # GitHub's `gh run view --log`, compose, grep -n, syslog, Python's logging
    (r"[^\t]", r"[^\t]{1,100}\t[^\t]{1,100}\t(?=\d{4}-\d\d-\d\dT)"),
    (r"[\w.-]", r"[\w.-]{1,60} {1,40}\| "),
    (r"[\w./-]", r"[\w./-]{1,100}\.(?:log|txt|out):(?:\d{1,9}:)?"),
    (r"\d", r"\d{1,7}(?:: ?(?=[A-Za-z=\t ])|\t)"),
    # numbers of lines; "2 nodes observed" and "29 operations will run on the GPU" have none
    (r"\d", r"\d{1,7} {1,2}(?=[A-Z=\t\[]|count=| {2})"),
    # containers' and runners' marks of a stream behind the time
    ("[s0-9]", r"(?:std(?:out|err) [FP]|\d\d[OE]\+?) "),
    ("[A-Z]", rf"[A-Z][a-z]{{2}} +\d{{1,2}} {_TIME} [\w.-]{{1,60}} [\w./-]{{1,60}}(?:\[\d+\])?: "),
    (r"\d", rf"{_DATE} {_TIME} - (?:[\w.-]{{1,60}} - )?(?P<level>INFO|WARNING|ERROR|DEBUG) - "),
    (r"\d", rf"{_DATE} {_TIME}(?:[+-]\d{{4}})? [\w.-]{{1,60}}\[\d+:\d+\] "),
    (r"\(", rf"\({_TIME}\) "),
    (r"\[", r"\[(?P<level>INFO|WARN|WARNING|ERROR|DEBUG)\] "),
    # logcat -v process and thread
    (_PRIORITY, rf"(?P<level>{_PRIORITY})\(\s*\d+(?::\s*(?:0x)?[0-9a-f]+)?\) "),
    # glog and Abseil: I0730 12:00:00.123456 1234 benchmark_model.cc:77], before its start I0000 00:00:1712345678.123456
    ("[IWEF]", rf"(?P<level>[IWEF])\d{{4}} (?:{_TIME}|\d\d:\d\d:\d{{1,12}}\.\d{{1,9}})\s+\d+ [^\]\s]{{1,200}}:\d+\] ?"),
    # TensorFlow: 2019-05-01 10:11:12.123456: I tensorflow/lite/tools/benchmark/benchmark_model.cc:77]
    (r"\d", rf"{_DATE}[ T]{_TIME}: (?P<level>[IWEF]) [^\]\s]{{1,200}}:\d+\] ?"),
    # LiteRT: [./litert/tools/benchmark_litert_model.h:88], on Windows with backslashes, perhaps with a drive
    (r"\[", r"\[(?:[A-Za-z]:)?[\w./\\+@~-]{1,200}(?::\d+|\(\d+\))\] ?"),
    # Qualcomm's device farm: [01/May/2024:05:54:09 +10:00: profiler/warning] [job_id: x] [m.tflite] [tflite]
    (
        r"\[",
        r"\[\d\d/[A-Z][a-z]{2}/\d{4}:[\d:]{8} [+-]\d\d:?\d\d: [\w.-]{1,40}/(?P<level>info|warning|error|debug)\] ",
    ),
    (r"\[", r"\[(?:job_id: \w{1,40}|tflite|litert|[\w.+-]{1,200}\.tflite)\] "),
    # timestamps of CI systems and of `ts`
    (r"[\[\d]", rf"\[?(?:{_DATE}[ T])?{_TIME}(?:Z|[+-]\d{{2}}:?\d{{2}})?\]?:?(?=\s) "),
    (r"[\[A-Z]", rf"\[?(?:[A-Z][a-z]{{2}} )?[A-Z][a-z]{{2}} +\d{{1,2}} {_TIME}(?: \d{{4}})?\]?:? "),
    (r"\[", r"\[\s*\d+\.\d{3,9}\] "),
    # a shell's prompt, with host or path, and quote marks of mails and issue trackers
    (r"[\w.~@:-]", r"[\w.~-]{0,40}(?:@[\w.-]{1,40})?:[\w./~-]{0,120} ?[$#] "),
    ("#", r"##\[\w{1,20}\]"),
    (r"[>|$#%`'\"]", r"[>|$#%`'\"][ \t]*"),
    # added lines of a difference, comments
    (r"[+/]", r"\+(?=[^\s+]|[\t ])|/{2,3} "),
    # marks of lists and of emphasis, as in Markdown
    (r"[-*+\d\u2022\u00b7]", r"(?:[-*+\u2022\u00b7][ \t]+|\d{1,3}[.)] +|\*\*)(?=\s*\S)"),
    ("[as]", r"adb: |stdout: |stderr: |stdout\| "),
)
_ALL = tuple(re.compile(pattern) for _, pattern in _PREFIXES)
_BY_FIRST = {
    first: tuple(compiled for compiled, (firsts, _) in zip(_ALL, _PREFIXES, strict=True) if re.fullmatch(firsts, first))
    for first in map(chr, range(128))
}
_MAX_PREFIXES = 8
# HTML and Markdown around a line or between two.
_TAG = re.compile(
    r"</?(?:a|b|br|center|code|details|div|em|font|h[1-6]|hr|i|kbd|li|ol|p|pre|samp|small|span|strong|sub|summary|sup|table"
    r"|tbody|td|th|thead|tr|tt|u|ul)(?:\s[^<>]{0,300})?/?>",
    re.IGNORECASE,
)
_CELLS = re.compile(r"</t[dh]>\s{0,20}(?=<t[dh]\b)", re.IGNORECASE)
# Output in a string of a program: one line with escaped line ends and tabs.
_INLINE = re.compile(
    r"(?<!\\)\\n(?:\\t|INFO: |count=|Graph: |Loaded model|Inference timings|Running benchmark|Number of|=====)"
)
_INLINE_END = re.compile(r"(?<!\\)\\n")
_LIST, _LIST_ITEM = re.compile(r"\s*\['"), re.compile(r"', '|'\]\s*$")
_MIN_TABS = 5
_LINE_TAG = re.compile(r"<(?:br|/p|/li|/div|/pre|/tr|/h[1-6]|hr)\b[^<>]{0,300}>", re.IGNORECASE)
_TRAILING = re.compile(r"(?:`+|\*\*|\\(?:r\\)?n\"?,?|\\|\",|(?<=\s)\|)$")
# The keys for a line in JSON from containers and log collectors.
_JSON_KEYS = ("log", "message", "msg", "textPayload")
_ESCAPED = re.compile(r"\\([\[\]_*`#~<>|()!.+-])")
# Output as Python prints bytes: one line.
_BYTES = re.compile(r"^\s*b(['\"])(?=.*\\n)")
_TRAILING_ENDS = ("`", "*", "n", '"', ",", "\\", "|")
_MAX_TRAILING = 6
_PROCESS_SUFFIX = re.compile(r"(?<!\s)\s{2,20}\([\w.]{1,40}\)$")


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the tool.

    Attributes:
        text: its own words; ends with `CUT` if the line was cut.
        level: `INFO`, `WARN`, `ERROR`, `FATAL`, `VERBOSE`, or empty if none was printed.
        named_level: the tool itself printed the level; it is not only a log system's.
        whole: the line has a line end.
        tag, pid: those of a logcat's line, if known.
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


def lines_of(raw: RawLine) -> Iterator[LogLine]:
    """The cleaned lines in one raw line, which may be several in pages and merged streams; without empty lines."""
    text = raw.data.decode("utf-8", "replace")
    if _ANSI_BEGINS.search(text):
        text = _ANSI.sub("", text)
    parts = _ZEROS.split(text) if "\x00" in text else [text]
    for number, part in enumerate(parts, 1):
        cut = raw.cut or number < len(parts)
        pieces = _pieces(part)
        for position, piece in enumerate(pieces, 1):
            yield from _cleaned(piece, cut=cut and position == len(pieces))


def _pieces(text: str) -> list[str]:
    """The lines that a page, a program or a log collector joined."""
    if text.startswith('{"'):
        text = _from_json(text)
        if "\n" in text:
            return text.split("\n")
    if _BYTES.match(text):
        return _BYTES.sub("", text).replace("\\r", "").split("\\n")
    if "\\" in text:
        if _INLINE.search(text):
            return [piece.replace("\\t", "\t").replace("\\r", "") for piece in _INLINE_END.split(text)]
        if "%" in text and text.count("\\t") >= _MIN_TABS:
            text = text.replace("\\t", "\t")
    if "', '" in text and _LIST.match(text):
        return _LIST_ITEM.split(text)
    if "<" not in text and "&" not in text:
        return [text]
    pieces = [_TAG.sub("", piece) for piece in _LINE_TAG.split(_CELLS.sub("\t", text))]
    if "&" not in text:
        return pieces
    # Imported here, since logs in HTML are rare and the table of characters is large.
    from html import unescape

    return list(map(unescape, pieces))


def _from_json(text: str) -> str:
    """The message in a log collector's JSON object; other text unchanged."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    said = next((found[key] for key in _JSON_KEYS if isinstance(found.get(key), str)), text)
    return str(said)


def _cleaned(raw: str, *, cut: bool) -> Iterator[LogLine]:
    if "\\[" in raw:
        raw = _ESCAPED.sub(r"\1", raw)
    pieces = _MERGED.split(raw) if _MERGED_WORDS.search(raw, 1) else [raw]
    for position, piece in enumerate(pieces):
        # If a line of the other stream interrupted a line, its end is lost, too.
        open_end = cut if position == len(pieces) - 1 else True
        line = _without_prefix(piece, open_end)
        if line is not None:
            yield line


def _without_prefix(text: str, cut: bool) -> LogLine | None:
    level, named, tag, pid = "", False, "", ""
    quoted = text.lstrip().startswith('"')
    for _ in range(_MAX_PREFIXES):
        stripped = text.lstrip(" \t")
        found = next((match for p in _BY_FIRST.get(stripped[:1], _ALL) if (match := p.match(stripped))), None)
        if found is None:
            break
        groups = found.groupdict()
        tag, pid = (groups.get("tag") or tag).strip(), groups.get("pid") or pid
        word = groups.get("level") or ""
        if word:
            level = _LEVELS.get(word) or _WORDS.get(word, word)
            named = len(word) > 1
        text = stripped[found.end() :]
    if not cut:
        text = _without_rest(text)
        if quoted and text.endswith('"'):
            text = text[:-1]
    if not text.strip():
        return None
    return LogLine(text + CUT if cut else text, level, named, not cut, tag, pid)


def _without_rest(text: str) -> str:
    """`text` without the marks of pages, quotes and log systems at the end of a line."""
    text = text.rstrip(" ")
    for _ in range(_MAX_TRAILING if text[-1:] in _TRAILING_ENDS else 0):
        shorter = _TRAILING.sub("", text).rstrip(" ")
        if shorter == text:
            break
        text = shorter
    return _PROCESS_SUFFIX.sub("", text)
