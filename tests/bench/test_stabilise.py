"""Steps that steady a device: done, recorded, undone in reverse, also by the next run where this one could not."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from devbench.adb.device import Device
from devbench.adb.server import AdbServer
from devbench.bench.stabilise import STEPS, Stabiliser, Stabilising, parse_stabilising
from devbench.errors import InputError
from devbench.results.store import Store
from devbench.virtual.phone import VirtualPhone
from tests.conftest import DATA
from tests.waiting import wait_until

MODEL = DATA / "tiny_groupnorm.tflite"


def devbench(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "devbench.cli.app", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def asked(phone: VirtualPhone) -> list[str]:
    log = phone.root / "data/local/commands.log"
    return log.read_text().splitlines() if log.exists() else []


def test_steps_are_typed_in_words() -> None:
    assert parse_stabilising(["awake,performance", "affinity=0xF0"]) == Stabilising(("awake", "performance"), "f0")
    assert parse_stabilising(["governor=performance,clock=70%"]) == Stabilising((), "", "performance", 70)
    for text, words in (
        ("sleepy", "unknown"), ("affinity=-1", "not CPUs"), ("affinity=0", "not CPUs"), ("governor=$(reboot)", "not a governor"),
        ("clock=0", "not a share"), ("clock=fast", "not a share"), ("screen-on,screen-off", "choose one"), ("awake=1", "unknown"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            parse_stabilising([text])


def test_cpus_are_named_as_in_the_device_s_profile() -> None:
    masks = {"big": "80", "mid": "78"}
    assert parse_stabilising(["affinity=big"]).mask(masks) == "80"
    assert parse_stabilising(["affinity=f0"]).mask({}) == "f0"
    assert Stabilising().mask(masks) == ""
    with pytest.raises(InputError, match="affinity=prime"):
        parse_stabilising(["affinity=prime"]).mask(masks)


def cpufreq(folder: Path) -> Path:
    """Two groups of CPUs as the kernel's cpufreq shows them; files, which take what is written to them."""
    for number, (low, high, upper) in enumerate(((300_000, 2_000_000, 1_800_000), (500_000, 3_000_000, 3_000_000))):
        policy = folder / f"policy{4 * number}"
        policy.mkdir(parents=True)
        values = {"cpuinfo_min_freq": low, "cpuinfo_max_freq": high, "scaling_min_freq": low + 1000,
                  "scaling_max_freq": upper, "scaling_governor": "walt"}  # fmt: skip
        for name, value in values.items():
            (policy / name).write_text(f"{value}\n")
    return folder


def settings(folder: Path) -> list[list[str]]:
    names = ("scaling_min_freq", "scaling_max_freq", "scaling_governor")
    return [[(policy / name).read_text().strip() for name in names] for policy in sorted(folder.iterdir())]


def test_governor_and_clock_are_set_and_come_back_as_they_were(virtual_phone: VirtualPhone, tmp_path: Path) -> None:
    tree = cpufreq(tmp_path / "cpufreq")
    before = settings(tree)
    device = Device(AdbServer(), virtual_phone.address)
    (virtual_phone.root / "data/local/tmp/d/run").mkdir(parents=True)
    stabiliser = Stabiliser(
        device, "/data/local/tmp/d", parse_stabilising(["governor=performance,clock=50"]), cpufreq=str(tree)
    )
    assert stabiliser.start(60) == {"governor": True, "clock": True}
    assert settings(tree) == [["1000000", "1000000", "performance"], ["1500000", "1500000", "performance"]]
    stabiliser.stop()
    assert settings(tree) == before


def test_what_was_so_before_stays_so(virtual_phone: VirtualPhone) -> None:
    """A device that its owner keeps awake, dark and off the air is left awake, dark and off the air."""
    tools = virtual_phone.root / "system" / "bin"
    log = '"$DEVBENCH_VIRTUAL_ROOT/data/local/commands.log"'
    (tools / "settings").write_text(
        f'#!/bin/sh\ncase "$1 $3" in "get stay_on_while_plugged_in") echo 3;; "get airplane_mode_on") echo 1;; '
        f'*) echo "settings $*" >> {log};; esac\n'
    )
    (tools / "cmd").write_text(
        f'#!/bin/sh\n[ "$1 $2" = "deviceidle get" ] && {{ echo false; exit; }}\necho "cmd $*" >> {log}\n'
    )
    (virtual_phone.root / "data/local/tmp/d/run").mkdir(parents=True)
    device = Device(AdbServer(), virtual_phone.address)
    stabiliser = Stabiliser(device, "/data/local/tmp/d", Stabilising(("awake", "screen-off", "airplane")))
    stabiliser.start(60)
    stabiliser.stop()
    assert asked(virtual_phone) == [
        "svc power stayon true",
        "input keyevent 223",
        "cmd connectivity airplane-mode enable",
        "settings put global stay_on_while_plugged_in 3",
    ]


