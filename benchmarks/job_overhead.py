"""devbench's own time per job: what each further job of a run adds beyond the time the tool takes on the device.

Runs the same case with one repetition and with many, in turn; the slope is the cost of a further job. The device's
own share is the time of the tool's process by the device's clock; the rest is split into ADB (the shell session and
the script around the tool) and host (parsing, storing, deciding).

    python benchmarks/job_overhead.py --device SERIAL [--jobs 20] [--rounds 3]

Bar: at most 40 ms a job of devbench's own time, on device time excluded.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from devbench.results.store import Store

BAR_MS = 40.0
DEMO = Path(__file__).parents[1] / "devbench" / "models" / "data" / "small_unet.tflite"


def copies(model: Path, count: int, work: Path) -> list[Path]:
    """Models that run alike and are not the same file: bytes after a flatbuffer's end mean nothing to it."""
    paths = [work / f"model{number:02d}.tflite" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(model.read_bytes() + bytes([number]) * 16)
    return paths


def measure(models: list[Path], device: str, delegate: str, work: Path, flags: list[str]) -> tuple[float, str]:
    """Wall time in seconds of a whole `devbench run` with a job for each model, and its run id."""
    url = f"sqlite:///{work / 'results.db'}"
    command = [
        sys.executable, "-m", "devbench.cli.app", "run", *map(str, models), "--device", device, "--delegate", delegate,
        "--repetitions", "1", "--no-profile", "--cold-starts", "0", "--no-report", "--quiet",
        "--unreliable-retries", "0",
        "--store", url, *flags,
    ]  # fmt: skip
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    wall_s = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"devbench run failed: {done.stderr}{done.stdout}")
    with Store(url) as store:
        return wall_s, store.runs(1)[0].run_id


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", required=True)
    parser.add_argument("--model", type=Path, default=DEMO)
    parser.add_argument("--delegate", default="cpu")
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    # One inference in the main phase, and warm-ups that bring the time on the device to about 60 ms.
    flags = ["--num-runs", "1", "--min-secs", "0", "--warmup-runs", "9", "--warmup-min-secs", "0"]
    slopes, devices, totals = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        models = copies(given.model, given.jobs, work)
        measure(models, given.device, given.delegate, work, flags)  # files onto the device, caches warm
        for _ in range(given.rounds):
            one_s, _ = measure(models[:1], given.device, given.delegate, work, flags)
            many_s, run_id = measure(models, given.device, given.delegate, work, flags)
            with Store(f"sqlite:///{work / 'results.db'}") as store:
                repetitions = [r for job in store.run(run_id).jobs for r in job.repetitions]
            on_device = statistics.mean(r.on_device_ms or 0.0 for r in repetitions)
            shell = statistics.mean(r.duration_s * 1000 for r in repetitions)
            slopes.append((many_s - one_s) * 1000 / (given.jobs - 1))
            devices.append(on_device)
            totals.append(shell)
    per_job, on_device, shell = (statistics.median(values) for values in (slopes, devices, totals))
    own = per_job - on_device
    print(f"a further job                {per_job:7.1f} ms  (median of {given.rounds} rounds, {given.jobs} jobs)")
    print(f"  on the device (tool)       {on_device:7.1f} ms")
    print(f"  ADB and device script      {shell - on_device:7.1f} ms")
    print(f"  host                       {per_job - shell:7.1f} ms")
    print(f"devbench's own time a job    {own:7.1f} ms  (bar: {BAR_MS:g} ms)")
    sys.exit(0 if own <= BAR_MS else 1)


if __name__ == "__main__":
    main()
