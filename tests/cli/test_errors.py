"""Wrong input: one clear line on standard error, what to do, the documented exit code, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import DATA, connected_phone

MODEL = str(DATA / "tiny_conv.tflite")


def devbench(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "devbench.cli.app", *words],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **env},
    )  # fmt: skip


def one_line(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert "→" in lines[0], "a next step"
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "nope.tflite"], "nope.tflite does not exist"),
        (["run", __file__], "is not a TensorFlow Lite model"),
        (["run", "tests"], "is a folder"),
        (["run", MODEL, "-D", "hexagn"], "unknown delegate 'hexagn'"),
        (["run", MODEL, "-t", "many"], "'many' is not a number of threads"),
        (["run", MODEL, "-t", "0"], "not a number of threads"),
        (["run", MODEL, "--require", "most"], "--require 'most' is unknown"),
        (["run", MODEL, "--tool-flag", "use_gpu"], "not name=value"),
        (["run", MODEL, "--label", "x"], "not key=value"),
        (["run", MODEL, "--json", "/none/r.json"], "/none/r.json"),
        (["run", MODEL, "-d", "virtual:0"], "0 virtual devices"),
        (["run", MODEL, "-d", "virtual", "--fault", "warp=9"], "unknown"),
        (["run", MODEL, "-d", "virtual", "--binary", "none"], "no binary 'none'"),
        (["run", MODEL, "--delegates-file", "none.toml"], "none.toml"),
        (["run", MODEL, "--store", "nosuchdb://x"], "nosuchdb"),
        (["parse", "none.txt"], "cannot read none.txt"),
        (["run", MODEL, "-t", "\u00b2"], "is not a number of threads"),
        (["run", MODEL, "-t", "9" * 60], "is not a number of threads"),
        (["detect", "--changed-since", "\u00b2d"], "is no date"),
        (["show", "20991231"], "no run '20991231'"),
        (["report", "latest"], "there is no results store"),
        (["binaries", "fetch"], "needs a name or --abi"),
        (["binaries", "fetch", "--abi", "mips"], "no binary for the ABI 'mips'"),
        (["binaries", "add", __file__], "not a benchmark_model"),
        (["binaries", "remove", "nope"], "no binary 'nope'"),
        (["profiles", "show", "nope"], "no device profile 'nope'"),
        (["models", "build", "nope", "--out", "x.tflite"], "model 'nope' is unknown"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(words: list[str], said: str, empty_adb_server: int) -> None:
    one_line(devbench(*words), 2, said)


def test_no_device_is_exit_code_3(empty_adb_server: int) -> None:
    one_line(devbench("run", MODEL), 3, "no device is connected", "--device virtual")


def test_an_unknown_serial_is_exit_code_3(empty_adb_server: int) -> None:
    one_line(devbench("run", MODEL, "-d", "R5CT0000000"), 3, "R5CT0000000")
    one_line(devbench("run", MODEL, "-d", "127.0.0.1:9"), 3, "127.0.0.1:9")


def test_two_devices_and_no_choice_is_exit_code_2(empty_adb_server: int) -> None:
    with connected_phone(name="one") as one, connected_phone(name="two") as two:
        done = devbench("run", MODEL)
        one_line(done, 2, "2 devices are connected", one.address, two.address, "--device all")
        chosen = devbench("run", MODEL, "-D", "cpu", "-r", "1", "--num-runs", "1", "--min-secs", "0", "--no-profile",
                          "--no-report", ANDROID_SERIAL=two.address)  # fmt: skip
        assert chosen.returncode == 0, chosen.stderr


def test_no_binary_for_the_device_is_exit_code_3(empty_adb_server: int, tmp_path: Path) -> None:
    one_line(devbench("run", MODEL, "-d", "virtual", "--binary", str(_arm(tmp_path))), 2, "is for arm64-v8a")


def _arm(folder: Path) -> Path:
    path = folder / "bm"
    path.write_bytes(b"\x7fELF\x02\x01\x01" + b"\x00" * 11 + (183).to_bytes(2, "little") + b"\x00" * 100)
    return path


def test_an_adb_server_elsewhere_that_is_not_there_is_exit_code_3() -> None:
    done = devbench("devices", ANDROID_ADB_SERVER_HOST="127.0.0.99", ANDROID_ADB_SERVER_PORT="9")
    one_line(done, 3, "127.0.0.99:9")


def test_parse_tells_by_its_exit_code_how_the_run_went_where_that_is_asked(tmp_path: Path) -> None:
    logs = Path(__file__).parents[1] / "tool" / "logs"
    assert devbench("parse", str(logs / "2.14-cpu.txt"), "--check").returncode == 0
    assert devbench("parse", str(logs / "2.14-crash.txt"), "--json").returncode == 0
    assert devbench("parse", str(logs / "2.14-crash.txt"), "--check").returncode == 1


@pytest.mark.parametrize("form", [(), ("--json",), ("--check",)])
def test_parse_of_text_without_a_line_of_the_tool_is_one_line(tmp_path: Path, form: tuple[str, ...]) -> None:
    (tmp_path / "other.txt").write_text("make: *** [all] Error 2\nhello world\n")
    done = devbench("parse", str(tmp_path / "other.txt"), *form)
    one_line(done, 1, "no line of benchmark_model", "other.txt")
    assert done.stdout == ""
    (tmp_path / "cut.txt").write_text("INFO: STARTING!\nINFO: Graph: [m.tfl")
    assert devbench("parse", str(tmp_path / "cut.txt"), "--json").returncode == 0


@pytest.mark.parametrize(
    "words", [["--help"], ["run", "--help"], ["parse", "-h"], ["binaries", "fetch", "--help"], ["--version"]]
)
def test_help_is_there_and_shows_examples(words: list[str]) -> None:
    done = devbench(*words)
    assert done.returncode == 0
    assert "run" not in words or "devbench run" in done.stdout


def test_doctor_says_how_to_mend_what_is_wrong(empty_adb_server: int) -> None:
    done = devbench("doctor")
    assert done.returncode == 0
    assert "none connected" in done.stdout
    assert "✓ adb server" in done.stdout


@pytest.mark.bench_phone
def test_a_device_without_a_binary_is_a_finding_of_the_doctor(bench_phone: object) -> None:
    done = devbench("doctor")
    assert done.returncode == 1
    assert "no benchmark_model for x86_64" in done.stdout
    assert "devbench binaries add FILE" in done.stdout
