"""What used to break the lease: orphans, a removed folder, writes in the middle, hostile files, odd hosts, other users."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from devbench.adb.device import Device
from devbench.adb.services import ShellResult
from devbench.device import lease, owner
from devbench.device.lease import LeaseHeld, ProcessStays
from devbench.device.owner import is_dead, this_process
from devbench.errors import InputError
from tests.device.here import ELSEWHERE, SHELLS, HereDevice, ask, expire

BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@pytest.fixture(params=SHELLS)
def here(request: pytest.FixtureRequest) -> HereDevice:
    return HereDevice(request.param)


@dataclass
class Altered(HereDevice):
    """A device whose shell begins with other text."""

    before: str = ""

    def shell(self, command: str, *, timeout_s: float, check: bool = False, doing: str = "") -> ShellResult:
        return HereDevice.shell(self, f"{self.before}\n{command}", timeout_s=timeout_s, check=check, doing=doing)


@pytest.fixture
def running() -> Iterator[list[int]]:
    pids: list[int] = []
    yield pids
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def start(here: HereDevice, held: lease.Lease, tool: str = "sleep 60") -> subprocess.Popen[str]:
    """A script under a lease whose tool prints its process id."""
    script = (
        f"{held.shell_functions()}\n_db_mark; _db_lease 100 || {{ echo lost; exit; }}\nsh -c 'echo $$; exec {tool}'; :"
    )
    return subprocess.Popen([here.name, "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_tool_whose_shell_was_hung_up_is_ended_before_the_next_run(
    here: HereDevice, tmp_path: Path, running: list[int]
) -> None:
    held = lease.take(here, str(tmp_path), ask("one"))
    shell = start(here, held)
    tool = int(first_line(shell))
    running.append(tool)
    shell.send_signal(signal.SIGHUP)
    shell.wait(10)
    assert not is_gone(tool), "as adbd does it: what the shell started goes on"
    expire(tmp_path)
    lease.take(here, str(tmp_path), ask("two"))
    assert is_gone(tool)


def test_ending_what_runs_under_a_lease_ends_an_orphan_too(
    here: HereDevice, tmp_path: Path, running: list[int]
) -> None:
    held = lease.take(here, str(tmp_path), ask("one"))
    shell = start(here, held)
    tool = int(first_line(shell))
    running.append(tool)
    shell.send_signal(signal.SIGHUP)
    shell.wait(10)
    lease.end_process(here, held)
    assert is_gone(tool)
    assert lease.renew(here, held)


def test_a_removed_folder_gives_the_device_to_one_run_alone(
    here: HereDevice, tmp_path: Path, running: list[int]
) -> None:
    first = lease.take(here, str(tmp_path), ask("one"))
    tool = int(first_line(start(here, first)))
    running.append(tool)
    shutil.rmtree(tmp_path / "lease")
    assert not lease.renew(here, first)
    time.sleep(1.1)  # numbers begin with the uptime in seconds
    second = lease.take(here, str(tmp_path), ask("two"))
    assert second.number > first.number
    assert is_gone(tool), "found by the mark in its environment"
    # A write of the first that was on its way.
    Path(first.until_file).write_text(f"{BOOT} 999999999\n")
    assert not lease.renew(here, first)
    lease.end_process(here, first)
    lease.leave(here, first)
    assert lease.renew(here, second), "the former owner takes nothing from the present one"


def test_a_lease_is_never_seen_as_over_while_it_is_renewed(here: HereDevice, tmp_path: Path) -> None:
    held = lease.take(here, str(tmp_path), ask("one"))
    script = f"{held.shell_functions()}\nwhile _db_lease 60; do :; done"
    renewing = subprocess.Popen([here.name, "-c", script], start_new_session=True)
    try:
        for _ in range(40):
            with pytest.raises(LeaseHeld):
                lease.take(here, str(tmp_path), ask("two"))
        assert renewing.poll() is None
    finally:
        renewing.kill()
        renewing.wait()


def test_a_shorter_end_after_a_longer_one_is_read_right(here: HereDevice, tmp_path: Path) -> None:
    held = lease.take(here, str(tmp_path), ask("one"))
    here.shell(f"{held.shell_functions()}\n_db_lease 600000", timeout_s=10)
    assert lease.renew(here, held)
    found = lease.read_holder(here, str(tmp_path))
    assert found is not None and found.left_s is not None and 55 <= found.left_s <= 60


def test_another_process_with_the_same_token_takes_the_lease_over(
    here: HereDevice, tmp_path: Path, running: list[int]
) -> None:
    held = lease.take(here, str(tmp_path), ask("farm-7"))
    tool = int(first_line(start(here, held)))
    running.append(tool)
    taken = lease.take(here, str(tmp_path), ask("farm-7", replace(ELSEWHERE, pid=78)))
    assert taken.number > held.number
    assert is_gone(tool)
    assert not lease.renew(here, held)
    assert lease.renew(here, taken)


def test_a_process_that_cannot_be_ended_keeps_others_off(here: HereDevice, tmp_path: Path, running: list[int]) -> None:
    held = lease.take(here, str(tmp_path), ask("one"))
    shell = start(here, held)
    first_line(shell)
    running.append(shell.pid)
    expire(tmp_path)
    stubborn = Altered(here.name, before="kill() { return 1; }; sleep() { :; }")
    with pytest.raises(ProcessStays, match=r"process [0-9]+ of an earlier run cannot be ended") as error:
        lease.take(stubborn, str(tmp_path), ask("two"))
    assert error.value.transient and "adb root" in error.value.hint
    assert lease.take(here, str(tmp_path), ask("two")).token == "two"
    assert shell.wait(10) == -signal.SIGKILL


def test_the_app_of_an_earlier_run_is_ended_by_its_name(here: HereDevice, tmp_path: Path) -> None:
    held = lease.take(here, str(tmp_path), ask("one"))
    Path(held.app_file).write_text("org.example.app\n")
    (tmp_path / "lease/2.app.x").write_text("$(touch evil); a b\n")
    expire(tmp_path)
    device = Altered(here.name, before=f"am() {{ echo \"$@\" >> '{tmp_path}/am'; }}")
    lease.take(device, str(tmp_path), ask("two"))
    assert (tmp_path / "am").read_text() == "force-stop org.example.app\n"
    assert not Path(held.app_file).exists()


@pytest.mark.parametrize(
    "text",
    [
        "BOOT a[$(touch evil)]",
        "BOOT $(touch evil)",
        "BOOT 999999999",
        "BOOT 99999999999999999999",
        "BOOT ²",
        "BOOT",
        "",
        "BOOT -1",
        "x" * 100_000,
    ],
)
def test_a_hostile_end_of_a_lease_is_over_and_runs_nothing(
    here: HereDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    held = lease.take(here, str(tmp_path), ask("one"))
    Path(held.until_file).write_text(text.replace("BOOT", BOOT) + "\n")
    found = lease.read_holder(here, str(tmp_path))
    assert found is None or not found.active
    assert lease.take(here, str(tmp_path), ask("two")).number == held.number + 1
    assert not (tmp_path / "evil").exists()


def test_hostile_files_in_the_folder_hold_nobody_up(here: HereDevice, tmp_path: Path) -> None:
    held = lease.take(here, str(tmp_path), ask("one"))
    folder = tmp_path / "lease"
    os.mkfifo(folder / f"{held.number}.until.fifo")
    os.mkfifo(folder / f"{held.number}.pid.fifo")
    (folder / f"{held.number}.pid.x").write_text("-1 1 1\n")
    (folder / f"{held.number}.pid.y").write_text(f"1 1 {BOOT}\n")
    (folder / f"{held.number}.app.dir").mkdir()
    (folder / "99999999999.lease").symlink_to("x")
    (folder / "888888888.lease").write_text("no link")
    assert lease.renew(here, held), "what is no lease does not end one"
    Path(held.until_file).write_text(f"{BOOT} 1\n")
    assert lease.take(here, str(tmp_path), ask("two")).number == held.number + 1


def test_the_files_of_a_lease_can_be_read_by_other_users(here: HereDevice, tmp_path: Path) -> None:
    private = Altered(here.name, before="umask 077")
    held = lease.take(private, str(tmp_path), ask("one"))
    private.shell(f"umask 077\n{held.shell_functions()}\n_db_mark; _db_lease 60", timeout_s=10)
    assert (tmp_path / "lease").stat().st_mode & 0o055 == 0o055
    for file in (held.until_file, held.pid_file):
        assert Path(file).stat().st_mode & 0o044 == 0o044


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_the_folder_that_root_makes_belongs_to_the_owner_of_the_folder_around_it(
    here: HereDevice, tmp_path: Path
) -> None:
    root = tmp_path / "of the shell"
    root.mkdir()
    os.chown(root, 2000, 2000)
    lease.take(here, str(root), ask("one"))
    assert (root / "lease").stat().st_uid == 2000


# -- hosts -----------------------------------------------------------------------------------------------------------


def test_the_start_of_a_process_does_not_depend_on_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 4_000_000_000.0)
    monkeypatch.setattr("psutil.boot_time", lambda: 1.0)
    this_process.cache_clear()
    me = this_process()
    assert me.started == int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    assert not is_dead(me)


def test_a_process_that_proc_hides_is_not_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    me = this_process()
    parent = replace(me, pid=os.getppid(), started=1)
    assert is_dead(parent), "another start: the id was used again"
    monkeypatch.setattr(owner, "_stat", lambda process: None)
    assert not is_dead(parent)


def test_a_proc_of_another_namespace_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = replace(this_process(), pid=os.getppid(), started=1)
    monkeypatch.setattr(owner, "_proc_is_ours", lambda: False)
    assert not is_dead(parent)


@pytest.mark.parametrize("pid", [0, 2**31, 999_999_999])
def test_a_process_id_that_none_has_is_dead_or_unknown(pid: int) -> None:
    assert is_dead(replace(this_process(), pid=pid)) is (pid == 999_999_999)


@pytest.mark.parametrize(
    "name, value",
    [
        ("DEVBENCH_LEASE_TOKEN", "a b"),
        ("DEVBENCH_LEASE_TOKEN", "x.until.y"),
        ("DEVBENCH_LEASE_TOKEN", "../x"),
        ("DEVBENCH_LEASE_TOKEN", "x" * 65),
        ("DEVBENCH_LEASE_JOB", "a,b"),
        ("DEVBENCH_LEASE_JOB", "$(id)"),
        ("DEVBENCH_LEASE_ATTEMPT", "-1"),
        ("DEVBENCH_LEASE_ATTEMPT", "²"),
        ("DEVBENCH_LEASE_ATTEMPT", "1000000000"),
    ],
)
def test_a_variable_that_cannot_be_used_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=name):
        lease.new_request()


def test_token_job_and_attempt_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("TOKEN", "farm-7_a"), ("JOB", "night@7.2"), ("ATTEMPT", "3")):
        monkeypatch.setenv(f"DEVBENCH_LEASE_{name}", value)
    found = lease.new_request()
    assert (found.token, found.job, found.attempt) == ("farm-7_a", "night@7.2", 3)


@pytest.mark.parametrize("text, seconds", [("", 60), ("3", 3), ("600", 600)])
def test_the_time_of_a_lease_can_be_set(monkeypatch: pytest.MonkeyPatch, text: str, seconds: int) -> None:
    monkeypatch.setenv("DEVBENCH_LEASE_S", text)
    assert lease.lease_s() == seconds


@pytest.mark.parametrize("text", ["2", "601", "1e3", "x"])
def test_a_time_of_a_lease_has_limits(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("DEVBENCH_LEASE_S", text)
    with pytest.raises(InputError, match="DEVBENCH_LEASE_S"):
        lease.lease_s()


def test_many_that_replace_each_other_leave_one(here: HereDevice, tmp_path: Path) -> None:
    """Every attempt is higher than that before it; one lease is left, and all others know that they lost theirs."""
    taken: list[lease.Lease] = []
    guard = threading.Lock()

    def take(attempt: int) -> None:
        try:
            held = lease.take(here, str(tmp_path), ask(f"t{attempt}", job="night", attempt=attempt))
        except LeaseHeld:
            return
        with guard:
            taken.append(held)

    threads = [threading.Thread(target=take, args=(attempt,)) for attempt in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [held.token for held in taken if lease.renew(here, held)] == [max(taken, key=lambda h: h.number).token]


def test_a_device_ends_an_orphan(device: Device) -> None:
    root = "/data/local/tmp/lease orphan"
    try:
        held = lease.take(device, root, ask("one"))
        script = (
            f"{held.shell_functions()}\n_db_mark; _db_lease 100; setsid sleep 50 >/dev/null 2>&1 </dev/null & echo $!"
        )
        pid = int(device.shell(script, timeout_s=10, check=True).stdout)
        again = replace(this_process(), pid=999_999_999)
        lease.take(device, root, ask("one", again))
        done = device.shell(f"cat /proc/{pid}/stat", timeout_s=10)
        state = done.stdout.rpartition(b")")[2].split()[:1]
        assert state in ([], [b"Z"])
    finally:
        device.shell(f"rm -rf '{root}'", timeout_s=10)
