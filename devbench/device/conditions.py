"""The state of a device that affects its latency: heat, clocks, battery, load, free memory; and its limits.

`CONDITIONS_COMMAND` runs between repetitions: it reads /proc and /sys with shell built-ins and forks only for two
`dumpsys` and one `cmd`. Every part is optional: what a device does not have or does not allow to be read is `None` or
empty. Knows no model and no run.

Sources of the formats: those of `device/readings.py`; `cmd deviceidle get screen` is DeviceIdleController's shell
command (true or false); cpufreq, devfreq and power_supply as in the kernel's documentation, KGSL's gpuclk and
max_gpuclk as Qualcomm's driver has them, gpu_clock and clock as Samsung's and Arm's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, fields
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any

from devbench import numbers
from devbench.device.readings import CHARGING, THERMAL_STATUS_NAMES, parse_battery, parse_thermal
from devbench.device.sections import open_script, section_script, split_sections
from devbench.frozen import dataclass
from devbench.host.toml_types import Pattern, ReadBy, refuse, within

if TYPE_CHECKING:
    from devbench.adb.device import Device


_MAX_CPUS = 256
# Written only if true, since there are many samples.
_RARE = ("battery_overridden", "battery_current_signed", "thermal_status_problem")

# Chosen once, since devices differ: cpufreq's groups (missing before Linux 4.3), the GPU's clock with its upper limit,
# and the fuel gauge. Of devfreq's devices only those named after a GPU count: others are buses, such as gpubw.
_FIND_CLOCKS = """
_dbc_cpus='@SYS@/devices/system/cpu/cpufreq/policy[0-9]*'
[ @EACH@ = n ] && [ -d @SYS@/devices/system/cpu/cpufreq/policy0 ] ||
  _dbc_cpus='@SYS@/devices/system/cpu/cpu[0-9]*/cpufreq'
_dbc_gpu= _dbc_gpu_cap= _dbc_gauge=@SYS@/class/power_supply/battery
[ -d $_dbc_gauge ] || _dbc_gauge=@SYS@/class/power_supply/Battery
for _dbc_path in @SYS@/class/kgsl/kgsl-3d0 @SYS@/class/misc/mali0/device @SYS@/class/misc/mali0/device/devfreq/* \
    @SYS@/kernel/gpu @SYS@/class/devfreq/*; do
  case ${_dbc_path##*/} in
    *bus*|*bw*|*ddr*|*qos*|*mem*|*lat*) continue;;
    *kgsl-3d0|device|*.mali|mali*|*-mali|gpu|*[.:,-]gpu|*.sgpu|gpufreq|*.pvr*|*.rgx|*-pvr) ;;
    *.bifrost|*.valhall|*.gp10b|*.gv11b|*.ga10b) ;;
    *) continue;;
  esac
  for _dbc_key in gpuclk cur_freq gpu_clock clock; do
    _dbc_value=; read -r _dbc_value < "$_dbc_path/$_dbc_key" || continue
    case $_dbc_value in ''|*[!0-9]*) continue;; esac
    _dbc_gpu=$_dbc_path/$_dbc_key
    for _dbc_key in max_gpuclk max_freq scaling_max_freq gpu_max_clock max_clock; do
      [ -r "$_dbc_path/$_dbc_key" ] && _dbc_gpu_cap=$_dbc_path/$_dbc_key && break
    done
    break 2
  done
done
"""

# What an allowed clock is: the governor's upper limit, which a thermal driver lowers.
_CLOCKS_SCRIPT = """
for _dbc_path in $_dbc_cpus; do
  read -r _dbc_value < "$_dbc_path/scaling_cur_freq" || continue
  _dbc_cap=; read -r _dbc_cap < "$_dbc_path/scaling_max_freq"
  _dbc_cpu=${_dbc_path%/cpufreq}; echo "khz ${_dbc_cpu##*[!0-9]} $_dbc_value $_dbc_cap"
done
if [ -n "$_dbc_gpu" ] && read -r _dbc_value < "$_dbc_gpu"; then
  _dbc_cap=; [ -n "$_dbc_gpu_cap" ] && read -r _dbc_cap < "$_dbc_gpu_cap"; echo "gpu $_dbc_value $_dbc_cap"
