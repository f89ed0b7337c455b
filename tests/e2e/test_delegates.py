"""Delegates on devices: which can run there, and a delegate of a user's own with files, cache and environment."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

from devbench.results.store import Store
from tests.conftest import DATA, BenchPhone
from tests.tool.elf_files import X86_64, library

CNN = DATA / "small_cnn.tflite"
SHORT = [
    "-r",
    "2",
    "--no-profile",
    "--no-report",
    "--num-runs",
    "3",
    "--min-secs",
    "0",
    "--warmup-min-secs",
    "0",
    "--unreliable-retries",
    "0",
]


def devbench(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "devbench.cli.app", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


def test_a_virtual_device_says_which_delegates_it_has(adb_server_port: int) -> None:
    listed = json.loads(devbench("delegates", "-d", "virtual", "--json").stdout)
    reasons = {row["name"]: row["reasons"] for row in listed["delegates"]}
    assert reasons["cpu"] == []
    assert reasons["xnnpack"] == []
    assert reasons["nnapi"] == ["known to fail here: there is no Android below it", "virtual has no flag use_nnapi"]
    assert "nnapi" in devbench("delegates").stdout


def test_files_cache_and_environment_reach_the_tool(tmp_path: Path, adb_server_port: int) -> None:
    (tmp_path / "data file.txt").write_text("hello")
    (tmp_path / "mine.toml").write_text(
        '[mine]\nflags = { a = "{cache}/x", b = "{files}/data file.txt" }\nfiles = ["data file.txt"]\nenv = { WORD = "{model}" }\n'
    )
    tool = tmp_path / "benchmark_model"
    tool.write_text(
        '#!/bin/sh\n# devbench-virtual\nfor a in "$@"; do case $a in --a=*) : > "${a#*=}" && echo cache-ok;; --b=*) cat "${a#*=}";; esac; done\n'
        'echo " word=$WORD"; echo "Inference timings in us: Init: 1, First inference: 1, Warmup (avg): 1, Inference (avg): 5"\n'
    )
    tool.chmod(0o755)
    done = devbench(
        "run", CNN, "-d", "virtual", "-D", "mine", "--delegates-file", tmp_path / "mine.toml", "--binary", tool, *SHORT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with Store() as store:
        view = store.run("latest")
        raw = store.artifacts.read(view.jobs[0].repetitions[0].raw_path).decode()
    assert "cache-ok" in raw
    assert "hello" in raw
    assert f"word={view.jobs[0].job.model.sha256[:32]}" in raw


@pytest.mark.bench_phone
def test_the_stock_tool_s_own_help_decides_on_a_bench_phone(bench_phone: BenchPhone) -> None:
    devbench("binaries", "add", bench_phone.binary, "--version", "2.14.1")
    listed = json.loads(devbench("delegates", "-d", bench_phone.serial, "--json").stdout)
    reasons = {row["name"]: row["reasons"] for row in listed["delegates"]}
    assert [name for name, said in reasons.items() if not said] == [
        "cpu", "xnnpack", "gpu", "gpu-fp16", "gpu-fp32", "gpu-cl", "gpu-gl", "gpu-sustained", "gpu-cached",
        "gpu-cached-cold",
    ]  # fmt: skip
    assert reasons["nnapi"] == ["tflite-2.14.1-x86_64 has no flag use_nnapi"]


@pytest.mark.bench_phone
def test_gpu_variants_run_and_a_backend_that_is_not_there_gives_no_number(bench_phone: BenchPhone) -> None:
    devbench("binaries", "add", bench_phone.binary, "--version", "2.14.1")
    done = devbench("run", CNN, "-d", bench_phone.serial, "-D", "gpu-fp32,gpu-cached,gpu-gl,nnapi", *SHORT)
    assert done.returncode == 1
    with Store() as store:
        of = {job.job.delegate: job.repetitions for job in store.run("latest").jobs}
    assert [(r.purpose, r.status) for r in of["gpu-fp32"]] == [("latency", "ok"), ("latency", "ok"), ("cold", "ok")]
    assert [r.kernel_cache for r in of["gpu-fp32"]] == [None, None, None]
    first, warm, cold = of["gpu-cached"]
    assert [r.kernel_cache for r in of["gpu-cached"]] == ["cold", "warm", "cold"]
    assert first.init_us is not None
    assert warm.init_us is not None
    assert warm.init_us < first.init_us, "its kernels are loaded, not compiled"
    assert (warm.file_cache, cold.file_cache) == ("warm", "cold"), "adb runs as root on a bench phone"
    assert cold.init_us is not None and cold.init_us > warm.init_us
    assert cold.latency_avg_us is None, "one inference is no latency"
    assert [r.failure_kind for r in of["gpu-gl"]] == ["delegate_not_applied"]
    assert [r.failure_kind for r in of["nnapi"]] == ["unknown_flag"]
    assert of["nnapi"][0].latency_avg_us is None


@pytest.mark.bench_phone
def test_a_fresh_cache_makes_every_start_a_cold_one(bench_phone: BenchPhone) -> None:
    devbench("binaries", "add", bench_phone.binary, "--version", "2.14.1")
    done = devbench(
        "run", CNN, "-d", bench_phone.serial, "-D", "gpu-fp16,gpu-cl,gpu-cached,gpu-cached-cold", *SHORT, "-r", "3"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with Store() as store:
        of = {job.job.delegate: job.repetitions for job in store.run("latest").jobs}
    assert all(r.status == "ok" for repetitions in of.values() for r in repetitions)
    warm = [r.init_us for r in of["gpu-cached"] if r.purpose == "latency"][1:]
    cold = [r.init_us for r in of["gpu-cached-cold"] if r.purpose == "latency"]
    assert len(cold) == 3
    assert median(us or 0 for us in warm) < median(us or 0 for us in cold), "kernels compiled anew each time"


def test_a_required_library_is_looked_for_on_the_device(tmp_path: Path, adb_server_port: int) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(
        "[here]\nflags = { num_runs = 1 }\nrequires = { library = ['/no $(x)/l.so', '/'] }\n"
        "[gone]\nflags = { num_runs = 1 }\nrequires = { library = ['/no $(x)/l.so'] }\n"
    )
    listed = json.loads(devbench("delegates", "-d", "virtual", "--delegates-file", mine, "--json").stdout)
    reasons = {row["name"]: row["reasons"] for row in listed["delegates"]}
    assert reasons["here"] == []
    assert reasons["gone"] == ["the device has none of /no $(x)/l.so"]


@pytest.mark.bench_phone
def test_a_binary_s_flags_are_asked_once_and_unknown_ones_refused_before_anything_is_timed(
    bench_phone: BenchPhone,
) -> None:
    devbench("binaries", "add", bench_phone.binary, "--version", "2.14.1")
    name = "tflite-2.14.1-x86_64"
    listed = json.loads(devbench("binaries", "flags", name, "-d", bench_phone.serial, "--json").stdout)
    assert "use_gpu" in listed["flags"] and "use_nnapi" not in listed["flags"]
    # No device is asked the second time: this one does not exist.
    assert "--use_gpu" in devbench("binaries", "flags", name, "-d", "nowhere").stdout
    done = devbench("run", CNN, "-d", bench_phone.serial, "-D", "cpu,nnapi", *SHORT)
    assert done.returncode == 1
    with Store() as store:
        of = {job.job.delegate: job.repetitions for job in store.run("latest").jobs}
        assert store.artifacts.read(of["nnapi"][0].raw_path) == b"", "no process of it ran"
    assert [r.status for r in of["cpu"] if r.purpose == "latency"] == ["ok", "ok"], "other jobs go on"
    assert [r.failure_kind for r in of["nnapi"]] == ["unknown_flag"]
    assert "has no --use_nnapi" in (of["nnapi"][0].failure_message or "")
    done = devbench("run", CNN, "-d", bench_phone.serial, "-D", "cpu", "--tool-flag", "no_such=1", *SHORT)
    assert done.returncode == 1
    assert "has no --no_such" in " ".join(done.stdout.split())


@pytest.mark.bench_phone
def test_libraries_that_cannot_be_loaded_on_the_phone_are_refused_before_they_are_sent(
    bench_phone: BenchPhone, tmp_path: Path
) -> None:
    devbench("binaries", "add", bench_phone.binary, "--version", "2.14.1")
    create = ["tflite_plugin_create_delegate"]
    arm = library(tmp_path / "libarm.so", exports=create)
    alone = library(tmp_path / "libalone.so", machine=X86_64, exports=create, needed=["libc.so.6", "libgone.so"])
    for file, said in (
        (arm, "libarm.so is built for arm64-v8a, the device runs x86_64"),
        (alone, "libalone.so needs libgone.so, which is neither among its files nor on the device"),
    ):
        done = devbench(
            "run", CNN, "-d", bench_phone.serial, "-D", f"external:{file}", *SHORT, "--json", tmp_path / "r"
        )
        assert done.returncode == 1, done.stdout + done.stderr
        (repetition,) = json.loads((tmp_path / "r").read_text())["jobs"][0]["repetitions"]
        assert repetition["failure_kind"] == "refused"
        assert said in repetition["failure_message"]
        assert "libc.so.6" not in repetition["failure_message"]
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        assert not (bench_phone.root / f"data/local/tmp/devbench/sha256/{digest}").exists()


def test_a_library_that_is_missing_or_none_ends_with_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "libtext.so").write_text("hello")
    for name, said in (("libgone.so", "does not exist"), ("libtext.so", "no ELF header")):
        done = devbench("run", CNN, "-d", "virtual", "-D", f"external:{tmp_path / name}", *SHORT)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert said in done.stderr


def test_a_delegate_that_the_flavour_does_not_have_is_refused_before_anything_runs(
    tmp_path: Path, adb_server_port: int
) -> None:
    done = devbench("run", CNN, "-d", "virtual", "-D", "cpu,nnapi", *SHORT, "--json", tmp_path / "r.json")
    assert done.returncode == 1
    jobs = {job["delegate"]: job["repetitions"] for job in json.loads((tmp_path / "r.json").read_text())["jobs"]}
    assert [repetition["status"] for repetition in jobs["cpu"]] == ["ok", "ok"]
    (repetition,) = jobs["nnapi"]
    assert (repetition["failure_kind"], repetition["argv"]) == ("unknown_flag", [])
    assert "virtual has no --use_nnapi" in repetition["failure_message"]


def test_a_delegate_is_refused_on_a_device_that_lacks_what_it_requires(tmp_path: Path, adb_server_port: int) -> None:
    (tmp_path / "mine.toml").write_text("[mine]\nflags = { num_runs = 1 }\nrequires = { abi = 'mips' }\n")
    mine = ["-D", "mine", "--delegates-file", tmp_path / "mine.toml"]
    done = devbench("run", CNN, "-d", "virtual", *mine, *SHORT, "--json", tmp_path / "r.json")
    assert done.returncode == 1
    (repetition,) = json.loads((tmp_path / "r.json").read_text())["jobs"][0]["repetitions"]
    assert (repetition["failure_kind"], repetition["failure_message"]) == ("refused", "mine: not for virtual")
