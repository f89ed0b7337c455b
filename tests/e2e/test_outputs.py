"""`--check-outputs` and `devbench accuracy`: a delegate that computes nonsense gives no number."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from devbench.bench.outputs import OutputCheck, expect
from devbench.models.tflite_file import open_model
from devbench.results.store import Store
from devbench.virtual.phone import VirtualPhone
from tests.conftest import DATA, BenchPhone

CNN = DATA / "small_cnn.tflite"
SHORT = ["-r", "1", "--no-profile", "--no-report", "--num-runs", "3", "--min-secs", "0", "--warmup-min-secs", "0"]


def devbench(*words: object) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "devbench.cli.app",
        *map(str, words),
        *(["--suspect-retries", "0"] if words[0] == "run" else []),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


def test_right_outputs_pass_and_are_stored(adb_server_port: int) -> None:
    done = devbench("run", CNN, "-d", "virtual", "-D", "cpu,xnnpack", "--check-outputs", *SHORT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok, SNR" in done.stdout or "ok, equal" in done.stdout
    with Store() as store:
        jobs = store.run("latest").jobs
    assert [r.purpose for r in jobs[0].repetitions] == ["outputs", "latency"]
    assert [row["against"] for row in jobs[1].repetitions[0].outputs] == ["host", "device cpu"]
    assert jobs[0].repetitions[0].latency_avg_us is None


def test_wrong_outputs_fail_the_job_before_it_is_timed(tmp_path: Path, adb_server_port: int) -> None:
    garbage = tmp_path / "benchmark_model"
    garbage.write_text(
        "#!/bin/sh\n# devbench-virtual\nfor a in \"$@\"; do case $a in --output_filepath=*) head -c 40 /dev/urandom > "
        '"${a#*=}";; esac; done\necho "Inference timings in us: Init: 1, First inference: 1, Warmup (avg): 1, Inference (avg): 5"\n'
    )  # fmt: skip
    garbage.chmod(0o755)
    done = devbench("run", CNN, "-d", "virtual", "-D", "cpu", "--binary", garbage, "--check-outputs", *SHORT)
    assert done.returncode == 1
    with Store() as store:
        repetitions = store.run("latest").jobs[0].repetitions
    assert [r.failure_kind for r in repetitions] == ["output_mismatch"]
    assert repetitions[0].outputs[0]["wrong"] is True


def test_a_tool_that_writes_no_outputs_is_found_out(tmp_path: Path, adb_server_port: int) -> None:
    mute = tmp_path / "benchmark_model"
    mute.write_text(
        '#!/bin/sh\n# devbench-virtual\necho "Inference timings in us: Init: 1, First inference: 1, Inference (avg): 5"\n'
    )
    mute.chmod(0o755)
    devbench("run", CNN, "-d", "virtual", "-D", "cpu", "--binary", mute, "--check-outputs", *SHORT)
    with Store() as store:
        repetition = store.run("latest").jobs[0].repetitions[0]
    assert repetition.failure_kind == "output_mismatch"
    assert "wrong size" in (repetition.failure_message or "")


def test_accuracy_times_nothing_and_takes_a_user_s_input(tmp_path: Path, adb_server_port: int) -> None:
    np.save(tmp_path / "x.npy", np.full((1, 32, 32, 3), 0.25, np.float32))
    done = devbench(
        "accuracy", CNN, "-d", "virtual", "-D", "xnnpack", "--input", f"serving_default_image:0={tmp_path / 'x.npy'}"
    )
    assert done.returncode == 0, done.stderr
    assert "cosine" in done.stdout
    assert "virtual" in done.stdout
    wrong = devbench("accuracy", CNN, "-d", "virtual", "--input", f"picture={tmp_path / 'x.npy'}")
    assert wrong.returncode == 2
    assert "no such input" in wrong.stderr


def difference(folder: Path) -> list[str]:
    """Options that give a - b its inputs, in the order of their names; the graph has b first."""
    np.save(folder / "a.npy", np.arange(8, dtype=np.float32)[None])
    np.save(folder / "b.npy", np.full((1, 8), 10.0, np.float32))
    return ["--input", f"a={folder / 'a.npy'}", "--input", f"b={folder / 'b.npy'}"]


def test_inputs_are_bound_by_name_whatever_their_order_in_the_graph(tmp_path: Path) -> None:
    difference(tmp_path)
    check = OutputCheck({"a": tmp_path / "a.npy", "b": tmp_path / "b.npy"})
    model = open_model(str(DATA / "two_inputs.tflite"))
    expected = expect(model, check)
    assert [spec.alias for spec in expected.tensors.inputs] == ["b", "a", "n"]
    outputs = {spec.alias: array for spec, array in zip(expected.tensors.outputs, expected.outputs, strict=True)}
    assert outputs["difference"].tolist() == [n - 10.0 for n in range(8)]
    assert outputs["larger"].dtype == np.int32


def check_typed(serial: str, folder: Path) -> None:
    """Several inputs and outputs, whole numbers, truth values: all right under the device's plain CPU."""
    for name, count in (("two_inputs", 2), ("quantised", 1), ("tokens", 2)):
        words = difference(folder) if name == "two_inputs" else []
        done = devbench("accuracy", DATA / f"{name}.tflite", "-d", serial, "-D", "cpu", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        with Store() as store:
            rows = store.run("latest").jobs[0].repetitions[0].outputs
        assert len(rows) == count
        assert all(row["max_abs"] <= (1e-5 if row["dtype"] == "float32" else 0) for row in rows), rows
        assert {row["dtype"]: row["limits"] for row in rows}.items() <= {
            "float32": {"least_snr_db": 20.0, "least_cosine": 0.99}, "int32": {"most_abs": 0}, "int8": {"most_abs": 3},
        }.items()  # fmt: skip


def test_a_virtual_device_takes_inputs_of_every_type(tmp_path: Path, virtual_phone: VirtualPhone) -> None:
    check_typed(virtual_phone.address, tmp_path)


@pytest.mark.bench_phone
def test_the_stock_tool_takes_inputs_of_every_type(tmp_path: Path, bench_phone: BenchPhone) -> None:
    devbench("binaries", "add", bench_phone.binary)
    check_typed(bench_phone.serial, tmp_path)


@pytest.mark.bench_phone
def test_a_threshold_of_an_output_s_type_fails_the_job(tmp_path: Path, bench_phone: BenchPhone) -> None:
    """The stock GPU delegate computes the quantised model in floats, one step of 256 off: right, unless none is allowed."""
    devbench("binaries", "add", bench_phone.binary)
    model = DATA / "quantised.tflite"
    assert devbench("accuracy", model, "-d", bench_phone.serial, "-D", "gpu").returncode == 0
    strict = devbench("accuracy", model, "-d", bench_phone.serial, "-D", "gpu", "--max-steps", "0")
    assert strict.returncode == 1
    assert "output_mismatch" in strict.stdout


@pytest.mark.bench_phone
def test_every_delegate_of_the_stock_tool_computes_what_the_host_computes(bench_phone: BenchPhone) -> None:
    devbench("binaries", "add", bench_phone.binary)
    done = devbench("accuracy", CNN, "-d", bench_phone.serial)
    assert done.returncode == 0, done.stdout + done.stderr
    with Store() as store:
        jobs = store.run("latest").jobs
    assert [job.job.delegate for job in jobs] == ["cpu", "xnnpack", "gpu"]
    assert all(row["snr_db"] > 100 for job in jobs for row in job.repetitions[0].outputs)
    assert jobs[2].repetitions[0].delegate_applied == "full"


@pytest.mark.bench_phone
def test_a_gpu_whose_kernels_fail_in_silence_is_found_out(bench_phone: BenchPhone) -> None:
    """Without its linker the phone's OpenCL builds no kernel; the stock tool prints a latency and exits 0 all the same."""
    devbench("binaries", "add", bench_phone.binary)
    linker = bench_phone.root / "vendor" / "bin" / "ld"
    kernels = bench_phone.root / "root" / ".cache" / "pocl"
    subprocess.run(["rm", "-rf", str(kernels)], check=True)
    target = linker.readlink()
    linker.unlink()
    try:
        unchecked = devbench("run", CNN, "-d", bench_phone.serial, "-D", "gpu", *SHORT)
        assert unchecked.returncode == 0, "the trap itself: nothing but the outputs shows it"
        checked = devbench("run", CNN, "-d", bench_phone.serial, "-D", "gpu", "--check-outputs", *SHORT)
        assert checked.returncode == 1
        assert "output_mismatch" in checked.stdout
        with Store() as store:
            repetitions = store.run("latest").jobs[0].repetitions
        assert [r.failure_kind for r in repetitions] == ["output_mismatch"]
        assert repetitions[0].measurement["delegates"][0]["applied"] == "full"
    finally:
        linker.symlink_to(target)
        subprocess.run(["rm", "-rf", str(kernels)], check=True)