fi
read -r _dbc_value < $_dbc_gauge/current_now && echo "current $_dbc_value"
"""


def find_clocks_script(*, each_cpu: bool, sysfs: str = "/sys") -> str:
    """Shell lines that choose, with built-ins alone, which files `CLOCKS_SCRIPT` reads.

    Args:
        each_cpu: a line for each CPU; else one for each group of CPUs that share a clock, by the group's number, which
            is that of its first CPU.
        sysfs: where the kernel's files are.
    """
    return _FIND_CLOCKS.replace("@SYS@", sysfs).replace("@EACH@", "y" if each_cpu else "n").strip()


CLOCKS_SCRIPT = _CLOCKS_SCRIPT.strip()

# The thermal zones of the kernel are read only if the thermal service has no current temperature (before Android
# 10, or without its hardware): there can be a hundred of them, some behind a slow bus.
CONDITIONS_COMMAND = f"""{{
{open_script("_dbc_word")}
read -r _dbc_value < /proc/uptime && echo "uptime $_dbc_value"
read -r _dbc_value < /proc/loadavg && echo "load $_dbc_value"
while read -r _dbc_key _dbc_value _dbc_unit; do
  case $_dbc_key in MemAvailable:) echo "available_kb $_dbc_value"; break;; esac
done < /proc/meminfo
{find_clocks_script(each_cpu=True)}
{CLOCKS_SCRIPT}
read -r _dbc_value < $_dbc_gauge/charge_full && echo "charge_full $_dbc_value"
{section_script("_dbc_word", "battery")}
dumpsys battery
{section_script("_dbc_word", "thermal")}
_dbc_value=$(dumpsys thermalservice); echo "$_dbc_value"
case $_dbc_value in *"Current temperatures"*mValue=*) ;; *)
  for _dbc_path in /sys/class/thermal/thermal_zone*; do
    read -r _dbc_key < "$_dbc_path/type" && read -r _dbc_value < "$_dbc_path/temp" && echo "zone $_dbc_value $_dbc_key"
  done;;
esac
{section_script("_dbc_word", "screen")}
cmd deviceidle get screen
{section_script("_dbc_word", "end")}
}} 2>/dev/null </dev/null"""


@dataclass(frozen=True, slots=True)
class Conditions:
    """How a device was at one moment.

    Attributes:
        taken_utc: when the host sent the request, UTC.
        battery_level: percent, 0 to 100.
        battery_charging: `True` while current flows into the battery; a full battery on its cable is not charging.
        battery_status: as BatteryManager has it: 2 charging, 3 discharging, 4 not charging, 5 full.
        battery_plugged: whether any source of power is connected.
        battery_overridden: a command set the battery's values, so that none of them is a reading.
        battery_current_ma: the current, if its unit is known. Positive is into the battery if
            `battery_current_signed`; else the sign is the maker's own.
        battery_current_raw, battery_charge_raw, battery_full_raw: the fuel gauge's current, its charge counter and its
            charge when full, in units that makers choose (`device/gauge.py`).
        thermal_status: Android's throttling status, 0 none to 6 shutdown.
        thermal_status_problem: `not_ready` or `overridden` if the service's status is not a reading.
        temperatures_c: degrees by the sensor's name.
        cpu_khz: current clock by CPU number; `None` for a CPU that is offline or not readable; empty if no CPU is.
        cpu_cap_khz: the highest clock that each CPU is allowed now, in the same form.
        gpu_khz, gpu_cap_khz: the GPU's clock, and the highest that it is allowed now.
        screen_on: whether the screen is on.
        load_1min: load average of the last minute.
    """

    taken_utc: datetime
    uptime_s: float | None = None
    battery_level: int | None = None
    battery_temperature_c: float | None = None
    battery_charging: bool | None = None
    battery_status: int | None = None
    battery_plugged: bool | None = None
    battery_overridden: bool = False
    battery_current_ma: float | None = None
    battery_current_signed: bool = False
    battery_current_raw: int | None = None
    battery_charge_raw: int | None = None
    battery_full_raw: int | None = None
    thermal_status: int | None = None
    thermal_status_problem: str = ""
    temperatures_c: Mapping[str, float] = field(default_factory=dict)
    cpu_khz: tuple[int | None, ...] = ()
    cpu_cap_khz: tuple[int | None, ...] = ()
    gpu_khz: int | None = None
    gpu_cap_khz: int | None = None
    screen_on: bool | None = None
    load_1min: float | None = None
    memory_available_bytes: int | None = None

    @property
    def throttled(self) -> bool | None:
        """Whether Android reports that it throttles: any status above none, as AndroidX's benchmarks take it."""
        return None if self.thermal_status is None else self.thermal_status > 0

    @property
    def thermal_status_name(self) -> str:
        """The name of the thermal status; empty if it is not known."""
        return "" if self.thermal_status is None else THERMAL_STATUS_NAMES[self.thermal_status]

    @property
    def hottest_c(self) -> float | None:
        """The highest temperature of all sensors and the battery."""
        known = [*self.temperatures_c.values()]
        if self.battery_temperature_c is not None:
            known.append(self.battery_temperature_c)
        return max(known, default=None)


