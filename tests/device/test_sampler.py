"""The sampler: its script in a real shell over a tree of files as a phone's kernel has them, and what is made of it.

The tree's layout is that of the kernel's documentation (cpufreq policies, thermal zones, power_supply) and of Qualcomm's
KGSL driver; the services' answers are in AOSP's format.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import pytest

from devbench.device.lease_script import MARK_VARIABLE
from devbench.device.sampler import parse_samples, sampler_script, samples_to_json
from tests.waiting import wait_until

NOW = datetime(2026, 11, 24, tzinfo=timezone.utc)
SHELLS = [shell for shell in ("mksh", "dash", "sh") if shutil.which(shell)]


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    def put(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")

    for cpu, now, cap in ((0, 1800000, 1800000), (4, 2000000, 2400000), (7, 1500000, 2850000)):
        put(f"devices/system/cpu/cpufreq/policy{cpu}/scaling_cur_freq", str(now))
        put(f"devices/system/cpu/cpufreq/policy{cpu}/scaling_max_freq", str(cap))
    put("class/kgsl/kgsl-3d0/gpuclk", "680000000")
    put("class/kgsl/kgsl-3d0/max_gpuclk", "719000000")
    put("class/power_supply/battery/current_now", "-412000")
    for zone, (kind, value) in enumerate(
        [("pm8550_tz", "37000"), ("cpu-1-7", "61300"), ("skin therm", "38250"), ("gpuss-0", "55")]
    ):
        put(f"class/thermal/thermal_zone{zone}/type", kind)
        put(f"class/thermal/thermal_zone{zone}/temp", value)
    return tmp_path


def sample(script: str, shell: str, samples: int, tools: Path) -> str:
    """Output of the sampler until it has taken so many samples, by a clock that only `sleep` and `dumpsys` move."""
    clock = tools / "uptime"
    clock.write_text("5000.25 9000.00\n")
    text, count = re.subn(r"-lt \d+ \]; do", f"-lt {samples} ]; do", script.replace("/proc/uptime", str(clock)))
    assert count == 1, "the loop has one limit"
    path = f"{tools}:/usr/bin:/bin"
    done = subprocess.run([shell, "-c", text], env={"PATH": path}, timeout=60, check=False, stdout=subprocess.PIPE)
    return done.stdout.decode()


_SLEEP = """read -r up rest < {folder}/uptime
echo "$((${{up%.*}} + {seconds})).${{up#*.}} $rest" > {folder}/uptime"""


@pytest.fixture
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bin")
    answers = {
        "sleep": _SLEEP.format(folder=folder, seconds="$1"),
        "dumpsys": 'case $1 in battery) echo "  level: 81"; echo "  scale: 100"; echo "  temperature: 312";; '
        'thermalservice) echo "Thermal Status: 2"; echo "Current temperatures from HAL:"; '
        'echo "\tTemperature{mValue=41.5, mType=3, mName=skin, mStatus=2}";; esac',
        "cmd": "echo true",
    }
    for name, text in answers.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize("shell", SHELLS)
def test_it_reads_clocks_temperatures_load_and_memory_every_second(shell: str, sysfs: Path, tools: Path) -> None:
    found = parse_samples(sample(sampler_script(str(sysfs)), shell, 2, tools), NOW)
    assert [one.t_s for one in found] == [1.0, 2.0]
    seen = found[0].conditions
    assert seen.cpu_khz == (1800000, None, None, None, 2000000, None, None, 1500000)
    assert seen.cpu_cap_khz[7] == 2850000
    assert (seen.gpu_khz, seen.gpu_cap_khz, seen.battery_current_raw) == (680000, 719000, -412000)
    # A board's own zone tells nothing; whole degrees and thousandths are told apart.
    assert seen.temperatures_c == {"cpu-1-7": 61.3, "skin therm": 38.25, "gpuss-0": 55.0}
    assert seen.load_1min is not None
    assert seen.memory_available_bytes is not None and seen.memory_available_bytes > 0
    assert seen.taken_utc - NOW == timedelta(seconds=found[0].t_s)
    assert seen.thermal_status is None, "the services are not asked in the first seconds"


def test_the_services_are_asked_seldom(sysfs: Path, tools: Path) -> None:
    found = parse_samples(sample(sampler_script(str(sysfs)), SHELLS[0], 16, tools), NOW)
    asked = [one for one in found if one.conditions.thermal_status is not None]
    assert [one.t_s for one in asked] == [5.0, 15.0], "first after 5 s, then not before 10 s have passed"
    seen = asked[0].conditions
    assert (seen.thermal_status, seen.screen_on, seen.battery_level) == (2, True, 81)
    # The service's own sensors count for more than the kernel's.
    assert seen.temperatures_c == {"skin": 41.5}


def test_slow_services_take_half_a_percent_of_the_time_at_most(sysfs: Path, tools: Path) -> None:
    with (tools / "dumpsys").open("a") as file:
        file.write(_SLEEP.format(folder=tools, seconds=1) + "\n")
    found = parse_samples(sample(sampler_script(str(sysfs)), SHELLS[0], 420, tools), NOW)
    # Two calls of a second each: 400 seconds of rest follow.
    assert [one.t_s for one in found if one.conditions.thermal_status is not None] == [5.0, 407.0]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_sleep_that_outlives_the_sampler_has_no_mark_of_the_lease(
    shell: str, sysfs: Path, tools: Path, tmp_path: Path
) -> None:
    (tools / "sleep").write_text(f'#!/bin/sh\necho "${MARK_VARIABLE}" >> {tmp_path}/marks\n')
    marked = f"export {MARK_VARIABLE}=/folder/7.token\n{sampler_script(str(sysfs))}"
    sample(marked, shell, 3, tools)
    assert (tmp_path / "marks").read_text() == "\n\n\n"


def test_a_device_without_any_of_it_is_sampled_all_the_same(tmp_path: Path, tools: Path) -> None:
    found = parse_samples(sample(sampler_script(str(tmp_path / "nothing")), SHELLS[0], 1, tools), NOW)
    assert len(found) == 1
    assert (found[0].conditions.cpu_khz, found[0].conditions.temperatures_c) == ((), {})


NO_DEGREES = {"soc": "87", "pm8150b_soc": "64", "vbat": "4012", "pm8150b-ibat-lvl0": "130", "bcl-lvl": "2",
              "cpu-0-0-step": "41000", "gpu-cdev": "45000", "cpuss-lowf": "41000"}  # fmt: skip


@pytest.mark.parametrize("shell", SHELLS)
def test_zones_that_are_no_temperatures_take_no_place(shell: str, tmp_path: Path, tools: Path) -> None:
    for number, (kind, value) in enumerate([*NO_DEGREES.items(), ("soc-thermal", "51000"), ("tsens_tz_sensor3", "47")]):
        zone = tmp_path / f"class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(f"{kind}\n")
        (zone / "temp").write_text(f"{value}\n")
    text = sample(sampler_script(str(tmp_path)), shell, 1, tools)
    assert [line.split()[2] for line in text.splitlines() if line.startswith("zone ")] == [
        "soc-thermal",
        "tsens_tz_sensor3",
    ]


@pytest.mark.parametrize(
    ("files", "khz", "cap"),
    [
        ({"kgsl/kgsl-3d0/gpuclk": "257000000", "kgsl/kgsl-3d0/max_gpuclk": "710000000",
          "devfreq/soc:qcom,gpubw/cur_freq": "762"}, 257000, 710000),
        ({"devfreq/5000000.qcom,kgsl-3d0/cur_freq": "257000000", "devfreq/5000000.qcom,kgsl-3d0/max_freq": "710000000",
          "devfreq/soc:qcom,gpubw/cur_freq": "762"}, 257000, 710000),
        ({"devfreq/soc:qcom,gpubw/cur_freq": "762", "devfreq/soc:qcom,kgsl-busmon/cur_freq": "762",
          "devfreq/3d00000.qcom,gpu-ddr/cur_freq": "1500"}, None, None),
        ({"devfreq/1c500000.mali/cur_freq": "302000000", "devfreq/17000010.devfreq_mif/cur_freq": "1539000"}, 302000, None),
        ({"devfreq/fb000000.gpu/cur_freq": "850000000"}, 850000, None),
        ({"devfreq/gpufreq/cur_freq": "480000000", "devfreq/ddrfreq/cur_freq": "1866000000"}, 480000, None),
        ({"misc/mali0/device/clock": "260", "misc/mali0/device/max_clock": "702"}, 260000, 702000),
        ({"devfreq/18500000.sgpu/cur_freq": "303000"}, 303000, None),
        ({"devfreq/ffe40000.bifrost/cur_freq": "125000000", "devfreq/dmc/cur_freq": "912000000"}, 125000, None),
        ({"kgsl/kgsl-3d0/gpuclk": "19200000"}, 19200, None),
    ],
)  # fmt: skip
def test_the_gpu_s_clock_is_the_gpu_s_and_never_a_bus_s(
    files: dict[str, str], khz: int | None, cap: int | None, tmp_path: Path, tools: Path
) -> None:
    for name, value in files.items():
        path = tmp_path / "class" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    for shell in SHELLS:
        (found,) = parse_samples(sample(sampler_script(str(tmp_path)), shell, 1, tools), NOW)
        assert (found.conditions.gpu_khz, found.conditions.gpu_cap_khz) == (khz, cap)


def test_without_groups_of_cpus_every_cpu_is_read(tmp_path: Path, tools: Path) -> None:
    for cpu in range(2):
        path = tmp_path / f"devices/system/cpu/cpu{cpu}/cpufreq"
        path.mkdir(parents=True)
        (path / "scaling_cur_freq").write_text("384000\n")
    (found,) = parse_samples(sample(sampler_script(str(tmp_path)), SHELLS[0], 1, tools), NOW)
    assert found.conditions.cpu_khz == (384000, 384000)


def test_it_ends_with_the_shell_that_started_it(sysfs: Path, tools: Path) -> None:
    out = tools / "left"
    text = f"( {sampler_script(str(sysfs))}\n) > {out} 2>/dev/null </dev/null & echo $!"
    # The sampler may hold the shell's output open, so the answer is a line and not all until its end.
    with subprocess.Popen([SHELLS[0], "-c", text], stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        process = Path(f"/proc/{int(shell.stdout.readline())}")
        shell.wait(timeout=30)
    wait_until(lambda: not process.exists() or "State:\tZ" in (process / "status").read_text())
    assert out.read_text() == ""


def many(count: int) -> Iterator[str]:
    for number in range(count):
        yield f"@sample {11 + number}.00 10.00"
        yield "load 0.5"


def test_very_many_samples_are_thinned_evenly() -> None:
    found = parse_samples("\n".join(many(1999)), NOW)
    assert 400 <= len(found) <= 600
    assert len({round(b.t_s - a.t_s) for a, b in pairwise(found)}) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@sample 1.0\nload 1",
        "@sample 1.0 x",
        "@sample 4.00 5.00\nload 1",
        "@sample nan 1e999\nkhz 0 1 1",
        "load 1\n@thermal\nThermal Status: 3\n@sample",
    ],
)
def test_nonsense_gives_no_samples(text: str) -> None:
    assert parse_samples(text, NOW) == ()


def test_a_sample_cut_in_the_middle_keeps_what_it_has_and_json_leaves_the_unknown_out() -> None:
    found = parse_samples("@sample 6.10 5.00\nload 0.50 0.1\nkhz 0 1800", NOW)
    (values,) = samples_to_json(found)
    assert values["t_s"] == 1.1
    assert values["load_1min"] == 0.5
    assert "battery_level" not in values and "temperatures_c" not in values
