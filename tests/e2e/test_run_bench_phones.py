"""The main job on two bench phones at once: a real adbd, the stock tool, its three delegates."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from devbench.results.counting import RunView
from devbench.results.store import Store
from tests.conftest import DATA, BenchPhone
from tests.waiting import wait_until

pytestmark = pytest.mark.bench_phone
DEMO = Path(__file__).parents[2] / "devbench" / "models" / "data" / "small_unet.tflite"
TINY = DATA / "tiny_groupnorm.tflite"
SHORT = ["--num-runs", "5", "--min-secs", "0", "--warmup-min-secs", "0"]


def devbench(*words: object, cwd: Path | None = None, timeout: float = 110) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "devbench.cli.app", *map(str, words), *(["--unreliable-retries", "0"] if words[0] == "run" else [])],
        capture_output=True, text=True, timeout=timeout, cwd=cwd, check=False,
    )  # fmt: skip


def latest() -> RunView:
    with Store() as store:
        return store.run("latest")


@pytest.fixture(autouse=True)
def _stock_tool(bench_phone: BenchPhone) -> None:
    assert devbench("binaries", "add", bench_phone.binary, "--version", "2.14.1").returncode == 0


def test_two_phones_measure_three_delegates_at_once(
    bench_phones: tuple[BenchPhone, BenchPhone], tmp_path: Path
) -> None:
    serials = ",".join(phone.serial for phone in bench_phones)
    done = devbench("run", DEMO, "-d", serials, "-r", "2", *SHORT, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    view = latest()
    assert len(view.jobs) == 6
    assert len({item.job.device.key for item in view.jobs}) == 2
    assert not any(item.job.device.virtual for item in view.jobs)
    for item in view.jobs:
        assert [r.status for r in item.repetitions] == ["ok"] * 4
        assert [r.purpose for r in item.repetitions] == ["latency", "latency", "profile", "cold"]
        assert [r.file_cache for r in item.repetitions[1:]] == ["warm", "warm", "cold"]
        assert item.repetitions[3].init_us and item.repetitions[3].latency_avg_us is None
        share = item.repetitions[2].delegate_time_share
        assert share == 0 if item.job.delegate == "cpu" else share is not None and 0 < share < 1
        assert all(r.latency_avg_us for r in item.repetitions[:2])
        assert item.repetitions[2].operators
        assert item.repetitions[2].peak_memory_mb
        assert item.repetitions[2].vm_hwm_kb
        assert item.repetitions[2].pss_peak_kb
        assert all(r.on_device_ms for r in item.repetitions)
    of = {item.job.delegate: item.repetitions[0] for item in view.jobs}
    assert of["cpu"].delegate_applied is None
    assert (of["xnnpack"].delegate_applied, of["xnnpack"].partitions) == ("partial", 35)
    gpu = of["gpu"]
    assert (gpu.delegate_applied, gpu.nodes_delegated, gpu.nodes_total, gpu.partitions) == ("partial", 9, 180, 1)
    assert {"op": "SUB", "reason": "Max version supported: 2. Requested version 3."} in gpu.measurement[
        "unsupported_ops"
    ]
    html = next((tmp_path / "reports").glob("*/report.html")).read_text()
    assert "reason given by the delegate" in html
    assert "Max version supported: 2. Requested version 3." in html
    # Both phones worked at the same time.
    spans = {}
    for item in view.jobs:
        begin, end = item.repetitions[0].started_utc, item.repetitions[-1].finished_utc
        low, high = spans.get(item.job.device.key, (begin, end))
        spans[item.job.device.key] = (min(low, begin), max(high, end))
    (a0, a1), (b0, b1) = spans.values()
    assert max(a0, b0) < min(a1, b1)


def test_full_delegation_is_demanded_of_the_stock_gpu_delegate(bench_phone: BenchPhone) -> None:
    done = devbench(
        "run", DEMO, "-d", bench_phone.serial, "-D", "gpu", "--require", "full", "-r", "1", *SHORT, "--no-report"
    )
    assert done.returncode == 1
    repetition = latest().jobs[0].repetitions[0]
    assert repetition.failure_kind == "delegate_partly_applied"
    assert "9 of 180 nodes" in (repetition.failure_message or "")
    assert repetition.latency_avg_us is None


def test_a_gpu_without_its_driver_was_not_applied(bench_phone: BenchPhone) -> None:
    driver = bench_phone.root / "vendor" / "lib64" / "libOpenCL.so"
    away = driver.with_suffix(".away")
    driver.rename(away)
    try:
        done = devbench(
            "run", DATA / "tiny_conv.tflite", "-d", bench_phone.serial, "-D", "gpu", "-r", "1", *SHORT, "--no-report"
        )
    finally:
        away.rename(driver)
    assert done.returncode == 1
    repetition = latest().jobs[0].repetitions[0]
    assert repetition.failure_kind == "delegate_not_applied"
    message = repetition.failure_message or ""
    assert message.startswith("Can not open OpenCL library on this device"), "the line that names the reason"


@pytest.mark.parametrize(
    ("flag", "kind"),
    [
        ("use_hexagon=true", "unknown_flag"),
        ("num_threads=many", "tool_error"),
        ("external_delegate_path=/nope.so", "crash"),
    ],
)
def test_what_the_stock_tool_makes_of_wrong_flags_is_named(bench_phone: BenchPhone, flag: str, kind: str) -> None:
    done = devbench(
        "run",
        TINY,
        "-d",
        bench_phone.serial,
        "-D",
        "cpu",
        "-r",
        "1",
        "--no-profile",
        *SHORT,
        "--tool-flag",
        flag,
        "--no-report",
    )
    assert done.returncode == 1
    assert latest().jobs[0].repetitions[0].failure_kind == kind


def test_a_damaged_model_is_named(bench_phone: BenchPhone, tmp_path: Path) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(DEMO.read_bytes()[:3000])
    devbench("run", broken, "-d", bench_phone.serial, "-D", "cpu", "-r", "1", "--no-profile", "--no-report")
    repetition = latest().jobs[0].repetitions[0]
    assert (repetition.failure_kind, repetition.failure_message) == (
        "invalid_model",
        "The model is not a valid Flatbuffer buffer",
    )


def test_a_process_that_is_killed_is_named_and_tried_once_more(bench_phone: BenchPhone) -> None:
    from devbench.adb.device import Device
    from devbench.adb.server import AdbServer

    device = Device(AdbServer(), bench_phone.serial)
    stop = threading.Event()

    def killer() -> None:
        while not stop.wait(0.15):
            device.shell("for p in /proc/[0-9]*; do read -r n < $p/comm; case $n in [0-9a-f]*) "
                         "[ ${#n} = 15 ] && kill -9 ${p##*/};; esac; done 2>/dev/null", timeout_s=10)  # fmt: skip

    thread = threading.Thread(target=killer)
    thread.start()
    try:
        devbench("run", TINY, "-d", bench_phone.serial, "-D", "cpu", "-r", "5", "--no-profile", "--no-report")
    finally:
        stop.set()
        thread.join()
    assert [r.failure_kind for r in latest().jobs[0].repetitions] == ["killed", "killed"]


@pytest.mark.campaign
def test_a_phone_that_is_unplugged_costs_only_its_own_jobs(bench_phones: tuple[BenchPhone, BenchPhone]) -> None:
    from devbench.adb.server import AdbServer

    stays, goes = bench_phones
    server = AdbServer()
    timer = threading.Timer(4.0, goes.unplug)
    timer.start()
    try:
        done = devbench(
            "run", TINY, "-d", f"{stays.serial},{goes.serial}", "-D", "cpu", "-r", "4", "--no-profile", "--no-report",
            "--min-secs", "1.5",
        )  # fmt: skip
        assert done.returncode == 1
        errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
        assert len(errors) == 1
        assert goes.serial in errors[0]
        by_serial = {item.job.device.serial: item.repetitions for item in latest().jobs}
        assert [r.status for r in by_serial[stays.serial]] == ["ok"] * 5
        assert all(r.conditions_during for r in by_serial[stays.serial][:4]), "each takes more than a second"
        assert by_serial[goes.serial][-1].failure_kind == "device_lost"
    finally:
        timer.join()
        time.sleep(0.5)
        goes.replug()
        server.connect(goes.serial)
        server.wait_for(goes.serial, timeout_s=20)


def test_devices_and_doctor_know_the_bench_phone(bench_phone: BenchPhone) -> None:
    _forget_lost_devices()
    listed = devbench("devices")
    assert bench_phone.serial in listed.stdout
    assert "Linux bench" in listed.stdout
    checked = devbench("doctor")
    assert checked.returncode == 0, checked.stdout
    assert "tflite-2.14.1-x86_64" in checked.stdout


def _forget_lost_devices() -> None:
    """Virtual devices whose program was killed by other tests stay in the list of the adb server as offline."""
    from devbench.adb.server import AdbServer

    server = AdbServer()
    for entry in server.list_devices():
        if entry.state == "offline":
            server.disconnect(entry.serial)


def _tool_processes(phone: BenchPhone) -> list[str]:
    """Process ids of the tool on the phone: its working directory is the tool's folder."""
    from devbench.adb.device import Device
    from devbench.adb.server import AdbServer

    script = 'for p in /proc/[0-9]*; do [ "$p/cwd" -ef /data/local/tmp/devbench/work ] && echo ${p##*/}; done; true'
    done = Device(AdbServer(), phone.serial).shell(script, timeout_s=10)
    return done.stdout.decode().split()


def _start_long_run(phone: BenchPhone) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "devbench.cli.app", "run", str(TINY), "-d", phone.serial, "-D", "cpu", "--min-secs", "60",
         "-r", "1", "--no-profile", "--no-report"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until(lambda: _tool_processes(phone))
    return process


def test_ctrl_c_ends_the_process_on_the_phone(bench_phone: BenchPhone) -> None:
    import signal

    process = _start_long_run(bench_phone)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    assert _tool_processes(bench_phone) == []


def test_what_a_run_that_was_killed_left_behind_is_ended_by_the_next(bench_phone: BenchPhone) -> None:
    process = _start_long_run(bench_phone)
    process.kill()
    process.communicate(timeout=20)
    left = _tool_processes(bench_phone)
    done = devbench(
        "run", TINY, "-d", bench_phone.serial, "-D", "cpu", "-r", "1", "--no-profile", *SHORT, "--no-report"
    )
    assert done.returncode == 0, done.stderr
    # What was killed is gone a moment later.
    wait_until(lambda: not set(_tool_processes(bench_phone)) & set(left), seconds=20)
