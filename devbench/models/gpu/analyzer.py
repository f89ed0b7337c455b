"""The other judge: TensorFlow's own analyzer, asked in a process of its own with a deadline.

It needs TensorFlow (the extra `models`), reads the whole model, and says "looks compatible" of much that the stock
delegate refuses; its answer stands beside the rules, never in their place.

`python -m devbench.models.gpu.analyzer MODEL` is that process.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devbench.text import clean

DEADLINE_S = 120.0
_MAX_BYTES = 4_000_000
_MAX_WARNINGS = 50
_WARNING = re.compile(r"GPU COMPATIBILITY WARNING:\s*(.*)")
_VERSION = re.compile(r"TFLite runtime version (\S+?)\.?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the analyzer says.

    Attributes:
        compatible: `None` where it gave no answer.
        warnings: its lines, cut.
        version: TensorFlow's, empty where it did not say.
        note: why there is no answer.
    """

    compatible: bool | None
    warnings: tuple[str, ...] = ()
    version: str = ""
    note: str = ""


def ask(path: Path, deadline_s: float = DEADLINE_S) -> Opinion:
    """The analyzer's opinion of a model. Never raises: without TensorFlow or an answer in time it is a note."""
    if importlib.util.find_spec("tensorflow") is None:
        return Opinion(None, note="TensorFlow is not installed (pip install 'devbench[models]')")
    command = [sys.executable, "-m", "devbench.models.gpu.analyzer", str(path.resolve())]
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    with tempfile.TemporaryFile() as output:
        try:
            # Its listing of a large model is long: to a file, of which only the beginning and the end are read.
            done = subprocess.run(
                command, stdout=output, stderr=subprocess.DEVNULL, timeout=deadline_s, check=False, env=quiet
            )
        except subprocess.TimeoutExpired:
            return Opinion(None, note=f"not done after {deadline_s:g} s")
        except OSError as error:
            return Opinion(None, note=f"cannot be started: {error.strerror or error}")
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - _MAX_BYTES))
        said = output.read(_MAX_BYTES).decode("utf-8", "replace")
    if done.returncode:
        return Opinion(None, note=f"failed on this model (exit code {done.returncode})")
    return read_opinion(said)


def read_opinion(said: str) -> Opinion:
    """The opinion in what the analyzer printed."""
    warnings = tuple(clean(line, 160) for line in _WARNING.findall(said)[:_MAX_WARNINGS])
    version = _VERSION.search(said)
    known = clean(version.group(1), 20) if version else ""
    if warnings:
        return Opinion(False, warnings, known)
    if "looks compatible with GPU delegate" in said:
        return Opinion(True, (), known)
    return Opinion(None, note="it said nothing of the GPU delegate")


def main(argv: Sequence[str]) -> int:
    """The process: prints the analyzer's text."""
    import tensorflow as tf

    tf.lite.experimental.Analyzer.analyze(model_path=argv[1], gpu_compatibility=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
