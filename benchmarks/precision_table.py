"""Size, peak memory, time and output error of a model in float32, fp16, weight-only int8 and dynamic int8.

    python benchmarks/precision_table.py unet.tflite [--inputs 1] [--require]

`devbench models precisions` as a table of Markdown. `--require` ends with 1 where the figures do not say what
docs/models.md says: weight-only int8 has the smaller file, and dynamic int8 the smaller peak.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path

from devbench.models.rewrites.apply import precisions


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--inputs", type=int, default=1)
    parser.add_argument("--require", action="store_true")
    given = parser.parse_args()
    print(f"{os.cpu_count()} CPUs; peak: the process's largest resident memory, Python and LiteRT included")
    print("| model | weights | file MB | peak MB | start s | a run s | relative error | SNR dB |")
    print("|---|---|---|---|---|---|---|---|")
    right = True
    for model in given.models:
        rows = {}
        for row in precisions(model, inputs=given.inputs):
            rows[row.weights] = row
            snr = f"{row.snr_db:.1f}" if math.isfinite(row.snr_db) else ""
            print(
                f"| {model.stem} | {row.weights} | {row.size_bytes / 1e6:,.1f} | {row.peak_bytes / 1e6:,.0f} | "
                f"{row.init_s:.2f} | {row.run_s:.2f} | {row.relative:.1g} | {snr} |",
                flush=True,
            )
        weights, dynamic, half = rows["weight-only int8"], rows["dynamic int8"], rows["fp16"]
        right &= weights.size_bytes < 0.6 * half.size_bytes and dynamic.peak_bytes < weights.peak_bytes
    return 0 if right or not given.require else 1


if __name__ == "__main__":
    sys.exit(main())
