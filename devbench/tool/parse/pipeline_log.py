"""The log of a pipeline's session on a device as data: times and output of each stage, memory over time.

Written by `devbench/bench/pipeline_session.py`. Never raises, whatever the text is and wherever it ends: missing
values are `None`. Knows no device and no plan.
"""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from devbench import numbers

_MAX_STAGES = 64
_MAX_SAMPLES = 200_000
# The longest text of all stages together, and the longest line.
_MAX_TEXT = 16 << 20
_MAX_LINE = 20_000
_MARKS = ("start", "ready", "go", "warm", "done", "drop", "gone")
_TIME = re.compile(r"[0-9]{1,12}\.[0-9]{1,9}")
# No device has a petabyte.
_MAX_KB = 1 << 40


@dataclass(frozen=True, slots=True)
class StageLog:
    """One stage of a session. Times are seconds since the clock started, negative before it; `None` if not reached.

    Attributes:
        start_s: its process was started.
        ready_s: loaded and initialised; a held stage was stopped here.
        go_s: a held stage continued.
        warm_s: the end of the tool's first phase, where it has two.
        done_s: its last inference ended.
        drop_s, gone_s: the session ended it; it had ended.
        pauses: between images: when it was held, and when it continued.
        exit_code: the exit code of its process; 137 if the session ended it.
        text: the tool's output, both streams.
    """

    number: int
    start_s: float | None = None
    ready_s: float | None = None
    go_s: float | None = None
    warm_s: float | None = None
    done_s: float | None = None
    drop_s: float | None = None
    gone_s: float | None = None
    pauses: tuple[tuple[float, float], ...] = ()
    exit_code: int | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class MemorySample:
    """Memory of the live stages at one time, in kB by stage; `pss_kb` has only those whose PSS could be read."""

    t_s: float
    pss_kb: Mapping[int, int]
    rss_kb: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class SessionLog:
    """A session. `lost` has stage and mark if a stage ended before a mark that the session waited for."""

    stages: tuple[StageLog, ...] = ()
    samples: tuple[MemorySample, ...] = ()
    hwm_kb: Mapping[int, int] = field(default_factory=dict)
    began: bool = False
    ended: bool = False
    lost: tuple[int, str] | None = None

    def stage(self, number: int) -> StageLog:
        """A stage by its number; without times if it never began."""
        return next((stage for stage in self.stages if stage.number == number), StageLog(number))


def lines_of_session(stream: BinaryIO | gzip.GzipFile) -> Iterator[str]:
    """The lines of a log, in bounded memory: a line that is too long is split."""
    while line := stream.readline(_MAX_LINE):
        yield line.rstrip(b"\n").decode("utf-8", "replace")


def parse_session(lines: Iterable[str], word: str = "") -> SessionLog:
    """The session in a log.

    Args:
        lines: the log, cut anywhere.
        word: the random word that begins each line; by default that of the first line.
    """
    # The times become relative after all of them are known.
    marks: dict[int, dict[str, float]] = {}
    exits: dict[int, int] = {}
    pauses: dict[int, list[list[float]]] = {}
    texts: dict[int, io.StringIO] = {}
    size = 0
    samples: list[tuple[float, str]] = []
    begin: float | None = None
    first: float | None = None
    ended, lost = False, None
    for line in lines:
        head, _, rest = line.partition(" ")
        word = word or head[:64]
        if head != word:
            continue
        own, bar, said = rest.partition("|")
        if bar and _stage(own) is not None:
            size += len(said) + 1
            if size <= _MAX_TEXT:
                texts.setdefault(int(own), io.StringIO()).write(f"{said}\n")
            continue
        words = rest.split()
        if len(words) < 3 or not _TIME.fullmatch(words[0]):
            continue
        at, who, mark = float(words[0]), words[1], words[2]
        first = at if first is None else first
        if who == "-":
            begin = at if mark == "begin" and begin is None else begin
            ended |= mark == "end"
            if mark == "memory" and len(samples) < _MAX_SAMPLES:
                samples.append((at, " ".join(words[3:])))
        elif _stage(who) is not None:
            number = int(who)
            if mark == "lost" and len(words) > 3 and lost is None:
                lost = (number, words[3])
            elif mark == "hold" and len(pauses.setdefault(number, [])) < _MAX_STAGES:
                pauses[number].append([at])
            elif mark == "go" and pauses.get(number) and len(pauses[number][-1]) == 1:
                pauses[number][-1].append(at)
            elif mark in _MARKS:
                marks.setdefault(number, {}).setdefault(f"{mark}_s", at)
                code = numbers.whole(words[3]) if mark == "gone" and len(words) > 3 else None
                if code is not None:
                    exits.setdefault(number, min(code, 255))
    zero = begin if begin is not None else first or 0.0
    known = sorted({*marks, *texts})
    stages = tuple(
        StageLog(
            number=number,
            exit_code=exits.get(number),
            pauses=tuple((held - zero, ends[0] - zero) for held, *ends in pauses.get(number, ()) if ends),
            text=texts[number].getvalue() if number in texts else "",
            **{name: round(at - zero, 6) for name, at in marks.get(number, {}).items()},
        )
        for number in known
    )
    read, peaks = _samples(samples, zero)
    return SessionLog(stages, read, peaks, begin is not None, ended, lost)


def _stage(word: str) -> int | None:
    return numbers.whole(word, maximum=_MAX_STAGES - 1) if len(word) <= 2 else None


def _samples(found: list[tuple[float, str]], zero: float) -> tuple[tuple[MemorySample, ...], dict[int, int]]:
    """The samples ordered by time, and the high-water mark of each stage."""
    read: list[MemorySample] = []
    peaks: dict[int, int] = {}
    for at, text in sorted(found):
        pss: dict[int, int] = {}
        rss: dict[int, int] = {}
        for part in text.split():
            number, *values = part.split(":")
            if _stage(number) is None or len(values) != 3:
                continue
            for into, value in zip((pss, rss), values, strict=False):
                if (size := _kb(value)) is not None:
                    into[int(number)] = size
            peaks[int(number)] = max(peaks.get(int(number), 0), _kb(values[2]) or 0)
        read.append(MemorySample(round(at - zero, 6), pss, rss))
    return tuple(read), {number: size for number, size in peaks.items() if size}


def _kb(text: str) -> int | None:
    return numbers.whole(text, minimum=1, maximum=_MAX_KB)
