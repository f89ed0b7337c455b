"""A whole text of the tool as one measurement; text with several runs of the tool gives the last complete one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from devbench.tool.measurement import Failure, FailureKind, Measurement, Status
from devbench.tool.parse import problems
from devbench.tool.parse.delegation import Delegation
from devbench.tool.parse.lines import Line, split_lines
from devbench.tool.parse.profile import ProfileReader
from devbench.tool.parse.summary import Summary

_START = re.compile(r"^STARTING!")
# What stands at the head of a run where its first line is lost.
_HEAD = re.compile(r"^(?:Log parameter values verbosely: \[|Min num runs: \[|Num runs: \[|Graph: \[|Loaded model )")
_UNCONSUMED = re.compile(r"Unconsumed cmdline flags: (.*)$")
# Stands between the streams or files that somebody put into one text.
_DIVIDER = re.compile(r"^==> .* <==$")
_FLAG_HELP = re.compile(r"^\s*--[\w-]+=.*\t")
_MOST_WARNINGS = 200
_MOST_MESSAGE = 1000


def parse_text(text: str) -> Measurement:
    """What `text` says, of whatever age and in whatever state; never raises.

    Text that was cut in the middle gives `incomplete` and only the values that stand in it whole.
    """
    runs = [_Run()]
    for line in split_lines(text):
        if _is_new(runs[-1], line):
            runs.append(_Run())
        runs[-1].take(line)
    if len(runs) > 1 and runs[0].empty:
        del runs[0]
    measurements = [run.measurement() for run in runs]
    if len(runs) == 1:
        return measurements[0]
    chosen = next((m for m in reversed(measurements) if m.status != "incomplete"), measurements[-1])
    number = next(n for n, m in enumerate(measurements, 1) if m is chosen)
    note = f"{len(runs)} runs of the tool in one text: this is number {number}, the last complete one"
    return replace(chosen, warnings=(note, *chosen.warnings))


def _is_new(run: _Run, line: Line) -> bool:
    """Whether a line begins another run: its first words after something was said, or a head line for the second time."""
    text = line.text.lstrip()
    if _START.match(text):
        return run.started or run.told or bool(run.summary.stats)
    if run.profile.is_another(line):
        return True
    head = _HEAD.match(text)
    if head is None:
        return False
    before = run.heads.get(head.group(0))
    # The same line twice in a row is one run whose output was kept twice, on a terminal and in a log.
    return run.told or (before is not None and (before != text or bool(run.summary.stats)))


@dataclass(slots=True)
class _Run:
    """One run of the tool within a text."""

    summary: Summary = field(default_factory=Summary)
    delegation: Delegation = field(default_factory=Delegation)
    profile: ProfileReader = field(default_factory=ProfileReader)
    unknown_flags: list[str] = field(default_factory=list)
    heads: dict[str, str] = field(default_factory=dict)
    pid: str = ""
    started: bool = False
    empty: bool = True
    over: bool = False
    dead: Failure | None = None
    said: Failure | None = None
    last_error: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def told(self) -> bool:
        """Whether the text says already how this run went."""
        return self.summary.finished or self.over or self.dead is not None

    def take(self, line: Line) -> None:
        text = line.text.lstrip()
        if _START.match(text):
            self.started, self.empty, self.summary.has_head = True, False, True
            self.pid = line.pid
            return
        if (_FLAG_HELP.match(line.text) and not line.level) or _DIVIDER.match(text):
            return
        if head := _HEAD.match(text):
            self.heads[head.group(0)] = text
        if self.profile.take(line) or self.delegation.take(line) or self._summary(line):
            self.empty = False
            self.pid = self.pid or line.pid
        elif match := _UNCONSUMED.search(line.text):
            self.unknown_flags += _flags(match.group(1), whole=line.whole)
            self.empty = False
        elif not problems.is_foreign(line, self.pid):
            self._problem(line)

    def _summary(self, line: Line) -> bool:
        before = len(self.summary.stats), self.summary.finished
        taken = self.summary.take(line)
        if (len(self.summary.stats), self.summary.finished) != before:
            self._goes_on()
        return taken

    def _goes_on(self) -> None:
        """The run said something after what looked like its end: that was none, or another process's."""
        for failure in (self.said, self.dead):
            if failure is not None and failure.message not in self.warnings:
                self.warnings.append(failure.message)
        self.said = self.dead = None

    def _problem(self, line: Line) -> None:
        if problems.is_over(line):
            self.over, self.empty = True, False
            return
        message = line.words[:_MOST_MESSAGE]
        kind = problems.deadly(line)
        if kind is FailureKind.BINARY_NOT_FOR_DEVICE and self.summary.finished:
            kind = None  # a later command's, since this one has run
        if kind is not None:
            self.empty = False
            self.dead = self.dead or Failure(kind, message)
            return
        kind = problems.stable(line)
        if kind is not None:
            self.empty = False
            # What the tool names first is the cause; what follows are its consequences.
            self.said = self.said or Failure(kind, message)
        if line.level in ("ERROR", "FATAL"):
            # The help text after a flag that could not be read is no cause.
            self.last_error = self.last_error if message.startswith("usage:") else message
            if line.level == "FATAL" and self.dead is None:
                self.dead = Failure(FailureKind.CRASH, message)
        if problems.looks_bad(line) and len(self.warnings) < _MOST_WARNINGS:
            self.warnings.append(message)

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
            inference_avg_us=said.values.get("inference_avg_us"),
            warmup=said.warmup,
            runs=said.runs,
            memory=said.memory,
            delegates=self.delegation.delegates,
            unsupported_ops=self.delegation.unsupported,
            unknown_flags=tuple(self.unknown_flags),
            profile_init=self.profile.init,
            profile_runs=self.profile.runs,
            warnings=tuple(self.warnings) if status != "failed" else (),
        )

    def _outcome(self) -> tuple[Status, Failure | None]:
        if self.dead is not None:
            return "failed", self.dead
        if self.over:
            message = self.last_error or "Benchmarking failed."
            return "failed", self.said or Failure(FailureKind.TOOL_ERROR, message)
        if self.summary.finished:
            return "ok", None
        if self.said is not None:
            return "failed", self.said
        # A file that holds only a profile has no outcome of its own; the tool writes it when the runs are done.
        only_profile = self.profile.ended and not self.started and not self.summary.has_head
        return ("ok", None) if only_profile else ("incomplete", None)


def _flags(text: str, *, whole: bool) -> list[str]:
    """The flags of a line; a value may hold spaces. The last flag of a line that was cut may have lost its end."""
    flags: list[str] = []
    for word in text.removesuffix("\x00").split():
        if word.startswith("--") or not flags:
            flags.append(word)
        else:
            flags[-1] += f" {word}"
    return flags if whole else flags[:-1]
