"""Records the noise between real processes: one case after the other, round after round, as a run interleaves them.

    python benchmarks/record_noise.py [--rounds 360] [--out tests/data/process_noise.json.gz]

Each point is one process of the virtual device's tool, which is LiteRT on this machine: about 50 ms of inferences of a
small model. The file holds, for each case and metric, one value a round, in microseconds, in the order of time. The
machine is left as it is; what else ran on it is part of the noise, as it is on a phone. It takes 12 minutes for 360
rounds.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from devbench.tool.parse import parse_bytes

ROOT = Path(__file__).parents[1]
# Model, XNNPACK or the runtime's own kernels, threads.
CASES = (
    ("devbench/models/data/small_unet.tflite", True, 1),
    ("devbench/models/data/small_unet.tflite", True, 2),
    ("devbench/models/data/small_unet.tflite", False, 1),
    ("tests/data/small_cnn.tflite", True, 1),
    ("tests/data/small_cnn.tflite", True, 2),
    ("tests/data/small_cnn.tflite", False, 1),
    ("tests/data/tiny_groupnorm.tflite", True, 1),
    ("tests/data/tiny_groupnorm.tflite", False, 1),
    ("tests/data/quantised.tflite", True, 1),
    ("tests/data/quantised.tflite", False, 1),
    ("tests/data/tiny_conv.tflite", True, 1),
    ("tests/data/many_edges.tflite", False, 1),
)
METRICS = ("latency_us", "init_us", "first_us")


def measure(model: str, xnnpack: bool, threads: int) -> list[float]:
    """One process; its values in the order of `METRICS`."""
    command = [
        sys.executable, "-m", "devbench.virtual.benchmark_model", f"--graph={ROOT / model}",
        f"--use_xnnpack={str(xnnpack).lower()}", f"--num_threads={threads}", "--num_runs=20", "--min_secs=0.05",
        "--warmup_min_secs=0.02",
    ]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, timeout=120, check=True, env=env)
    found = parse_bytes(done.stdout + done.stderr)
    values = [found.inference_avg_us, found.init_us, found.first_inference_us]
    assert all(value for value in values), found
    return [round(float(value), 3) for value in values if value is not None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=360)
    parser.add_argument("--out", type=Path, default=ROOT / "tests" / "data" / "process_noise.json.gz")
    given = parser.parse_args()
    began = time.perf_counter()
    names = [f"{Path(model).stem} {'xnnpack' if xnn else 'cpu'} {threads}" for model, xnn, threads in CASES]
    series: dict[str, dict[str, list[float]]] = {name: {metric: [] for metric in METRICS} for name in names}
    for done in range(1, given.rounds + 1):
        for name, case in zip(names, CASES, strict=True):
            for metric, value in zip(METRICS, measure(*case), strict=True):
                series[name][metric].append(value)
        if done % 20 == 0 or done == given.rounds:
            # Without a time in the header the same recording is the same file.
            text = json.dumps(series, separators=(",", ":"))
            given.out.write_bytes(gzip.compress(text.encode(), mtime=0))
            print(f"{done} rounds of {len(CASES)} cases after {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
