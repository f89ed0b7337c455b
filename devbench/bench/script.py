"""The shell script of a repetition on the device, and splitting its output into parts; runs nothing.

A repetition is a single shell session, since each session costs a round trip and a process on the device. Around the
tool's own output the script prints other sections (conditions before, during and after, samples of /proc, exit code).
Each follows a marker line with a random word, so the tool's output cannot imitate it. The tool's output goes to the
same standard output and error, unchanged.
"""

from __future__ import annotations

import io
import re
import shlex
from typing import BinaryIO, NamedTuple

from devbench import numbers
from devbench.device.lease import Lease, lease_s
from devbench.frozen import dataclass

# A shell's exit codes end at 255. No process has a petabyte, no clock is beyond the year 5000, no process runs a year.
_MAX_EXIT_CODE = 255
_MAX_KB = 1 << 40
_MAX_CLOCK_S = 1e11
_MAX_RUN_S = 366 * 86400.0
# Sections other than the tool's have some 50 KB, and a script has ten marker lines.
_MAX_SECTION_BYTES = 1 << 20
_MAX_MARKS = 1000
_MAX_MARK_BYTES = 300
_BLOCK_BYTES = 1 << 20
# Reads VmHWM and PSS of a process with shell built-ins alone, since a fork costs more than the reading. The peak of PSS
# is the largest sample, VmHWM the last one. Only sampled if latency is not measured.
_MEMORY_SAMPLER = r"""
_db_hwm= _db_pss=0
while [ -d /proc/$_db_tool ]; do
  while IFS=' 	' read -r _db_key _db_value _db_unit; do
    case $_db_key in VmHWM:) _db_hwm=$_db_value; break;; esac
  done < /proc/$_db_tool/status
  while IFS=' 	' read -r _db_key _db_value _db_unit; do
    case $_db_key in Pss:) [ "$_db_value" -gt "$_db_pss" ] && _db_pss=$_db_value; break;; esac
  done < /proc/$_db_tool/smaps_rollup
  echo "$_db_hwm $_db_pss" > @SAMPLES@
  sleep 0.05
done
"""


@dataclass(frozen=True, slots=True)
class ScriptOutput:
    """A repetition's standard output taken apart.

    Attributes:
        tool: where the tool's own output starts and ends in the standard output, in bytes.
        exit_code: the tool's exit code; `None` if the script did not get that far.
        prelude: the words that the prelude printed, before the tool ran.
        conditions_before, conditions_after: text for the conditions parser; `None` if not requested or not reached.
        samples: what the conditions' sampler wrote while the tool ran.
        on_device_ms: time of the tool's process by the device's clock, if its shell has one.
        vm_hwm_kb, pss_peak_kb: from /proc, if sampled and allowed.
        lease_lost: another run had taken the device before the tool started or before the script ended.
    """

    tool: tuple[int, int]
    exit_code: int | None = None
    prelude: tuple[str, ...] = ()
    conditions_before: str | None = None
    conditions_after: str | None = None
    samples: str = ""
    on_device_ms: float | None = None
    vm_hwm_kb: int | None = None
    pss_peak_kb: int | None = None
    lease_lost: bool = False


def build_script(
    command: str,
    *,
    prelude: str = "",
    marker: str,
    lease: Lease,
    deadline_s: float,
    work_dir: str,
    conditions_command: str,
    sampler: str,
    before: bool,
    sample_memory: bool,
) -> str:
    """The script as text for the device's `sh`.

    Args:
        command: the quoted command line of the tool.
        prelude: shell text that runs before the tool and is not timed; what it prints is kept apart.
        marker: a random word, unique to this repetition.
        lease: the lease on the device; the tool does not start without it.
        deadline_s: how long the script may take; the lease lasts that long at least.
        work_dir: folder in which the tool runs.
        conditions_command: prints the device's conditions.
        sampler: samples the conditions to its standard output until it is ended; empty for none.
        before: whether to read conditions before the tool too; not needed if those after the last repetition are used.
        sample_memory: whether to sample /proc while the tool runs.
    """
    memory, during = shlex.quote(f"{lease.pid_file}.mem"), shlex.quote(f"{lease.pid_file}.during")
    held = f"_db_lease {round(deadline_s) + lease_s()} || {{ echo {marker}:lost; exit 0; }}"
    lines = [
        lease.shell_functions(),
        f"_db_mark; {held}",
        f"cd {shlex.quote(work_dir)} || exit 125",
    ]
    if before:
        lines += [f"echo {marker}:before", f"{{ {conditions_command}\n}} 2>/dev/null </dev/null"]
    if prelude:
        lines += [f"echo {marker}:prelude", f"{{ {prelude}\n}} 2>/dev/null </dev/null", "echo"]
    # Check and extend the lease once more: the steps above may have taken long, and the lease's folder may be gone.
    lines.append(held)
    if sampler:
        lines += [f"( {sampler}\n) > {during} 2>/dev/null </dev/null &", "_db_during=$!"]
    lines.append(f'echo {marker}:tool; _db_start="$EPOCHREALTIME"')
    if sample_memory:
        lines += [
            f": > {memory}",
            f"{command} </dev/null &",
            "_db_tool=$!",
            f"( {_MEMORY_SAMPLER.replace('@SAMPLES@', memory)} ) >/dev/null 2>&1 </dev/null &",
            "_db_memory=$!",
            "wait $_db_tool; _db_code=$?",
            'echo; echo "' + marker + ':exit $_db_code $_db_start $EPOCHREALTIME"',
            "kill $_db_memory 2>/dev/null; wait $_db_memory 2>/dev/null",
            f"echo {marker}:memory; cat {memory}; rm -f {memory}",
        ]
    else:
        lines += [
            f"{command} </dev/null; _db_code=$?",
            'echo; echo "' + marker + ':exit $_db_code $_db_start $EPOCHREALTIME"',
        ]
    if sampler:
        # A process of a second or less has no samples; then no `cat` is started for an empty file.
        ended = "kill -9 $_db_during 2>/dev/null; wait $_db_during 2>/dev/null"
        lines += [ended, f"[ -s {during} ] && {{ echo {marker}:during; cat {during}; echo; }}"]
    lines += [f"echo {marker}:after", f"{{ {conditions_command}\n}} 2>/dev/null </dev/null"]
    lines += [f"echo; _db_lease {lease_s()} || echo {marker}:lost; echo {marker}:end"]
    return "\n".join(lines)


