"""How long reports, charts and pages of a large store take, each a whole process: time and peak memory.

    python benchmarks/big_store.py BIG.db && python benchmarks/report_time.py --store BIG.db

Bars: any report under 5 s, a history chart under 2 s, memory under 1 GiB; the median of three by the clock. Processor
time stands beside it, since on a computer that others use the time by the clock is not the program's own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_SERIES = ("--device", "BIG0003", "--model", "small_unet", "--delegate", "cpu")
_CASES = (
    ("history chart, SVG", 2.0, ("chart", "history", *_SERIES, "--out", "h.svg")),
    ("history chart, PNG", 2.0, ("chart", "history", *_SERIES, "--out", "h.png")),
    ("report: page", 5.0, ("report", "latest", "--format", "html", "--out", "a")),
    ("report: page, baseline", 5.0, ("report", "latest", "--format", "html", "--baseline", "previous", "--out", "b")),
    ("report: page, baseline, history", 5.0,
     ("report", "latest", "--format", "html", "--baseline", "previous", "--history", "--out", "c")),
    ("report: page, Markdown, PNG", 5.0, ("report", "latest", "--out", "d")),
)  # fmt: skip
_MOST_MB = 1024
_ROUNDS = 3


def _run(words: list[str], folder: str) -> tuple[float, float, float]:
    """Seconds by the clock and of the processor, and peak memory in MB, of one process."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "devbench.cli.app", *words], cwd=folder, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"devbench {' '.join(words)} failed")
    return time.monotonic() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True, help="made by benchmarks/big_store.py")
    store = str(Path(parser.parse_args().store).absolute())
    missed = 0
    print(f"{'what':34} {'clock':>7} {'processor':>9} {'memory':>9}  bar")
    with tempfile.TemporaryDirectory() as folder:
        for what, bar_s, words in _CASES:
            measured = sorted(_run([*words, "--store", store], folder) for _ in range(_ROUNDS))
            clock_s, processor_s, memory_mb = measured[_ROUNDS // 2]
            met = clock_s < bar_s and memory_mb < _MOST_MB
            missed += not met
            verdict = "" if met else "MISSED"
            print(f"{what:34} {clock_s:5.2f} s {processor_s:7.2f} s {memory_mb:6.0f} MB  {bar_s:g} s {verdict}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
