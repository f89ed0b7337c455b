"""`devbench run --via apk` on a virtual device that replays a phone with the benchmark APK (see `app_phone`)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from devbench.findings.run_build import build_report
from devbench.results.counting import RunView
from devbench.results.records import RepetitionRecord
from devbench.results.run_files import repetition_rows
from devbench.results.store import Store
from devbench.tool import binaries
from devbench.tool.parse import parse_bytes, to_json
from devbench.virtual.phone import VirtualPhone
from tests.conftest import DATA
from tests.e2e.app_phone import PACKAGE, AppPhone, line, of_tool, result, started
from tests.waiting import wait_until

MODEL = DATA / "tiny_groupnorm.tflite"
LOGS = Path(__file__).parents[1] / "tool" / "logs"
APPLIED = "Explicitly applied {} delegate, and the model graph will be completely executed by the delegate."


@pytest.fixture
def app(virtual_phone: VirtualPhone, tmp_path: Path) -> Iterator[AppPhone]:
    phone = AppPhone(virtual_phone.root)
    apk(tmp_path / "benchmark.apk", b"one")
    yield phone
    assert not phone.app_runs(), "the app is ended whatever happened"


def apk(path: Path, body: bytes) -> binaries.Binary:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("AndroidManifest.xml", body)
        archive.writestr("lib/arm64-v8a/libtensorflowlite_benchmark.so", b"\x7fELF")
    return binaries.add(path, name=f"apk-{body.decode()}")


def command(phone: VirtualPhone, *words: object) -> list[str]:
    fixed = ("--no-report", "--unreliable-retries", "0", "--no-profile", "-r", "1")
    return [sys.executable, "-m", "devbench.cli.app", "run", *map(str, (MODEL, "-d", phone.address, *fixed, *words))]


def run(phone: VirtualPhone, *words: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(phone, *words), capture_output=True, text=True, timeout=90, check=False)
    assert "Traceback" not in done.stderr
    return done


def latest() -> RunView:
    with Store() as store:
        return store.run("latest")


def only() -> RepetitionRecord:
    (job,) = latest().jobs
    (repetition,) = job.repetitions
    return repetition


def test_latency_comes_from_the_app_s_log_and_raw_lines_are_kept(app: AppPhone, virtual_phone: VirtualPhone) -> None:
    noise = [
        line("Inference timings in us: Init: 1, First inference: 1, Warmup (avg): 1, Inference (avg): 1", pid=99),
        line("Start proc 88:com.example.other/u0a9 for service", tag="ActivityManager", pid=1234),
    ]
    app.plays(*noise, *result(3320.4, [APPLIED.format("XNNPACK")], ["Memory footprint delta from the start of the tool (MB): init=2.5 overall=4"]))  # fmt: skip
    done = run(virtual_phone, "-D", "xnnpack", "-t", "4", "--via", "apk", "--cold-starts", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^XNNPACK · APK +4 ", done.stdout, re.MULTILINE), done.stdout
    view = latest()
    (job,) = view.jobs
    repetition = only()
    assert (repetition.latency_avg_us, repetition.init_us, repetition.delegate_applied) == (3320.4, 855, "full")
    assert (repetition.exit_code, repetition.on_device_ms, repetition.vm_hwm_kb) == (0, None, None)
    assert repetition.init_memory_mb == 2.5
    assert repetition.conditions_before is not None
    assert repetition.conditions_after is not None
    assert job.job.options["via"] == "apk"
    assert (job.job.binary.name, job.job.binary.flavour) == ("apk-one", "apk")
    assert repetition.argv[0] == f"{PACKAGE}/.BenchmarkModelActivity"
    (asked,) = app.asked("am", "start")
    assert asked.startswith(f"start -S -W -n {PACKAGE}/.BenchmarkModelActivity --es args --graph=/")
    assert asked.endswith(" ".join(repetition.argv[2:])), "the words that are stored are those that the app got"
    with Store() as store:
        raw = store.artifacts.read(repetition.raw_path)
    assert b"tflite  : Inference timings in us: Init: 855" in raw, "raw lines of the log, not what was made of them"
    assert b"com.example" not in raw
    assert b"an old line" not in raw
    assert to_json(parse_bytes(raw)) == repetition.measurement


def test_the_gpu_of_the_app_and_of_the_shell_never_share_a_row(app: AppPhone, virtual_phone: VirtualPhone) -> None:
    app.plays(*result(4300, [APPLIED.format("XNNPACK")]))
    app.plays(*result(1200, [APPLIED.format("GPU")]), name="gpu-latency")
    apk_run = run(virtual_phone, "-D", "xnnpack,gpu", "--via", "apk")
    assert apk_run.returncode == 0, apk_run.stdout
    titles = {job.title: job.latency and job.latency.median for job in build_report(latest()).jobs}
    assert set(titles) == {"XNNPACK · APK", "GPU · APK"}
    rows = repetition_rows(latest())
    assert {(row["delegate"], row["via"], row["latency_avg_us"]) for row in rows} == {
        ("xnnpack", "apk", 4300.0),
        ("gpu", "apk", 1200.0),
    }
    short = ("--num-runs", "5", "--min-secs", "0", "--warmup-min-secs", "0")
    assert run(virtual_phone, "-D", "xnnpack", *short).returncode == 0
    assert [job.title for job in build_report(latest()).jobs] == ["XNNPACK"]
    assert {row["via"] for row in repetition_rows(latest())} == {"shell"}
    with Store() as store:
        model = latest().jobs[0].job.model.name
        shell, via_apk = (store.typical_duration_s(model, "xnnpack", via=via) for via in ("shell", "apk"))
        assert store.typical_duration_s(model, "gpu") is None
    assert shell is not None
    assert via_apk is not None
    assert via_apk != shell


def test_partial_delegation_is_told_as_from_the_shell(app: AppPhone, virtual_phone: VirtualPhone) -> None:
    text = (LOGS / "2.14-gpu-partial.txt").read_text().partition("INFO: Memory status")[0]
    app.plays(started(), *of_tool(text))
    assert run(virtual_phone, "-D", "gpu", "--via", "apk").returncode == 0
    repetition = only()
    assert (repetition.delegate_applied, repetition.latency_avg_us, repetition.partitions) == ("partial", 3743.6, 1)
    assert repetition.measurement["unsupported_ops"]
    assert run(virtual_phone, "-D", "gpu", "--via", "apk", "--require", "full").returncode == 1
    assert only().failure_kind == "delegate_partly_applied"


@pytest.mark.parametrize("cut", [False, True])
def test_an_operator_profile_counts_only_where_the_log_did_not_cut_it(
    cut: bool, app: AppPhone, virtual_phone: VirtualPhone
) -> None:
    text = (LOGS / "virtual-xnnpack.txt").read_text()
    if cut:
        # bionic's buffer of a message holds 1,023 bytes and the end.
        parts = text.split("INFO: Operator-wise")
        text = "".join([parts[0][: parts[0].index("INFO: Profiling")], "INFO: Operator-wise", parts[1][:1004], "\n"])
    app.plays(*result(110.4, [APPLIED.format("XNNPACK")]))
    app.plays(started(), *of_tool(text), name="profile")
    assert run(virtual_phone, "-D", "xnnpack", "--via", "apk", "--profile").returncode == 0
    latency, profile = latest().jobs[0].repetitions
    assert (latency.purpose, profile.purpose, profile.status) == ("latency", "profile", "ok")
    if cut:
        assert not profile.operators
        assert any("cut the operator profile" in warning for warning in profile.measurement["warnings"])
    else:
        assert len([op for op in profile.operators if op.phase == "runs"]) == 14
        assert profile.overall_memory_mb == 142.754


FATAL = line("Fatal signal 11 (SIGSEGV), code 1 (SEGV_MAPERR), fault addr 0x0 in tid 4350", level="F", tag="libc")
DIED = line(f"Process {PACKAGE} (pid @PID@) has died: fore TOP", tag="ActivityManager", pid=1234)
FAILURES = {
    "crash": ([started(), line("STARTING!"), FATAL, DIED], "crash", "SIGSEGV"),
    "killed": ([started(), line("STARTING!"), DIED], "killed", "the system ended the app"),
    "java": (
        [
            started(),
            line("FATAL EXCEPTION: main", level="E", tag="AndroidRuntime"),
            line("java.lang.UnsatisfiedLinkError: dlopen failed: no libx.so", level="E", tag="AndroidRuntime"),
            DIED,
        ],
        "crash",
        "UnsatisfiedLinkError",
    ),
    "gpu not applied": (
        [started(), line("Failed to apply GPU delegate.", level="E"), line("Benchmarking failed.", level="E")],
        "delegate_not_applied",
        "",
    ),
    "cpu instead of gpu": (result(3320), "delegate_not_applied", "does not say that it was applied"),
    "ended early": ([started(), line("STARTING!")], "output_incomplete", ""),
}


@pytest.mark.campaign
@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_of_the_app_is_named(name: str, app: AppPhone, virtual_phone: VirtualPhone) -> None:
    traffic, kind, words = FAILURES[name]
    app.plays(*traffic)
    done = run(virtual_phone, "-D", "gpu", "--via", "apk", "--timeout", "20")
    assert done.returncode == 1
    failed = latest().jobs[0].repetitions[0]
    assert failed.failure_kind == kind
    assert words in (failed.failure_message or "")
    assert failed.latency_avg_us is None


def test_silence_ends_at_the_deadline_and_so_does_the_app(app: AppPhone, virtual_phone: VirtualPhone) -> None:
    app.plays(started(), line("STARTING!"), "@sleep 60\n")
    done = run(virtual_phone, "-D", "cpu", "--via", "apk", "--timeout", "4")
    assert done.returncode == 1
    assert only().failure_kind == "timeout"
    assert not app.app_runs()
    with Store() as store:
        assert b"STARTING!" in store.artifacts.read(only().raw_path), "what came until then is kept"


def test_an_interrupted_run_ends_the_app(app: AppPhone, virtual_phone: VirtualPhone) -> None:
    app.plays(started(), line("STARTING!"), "@sleep 60\n")
    words = command(virtual_phone, "-D", "cpu", "--via", "apk")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_until(app.app_runs)
        os.kill(process.pid, signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert not app.app_runs()


def test_a_start_that_am_refuses_is_told_in_its_words(app: AppPhone, virtual_phone: VirtualPhone) -> None:
    app.says("am", f"Error type 3\nError: Activity class {{{PACKAGE}/.BenchmarkModelActivity}} does not exist.\n")
    assert run(virtual_phone, "-D", "cpu", "--via", "apk").returncode == 1
    assert only().failure_kind == "tool_error"
    assert "the app did not start: Error type 3" in (only().failure_message or "")


def test_a_process_that_the_system_does_not_name_is_found(app: AppPhone, virtual_phone: VirtualPhone) -> None:
    app.plays("@sleep 0.8\n", *result(3320.4)[1:], "@sleep 1\n")
    assert run(virtual_phone, "-D", "cpu", "--via", "apk").returncode == 0
    assert only().latency_avg_us == 3320.4


def test_the_app_is_installed_once_and_again_when_something_changed(
    app: AppPhone, virtual_phone: VirtualPhone, tmp_path: Path
) -> None:
    app.plays(*result(3320.4))
    words = (virtual_phone, "-D", "cpu", "--via", "apk", "--cold-starts", "0")
    for _ in range(2):
        assert run(*words).returncode == 0
    assert len(app.asked("pm", "install")) == 1
    assert app.asked("pm", "install")[0].startswith("install -r -d -g /")
    app.reinstall()
    assert run(*words).returncode == 0
    assert len(app.asked("pm", "install")) == 2, "somebody else's app is not ours"
    apk(tmp_path / "two.apk", b"two")
    assert run(*words).returncode == 0
    assert len(app.asked("pm", "install")) == 3
    assert latest().jobs[0].job.binary.name == "apk-two"


def test_what_pm_says_against_an_apk_is_passed_on(app: AppPhone, virtual_phone: VirtualPhone) -> None:
    reason = f"INSTALL_FAILED_UPDATE_INCOMPATIBLE: Existing package {PACKAGE} signatures do not match"
    app.says("pm", f"Failure [{reason}]\n")
    done = run(virtual_phone, "-D", "cpu", "--via", "apk")
    assert done.returncode == 3
    assert f"does not install apk-one: {reason}" in " ".join(done.stderr.split())
    assert f"adb uninstall {PACKAGE}" in " ".join(done.stderr.split())


REFUSED = [
    (("--check-outputs",), "outputs cannot be compared"),
    (("--stabilise", "affinity=f0"), "affinity is not for an app"),
    (("-D", "gpu-cached"), "a folder that the app may not write to"),
    (("--tool-flag", "input_layer=a b"), "the benchmark APK cannot take"),
    (("--via", "ftp"), "--via 'ftp' is unknown"),
]


@pytest.mark.parametrize(
    ("words", "said"), REFUSED, ids=[words[1] if len(words) > 1 else words[0] for words, _ in REFUSED]
)
def test_what_an_app_cannot_do_is_refused_before_anything_runs(
    words: tuple[str, ...], said: str, app: AppPhone, virtual_phone: VirtualPhone
) -> None:
    done = run(virtual_phone, "--via", "apk", *words)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert not app.asked("pm")
    assert not app.asked("am")


def test_a_virtual_device_without_apps_says_so(virtual_phone: VirtualPhone) -> None:
    done = run(virtual_phone, "-D", "cpu", "--via", "apk")
    assert done.returncode == 3
    assert "a virtual device cannot run apps" in done.stderr