def split_output(stream: BinaryIO, marker: str) -> ScriptOutput:
    """Take a repetition's standard output apart; what is missing at the end is `None`.

    Memory stays bounded: the tool's own output is not read, and only the first MiB of each other section is.

    Args:
        stream: the output; it must be seekable.
        marker: the word that was given to `build_script`.
    """
    marks = _marks(stream, marker.encode())
    end_of_all = stream.seek(0, io.SEEK_END)
    ends = [mark.start for mark in marks[1:]] + [end_of_all]
    sections = {mark.name: (mark, end) for mark, end in zip(marks, ends, strict=False)}

    def text(name: str) -> str | None:
        if name not in sections:
            return None
        mark, end = sections[name]
        return _read(stream, mark.end, min(end, mark.end + _MAX_SECTION_BYTES)).decode("utf-8", "replace")

    start, end = 0, 0 if sections else end_of_all
    if "tool" in sections:
        start, end = sections["tool"][0].end, sections["tool"][1]
    last = _read(stream, max(start, end - _MAX_MARK_BYTES), end)
    exit_code, on_device_ms = None, None
    if "exit" in sections:
        exit_code, on_device_ms = _exit(sections["exit"][0].line)
        # The script printed the line end before the marker. It is removed: it would make a number that the tool did
        # not finish look complete.
        end -= last.endswith(b"\n")
    elif (cut := re.search(rb"\n?" + _any_start_of(marker.encode()) + rb"\Z", last)) is not None:
        end -= len(last) - cut.start()
    hwm, pss = _memory(text("memory"))
    return ScriptOutput(
        tool=(start, end),
        exit_code=exit_code,
        prelude=tuple((text("prelude") or "").split()),
        conditions_before=text("before"),
        conditions_after=text("after") if "end" in sections else None,
        samples=text("during") or "",
        on_device_ms=on_device_ms,
        vm_hwm_kb=hwm,
        pss_peak_kb=pss,
        lease_lost="lost" in sections,
    )


class _Mark(NamedTuple):
    """A marker line: its words after the marker, and the places where it starts and where the next line does."""

    line: bytes
    start: int
    end: int

    @property
    def name(self) -> str:
        return self.line.split(b" ")[0].decode()


def _marks(stream: BinaryIO, marker: bytes) -> list[_Mark]:
    """Return the marker lines in order; at most a thousand, since a script has ten."""
    pattern = re.compile(
        rb"(?<=\n)" + re.escape(marker) + rb":(before|prelude|tool|exit[^\n]{0,200}|memory|during|after|lost|end)\r?\n"
    )
    found: list[_Mark] = []
    stream.seek(0)
    # A line begins at the start of the stream too.
    data, base = b"\n", -1
    while len(found) < _MAX_MARKS and (block := stream.read(_BLOCK_BYTES)):
        data += block
        behind = 0
        for match in pattern.finditer(data):
            found.append(_Mark(match[1], base + match.start(), base + match.end()))
            behind = match.end() - 1
        # A marker line may continue in the next block.
        keep = max(behind, len(data) - _MAX_MARK_BYTES)
        data, base = data[keep:], base + keep
    return found[:_MAX_MARKS]


def _read(stream: BinaryIO, start: int, end: int) -> bytes:
    stream.seek(start)
    return stream.read(end - start)


def _any_start_of(marker: bytes) -> bytes:
    """Return a pattern for a marker line that a lost connection cut off at any point."""
    starts = [re.escape(marker[:length]) for length in range(len(marker), 1, -1)]
    return b"(?:" + re.escape(marker) + rb":[^\n]*|" + b"|".join(starts) + b")"


def _exit(line: bytes) -> tuple[int | None, float | None]:
    """Return the exit code and the milliseconds on the device from an `exit` line; no time if it makes no sense."""
    words = line.decode("ascii", "replace").split()
    code = numbers.whole(words[1], maximum=_MAX_EXIT_CODE) if len(words) > 1 else None
    start, end = (
        (numbers.real(word, minimum=0, maximum=_MAX_CLOCK_S) for word in words[2:4]) if len(words) > 3 else (None, None)
    )
    took_s = end - start if start is not None and end is not None else -1.0
    return code, took_s * 1000 if 0 <= took_s <= _MAX_RUN_S else None


def _memory(text: str | None) -> tuple[int | None, int | None]:
    words = (text or "").split()
    hwm, pss = (numbers.whole(word, minimum=1, maximum=_MAX_KB) for word in words) if len(words) == 2 else (None, None)
    return hwm, pss
