"""A whole text of the tool as one measurement; text with several runs of the tool gives the last complete one.

Reads blocks of bytes in bounded memory: of many runs only the last complete one and the current one are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from devbench.tool.measurement import Failure, FailureKind, Measurement, Status
from devbench.tool.parse import problems
from devbench.tool.parse.delegation import DelegateReader
from devbench.tool.parse.lines import LogLine, lines_of
from devbench.tool.parse.profile import ProfileReader
from devbench.tool.parse.source import BLOCK_BYTES, candidates
from devbench.tool.parse.summary import Summary

# A terminal's command may be in front of it, without a line end.
_START = re.compile(r"^STARTING!|\SSTARTING!\s*\x00?$")
# The first lines of a run, if "STARTING!" is lost.
_HEAD = re.compile(r"^(?:Log parameter values verbosely: \[|Min num runs: \[|Num runs: \[|Graph: \[|Loaded model )")
_RUNNING = re.compile(r"^(?:Running benchmark for|Initialized session in)")
# After the end of a run, these lines belong to another run, whose head may be lost.
_GOES_ON = re.compile(
    r"^(?:Explicitly applied |The input model file size|Initialized session in|Running benchmark for)"
)
_UNCONSUMED = re.compile(r"Unconsumed cmdline flags: (.*)$")
# A separator between streams or files in one text.
_DIVIDER = re.compile(r"^==> .* <==$")
_FLAG_HELP = re.compile(r"^\s*--[\w-]+=.*\t")
_MAX_WARNINGS = 200
_MAX_MESSAGE = 1000
_MAX_FLAGS = 200
# The limit for lines that only look like an error without any line of the tool between them; foreign logs have more.
_MAX_SOFT = 1000


def parse_text(text: str) -> Measurement:
    """The measurement in a text of any version and in any state; never raises.

    A text that was cut gives `incomplete` and only the values that are complete.
    """
    pieces = (text[at : at + BLOCK_BYTES] for at in range(0, len(text), BLOCK_BYTES))
    return parse_blocks(piece.encode("utf-8", "replace") for piece in pieces)


def parse_blocks(blocks: Iterable[bytes]) -> Measurement:
    """Like `parse_text`, for UTF-8 text in blocks of any size, in bounded memory."""
    reader = _LogReader()
    for raw in candidates(blocks, reader):
        reader.soft += raw.soft
        any_line = False
        for line in lines_of(raw):
            any_line = True
            reader.take(line)
        if not any_line:
            reader.run.delegation.other()
    return reader.measurement()


@dataclass(slots=True)
class _LogReader:
    """Takes the lines of a text one by one; keeps the current run of the tool and the last complete one."""

    run: _Run = field(default_factory=lambda: _Run())
    complete: tuple[int, Measurement] | None = None
    number: int = 0
    soft: int = 0

    @property
    def wants_errors(self) -> bool:
        return self.soft < _MAX_SOFT

    @property
    def wants_all(self) -> bool:
        return self.run.delegation.in_list or self.run.summary.open_lines > 0

    def take(self, line: LogLine) -> None:
        if _is_new(self.run, line):
            self._close()
            self.run = _Run()
        if self.run.take(line):
            self.soft = 0

    def _close(self) -> None:
        if self.run.empty and self.number == 0:
            return
        self.number += 1
        measured = self.run.measurement()
        if measured.status != "incomplete":
            self.complete = (self.number, measured)

    def measurement(self) -> Measurement:
        """The last complete run, else the last one."""
        last = self.run.measurement()
        if self.number == 0:
            return last
        self.number += 1
        chosen, number = last, self.number
        if last.status == "incomplete" and self.complete is not None:
            number, chosen = self.complete
        note = f"{self.number} runs of the tool in one text: this is number {number}, the last complete one"
        return replace(chosen, warnings=(note, *chosen.warnings))


def _is_new(run: _Run, line: LogLine) -> bool:
    """Whether a line begins another run: a first line after others, a head line for the second time, or a second summary
    with other values, if a text contains summaries only."""
    text = line.text.lstrip()
    if "STARTING!" in text and _START.search(text):
        return run.started or run.has_outcome or run.summary.counted > 0
    if run.profile.is_another(line) or run.summary.is_another(text):
        return True
    if (run.summary.finished or run.over) and _GOES_ON.match(text):
        return True
    head = _HEAD.match(text)
    if head is None:
        return False
    before = run.heads.get(head.group(0))
    # The same line twice is one run whose output was stored twice, from a terminal and from a log.
    return run.has_outcome or (before is not None and (before != text or run.summary.counted > 0))


@dataclass(slots=True)
class _Run:
    """One run of the tool within a text."""

    summary: Summary = field(default_factory=Summary)
    delegation: DelegateReader = field(default_factory=DelegateReader)
    profile: ProfileReader = field(default_factory=ProfileReader)
    unknown_flags: list[str] = field(default_factory=list)
    heads: dict[str, str] = field(default_factory=dict)
    pid: str = ""
    started: bool = False
    running: bool = False
    empty: bool = True
    over: bool = False
    dead: Failure | None = None
    said: Failure | None = None
    broken: Failure | None = None
    unprepared: Failure | None = None
    causes: problems.Causes = field(default_factory=problems.Causes)
    warnings: list[str] = field(default_factory=list)

    @property
    def has_outcome(self) -> bool:
        """Whether the outcome of this run is known."""
        return self.summary.finished or self.over or self.dead is not None

    def take(self, line: LogLine) -> bool:
        """Read a line; whether it was the tool's or showed how the tool ended."""
        text = line.text.lstrip()
        if "STARTING!" in text and _START.search(text):
            self.started, self.empty, self.summary.has_head = True, False, True
            self.pid = line.pid
            return True
        if (text.startswith("--") and _FLAG_HELP.match(text) and not line.level) or _DIVIDER.match(text):
            return False
        if head := _HEAD.match(text):
            self.heads[head.group(0)] = text
        self.running = self.running or _RUNNING.match(text) is not None
        if self.profile.take(line) or self.delegation.take(line) or self._summary(line):
            self.empty = False
            self.pid = self.pid or line.pid
            return True
        if "Unconsumed" in text and (match := _UNCONSUMED.search(line.text)):
            room = max(0, _MAX_FLAGS - len(self.unknown_flags))
            self.unknown_flags += _flags(match.group(1), whole=line.whole)[:room]
            self.empty = False
            return True
        return not problems.is_foreign(line, self.pid) and self._problem(line)

    def _summary(self, line: LogLine) -> bool:
        before = self.summary.counted, self.summary.finished
        taken = self.summary.take(line)
        if (self.summary.counted, self.summary.finished) != before:
            self.running = True
            self._goes_on()
        return taken

    def _goes_on(self) -> None:
        """The run continues after a line that looked like its end, which becomes a warning.

        An operator that could not be prepared or invoked while the model ran stays a failure: tools before 2.4 ignore
        it and print the time until it failed.
        """
        for failure in (self.said, self.dead, self.unprepared):
            if failure is not None and failure.message not in self.warnings:
                self.warnings.append(failure.message)
        self.said = self.dead = self.unprepared = None

    def _problem(self, line: LogLine) -> bool:
        if problems.is_over(line):
            self.over, self.empty = True, False
            return True
        message = line.words[:_MAX_MESSAGE]
        kind = problems.kind_of_death(line)
        if kind is FailureKind.BINARY_NOT_FOR_DEVICE and self.summary.finished:
            kind = None  # of a later command, since this one has run
        if kind is not None:
            self.empty = False
            self.dead = self.dead or Failure(kind, message)
            return True
        kind = problems.kind_of_ending(line)
        if kind is not None:
            self.empty = False
            self._stopped(Failure(kind, message))
        if problems.is_restored(line):
            # A delegate could not be prepared, and the graph is restored.
            self.unprepared = None
            if self.broken is not None and self.broken.kind is FailureKind.FAILED_TO_PREPARE:
                self.broken = None
        bad = problems.looks_bad(line)
        if bad:
            self.causes.add(message, is_error=line.level in ("ERROR", "FATAL"))
        if line.level == "FATAL" and self.dead is None:
            self.dead = Failure(FailureKind.CRASH, message)
        if bad and len(self.warnings) < _MAX_WARNINGS:
            self.warnings.append(message)
        return kind is not None

    def _stopped(self, failure: Failure) -> None:
        """Keep the first failure of each kind, because later ones are consequences of it."""
        if failure.kind is FailureKind.FAILED_TO_INVOKE or (
            failure.kind is FailureKind.FAILED_TO_PREPARE and self.running
        ):
            self.broken = self.broken or failure
        elif failure.kind is FailureKind.FAILED_TO_PREPARE:
            self.unprepared = self.unprepared or failure
        elif self.broken is None:
            self.said = self.said or failure

    def measurement(self) -> Measurement:
        status, failure = self._outcome()
        said = self.summary
        return Measurement(
            status=status,
            failure=failure,
            tool=said.tool,
            graph=said.graph or said.loaded,
            init_us=said.values.get("init_us"),
            first_inference_us=said.values.get("first_inference_us"),
            warmup_avg_us=said.values.get("warmup_avg_us"),
            inference_avg_us=said.inference_avg_us,
            warmup=said.warmup,
            runs=said.runs,
            memory=said.memory,
            delegates=self.delegation.delegates,
            unsupported_ops=self.delegation.unsupported,
            unknown_flags=tuple(self.unknown_flags),
            profile_init=self.profile.init,
            profile_runs=self.profile.runs,
            warnings=(*said.notes, *self.warnings) if status != "failed" else (),
            recognised=not self.empty,
        )

    def _outcome(self) -> tuple[Status, Failure | None]:
        if self.dead is not None:
            return "failed", self.dead
        cause = self._cause()
        if self.over:
            return "failed", cause or Failure(FailureKind.TOOL_ERROR, self.causes.last or "Benchmarking failed.")
        if self.broken is not None:
            return "failed", self.broken
        if self.summary.impossible:
            return "failed", Failure(FailureKind.TOOL_ERROR, self.summary.impossible[:_MAX_MESSAGE])
        if self.summary.finished:
            return "ok", None
        if cause is not None:
            return "failed", cause
        # A file with nothing but a profile is a success: the tool writes it after the runs.
        only_profile = self.profile.ended and not self.started and not self.summary.has_head
        return ("ok", None) if only_profile else ("incomplete", None)

    def _cause(self) -> Failure | None:
        said = self.said
        if said is not None and said.kind is FailureKind.DELEGATE_NOT_APPLIED:
            return replace(said, message=self.causes.first or said.message)
        return said or self.broken or self.unprepared


def _flags(text: str, *, whole: bool) -> list[str]:
    """The flags in a line; values may contain spaces. The last flag of a line that was cut is left out."""
    flags: list[str] = []
    for word in text.removesuffix("\x00").split():
        if word.startswith("--") or not flags:
            flags.append(word)
        else:
            flags[-1] += f" {word}"
    return flags if whole else flags[:-1]
