"""Google's benchmark APK as text: the command line that starts it, and its log as the stock tool's output.

The app takes the tool's flags as one text, separated by blanks, and writes the tool's output to the system's log under
the tag `tflite`. Knows no device.
Form of the log: `logcat -v threadtime` (date, time, process, thread, level, tag, message).
"""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Sequence
from typing import Literal

from devbench.errors import InputError
from devbench.frozen import dataclass

PACKAGE = "org.tensorflow.lite.benchmark"
ACTIVITY = f"{PACKAGE}/.BenchmarkModelActivity"
Ending = Literal["result", "crash", "none"]

_FLAG = re.compile(r"--[A-Za-z][A-Za-z0-9_-]{0,80}=[^\s\x00-\x1f\x7f\"'\\]*")
_LINE = re.compile(
    rb"\d\d-\d\d \d\d:\d\d:\d\d\.\d{3,6} +(\d{1,10}) +\d{1,10} ([VDIWEFS]) (\S[^:]{0,80}?|) *: ?(.*)", re.DOTALL
)
# The tool prints these before its lines; in the log they are replaced by the level.
_PREFIX = {b"I": b"INFO: ", b"W": b"WARN: ", b"E": b"ERROR: ", b"F": b"FATAL: "}
_PREFIXED = re.compile(rb"(?:INFO|WARN|WARNING|ERROR|FATAL): ")
# A message of several lines: each line has the message's level in the log, but the tool prints one prefix only.
_LIST_HEADING = re.compile(rb"operations are not supported by .{1,60} delegate:\s*$")
_RESULT = re.compile(rb"Inference timings in us: .{0,200}Inference \(avg\): \d")
_SIGNAL = re.compile(rb"Fatal signal (\d{1,3}) \(")
_DIED = re.compile(rb"Process " + re.escape(PACKAGE.encode()) + rb" \(pid (\d{1,10})\) has died")
_EXCEPTION = re.compile(rb"((?:[A-Za-z_$][\w$]*\.)+[\w$]*(?:Error|Exception)\b.{0,200})", re.DOTALL)
# Written by the script of a repetition: the first line of its record, and the process, if the log does not show it.
_MARK = re.compile(rb"[VDIWEF] devbench *: @@[0-9a-f]{16} tick\r?$", re.MULTILINE)
_MARKED_PID = re.compile(rb" devbench *: @@[0-9a-f]{16} pid (\d{1,10})\r?$", re.MULTILINE)
# Android 5.1 and newer, then older.
_STARTED = re.compile(
    rb"ActivityManager *: ?Start proc (?:(\d{1,10}):%s/|%s for .{0,300}: pid=(\d{1,10}) )"
    % ((re.escape(PACKAGE.encode()),) * 2)
)
_MARK_WITHIN_BYTES = 4096
# A repetition records some 100 KB.
MAX_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class ApkLog:
    """What the log contains about one process of the app.

    Attributes:
        text: the tool's lines, as the tool prints them.
        ending: "result" if there is a summary, "crash" if the process died without one, else "none".
        signal: that ended the process, if the log shows it.
        exception: the Java exception that ended the app.
    """

    text: bytes
    ending: Ending
    signal: int | None = None
    exception: str = ""


def start_line(flags: Sequence[str]) -> str:
    """The device's command line that starts the app afresh with these flags (`--name=value` each).

    Quoted once, for the device's shell.

    Raises:
        InputError: a flag contains a blank or a quote, which the app cannot read.
    """
    for flag in flags:
        if not _FLAG.fullmatch(flag):
            hint = "the APK splits its flags at blanks: use --via shell, or other file names"
            raise InputError(f"the benchmark APK cannot take {flag[:120]!r}", hint=hint)
    return shlex.join(["am", "start", "-S", "-W", "-n", ACTIVITY, "--es", "args", " ".join(flags)])


def read_log(data: bytes, pid: int) -> ApkLog:
    """The app's own lines of a log (`logcat -v threadtime`), at most 16 MiB of it.

    Args:
        data: the log from the start of the app on, with lines of any process.
        pid: the app's process; lines of other processes with the tool's tag are ignored.
    """
    lines: list[bytes] = []
    signal: int | None = None
    exception = ""
    died = done = False
    listing = b""
    # A last line without a line end may be cut within a number, and is no evidence of how the process ended.
    for raw in io.BytesIO(data[:MAX_BYTES]):
        whole = raw.endswith(b"\n")
        match = _LINE.fullmatch(raw.removesuffix(b"\n").removesuffix(b"\r"))
        if match is None:
            continue
        of, level, tag, message = match.groups()
        if tag == b"tflite" and int(of) == pid:
            bare = level == listing or _PREFIXED.match(message) is not None
            prefix = b"" if bare else _PREFIX.get(level, b"")
            listing = level if level == listing or _LIST_HEADING.search(message) else b""
            lines.append(prefix + message + (b"\n" if whole else b""))
            done = done or (whole and _RESULT.search(message) is not None)
        elif tag == b"libc" and int(of) == pid and (fatal := _SIGNAL.match(message)):
            died, signal = True, int(fatal.group(1))
        elif tag == b"AndroidRuntime" and int(of) == pid and not exception and (thrown := _EXCEPTION.match(message)):
            died, exception = True, thrown.group(1).decode("utf-8", "replace")
        elif tag == b"ActivityManager" and (gone := _DIED.match(message)) and int(gone.group(1)) == pid:
            died = True
    # The system also ends the idle app after its result: only a signal or a missing result makes that a crash.
    ending: Ending = "crash" if signal is not None or (died and not done) else "result" if done else "none"
    return ApkLog(b"".join(lines), ending, signal, exception if ending == "crash" else "")


def is_recorded(head: bytes) -> bool:
    """Whether a file begins like the record of a repetition with the app."""
    return _MARK.search(head[:_MARK_WITHIN_BYTES]) is not None


def read_recorded(data: bytes) -> ApkLog | None:
    """The app's part of the record of a repetition, or `None` if the data is no such record.

    The process is the one that the system reports to have started, else the one that the script found.
    """
    mark = _MARK.search(data[:_MARK_WITHIN_BYTES])
    if mark is None:
        return None
    started = _STARTED.search(data, mark.end()) or _MARKED_PID.search(data, mark.end())
    if started is None:
        return ApkLog(b"", "none")
    return read_log(data[mark.end() :], int(next(filter(None, started.groups()))))
