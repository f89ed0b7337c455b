"""TensorFlow's own analyzer of GPU compatibility, run in a process of its own with a deadline.

It needs TensorFlow (the extra `models`), reads the whole model, and reports "looks compatible" for much that the stock
delegate refuses. Its answer is shown next to that of the rules and never replaces it.

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

from devbench.errors import install_hint
from devbench.text import clean

DEADLINE_S = 120.0
_MAX_BYTES = 4_000_000
_MAX_WARNINGS = 50
_COMPATIBLE = "looks compatible with GPU delegate"
_WARNING = re.compile(r"GPU COMPATIBILITY WARNING:\s*(.*)")
_VERSION = re.compile(r"TFLite runtime version (\S+?)\.?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class AnalyzerAnswer:
    """What the analyzer answers.

    Attributes:
        compatible: `None` if it gave no answer.
        warnings: its lines, cut.
        version: TensorFlow's, empty if unknown.
        note: why there is no answer.
    """

    compatible: bool | None
    warnings: tuple[str, ...] = ()
    version: str = ""
    note: str = ""


def run_analyzer(path: Path, deadline_s: float = DEADLINE_S) -> AnalyzerAnswer:
    """The analyzer's answer for a model. Never raises: without TensorFlow or an answer in time it is a note."""
    if importlib.util.find_spec("tensorflow") is None:
        return AnalyzerAnswer(None, note=f"TensorFlow is not installed ({install_hint('models')})")
    command = [sys.executable, "-m", __name__, str(path.resolve())]
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    with tempfile.TemporaryFile() as output:
        try:
            # Its output for a large model is long: it is written to a file, and only the end is read.
            subprocess.run(command, stdout=output, stderr=subprocess.DEVNULL, timeout=deadline_s, check=True, env=quiet)
        except subprocess.TimeoutExpired:
            return AnalyzerAnswer(None, note=f"not done after {deadline_s:g} s")
        except subprocess.CalledProcessError as error:
            return AnalyzerAnswer(None, note=f"failed on this model (exit code {error.returncode})")
        except OSError as error:
            return AnalyzerAnswer(None, note=f"cannot be started: {error.strerror or error}")
        output.seek(max(0, output.seek(0, os.SEEK_END) - _MAX_BYTES))
        said = output.read(_MAX_BYTES).decode("utf-8", "replace")
    warnings = tuple(clean(line, 160) for line in _WARNING.findall(said)[:_MAX_WARNINGS])
    version = _VERSION.search(said)
    if not warnings and _COMPATIBLE not in said:
        return AnalyzerAnswer(None, note="its output does not mention the GPU delegate")
    return AnalyzerAnswer(not warnings, warnings, clean(version.group(1), 20) if version else "")


def main(argv: Sequence[str]) -> int:
    """The process: prints the analyzer's text."""
    import tensorflow as tf

    tf.lite.experimental.Analyzer.analyze(model_path=argv[1], gpu_compatibility=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
