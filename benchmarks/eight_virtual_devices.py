"""Devices run in parallel: the wall time of eight jobs on eight virtual devices against one job on one.

The tool is a script that sleeps two seconds and prints a result, so that the machine's cores are not what is measured.

    python benchmarks/eight_virtual_devices.py [--rounds 3]

Bar: at most 1.3 times. Next to the job, each device takes a lease, is identified and has its files verified; for seven
more devices that is about half a second of two cores.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BAR = 1.3
TOOL = """#!/bin/sh
# devbench-virtual: a tool that only sleeps
sleep 2
echo "INFO: STARTING!"
echo "INFO: Loaded model sleep"
echo "INFO: Initialized session in 1.0ms."
echo "INFO: count=1 curr=1000"
echo
echo "INFO: count=50 first=1000 curr=1000 min=1000 max=1000 avg=1000 std=0"
echo
echo "INFO: Inference timings in us: Init: 1000, First inference: 1000, Warmup (avg): 1000, Inference (avg): 1000"
"""


def measure(count: int, tool: Path, env: dict[str, str]) -> float:
    """Wall time in seconds of `devbench run` on that many virtual devices."""
    command = [
        sys.executable, "-m", "devbench.cli.app", "run", "demo", "--device", f"virtual:{count}", "--delegate", "cpu",
        "--binary", str(tool), "--repetitions", "1", "--no-profile", "--no-report", "--quiet",
        "--unreliable-retries", "0",
    ]  # fmt: skip
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=env)
    wall_s = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"devbench run failed: {done.stderr}{done.stdout}")
    return wall_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tool = Path(folder, "benchmark_model")
        tool.write_text(TOOL, "utf-8")
        tool.chmod(0o755)
        env = {**os.environ, "DEVBENCH_HOME": str(Path(folder, "home"))}
        measure(1, tool, env)  # the adb server is up, the binary is known
        pairs = [(measure(1, tool, env), measure(8, tool, env)) for _ in range(given.rounds)]
    ratio = statistics.median(eight / one for one, eight in pairs)
    print(f"one job on one device        {statistics.median(one for one, _ in pairs):6.2f} s")
    print(f"eight jobs on eight devices  {statistics.median(eight for _, eight in pairs):6.2f} s")
    print(f"ratio                        {ratio:6.2f}    (median of {given.rounds} pairs; bar: {BAR:g})")
    sys.exit(0 if ratio <= BAR else 1)


if __name__ == "__main__":
    main()
