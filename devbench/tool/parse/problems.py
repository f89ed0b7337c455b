"""Lines that show a failure, by kind, and lines that only look like one; knows no run and no exit code."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from devbench.tool.measurement import FailureKind
from devbench.tool.parse.lines import LogLine

_K = FailureKind

# What a shell prints before a process's end: its own name, the script's line, the job's number, the process id.
_SHELL = r"^(?:[\w./-]*sh: )?(?:[\w./ -]{1,80}: line \d+: +)?(?:line \d+: +)?(?:\[\d+\] {0,3}[+-]? *)?(?:\d+ +)?"
# Alone on its line, or with the command behind it.
_FATE_ENDS = r"(?:\s*\(core dumped\))?\s*(?:$|(?<=\s\s)\S|\./)"
_SIGNALS_OF_CRASH = r"Segmentation fault|Bus error|Aborted|Illegal instruction|Floating point exception|Trace/breakpoint trap|Stack fault"

# In the order in which they are tried. The first kinds end a process whatever else was printed.
_DEADLY: tuple[tuple[FailureKind, str], ...] = (
    (
        _K.KILLED,
        rf"{_SHELL}Killed{_FATE_ENDS}|^zsh: killed\b|^Command terminated by signal 9\b"
        r"|(?:lowmemorykiller|lmkd): Kill.{0,80}benchmark|Out of memory: Kill(?:ed)? process \d+ \(benchmark",
    ),
    (
        _K.CRASH,
        rf"{_SHELL}(?:{_SIGNALS_OF_CRASH}){_FATE_ENDS}|^zsh: (?:segmentation fault|bus error|abort|illegal hardware)"
        r"|^Command terminated by signal (?:4|5|6|7|8|11)\b|Fatal signal \d+|\bsignal \d+ \(SIG[A-Z]+\)|^terminate called"
        r"|^libc(?:\+\+)?abi: terminating|^FORTIFY: |\bCheck failed: |\bterminating (?:due to|with) uncaught exception"
        r"|\bAddressSanitizer: ",
    ),
    (
        _K.BINARY_NOT_FOR_DEVICE,
        r"not executable: |CANNOT LINK EXECUTABLE|version `?[A-Z]+_[\d.]+'? not found|GLIBC_[\d.]+.{0,20} not found"
        r"|error while loading shared libraries|[Ee]xec format error|cannot execute(?: binary file|: required file not found)"
        r"|inaccessible or not found|has unexpected e_machine|is for [A-Z_0-9]+ \(\d+\) instead of"
        r"|only position independent executables"
        r"|(?:^|[\s/])benchmark_\w{1,60}: (?:not found|No such file or directory|[Pp]ermission denied|can't execute)",
    ),
)
# These end a run wherever they are, unless a summary follows.
_STABLE: tuple[tuple[FailureKind, str], ...] = (
    (
        _K.NO_MODEL,
        r"^Could not open '.*'|specify the name of your TF Lite input file|^Unable to open model|[Ff]ailed to open (?:the )?model"
        r"|^Model file not found",
    ),
    (
        _K.INVALID_MODEL,
        r"not a valid Flatbuffer|[Mm]odel provided has model identifier|model allocation is null/empty|^Mmap of .* failed"
        r"|^Failed to (?:mmap|load) model|Model provided is schema version|kLiteRtStatusErrorInvalidFlatbuffer"
        r"|^Failed to build model",
    ),
    (
        _K.UNSUPPORTED_OPERATION,
        r"Didn't find op for builtin opcode|[Ee]ncountered unresolved custom op|Op builtin_code out of range"
        r"|Regular TensorFlow ops are not supported|Select TensorFlow op\(s\), included in the given model"
        r"|Unsupported (?:builtin|custom) op",
    ),
    (_K.FAILED_TO_PREPARE, r"\bNode (?:number )?[0-9]{1,9}(?: \(.{1,200}?\))? failed to prepare\b"),
    (
        _K.FAILED_TO_INVOKE,
        r"\bNode (?:number )?[0-9]{1,9}(?: \(.{1,200}?\))? failed to invoke\b|^Failed to (?:invoke|run)(?:!|\.|$| the (?:compiled )?model\b)"
        r"|^Run failed\b",
    ),
    (
        _K.DELEGATE_PARTLY_APPLIED,
        r"Disallowed CPU fallback detected|full delegation and CPU acceleration are incompatible|not fully (?:accelerated|delegated)|[Ff]ull delegation (?:is )?required",
    ),
    (
        _K.DELEGATE_NOT_APPLIED,
        # Not the default delegate: the tool continues without it.
        r"^Failed to apply (?!the default\b)(?:the )?(?:\S+ )?delegate|^Can't (?:create|load) .{0,60}delegate"
        r"|[Ff]ailed to (?:register|create) .{0,40}[Aa]ccelerator"
        r"|[Ff]ailed to create .{0,60}(?:delegate kernel|DelegateKernel)",
    ),
)
# The tags of the tool, its runtime and the system's crash reports in a logcat.
_TOOL_TAGS = frozenset({"tflite", "litert", "libc", "debug", "native", "crash_dump", "tflite_benchmarkmodelactivity"})
_RESTORED = re.compile(r"Restored (?:original|previous) execution plan")
# How specific a line is about why a delegate was not applied: 0 if it only shows that it was not.
_TELLING = tuple(
    (score, re.compile(pattern))
    for score, pattern in (
        (
            0,
            r"^Failed to (?:apply|allocate tensors|initialize the interpreter|compile model|create litert environment)|Restored (?:original|previous) execution plan"
            r"|failed to (?:prepare|invoke)\b|^Falling back to|^Benchmarking failed|operations are not supported by"
            r"|operations will run on|^Registration failed|will not be executed by|^usage:",
        ),
        (
            1,
            r"delegate is not initialized|OpenGL-based API disabled|kernel was not initialized|Failed to initialize Dispatch API: ERROR: \[",
        ),
        # With the operator: "TfLiteGpuDelegate Init: BATCH_MATMUL: Not supported batched mat mul case".
        (4, r"(?:^|(?:Init|Prepare|Invoke): )(?!ERROR|WARNING|INFO|FATAL)[A-Z][A-Z0-9_]{2,60}(?: \([^)]{1,60}\))?: \S"),
        (3, r"No selector for|\b[Uu]nsupported\b|[Nn]ot supported|\b(?:INVALID_ARGUMENT|UNIMPLEMENTED|INTERNAL): "),
    )
)
# A vendor's library prints errors without a level. NNAPI's error is in every run of the first tools.
_LIBRARY_ERROR = re.compile(r"^(?!nnapi error)\w{1,40} error: \S", re.IGNORECASE)
_OVER = re.compile(r"^Benchmarking failed")
_COMPILED = tuple((kind, re.compile(pattern)) for kind, pattern in _DEADLY)
_COMPILED_STABLE = tuple((kind, re.compile(pattern)) for kind, pattern in _STABLE)
_SUSPICIOUS = re.compile(
    r"\berror\b|\bfail(?:ed|ure|s)?\b|\bunsupported\b|not supported|\bfall(?:s|ing)?[ -]?back|fell back|not be executed"
    r"|Delegate\w* (?:Init|Prepare|Invoke): |\bcould ?n[o']t\b|\bunable to\b|\bcannot\b|\bdisallowed\b",
    re.IGNORECASE,
)


def kind_of_death(line: LogLine) -> FailureKind | None:
    """The kind of a line that shows that the process died or never started."""
    return _first(_COMPILED, line)


def kind_of_ending(line: LogLine) -> FailureKind | None:
    """The kind of a line with which the tool ends a run."""
    return _first(_COMPILED_STABLE, line)


def is_restored(line: LogLine) -> bool:
    """Whether the runtime removed a delegate that could not be prepared."""
    return _RESTORED.search(line.text) is not None


def specificity(message: str) -> int:
    """How specific a line is about a failure: 0 (only that there was one) to 4 (the operator and the reason)."""
    return next((score for score, pattern in _TELLING if pattern.search(message)), 2)


def names_reason(message: str) -> bool:
    """Whether a line gives a reason, not only that something failed."""
    return specificity(message) >= 3


def best_reason(messages: Iterable[str]) -> str:
    """The most specific line, the first of several; empty if all lines only show that something failed."""
    best = max(messages, key=specificity, default="")
    return best if specificity(best) else ""


@dataclass(slots=True)
class Causes:
    """The most specific of a run's lines that look like an error.

    Attributes:
        first: the most specific one, the first of several: why a delegate was not applied.
        last: the last error with a reason, else the last error: why the tool ended.
    """

    first: str = ""
    last: str = ""
    _best: int = 0

    def add(self, message: str, *, is_error: bool) -> None:
        score = specificity(message)
        is_error = is_error or _LIBRARY_ERROR.match(message) is not None
        if score > self._best and (is_error or names_reason(message)):
            self.first, self._best = message, score
        # The help text after an invalid flag is not a cause.
        if is_error and not message.startswith("usage:") and (score or not self.last or not specificity(self.last)):
            self.last = message


def is_foreign(line: LogLine, tool_pid: str) -> bool:
    """Whether a line of a logcat is another program's: by its process id if the tool's is known, else by its tag."""
    if line.pid and tool_pid:
        return line.pid != tool_pid
    return bool(line.tag) and line.tag.casefold() not in _TOOL_TAGS


def is_over(line: LogLine) -> bool:
    """Whether the tool reports in general that it failed."""
    return _OVER.match(line.text.strip()) is not None


def looks_bad(line: LogLine) -> bool:
    """Whether the line looks like an error."""
    return line.level in ("ERROR", "FATAL") or _SUSPICIOUS.search(line.text) is not None


def _first(patterns: tuple[tuple[FailureKind, re.Pattern[str]], ...], line: LogLine) -> FailureKind | None:
    text = line.text.strip().removesuffix("\x00")
    return next((kind for kind, pattern in patterns if pattern.search(text)), None)