def test_clocks_that_cannot_be_set_are_recorded_as_such(virtual_phone: VirtualPhone, tmp_path: Path) -> None:
    device = Device(AdbServer(), virtual_phone.address)
    (virtual_phone.root / "data/local/tmp/d/run").mkdir(parents=True)
    wanted = parse_stabilising(["governor=performance,clock=50"])
    stabiliser = Stabiliser(device, "/data/local/tmp/d", wanted, cpufreq=str(tmp_path / "none"))
    assert stabiliser.start(60) == {"governor": False, "clock": False}
    stabiliser.stop()


@pytest.mark.parametrize("heard", [False, True])
def test_a_device_that_hears_nothing_undoes_by_itself(
    virtual_phone: VirtualPhone, monkeypatch: pytest.MonkeyPatch, heard: bool
) -> None:
    monkeypatch.setattr("devbench.bench.stabilise._GRACE_S", 0)
    monkeypatch.setattr("devbench.bench.stabilise._WATCH_S", 0.5)
    device = Device(AdbServer(), virtual_phone.address)
    (virtual_phone.root / "data/local/tmp/d/run").mkdir(parents=True)
    stabiliser = Stabiliser(device, "/data/local/tmp/d", Stabilising(("awake",)))
    assert stabiliser.start(2) == {"awake": True}
    if heard:
        device.shell(stabiliser.alive(60), timeout_s=10)
    virtual_phone.unplug()
    if heard:
        time.sleep(4)
        assert asked(virtual_phone)[-1] != "svc power stayon false"
    else:
        wait_until(lambda: asked(virtual_phone)[-1] == "svc power stayon false")
    assert (virtual_phone.root / "data/local/tmp/d/run/undo.sh").exists() is heard


def test_steps_are_done_recorded_and_undone_in_reverse(virtual_phone: VirtualPhone) -> None:
    done = devbench(
        "run", MODEL, "-d", virtual_phone.address, "-D", "cpu", "-r", "1", "--no-profile", "--no-report", "--num-runs", "2",
        "--min-secs", "0", "--warmup-min-secs", "0", "--stabilise", "awake,performance,affinity=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert asked(virtual_phone) == [
        "svc power stayon true",
        "cmd power set-fixed-performance-mode-enabled true",
        "cmd power set-fixed-performance-mode-enabled false",
        "svc power stayon false",
    ]
    with Store() as store:
        job = store.run("latest").jobs[0]
    assert job.job.options["stabilised"] == {"awake": True, "performance": True, "affinity": "1"}
    assert job.repetitions[0].argv[:2] == ("taskset", "1")
    assert not (virtual_phone.root / "data/local/tmp/devbench/run/undo.sh").exists()


def test_what_a_killed_run_changed_is_undone_by_the_next(virtual_phone: VirtualPhone, tmp_path: Path) -> None:
    slow = tmp_path / "benchmark_model"
    slow.write_text("#!/bin/sh\n# devbench-virtual\nsleep 30\n")
    slow.chmod(0o755)
    words = [sys.executable, "-m", "devbench.cli.app", "run", str(MODEL), "-d", virtual_phone.address, "-D", "cpu", "-r", "1",
             "--no-profile", "--no-report", "--binary", str(slow), "--stabilise", "awake"]  # fmt: skip
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: asked(virtual_phone))
    process.kill()
    process.wait(10)
    assert asked(virtual_phone) == ["svc power stayon true"]
    done = devbench("run", MODEL, "-d", virtual_phone.address, "-D", "cpu", "-r", "1", "--no-profile", "--no-report",
                    "--num-runs", "2", "--min-secs", "0", "--warmup-min-secs", "0")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert asked(virtual_phone) == ["svc power stayon true", "svc power stayon false"]


def test_airplane_mode_never_cuts_the_connection_it_is_asked_over() -> None:
    device = Device(AdbServer(), "192.168.1.7:5555")
    with pytest.raises(InputError, match="would cut the connection"):
        Stabiliser(device, "/d", Stabilising(("airplane",))).start(60)


def test_every_step_says_what_it_is_for() -> None:
    assert all(step.do and step.help for step in STEPS.values())
