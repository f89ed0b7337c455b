"""`--check-outputs` and `devbench accuracy`: a delegate that computes nonsense gives no number."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from devbench.bench.outputs import split_outputs
from devbench.models.reference import run_on_host
from devbench.models.tensors import make_inputs, read_tensors
from devbench.results.store import Store
from tests.conftest import DATA, BenchPhone

CNN = DATA / "small_cnn.tflite"
EDGES = DATA / "many_edges.tflite"
SHORT = ["-r", "1", "--no-profile", "--no-report", "--num-runs", "3", "--min-secs", "0", "--warmup-min-secs", "0"]


def devbench(*words: object) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "devbench.cli.app",
        *map(str, words),
        *(["--unreliable-retries", "0"] if words[0] == "run" else []),
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


@pytest.mark.parametrize("kind", ["virtual", pytest.param("bench_phone", marks=pytest.mark.bench_phone)])
def test_inputs_are_bound_by_name_whatever_their_order_and_type(
    kind: str, tmp_path: Path, adb_server_port: int, request: pytest.FixtureRequest
) -> None:
    """The model's signature lists its seven inputs in another order than its graph; a − b must not become b − a."""
    serial = "virtual"
    if kind == "bench_phone":
        phone = request.getfixturevalue("bench_phone")
        devbench("binaries", "add", phone.binary)
        serial = phone.serial
    minuend = np.array([[9, 8, 7, 6, 5, 4]], np.float32)
    np.save(tmp_path / "m.npy", minuend)
    np.save(tmp_path / "s.npy", np.ones((1, 6), np.float32))
    np.save(tmp_path / "levels.npy", np.array([[-128, 127, -1, 0, 1, 99]], np.int8))
    given = ["--input", f"subtrahend={tmp_path / 's.npy'}", "--input", f"minuend={tmp_path / 'm.npy'}"]
    given += ["--input", f"levels={tmp_path / 'levels.npy'}"]
    done = devbench("accuracy", EDGES, "-d", serial, "-D", "cpu,xnnpack", *given)
    assert done.returncode == 0, done.stdout + done.stderr
    with Store() as store:
        jobs = store.run("latest").jobs
    for job in jobs:
        rows = [row for row in job.repetitions[0].outputs if row["against"] == "host"]
        assert {row["name"]: row["dtype"] for row in rows} == {
            "twice": "int32",
            "difference": "float32",
            "flipped": "bool",
            "level_numbers": "int32",
            "brightness": "uint8",
            "same_levels": "int8",
            "id_sums": "int64",
        }
        assert all(row["max_abs"] == 0 and not row["wrong"] for row in rows)
        assert [row["limits"] for row in rows][:2] == [{"most_steps": 0}, {"least_snr_db": 20.0, "least_cosine": 0.99}]
    # What they are compared with is right itself.
    tensors = read_tensors(EDGES)
    files = {"minuend": tmp_path / "m.npy", "subtrahend": tmp_path / "s.npy"}
    arrays = split_outputs(run_on_host(EDGES, [make_inputs(tensors.inputs, files)]).outputs[0], tensors)
    assert np.array_equal(arrays[1], (minuend - 1).ravel())


def test_inputs_bound_by_position_would_be_found_out(tmp_path: Path, adb_server_port: int) -> None:
    """A tool that swaps the two inputs of one type and shape fails: nothing but the values tells them apart."""
    from devbench.virtual.phone import __file__ as virtual

    swapping = tmp_path / "benchmark_model"
    tool = f"{sys.executable} -m devbench.virtual.benchmark_model"
    swapping.write_text(
        '#!/bin/sh\n# devbench-virtual\nfor a in "$@"; do shift; case $a in --input_layer_value_files=*) '
        'a=$(echo "$a" | sed \'s/i0:/iX:/; s/i3:/i0:/; s/iX:/i3:/\');; esac; set -- "$@" "$a"; done\n'
        f'PYTHONPATH={Path(virtual).parents[2]} exec {tool} "$@"\n'
    )
    swapping.chmod(0o755)
    done = devbench("accuracy", EDGES, "-d", "virtual", "-D", "cpu", "--binary", swapping)
    assert done.returncode == 1, done.stdout + done.stderr
    with Store() as store:
        repetition = store.run("latest").jobs[0].repetitions[0]
    assert repetition.failure_kind == "output_mismatch"
    assert (repetition.failure_message or "").startswith("output difference: ")
    assert [row["name"] for row in repetition.outputs if row["wrong"]] == ["difference"]


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
