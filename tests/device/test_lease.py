"""The lease on a device: one holder at a time, whoever asks and whatever dies; over when it says so and not later."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devbench.adb.device import Device
from devbench.device import lease
from devbench.device.lease import LeaseHeld
from devbench.device.owner import this_process
from tests.device.here import SHELLS, HereDevice, ask, expire


@pytest.fixture(params=SHELLS)
def here(request: pytest.FixtureRequest) -> HereDevice:
    return HereDevice(request.param)


def start_of(pid: int) -> int:
    """When a process of this machine began, as leases have it."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def test_a_second_run_is_refused_and_told_who_has_the_device(here: HereDevice, tmp_path: Path) -> None:
    root = f"{tmp_path}/with 'odd' name"
    held = lease.take(here, root, ask("one"))
    assert held.token == "one"
    with pytest.raises(
        LeaseHeld, match=r"here is busy: in use by somebody@other-host, process 77 for [0-9] s"
    ) as error:
        lease.take(here, root, ask("two"))
    assert error.value.transient
    assert error.value.holder.left_s is not None and 50 <= error.value.holder.left_s <= 60
    assert lease.take(here, root, ask("one")) == held, "the same token has its own lease"
    lease.leave(here, held)
    assert lease.read_holder(here, root) is None
    assert lease.take(here, root, ask("two")).number == held.number + 1
    assert not lease.renew(here, held), "a former owner does not get it back"


def test_a_lease_that_is_over_holds_nobody_up(here: HereDevice, tmp_path: Path) -> None:
    first = lease.take(here, str(tmp_path), ask("one"))
    expire(tmp_path)
    found = lease.read_holder(here, str(tmp_path))
    assert found is not None and not found.active
    second = lease.take(here, str(tmp_path), ask("two"))
    assert second.number == first.number + 1
    assert not lease.renew(here, first)
    assert lease.renew(here, second)
    assert sorted(file.name for file in (tmp_path / "lease").iterdir()) == [
        f"{second.number}.lease", f"{second.number}.until.two",
    ]  # fmt: skip


def test_a_restart_of_the_device_ends_every_lease(here: HereDevice, tmp_path: Path) -> None:
    held = lease.take(here, str(tmp_path), ask("one"))
    Path(held.until_file).write_text("another-boot 999999999\n")
    assert not lease.renew(here, held)
    assert lease.take(here, str(tmp_path), ask("two")).number == held.number + 1


@pytest.mark.parametrize("started, dead", [(0, True), (None, False)])
def test_a_reused_process_id_of_this_host_holds_nothing(
    here: HereDevice, tmp_path: Path, started: int | None, dead: bool
) -> None:
    me = this_process()
    owner = replace(me, started=me.started if started is None else started)
    lease.take(here, str(tmp_path), ask("one", owner))
    if dead:
        assert lease.take(here, str(tmp_path), ask("two", me)).token == "two"
    else:
        with pytest.raises(LeaseHeld):
            lease.take(here, str(tmp_path), ask("two", me))


def test_a_zombie_of_this_host_holds_nothing(here: HereDevice, tmp_path: Path) -> None:
    import psutil

    child = subprocess.Popen(["sleep", "60"])
    owner = replace(this_process(), pid=child.pid, started=start_of(child.pid))
    lease.take(here, str(tmp_path), ask("one", owner))
    with pytest.raises(LeaseHeld):
        lease.take(here, str(tmp_path), ask("two"))
    os.kill(child.pid, signal.SIGKILL)
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert lease.take(here, str(tmp_path), ask("two")).token == "two"
    child.wait()


def test_another_container_with_this_hosts_name_is_another_owner(here: HereDevice, tmp_path: Path) -> None:
    there = replace(this_process(), space="pid_2", pid=999_999)
    lease.take(here, str(tmp_path), ask("one", there))
    with pytest.raises(LeaseHeld):
        lease.take(here, str(tmp_path), ask("two"))


def test_a_higher_attempt_of_the_same_job_takes_the_device_and_ends_what_runs(here: HereDevice, tmp_path: Path) -> None:
    held = lease.take(here, str(tmp_path), ask("one", job="night-7", attempt=1))
    script = f"{held.shell_functions()}\n_db_mark; _db_lease 100 && sleep 60"
    running = subprocess.Popen([here.name, "-c", script], start_new_session=True)
    while not Path(held.pid_file).exists():
        time.sleep(0.01)
    for job, attempt in (("night-7", 1), ("night-8", 2)):
        with pytest.raises(LeaseHeld):
            lease.take(here, str(tmp_path), ask("two", job=job, attempt=attempt))
    assert lease.take(here, str(tmp_path), ask("two", job="night-7", attempt=2)).token == "two"
    assert running.wait(10) == -signal.SIGKILL


def cut_off(root: Path, below: lease.Lease, left_s: int) -> None:
    """Leave what a run leaves that was cut off after it had taken the place of `below` and before it ended that one."""
    folder, number = root / "lease", below.number + 1
    target = (folder / f"{below.number}.lease").readlink()
    (folder / f"{number}.lease").symlink_to(str(target).replace(below.token, "cut", 1))
    boot, uptime = (folder / f"{below.number}.until.{below.token}").read_text().split()
    (folder / f"{number}.until.cut").write_text(f"{boot} {int(uptime) + left_s if left_s else 1}\n")


