"""Tab completion as a shell asks for it: commands, options and values, though a command alone imports one module."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

DEVBENCH = Path(sys.executable).with_name("devbench")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("ch", ["chart"]),
        ("de", ["delegates", "detect", "devices"]),
        ("chart his", ["history"]),
        ("devices rel", ["release"]),
        ("report --form", ["--format"]),
        ("report --format p", ["png", "pdf"]),
    ],
)
@pytest.mark.skipif(not DEVBENCH.exists(), reason="devbench is not installed beside this Python")
def test_what_a_shell_offers(words: str, expected: list[str]) -> None:
    env = {
        **os.environ,
        "_DEVBENCH_COMPLETE": "complete_bash",
        "COMP_WORDS": f"devbench {words}",
        "COMP_CWORD": str(words.count(" ") + 1),
    }
    done = subprocess.run([DEVBENCH], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert sorted(done.stdout.split()) == sorted(expected), done.stderr
