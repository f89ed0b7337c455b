"""What every adbd must do, the real one of a bench phone and the virtual device's alike."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from devbench.adb.device import Device
from devbench.adb.errors import CommandFailed, OutputTooLong, ShellTimeout, SyncFailed
from devbench.errors import InputError
from tests.waiting import wait_until

TMP = "/data/local/tmp"


def sh(device: Device, command: str, **options: object) -> tuple[bytes, bytes, int]:
    result = device.shell(command, timeout_s=20, **options)  # type: ignore[arg-type]
    return result.stdout, result.stderr, result.exit_code


def test_stdout_stderr_and_exit_code_are_apart(device: Device) -> None:
    assert sh(device, "echo out; echo err >&2; exit 7") == (b"out\n", b"err\n", 7)
    assert sh(device, "true") == (b"", b"", 0)


def test_a_command_that_exits_breaks_nothing(device: Device) -> None:
    assert sh(device, "exit 0; echo never")[0] == b""
    assert sh(device, "false")[2] == 1


def test_bytes_pass_unchanged(device: Device) -> None:
    assert sh(device, r"printf '\000\001\377\r\n\n'")[0] == b"\x00\x01\xff\r\n\n"


def test_a_megabyte_of_output_comes_whole_and_in_order(device: Device) -> None:
    out, _, code = sh(
        device, "i=0; while [ $i -lt 20000 ]; do echo 0123456789012345678901234567890123456789-$i; i=$((i+1)); done"
    )
    lines = out.split(b"\n")
    assert code == 0
    assert len(lines) == 20001
    assert lines[19999].endswith(b"-19999")


def test_standard_input_is_empty(device: Device) -> None:
    assert sh(device, "cat")[0] == b""


def test_quoted_words_survive(device: Device) -> None:
    import shlex

    word = "a b'c\"d$e`f\\g;h&i|j>k*l?m\tn"
    assert sh(device, f"printf %s {shlex.quote(word)}")[0].decode() == word


def test_a_signal_is_an_exit_code_above_128(device: Device) -> None:
    assert sh(device, "sh -c 'kill -SEGV $$'")[2] == 139
    assert sh(device, "sh -c 'kill -9 $$'")[2] == 137


def missing(device: Device, path: str) -> bool:
    return sh(device, f"[ -e {path} ]")[2] == 1


def test_a_timeout_ends_the_process_on_the_device(device: Device) -> None:
    with pytest.raises(ShellTimeout) as caught:
        device.shell(f"echo $$ > {TMP}/pid; echo begun; sleep 100; echo never > {TMP}/never", timeout_s=3.0)
    assert caught.value.timeout_s == 3.0
    wait_until(lambda: sh(device, f"read p < {TMP}/pid; [ -d /proc/$p ] || echo gone")[0] == b"gone\n", seconds=30)
    sh(device, f"rm -f {TMP}/pid")
    assert missing(device, f"{TMP}/never")


@pytest.mark.timeout(60)
def test_output_that_trickles_does_not_put_the_deadline_off(device: Device) -> None:
    with pytest.raises(ShellTimeout, match="no end after 1 s"):
        device.shell("while true; do echo tick; sleep 0.1; done", timeout_s=1.0)


def test_output_is_on_disk_while_the_command_runs(device: Device, tmp_path: Path) -> None:
    out, err = tmp_path / "out", tmp_path / "err"

    def let_it_go_on() -> None:
        wait_until(lambda: out.exists() and out.read_bytes() == b"first\n")
        sh(device, f"echo > {TMP}/go")

    watcher = threading.Thread(target=let_it_go_on)
    watcher.start()
    waits = f"until [ -e {TMP}/go ]; do sleep 0.1; done; rm {TMP}/go"
    with out.open("wb", buffering=0) as stdout, err.open("wb", buffering=0) as stderr:
        device.shell_to_file(f"echo first; {waits}; echo last; echo e >&2", stdout, stderr, timeout_s=60, max_bytes=100)
    watcher.join()
    assert (out.read_bytes(), err.read_bytes()) == (b"first\nlast\n", b"e\n")


def test_output_without_end_is_ended_on_the_device_and_its_start_is_kept(device: Device, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with (
        out.open("wb") as stdout,
        (tmp_path / "err").open("wb") as stderr,
        pytest.raises(OutputTooLong, match=r"0\.5 MiB"),
    ):
        device.shell_to_file("echo $$; while :; do echo again; done", stdout, stderr, timeout_s=60, max_bytes=1 << 19)
    assert out.stat().st_size == 1 << 19
    group = out.read_bytes().split()[0].decode()
    # A busy device takes a moment to end it.
    waits = f"for _ in 1 2 3 4 5 6 7 8 9; do kill -0 {group} 2>/dev/null || {{ echo gone; break; }}; sleep 1; done"
    assert sh(device, waits)[0] == b"gone\n"
    with pytest.raises(OutputTooLong, match="8 MiB while running"):
        device.shell("while :; do echo again and again and again and again and again; done", timeout_s=60)


def test_of_a_file_that_is_larger_than_expected_nothing_is_kept(device: Device, tmp_path: Path) -> None:
    sh(device, f"head -c 200000 /dev/zero > {TMP}/large")
    with pytest.raises(SyncFailed, match="more than the 199,999 bytes"):
        device.pull(f"{TMP}/large", tmp_path / "large", max_bytes=199_999)
    assert list(tmp_path.iterdir()) == []
    sh(device, f"rm -f {TMP}/large")


def test_check_raises_with_the_command_s_own_words(device: Device) -> None:
    with pytest.raises(CommandFailed, match="no such luck"):
        device.shell("echo no such luck >&2; exit 3", timeout_s=20, check=True)


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 3_000_000])
def test_files_go_and_come_back_the_same(device: Device, tmp_path: Path, size: int) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(os.urandom(size))
    told: list[tuple[int, int]] = []
    device.push(there, f"{TMP}/file", progress=lambda done, total: told.append((done, total)))
    assert sh(device, f"stat -c '%s %F' {TMP}/file")[0].decode().startswith(f"{size} regular")
    assert device.pull(f"{TMP}/file", back, max_bytes=size) == size
    assert back.read_bytes() == there.read_bytes()
    if size:
        assert told[-1] == (size, size)
    sh(device, f"rm -f {TMP}/file")


def test_a_pushed_file_has_its_mode_and_time(device: Device, tmp_path: Path) -> None:
    file = tmp_path / "tool"
    file.write_bytes(b"#!/bin/sh\necho ran\n")
    os.utime(file, (1_700_000_000, 1_700_000_000))
    device.push(file, f"{TMP}/tool", mode=0o755)
    # adbd gives the owner's permissions to everybody.
    assert sh(device, f"stat -c '%a %Y' {TMP}/tool")[0] == b"777 1700000000\n"
    assert sh(device, f"{TMP}/tool; rm -f {TMP}/tool")[0] == b"ran\n"


def test_folders_are_made_on_the_way(device: Device, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"abc")
    device.push(file, f"{TMP}/deep/er/name with space")
    assert sh(device, f"cat '{TMP}/deep/er/name with space'")[0] == b"abc"
    sh(device, f"rm -rf {TMP}/deep")


def test_what_is_not_there_is_none_or_one_clear_error(device: Device, tmp_path: Path) -> None:
    with pytest.raises(SyncFailed, match="nothing"):
        device.pull(f"{TMP}/nothing", tmp_path / "nothing", max_bytes=1000)
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(InputError, match="cannot read"):
        device.push(tmp_path / "absent", f"{TMP}/absent")


def test_a_push_that_the_device_refuses_gives_its_reason(device: Device, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(os.urandom(2_000_000))
    sh(device, f"mkdir -p {TMP}/folder/sub")
    with pytest.raises(SyncFailed, match=r"(?i)directory"):
        device.push(file, f"{TMP}/folder")
    assert sh(device, f"echo still there; rm -rf {TMP}/folder")[0] == b"still there\n"


def test_many_shells_at_once(device: Device) -> None:
    answers: dict[int, bytes] = {}

    def ask(number: int) -> None:
        answers[number] = sh(device, f"sleep 0.2; echo {number}")[0]

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == {n: b"%d\n" % n for n in range(12)}
