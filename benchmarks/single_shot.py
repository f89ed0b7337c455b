"""How long a single measurement takes from the command line, next to a stand-in for `litert benchmark --android`.

The stand-in is a Python process that makes the calls of the adb program which litert makes: get-state, the ABI, mkdir,
push of the model and of the tool, chmod, one run. Both run the same model with the same flags of the tool on the same
device, in turn; the tool's own time is in both. With --litert PYTHON an installed litert-cli is measured in its place.

    python benchmarks/single_shot.py --device SERIAL [--rounds 9] [--tool FILE] [--litert PYTHON]

Bar: devbench takes at most 2.0 times as long.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BAR = 2.0
DEMO = Path(__file__).parents[1] / "devbench" / "models" / "data" / "small_unet.tflite"
FLAGS = ("--num_runs=1", "--min_secs=0", "--warmup_runs=1", "--warmup_min_secs=0")
# The modules that litert imports before it does anything, as far as devbench's environment has them.
STAND_IN = """
import pathlib, shlex, subprocess, sys
import requests, rich
adb, serial, model, tool, *flags = sys.argv[1:]
folder = "/data/local/tmp/litert_stand_in"
def call(*words, **options):
    return subprocess.run([adb, "-s", serial, *words], check=True, text=True, **options)
call("get-state", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
call("shell", "getprop", "ro.product.cpu.abi", capture_output=True)
call("shell", "mkdir", "-p", folder)
call("push", model, f"{folder}/{pathlib.Path(model).name}")
call("push", tool, f"{folder}/benchmark_model")
call("shell", "chmod", "+x", f"{folder}/benchmark_model")
graph = shlex.quote(f"{folder}/{pathlib.Path(model).name}")
call("shell", " ".join([f"{folder}/benchmark_model", f"--graph={graph}", *flags]))
"""
# litert downloads the tool for arm64 alone.
LITERT = """
import os, pathlib, sys
adb, serial, model, tool = sys.argv[1:5]
os.environ["PATH"] = os.path.dirname(adb) + os.pathsep + os.environ["PATH"]
os.environ["ANDROID_SERIAL"] = serial
from litert_cli.core import android_utils
android_utils.find_android_binary = lambda name, abi: pathlib.Path(tool)
sys.argv = ["litert", "benchmark", model, "--android", "--num-runs", "1", "--min-secs", "0", "--warmup-min-secs", "0"]
from litert_cli.litert import cli
cli()
"""


def adb_program() -> str:
    """The adb program of this machine, or the one that adbutils brings."""
    found = shutil.which("adb")
    if found is None:
        import adbutils

        found = str(adbutils.adb_path())
    return found


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Wall and CPU time of a command and its children, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    wall_s = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(command[:4])} failed: {done.stderr}{done.stdout}")
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", required=True)
    parser.add_argument("--model", type=Path, default=DEMO)
    parser.add_argument("--tool", type=Path, help="the benchmark_model for the device; default: devbench's")
    parser.add_argument("--litert", help="a Python that has litert-cli")
    parser.add_argument("--delegate", default="xnnpack")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    tool = given.tool
    if tool is None:
        from devbench.adb.device import Device
        from devbench.adb.server import AdbServer
        from devbench.tool.binaries import choose

        abi = (
            Device(AdbServer(), given.device).shell("getprop ro.product.cpu.abi", timeout_s=10).stdout.decode().strip()
        )
        tool = choose([abi]).path
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NO_COLOR": "1"}
        words = [adb_program(), given.device, str(given.model), str(tool)]
        if given.litert:
            peer = [given.litert, "-c", LITERT, *words]
        else:
            peer = [sys.executable, "-c", STAND_IN, *words, *FLAGS, "--use_xnnpack=true"]
        own = [
            sys.executable, "-m", "devbench", "run", str(given.model), "--device", given.device, "--delegate",
            given.delegate, "--binary", str(tool), "--repetitions", "1", "--no-profile", "--cold-starts", "0",
            "--num-runs", "1", "--min-secs", "0", "--warmup-runs", "1", "--warmup-min-secs", "0", "--no-report",
            "--unreliable-retries", "0", "--cool-down", "0", "--quiet", "--store", f"sqlite:///{folder}/results.db",
        ]  # fmt: skip
        timed(own, environment)
        timed(peer, environment)
        pairs = [(timed(own, environment), timed(peer, environment)) for _ in range(given.rounds)]
    own_s, peer_s = (statistics.median(pair[side][0] for pair in pairs) for side in (0, 1))
    own_cpu_s, peer_cpu_s = (statistics.median(pair[side][1] for pair in pairs) for side in (0, 1))
    ratio = statistics.median(own[0] / peer[0] for own, peer in pairs)
    print(f"devbench run      {own_s:6.3f} s, {own_cpu_s:.3f} s of CPU time on the host (median of {given.rounds})")
    print(f"{'litert' if given.litert else 'stand-in':17} {peer_s:6.3f} s, {peer_cpu_s:.3f} s of CPU time on the host")
    print(f"ratio             {ratio:6.2f}    (bar: {BAR:g})")
    sys.exit(0 if ratio <= BAR else 1)


if __name__ == "__main__":
    main()
