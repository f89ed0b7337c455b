"""How fast `devbench parse` skips text that is none of the tool's, and how fast it reads the tool's own lines.

    python benchmarks/parse_speed.py [--small]

Each text is written to a file and parsed in a process of its own, which reports its CPU time and its peak memory. The
bars: foreign text at 20 MB/s or more, lines of the tool at 2 MB/s or more and linearly (50 MB takes at most 1.3 times
as long per MB as 5 MB), 300 MB of memory at most. There is no peer: no other program reads all forms of the output.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

LOGS = Path(__file__).parents[1] / "tests" / "tool" / "logs"
MEGABYTE = 1_000_000
MOST_MEMORY_MB = 300
_CHILD = """
import json, resource, sys, time
from pathlib import Path
from devbench.tool.parse import parse_file
began = time.process_time()
measured = parse_file(Path(sys.argv[1]))
took = time.process_time() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"s": took, "mb": peak, "recognised": measured.recognised, "status": measured.status}))
"""


def _repeated(text: str, size: int) -> Iterator[bytes]:
    data = text.encode()
    for _ in range(max(1, size // len(data))):
        yield data


def _logcat(size: int) -> Iterator[bytes]:
    words = "service started network failed battery window error activity process binder surface wifi scan 50% power"
    lines = "".join(
        f"07-30 12:00:{n % 60:02d}.{n % 1000:03d}  1234  1240 {'IWED'[n % 4]} Tag{n % 97}: {words[n % 50 :]} {n}\n"
        for n in range(5000)
    )
    return _repeated(lines, size)


def _one_run(size: int) -> Iterator[bytes]:
    """One run whose profile never ends: rows of an operator table."""
    head = "STARTING!\nGraph: [m.tflite]\nOperator-wise Profiling Info for Regular Benchmark Runs:\n"
    yield (head + "============================== Run Order ==============================\n").encode()
    row = "\tDEPTHWISE_CONV_2D\t0.123\t0.456\t1.234%\t45.678%\t0.000\t1\t[MobilenetV1/Relu6]:{}\n"
    yield from _repeated("".join(row.format(n) for n in range(2000)), size)


FOREIGN: dict[str, tuple[int, Callable[[int], Iterator[bytes]]]] = {
    "newlines": (50, lambda size: _repeated("\n" * 10_000, size)),
    "carriage returns": (50, lambda size: _repeated("\r" * 10_000, size)),
    "one long line": (200, lambda size: _repeated("lorem ipsum dolor sit amet " * 1000, size)),
    "short lines": (50, lambda size: _repeated("x\n" * 5000, size)),
    "prose": (200, lambda size: _repeated("The quick brown fox jumps over the lazy dog, and then some.\n" * 500, size)),
    "another logcat": (200, _logcat),
    "error lines": (50, lambda size: _repeated("error: something failed and could not be done\n" * 500, size)),
    "percentages": (50, lambda size: _repeated("progress 50% of 100%\n" * 500, size)),
}
OWN: dict[str, tuple[int, Callable[[int], Iterator[bytes]]]] = {
    "many runs": (50, lambda size: _repeated((LOGS / "2.14-cpu.txt").read_text("utf-8"), size)),
    "many runs of the GPU": (50, lambda size: _repeated((LOGS / "2.14-gpu-partial.txt").read_text("utf-8"), size)),
    "many runs of LiteRT": (50, lambda size: _repeated((LOGS / "litert2.txt").read_text("utf-8"), size)),
    "one endless profile": (50, _one_run),
    "count lines": (50, lambda size: _repeated("count=50 first=1 curr=2 min=1 max=3 avg=2.5 std=1\n" * 100, size)),
}


def _measure(make: Callable[[int], Iterator[bytes]], megabytes: float) -> tuple[float, float]:
    """MB per second of CPU, and the peak of the process in MB."""
    with tempfile.NamedTemporaryFile(suffix=".log") as file:
        size = 0
        for block in make(int(megabytes * MEGABYTE)):
            size += file.write(block)
        file.flush()
        done = subprocess.run([sys.executable, "-c", _CHILD, file.name], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return size / MEGABYTE / max(found["s"], 1e-6), found["mb"]


def _say(name: str, megabytes: float, speed: float, bar: str, memory: float, *, good: bool) -> int:
    word = "ok" if good else "MISSED"
    print(f"{name:22} {megabytes:5.0f} MB  {speed:7.1f} MB/s ({bar})  {memory:4.0f} MB  {word}", flush=True)
    return int(not good)


def main() -> int:
    """Print a line for each text; 1 where a bar is missed."""
    by = 0.1 if "--small" in sys.argv[1:] else 1.0
    missed = 0
    for name, (megabytes, make) in FOREIGN.items():
        speed, memory = _measure(make, megabytes * by)
        missed += _say(name, megabytes * by, speed, "bar 20", memory, good=speed >= 20 and memory <= MOST_MEMORY_MB)
    for name, (megabytes, make) in OWN.items():
        tenth, _ = _measure(make, megabytes * by / 10)
        speed, memory = _measure(make, megabytes * by)
        good = speed >= 2 and tenth / speed <= 1.3 and memory <= MOST_MEMORY_MB
        missed += _say(name, megabytes * by, speed, f"bar 2; {tenth:.1f} at a tenth", memory, good=good)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