def read_conditions(device: Device, timeout_s: float = 10) -> Conditions:
    """Ask `device` for its conditions in one round trip.

    Raises:
        DeviceLost, ShellTimeout: the connection ended, or there was no answer in time.
    """
    taken_utc = datetime.now(timezone.utc)
    result = device.shell(CONDITIONS_COMMAND, timeout_s=timeout_s, doing="reading its conditions")
    return parse_conditions(result.stdout.decode("utf-8", "replace"), taken_utc)


def parse_conditions(text: str, taken_utc: datetime) -> Conditions:
    """What `CONDITIONS_COMMAND` printed, as conditions; never raises: what is missing or makes no sense is `None`."""
    return conditions_of(split_sections(text), taken_utc)


def conditions_of(sections: Mapping[str, Sequence[str]], taken_utc: datetime) -> Conditions:
    """Conditions from lines: those read from the kernel under the empty name, `battery`, `thermal`, `screen`."""
    kernel = sections.get("", [])
    battery = parse_battery(sections.get("battery", []))
    thermal = parse_thermal(sections.get("thermal", []))
    current = numbers.whole(_first_word(kernel, "current"), minimum=-(10**8), maximum=10**8)
    gpu = _words_after(kernel, "gpu", 2)
    available_kb = numbers.whole(_first_word(kernel, "available_kb"), maximum=1 << 50)
    return Conditions(
        taken_utc=taken_utc,
        uptime_s=numbers.real(_first_word(kernel, "uptime"), minimum=0, maximum=1e12),
        battery_level=battery.level,
        battery_temperature_c=battery.temperature_c,
        battery_charging=None if battery.status is None else battery.status == CHARGING,
        battery_status=battery.status,
        battery_plugged=battery.plugged,
        battery_overridden=battery.overridden,
        battery_current_ma=battery.current_ma,
        battery_current_signed=battery.current_ma is not None,
        battery_current_raw=battery.current_raw if current is None else current,
        battery_charge_raw=battery.charge_raw,
        battery_full_raw=numbers.whole(_first_word(kernel, "charge_full"), minimum=1, maximum=10**9),
        thermal_status=thermal.status,
        thermal_status_problem=thermal.problem,
        temperatures_c=thermal.temperatures_c,
        cpu_khz=_clocks(kernel, 0),
        cpu_cap_khz=_clocks(kernel, 1),
        gpu_khz=_gpu_khz(gpu[0]) if gpu else None,
        gpu_cap_khz=_gpu_khz(gpu[1]) if len(gpu) > 1 else None,
        screen_on={"true": True, "false": False}.get(next(iter(sections.get("screen", [])), "").strip()),
        load_1min=numbers.real(_first_word(kernel, "load"), minimum=0, maximum=1e6),
        memory_available_bytes=None if available_kb is None else available_kb * 1024,
    )


def to_json(conditions: Conditions) -> dict[str, Any]:
    """A JSON-ready mapping with the field names as keys; the time as ISO 8601 with its offset."""
    values = {one.name: getattr(conditions, one.name) for one in fields(conditions)}
    values |= {name: values[name] or None for name in _RARE}
    values |= {
        "taken_utc": conditions.taken_utc.isoformat(),
        "temperatures_c": dict(conditions.temperatures_c),
        "cpu_khz": list(conditions.cpu_khz),
        "cpu_cap_khz": list(conditions.cpu_cap_khz),
    }
    return values


