"""Are delegates ranked right? Real noise between processes, and a delegate that is known to be 5 % slower.

First the noise of this machine is recorded: real processes of the virtual device's tool, each with its single
inferences. Then `devbench run --precision 1%` measures on a virtual device that replays such processes, drawn at
random, so that the truth is known: in some runs one delegate is 5 % slower, in others two cases are the same.

    python benchmarks/ranking.py [--rounds 20] [--processes 60] [--precision 1] [--max-repetitions 60] [--noise FILE]

Bars: the slower delegate has the larger median in every run; the intervals of equal cases overlap in 19 of 20.
With --record FILE the noise is recorded into a file and nothing else is done.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from devbench.analysis.stats import Estimate, Inferences, outliers, spread
from devbench.findings.run_build import build_report
from devbench.results.store import Store
from devbench.virtual.faults import RECORD_VARIABLE, read_noise

DEMO = Path(__file__).parents[1] / "devbench" / "models" / "data" / "small_unet.tflite"
SLOWER_PCT = 5
LEAST_OVERLAP = 0.95
INFERENCES = 50
# Two cases with the same flags: whatever tells them apart is noise.
TWINS = """
[twin-a]
flags = { use_xnnpack = "true" }
reported_as = ["XNNPACK"]

[twin-b]
flags = { use_xnnpack = "true" }
reported_as = ["XNNPACK"]
"""


def record(processes: int, work: Path) -> Path:
    """A noise file of so many real processes of the tool, one after the other, undisturbed by us."""
    single = work / "process.json"
    command = [
        sys.executable, "-m", "devbench.virtual.benchmark_model", f"--graph={DEMO}", "--use_xnnpack=true",
        "--num_threads=1", f"--num_runs={INFERENCES}", "--min_secs=0", "--warmup_min_secs=0.05",
    ]  # fmt: skip
    found = []
    for _ in range(processes):
        env = {**os.environ, RECORD_VARIABLE: str(single)}
        subprocess.run(command, capture_output=True, timeout=120, check=True, env=env)
        found.append(json.loads(single.read_text("utf-8")))
    noise = work / "noise.json"
    noise.write_text("[" + ",\n".join(json.dumps(one, separators=(",", ":")) for one in found) + "]\n", "utf-8")
    return noise


def describe(noise: Path) -> None:
    """What the recording is like."""
    processes = read_noise(noise)
    means = [statistics.fmean(one) for one in processes]
    found = spread(means, [Inferences(statistics.fmean(one), statistics.pstdev(one), len(one)) for one in processes])
    print(f"recorded processes           {len(processes):7d}     of {len(processes[0])} inferences")
    print(f"  median of their averages   {statistics.median(means) / 1000:7.3f} ms")
    print(f"  between processes (MAD)    {found.between_mad_pct or 0:7.2f} %")
    print(f"  between processes (CV)     {found.between_cv_pct or 0:7.2f} %")
    print(f"  within processes           {found.within_pct or 0:7.2f} %")
    print(f"  outliers (z above 3.5)     {sum(outliers(means)):7d}")


@dataclass(frozen=True)
class Pair:
    """Two cases of one run: `first` is as recorded, `second` is the slower one, or its twin."""

    first: Estimate
    second: Estimate

    @property
    def right(self) -> bool:
        return self.first.median < self.second.median

    @property
    def apart(self) -> bool:
        return self.first.high < self.second.low or self.second.high < self.first.low


def measure(delegates: tuple[str, str], fault: str, given: argparse.Namespace, folder: Path, extra: list[str]) -> Pair:
    """One `devbench run` of two cases on a virtual device, and what its report says of them."""
    folder.mkdir()
    url = f"sqlite:///{folder / 'results.db'}"
    command = [
        sys.executable, "-m", "devbench.cli.app", "run", str(DEMO), "--device", "virtual", "--delegate",
        ",".join(delegates), "--fault", fault, "--precision", f"{given.precision}%", "--max-repetitions",
        str(given.max_repetitions), "--num-runs", str(INFERENCES), "--min-secs", "0", "--warmup-runs", "1",
        "--warmup-min-secs", "0", "--no-profile", "--no-report", "--quiet", "--unreliable-retries", "0", "--store", url,
        *extra,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        sys.exit(f"devbench run failed: {done.stderr}{done.stdout}")
    with Store(url) as store:
        latencies = {job.job.delegate: job.latency for job in build_report(store.run("latest")).jobs}
    first, second = (latencies[name] for name in delegates)
    assert first is not None
    assert second is not None
    return Pair(first, second)


def measure_all(given: argparse.Namespace, noise: Path, work: Path) -> tuple[list[Pair], list[Pair]]:
    """The pairs of all rounds: one slower, and twins. Two runs at a time: what they replay takes no time here."""
    twins = work / "twins.toml"
    twins.write_text(TWINS, "utf-8")

    def ranked(number: int) -> Pair:
        # Which of the two is slower, and so who comes first, changes from round to round.
        fast, slow = (("xnnpack", "cpu"), ("cpu", "xnnpack"))[number % 2]
        fault = f"noise={noise},seed={number},slower={slow}:{SLOWER_PCT}"
        return measure((fast, slow), fault, given, work / f"ranked{number}", [])

    def equal(number: int) -> Pair:
        fault = f"noise={noise},seed={1000 + number}"
        return measure(("twin-a", "twin-b"), fault, given, work / f"equal{number}", ["--delegates-file", str(twins)])

    with ThreadPoolExecutor(max_workers=2) as pool:
        rounds = range(given.rounds)
        return list(pool.map(ranked, rounds)), list(pool.map(equal, rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=60)
    parser.add_argument("--precision", type=float, default=1.0)
    parser.add_argument("--max-repetitions", type=int, default=60)
    parser.add_argument("--noise", type=Path, help="A noise file instead of a recording.")
    parser.add_argument("--record", type=Path, help="Record into this file and stop.")
    given = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        os.environ["DEVBENCH_HOME"] = str(work / "home")
        noise = given.noise or record(given.processes, work)
        describe(noise)
        if given.record:
            given.record.write_bytes(noise.read_bytes())
            return
        if not given.noise:
            print(f"recorded in {time.perf_counter() - began:.0f} s", flush=True)
        slower, equal = measure_all(given, noise.absolute(), work)
    right, apart = sum(pair.right for pair in slower), sum(pair.right and pair.apart for pair in slower)
    overlap = sum(not pair.apart for pair in equal)
    every = [one for pair in (*slower, *equal) for one in (pair.first, pair.second)]
    needed = [one.n for one in every]
    reached = sum(one.half_width_pct is not None and one.half_width_pct <= given.precision for one in every)
    gains = [100 * (pair.second.median / pair.first.median - 1) for pair in slower]
    least = -(-len(equal) * LEAST_OVERLAP // 1)
    print(f"{SLOWER_PCT} % slower, ranked right     {right:7d}     of {len(slower)} runs (bar: all)")
    print(f"  with intervals apart       {apart:7d}     of {len(slower)}")
    print(f"  seen as slower by          {statistics.median(gains):7.2f} %   ({min(gains):.2f} to {max(gains):.2f} %)")
    print(f"equal, intervals overlap     {overlap:7d}     of {len(equal)} runs (bar: {least:.0f})")
    print(f"processes a case             {statistics.median(needed):7.0f}     ({min(needed)} to {max(needed)})")
    print(f"{given.precision:g} % reached                  {reached:7d}     of {len(needed)} cases")
    print(f"took {time.perf_counter() - began:.0f} s")
    sys.exit(0 if right == len(slower) and overlap >= least else 1)


if __name__ == "__main__":
    main()
