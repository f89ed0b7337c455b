"""How long a person waits for `devbench --help` and `devbench devices`, as whole processes.

    python benchmarks/command_start.py [--device SERIAL] [--rounds 9]

Bars: 0.2 s for the help, 0.5 s for the list with one device connected. With --device, that address is connected first.
A machine's speed is not devbench's: beside each command, in turn, Python starts with nothing but Typer's formatter of
help, and where that takes longer than 0.09 s, the bars are longer in proportion.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

DEVBENCH = Path(sys.executable).with_name("devbench")
BARS_S = {"--help": 0.2, "devices": 0.5}
REFERENCE = (sys.executable, "-c", "import typer.rich_utils")
REFERENCE_S = 0.09


def wall_s(*command: str) -> float:
    began = time.perf_counter()
    subprocess.run(command, capture_output=True, timeout=60, check=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    if given.device:
        from devbench.adb.server import AdbServer

        server = AdbServer()
        server.ensure_running()
        server.connect(given.device)
        server.wait_for(given.device, timeout_s=10)
    slow = False
    for word, bar_s in BARS_S.items():
        wall_s(str(DEVBENCH), word)
        pairs = [(wall_s(str(DEVBENCH), word), wall_s(*REFERENCE)) for _ in range(given.rounds)]
        median_s, reference_s = (statistics.median(times) for times in zip(*pairs, strict=True))
        allowed_s = bar_s * max(1.0, reference_s / REFERENCE_S)
        slow |= median_s > allowed_s
        print(
            f"devbench {word:8} {median_s:6.3f} s  (median of {given.rounds}; bar: {bar_s:g} s, "
            f"here {allowed_s:.3f} s, since Typer alone takes {reference_s:.3f} s)"
        )
    sys.exit(1 if slow else 0)


if __name__ == "__main__":
    main()
