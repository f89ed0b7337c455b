"""devbench's push beside `adb push`, in turn, in one run: a file of 1 GiB to a device.

    python benchmarks/push_throughput.py --device SERIAL [--mib 1024] [--rounds 5]

Bar: at least 0.9 of adb's throughput (median of the rounds' ratios).
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

from devbench.adb.device import Device
from devbench.adb.server import AdbServer, endpoint_from_env, find_adb

BAR = 0.9
REMOTE = "/data/local/tmp/devbench-push-benchmark"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", required=True)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    device = Device(AdbServer(), given.device)
    adb = [str(find_adb()), "-P", str(endpoint_from_env().port), "-s", given.device]
    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "model.bin")
        with model.open("wb") as file:
            for _ in range(given.mib):
                file.write(os.urandom(1 << 20))
        try:
            device.push(model, REMOTE)  # the file is in this machine's memory, the device's folder is warm
            device.shell(f"rm -f {REMOTE}", timeout_s=30)
            for number in range(given.rounds):
                # Who comes first changes from round to round.
                for mine in ((True, False), (False, True))[number % 2]:
                    began = time.perf_counter()
                    if mine:
                        device.push(model, REMOTE)
                    else:
                        subprocess.run([*adb, "push", str(model), REMOTE], check=True, capture_output=True, timeout=600)
                    (ours if mine else theirs).append(given.mib / (time.perf_counter() - began))
                    device.shell(f"rm -f {REMOTE}", timeout_s=30)
        finally:
            device.shell(f"rm -f {REMOTE}", timeout_s=30)
    ratio = statistics.median(mine / its for mine, its in zip(ours, theirs, strict=True))
    print(f"devbench   {statistics.median(ours):8.0f} MiB/s")
    print(f"adb push   {statistics.median(theirs):8.0f} MiB/s")
    print(f"ratio      {ratio:8.2f}        (median of {given.rounds} rounds; bar: {BAR:g})")
    sys.exit(0 if ratio >= BAR else 1)


if __name__ == "__main__":
    main()
