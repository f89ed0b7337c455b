"""devbench as a person types it, and the tools that virtual devices run in a test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def devbench(*words: str, cwd: Path | None = None, timeout: float = 90) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "devbench.cli.app", *map(str, words), *(["--unreliable-retries", "0"] if words[0] == "run" else [])],
        capture_output=True, text=True, timeout=timeout, cwd=cwd, check=False,
    )  # fmt: skip


def tool(folder: Path, body: str) -> str:
    """A benchmark_model for virtual devices that does what the test needs."""
    path = folder / "benchmark_model"
    path.write_text(f"#!/bin/sh\n# devbench-virtual\n{body}\n")
    path.chmod(0o755)
    return str(path)
