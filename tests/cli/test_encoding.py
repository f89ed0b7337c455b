"""Every kind of output is readable text in encodings that cannot write all of its signs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from devbench.cli.encoding import HANDLER

ENCODINGS = ("cp1252", "latin-1", "ascii")
COMMANDS = (
    ("--help",),
    ("run", "--help"),
    ("binaries", "list"),
    ("profiles", "list"),
    ("profiles", "show", "bench-phone"),
    ("delegates",),
    ("models", "inspect", "demo"),
    ("models", "gpu-check", "demo"),
    ("runs",),
    ("show", "latest"),
    ("run", "模型 → é.tflite"),
    ("run", "--no-such-option"),
)


def devbench(*words: str, encoding: str, home: Path) -> tuple[int, str]:
    """Exit code and all output of a command; fails where the output is not in that encoding."""
    env = {**os.environ, "PYTHONIOENCODING": encoding, "DEVBENCH_HOME": str(home), "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "devbench.cli.app", *words], capture_output=True, env=env, timeout=300, check=False
    )
    return done.returncode, (done.stdout + done.stderr).decode(encoding)


def assert_readable(text: str) -> None:
    assert text.strip()
    assert "UnicodeEncodeError" not in text and "Traceback" not in text
    assert "�" not in text and "Ã" not in text and "â€" not in text, "UTF-8 that was read as something else"


# Runs each command whose words are a line of standard input, all in one process.
_EACH = """
import json, sys
from devbench.cli.app import main
for line in sys.stdin:
    sys.argv[1:] = json.loads(line)
    try:
        main()
    except SystemExit:
        print("@end", flush=True)
"""


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_command_is_readable_in_any_encoding(encoding: str, tmp_path: Path) -> None:
    # ASCII can write least, so it sees every command; the others those with most signs.
    commands = COMMANDS if encoding == "ascii" else COMMANDS[-6:-3]
    env = {**os.environ, "PYTHONIOENCODING": encoding, "DEVBENCH_HOME": str(tmp_path), "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _EACH],
        input="".join(json.dumps(words) + "\n" for words in commands).encode(),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, timeout=100, check=True,
    )  # fmt: skip
    *texts, rest = done.stdout.decode(encoding).split("@end\n")
    assert len(texts) == len(commands) and not rest
    for text in texts:
        assert_readable(text)


def test_a_sign_that_cannot_be_written_becomes_letters_and_a_name_an_escape(tmp_path: Path) -> None:
    code, text = devbench("run", "模型 → é.tflite", encoding="ascii", home=tmp_path)
    assert code == 2
    assert "\\u6a21\\u578b -> e.tflite" in text


def test_json_says_the_same_in_any_encoding(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("INFO: Loaded model 模型→.tflite\nINFO: Inference timings in us: Init: 1, First inference: 2, "
                   "Warmup (avg): 3, Inference (avg): 4\n", "utf-8")  # fmt: skip
    found = {
        encoding: devbench("parse", str(log), "--json", encoding=encoding, home=tmp_path)[1] for encoding in ENCODINGS
    }
    assert len({json.dumps(json.loads(text)) for text in found.values()}) == 1


@pytest.mark.parametrize(
    ("text", "encoding", "written"),
    [
        ("36.5 °C → 3 µs ± 2 ×", "ascii", b"36.5 degC -> 3 us +/- 2 x"),
        ("36.5 °C → ✓ Größe", "cp1252", "36.5 °C -> ok Größe".encode("cp1252")),
        ("90° Größe 模", "ascii", b"90 deg Grosse \\u6a21"),
        (os.fsdecode(b"m\xff"), "utf-8", b"m\\xff"),
    ],
)
def test_what_cannot_be_written_becomes_letters_or_an_escape(text: str, encoding: str, written: bytes) -> None:
    assert text.encode(encoding, HANDLER) == written


@pytest.mark.campaign
@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_run_its_report_and_a_comparison_are_readable(encoding: str, tmp_path: Path) -> None:
    few = ["-D", "cpu", "-r", "2", "--num-runs", "2", "--min-secs", "0", "--warmup-min-secs", "0", "--cold-starts", "0"]
    run = ("run", "demo", "-d", "virtual", *few, "--no-profile", "--unreliable-retries", "0", "--cool-down", "0",
           "--out", str(tmp_path / "report"), "--stabilise", "governor=performance")  # fmt: skip
    for words in (run, run, ("show", "latest"), ("runs",), ("compare", "previous", "latest"),
                  ("compare", "previous", "latest", "--format", "md"), ("report", "latest", "--out", str(tmp_path / "r"))):  # fmt: skip
        _, text = devbench(*words, encoding=encoding, home=tmp_path)
        assert_readable(text)
    assert "governor=performance was requested and not applied" in devbench(*run, encoding=encoding, home=tmp_path)[1]
