"""Makes the models of `benchmarks/gpu_check_agreement.py`, small ones of every common operator, by TensorFlow.

    python benchmarks/gpu_check_corpus.py FOLDER [--only PATTERN]

Unusual ranks, shapes, types, axes and attributes; constants on either side; quantised by range, fully, to float16 and
to int16; sparse, stateful, with control flow, several signatures, open shapes. Needs the extra `models` and takes five
minutes.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="names that match this pattern")
    given = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from benchmarks.gpu_corpus import elementwise, layers, logic, lookups, networks, programs, shaping
    from benchmarks.gpu_corpus.converting import convert

    made = left = 0
    for kind in (
        elementwise.elementwise, logic.logic, shaping.shaping, lookups.lookups, layers.layers, networks.networks,
        programs.programs,
    ):  # fmt: skip
        for name, op, inputs, how in kind():
            path = given.folder / kind.__name__ / f"{name}.tflite"
            if path.exists() or not re.search(given.only, name):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                path.write_bytes(convert(op, inputs, how))
                made += 1
            except Exception as error:
                left += 1
                said = str(error).strip().splitlines() or [type(error).__name__]
                print(f"{name}: {said[-1][:160]}", file=sys.stderr)
    print(f"{made} models made, {left} that the converter does not take")
    return 0


if __name__ == "__main__":
    sys.exit(main())
