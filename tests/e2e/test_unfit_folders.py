"""A phone whose folder for tools cannot be used: run and doctor name the kind, with a hint, whatever script is first."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import DATA, BenchPhone

TMP = "data/local/tmp"
SHORT = [
    "-r", "1", "--no-profile", "--no-report", "--num-runs", "3", "--min-secs", "0", "--cold-starts", "0",
    "--unreliable-retries", "0",
]  # fmt: skip


def devbench(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "devbench.cli.app", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


@contextlib.contextmanager
def mounted(folder: Path, options: str, *, fill: bool = False) -> Iterator[None]:
    """Another file system at a folder of the phone, or the same one read-only (`bind`)."""
    folder.mkdir(parents=True, exist_ok=True)
    if options == "bind":
        subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
    else:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        if fill:
            with contextlib.suppress(OSError):
                (folder / "fill").write_bytes(b"\0" * 1_000_000)
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.bench_phone
@pytest.mark.parametrize(
    ("folder", "options", "kind", "said"),
    [
        (TMP, "ro", "read_only", "/data/local/tmp is read-only"),
        (TMP, "size=16k", "full", "/data/local/tmp is full"),
        (TMP, "noexec", "noexec", "/data/local/tmp does not let programs run"),
        (f"{TMP}/devbench", "bind", "read_only", "/data/local/tmp/devbench is read-only"),
        (f"{TMP}/devbench/work", "bind", "read_only", "/data/local/tmp/devbench/work is read-only"),
        (f"{TMP}/devbench/incoming", "bind", "read_only", "/data/local/tmp/devbench/incoming is read-only"),
    ],
)
def test_a_folder_that_cannot_be_used_ends_with_kind_hint_and_exit_code_3(
    bench_phone: BenchPhone, folder: str, options: str, kind: str, said: str
) -> None:
    devbench("binaries", "add", bench_phone.binary, "--version", "2.14.1")
    for file in (bench_phone.root / TMP / "devbench" / "sha256").glob("*"):
        file.unlink()
    with mounted(bench_phone.root / folder, options, fill=options.startswith("size")):
        done = devbench("run", DATA / "small_cnn.tflite", "-d", bench_phone.serial, "-D", "cpu", *SHORT)
        findings = json.loads(devbench("doctor", "--json").stdout)
    found = next(one for one in findings if one["subject"] == f"{bench_phone.serial} {kind}")
    assert done.returncode == 3, done.stdout + done.stderr
    assert found["words"] == said
    assert f"{said} → {found['mend']}" in done.stderr