def from_json(values: Mapping[str, Any]) -> Conditions:
    """Conditions from what `to_json` made; fields that an older devbench did not write are `None` or empty.

    Raises:
        ValueError, KeyError: `taken_utc` is missing or no time.
    """
    known = {one.name: values[one.name] for one in fields(Conditions) if values.get(one.name) is not None}
    known |= {
        "taken_utc": datetime.fromisoformat(str(values["taken_utc"])),
        "temperatures_c": dict(values.get("temperatures_c") or {}),
        "cpu_khz": tuple(values.get("cpu_khz") or ()),
        "cpu_cap_khz": tuple(values.get("cpu_cap_khz") or ()),
    }
    return Conditions(**known)


def _words_after(lines: Iterable[str], key: str, count: int) -> list[str]:
    """The words after `key` on the first line that starts with it and has any."""
    for line in lines:
        words = line[:400].split(None, count + 1)
        if len(words) > 1 and words[0] == key:
            return words[1 : count + 1]
    return []


def _first_word(lines: Iterable[str], key: str) -> str:
    return next(iter(_words_after(lines, key, 1)), "")


def _clocks(lines: Iterable[str], which: int) -> tuple[int | None, ...]:
    """Of lines `khz CPU CURRENT ALLOWED` the current clocks (0) or the allowed ones (1), by CPU."""
    clocks: dict[int, int] = {}
    for line in lines:
        words = line.split(None, 4)
        if 3 + which <= len(words) <= 4 and words[0] == "khz":
            cpu, khz = (
                numbers.whole(words[1], maximum=_MAX_CPUS - 1),
                numbers.whole(words[2 + which], minimum=1, maximum=10**9),
            )
            if cpu is not None and khz is not None:
                clocks[cpu] = khz
    return tuple(clocks.get(cpu) for cpu in range(max(clocks, default=-1) + 1))


def _gpu_khz(text: str) -> int | None:
    """A GPU's clock; drivers give Hz, kHz or MHz, whose ranges do not meet: GPUs run at 5 MHz to 4 GHz."""
    value = numbers.whole(text, minimum=1, maximum=10**11)
    for factor in (0.001, 1.0, 1000.0):
        if value is not None and 5_000 <= value * factor <= 4_000_000:
            return round(value * factor)
    return None


def above_zero(maximum: float, what: str) -> ReadBy:
    """A number above zero; `what` is the error for any other value."""

    def validate(value: Any) -> Any:
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value <= maximum:
            raise refuse(what)
        return value

    return ReadBy(validate, {"type": "number", "exclusiveMinimum": 0, "maximum": maximum})


_DEGREES = above_zero(199.99, "is not a temperature in °C")


@dataclass(frozen=True, slots=True)
class ThermalLimits:
    """The highest readings at which a device may measure: `[limits]` of its profile.

    Attributes:
        thermal_status: Android's throttling status, 0 none to 6 shutdown.
        battery_c: the battery's temperature in °C; None for no limit.
        sensors_c: °C by a pattern that is searched for in sensor names, upper and lower case alike.
    """

    thermal_status: Annotated[int, within(0, 6, whole=True)] = 0
    battery_c: Annotated[float | None, _DEGREES] = None
    sensors_c: Mapping[Pattern, Annotated[float, _DEGREES]] = field(default_factory=dict, metadata={"alias": "sensors"})


def over_limits(conditions: Conditions, limits: ThermalLimits) -> tuple[str, ...]:
    """The readings above their limits, as text; empty if the device is fit. An unknown reading is ignored."""
    over: list[str] = []
    status = conditions.thermal_status
    if status is not None and status > limits.thermal_status:
        over.append(f"thermal status {conditions.thermal_status_name}")
    battery = conditions.battery_temperature_c
    if battery is not None and limits.battery_c is not None and battery > limits.battery_c:
        over.append(f"battery {battery:.1f} °C above {limits.battery_c:g} °C")
    for name, degrees in conditions.temperatures_c.items():
        matching = (limit for text, limit in limits.sensors_c.items() if re.search(text, name, re.IGNORECASE))
        highest = min(matching, default=None)
        if highest is not None and degrees > highest:
            over.append(f"{name} {degrees:.1f} °C above {highest:g} °C")
    return tuple(over)
