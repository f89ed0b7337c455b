"""The benchmark APK's start line and log.

The logs here are written from the documented form of `logcat -v threadtime` and the tool's own text; none was recorded
on a phone.
"""

from __future__ import annotations

import shlex
import subprocess

import pytest

from devbench.errors import InputError
from devbench.tool.apk import ACTIVITY, read_log, start_line
from devbench.tool.parse import parse_bytes

APP = 4321
SUMMARY = "Inference timings in us: Init: 855, First inference: 4906, Warmup (avg): 3482.1, Inference (avg): 3320.4"


def line(message: str, *, pid: int = APP, level: str = "I", tag: str = "tflite  ") -> bytes:
    return f"06-01 12:34:56.789  {pid}  4350 {level} {tag}: {message}\n".encode()


def test_the_start_line_means_nothing_to_a_shell() -> None:
    flags = ["--graph=/data/local/tmp/$(reboot);`id`|&.tflite", "--num_threads=4"]
    shown = subprocess.run(
        ["sh", "-c", "am() { printf '%s\\n' \"$@\"; }\n" + start_line(flags)],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert shown.stdout.splitlines() == ["start", "-S", "-W", "-n", ACTIVITY, "--es", "args", " ".join(flags)]
    assert shlex.split(start_line(flags))[-1] == " ".join(flags)


@pytest.mark.parametrize("flag", ["--graph=/a b", "--graph=/a\n--x=1", "--graph='", '--graph="', "--use_gpu", "x=1"])
def test_a_flag_that_the_app_would_part_is_refused(flag: str) -> None:
    with pytest.raises(InputError, match="cannot take"):
        start_line([flag])


def test_a_result_reads_as_the_tool_s_own_text() -> None:
    applied = "Explicitly applied GPU delegate, and the model graph will be completely executed by the delegate."
    log = read_log(
        b"--------- beginning of main\n"
        + line("noise", tag="chatty  ")
        + line("Inference timings in us: Inference (avg): 1", pid=99)
        + line(applied)
        + line(SUMMARY)
        + line("Process org.tensorflow.lite.benchmark (pid 4321) has died: cch CRE", pid=700, tag="ActivityManager"),
        APP,
    )
    assert log.ending == "result"
    assert log.text == f"INFO: {applied}\nINFO: {SUMMARY}\n".encode()
    measured = parse_bytes(log.text)
    assert measured.inference_avg_us == 3320.4
    assert [(use.name, use.applied) for use in measured.delegates] == [("GPU", "full")]


def test_a_gpu_that_was_not_applied_is_told() -> None:
    log = read_log(line("Failed to apply GPU delegate.", level="E") + line("Benchmarking failed.", level="E"), APP)
    assert log.ending == "none"
    failure = parse_bytes(log.text).failure
    assert failure is not None and failure.kind.value == "delegate_not_applied"


def test_a_crash_is_told_from_silence() -> None:
    fatal = line("Fatal signal 11 (SIGSEGV), code 1 (SEGV_MAPERR) in tid 4350", level="F", tag="libc    ")
    assert (read_log(line("STARTING!") + fatal, APP).ending, read_log(fatal, APP).signal) == ("crash", 11)
    assert read_log(fatal, 1).ending == "none", "another process's"
    died = line("Process org.tensorflow.lite.benchmark (pid 4321) has died: fore TOP", pid=700, tag="ActivityManager")
    assert read_log(died, APP).ending == "crash"
    assert read_log(line("STARTING!"), APP).ending == "none"
    assert read_log(b"", APP).text == b""
    assert read_log(b"\xff\x00garbage\n" * 50, APP).ending == "none"


def test_a_log_cut_in_a_number_gives_no_result() -> None:
    log = read_log(line(SUMMARY)[:-4], APP)
    assert log.ending == "none"
    assert parse_bytes(log.text).inference_avg_us is None