@pytest.mark.parametrize("left_s", [0, 1000])
def test_a_run_that_was_cut_off_while_it_took_a_device_holds_it_for_no_longer(
    here: HereDevice, tmp_path: Path, left_s: int
) -> None:
    held = lease.take(here, str(tmp_path), ask("one", job="night-7", attempt=1))
    script = f"{held.shell_functions()}\n_db_mark; _db_lease 100 && sleep 60"
    running = subprocess.Popen([here.name, "-c", script], start_new_session=True)
    while not Path(held.pid_file).exists():
        time.sleep(0.01)
    cut_off(tmp_path, held, left_s)
    with pytest.raises(LeaseHeld):
        lease.take(here, str(tmp_path), ask("two"))
    assert running.poll() is None
    taken = lease.take(here, str(tmp_path), ask("two", job="night-7", attempt=2))
    assert taken.number > held.number + 1
    assert running.wait(10) == -signal.SIGKILL
    assert lease.renew(here, taken)


def test_a_release_ends_what_a_run_that_was_cut_off_had_not_ended(here: HereDevice, tmp_path: Path) -> None:
    held = lease.take(here, str(tmp_path), ask("one"))
    cut_off(tmp_path, held, 1000)
    holder = lease.read_holder(here, str(tmp_path))
    assert holder is not None and holder.number == held.number + 1
    assert lease.revoke(here, str(tmp_path), holder)
    lease.take(here, str(tmp_path), ask("two"))


def test_a_process_that_only_has_the_id_of_an_earlier_one_is_not_ended(here: HereDevice, tmp_path: Path) -> None:
    held = lease.take(here, str(tmp_path), ask("one"))
    bystander = subprocess.Popen(["sleep", "60"], start_new_session=True)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    Path(held.pid_file).write_text(f"{bystander.pid} 1 {boot}\n")
    expire(tmp_path)
    lease.take(here, str(tmp_path), ask("two"))
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_a_script_learns_that_its_lease_was_revoked(here: HereDevice, tmp_path: Path) -> None:
    held = lease.take(here, str(tmp_path), ask("one"))
    script = f"{held.shell_functions()}\n_db_mark; _db_lease 100 && echo start; rm -f {held.pid_file}; read -r line; _db_lease 60 || echo lost"
    running = subprocess.Popen([here.name, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None and running.stdin is not None
    assert running.stdout.readline() == "start\n"
    left_s = lease.read_holder(here, str(tmp_path)).left_s
    assert left_s is not None and 95 <= left_s <= 100, "extended to the deadline of what runs"
    holder = lease.read_holder(here, str(tmp_path))
    assert holder is not None and holder.token == "one"
    assert lease.revoke(here, str(tmp_path), holder)
    assert not lease.revoke(here, str(tmp_path), holder), "only the lease that was shown is ended"
    assert lease.read_holder(here, str(tmp_path)) is None
    running.stdin.write("go on\n")
    running.stdin.close()
    assert running.stdout.read() == "lost\n"
    running.wait(10)


@pytest.mark.parametrize(
    "target",
    ["", "x", "a,b", "devbench-lease-1,t,h,u,b,s,²,1,j,0,5", "devbench-lease-1,t,h,u,b,s," + "9" * 40 + ",1,j,0,5"],
)
def test_a_lease_that_says_nonsense_counts_as_over(here: HereDevice, tmp_path: Path, target: str) -> None:
    (tmp_path / "lease").mkdir()
    (tmp_path / "lease/3.lease").symlink_to(target or " ")
    (tmp_path / "lease/note.lease").symlink_to("x")
    (tmp_path / "lease/99999999999.lease").symlink_to("x")
    (tmp_path / "lease/3.until.t").write_text("²  9\n")
    assert lease.take(here, str(tmp_path), ask("two")).number == 4


def test_of_many_that_ask_at_once_one_gets_it(here: HereDevice, tmp_path: Path) -> None:
    """Each that has the lease writes a line at its start and its end; no two of them overlap."""
    log = tmp_path / "log"
    problems: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for turn in range(3):
                while True:
                    try:
                        held = lease.take(here, str(tmp_path), ask(f"{name}-{turn}"))
                        break
                    except LeaseHeld:
                        time.sleep(0.005)
                with log.open("a") as file:
                    file.write(f"begin {name}\n")
                time.sleep(0.005)
                with log.open("a") as file:
                    file.write(f"end {name}\n")
                lease.leave(here, held)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not problems
    lines = log.read_text().split("\n")[:-1]
    assert len(lines) == 2 * 3 * 6
    for begin, end in zip(lines[::2], lines[1::2], strict=True):
        assert begin.split()[0] == "begin" and end == f"end {begin.split()[1]}"


@pytest.fixture
def root(device: Device) -> Iterator[str]:
    folder = "/data/local/tmp/lease test"
    yield folder
    device.shell(f"rm -rf '{folder}'", timeout_s=10)


def test_a_device_keeps_a_lease(device: Device, root: str) -> None:
    held = lease.take(device, root, ask("one"))
    script = f"{held.shell_functions()}\n_db_mark; _db_lease 100 && echo mine; cat '{held.pid_file}'"
    said = device.shell(script, timeout_s=10, check=True).stdout.split()
    assert said[0] == b"mine" and len(said) == 4
    with pytest.raises(LeaseHeld):
        lease.take(device, root, ask("two"))
    assert lease.renew(device, held)
    lease.leave(device, held)
    assert lease.take(device, root, ask("two")).number == held.number + 1
    holder = lease.read_holder(device, root)
    assert holder is not None and lease.revoke(device, root, holder)
    assert lease.read_holder(device, root) is None
