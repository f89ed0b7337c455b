"""Size, peak memory, time and output error of a model in float32, fp16, weight-only int8 and dynamic int8.

    python benchmarks/precision_table.py unet.tflite [--inputs 1] [--require]

On this machine's CPU by LiteRT with XNNPACK, each file in a process of its own. `--require` ends with 1 where the
figures do not say what docs/models.md says: weight-only int8 has the smaller file and no smaller peak than fp16.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from devbench.models.equality import compare_models
from devbench.models.rewrites.apply import rewrite_file
from devbench.models.rewrites.catalogue import RewriteOptions, chosen_rewrites

NAMES = (("float32", ()), ("fp16", ("fp16",)), ("weight-only int8", ("w8",)), ("dynamic int8", ("dynamic-int8",)))


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
        peaks: dict[str, int] = {}
        sizes: dict[str, int] = {}
        with tempfile.TemporaryDirectory(dir=model.absolute().parent) as folder:
            for name, rewrites in NAMES:
                path = Path(folder, "model.tflite")
                rewrite_file(model, path, chosen_rewrites(rewrites, []) if rewrites else [], RewriteOptions(), inputs=0)
                found = compare_models(model, path, given.inputs, kernels="xnnpack")
                sizes[name], peaks[name] = path.stat().st_size, found.after.peak_bytes
                worst = found.worst
                snr = "" if worst.snr_db == float("inf") else f"{worst.snr_db:.1f}"
                print(
                    f"| {model.stem} | {name} | {sizes[name] / 1e6:,.1f} | {peaks[name] / 1e6:,.0f} | "
                    f"{found.after.init_s:.2f} | {found.after.run_s:.2f} | {worst.relative:.1g} | {snr} |",
                    flush=True,
                )
        right &= sizes["weight-only int8"] < 0.6 * sizes["fp16"]
        right &= peaks["dynamic int8"] < peaks["weight-only int8"]
    return 0 if right or not given.require else 1


if __name__ == "__main__":
    sys.exit(main())
