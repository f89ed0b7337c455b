"""The state of a device that moves its latency: heat, clocks, battery, load, free memory. Knows no model and no run.

`CONDITIONS_COMMAND` runs between repetitions: it reads /proc and /sys with shell built-ins and forks only for two
`dumpsys` and one `cmd`. Every part is optional: what a device does not have or does not allow to be read is `None` or
empty.

Sources of the formats: `dumpsys battery` is BatteryService.dump (temperature in tenths of a degree, status as in
BatteryManager), `dumpsys thermalservice` is ThermalManagerService.dump (Android 10 and newer, degrees; temperature
types as in android.hardware.thermal TemperatureType), `cmd deviceidle get screen` is DeviceIdleController's shell
command (true or false); /sys/class/thermal, cpufreq, devfreq and power_supply as in the kernel's documentation, KGSL's
gpuclk and max_gpuclk as Qualcomm's driver has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from devbench.device.sections import clean, decimal, open_script, section_script, split_sections, whole_number

if TYPE_CHECKING:
    from devbench.adb.device import Device

THERMAL_STATUS_NAMES = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")

_MOST_SENSORS = 64
_MOST_CPUS = 256
# Outside of these limits a reading is a sensor that is not there, or not a temperature.
_COLDEST_C, _HOTTEST_C = -40.0, 200.0
# Types that do not give degrees: unknown (any unit), and the battery's current limit (voltage, current, percentage).
_NOT_DEGREES = frozenset({-1, 6, 7, 8})
_BATTERY_CHARGING, _BATTERY_NOT_CHARGING = "2", frozenset({"3", "4", "5"})
_TEMPERATURE = re.compile(r"\bTemperature\{mValue=([^,}]{1,32}), mType=(-?\d{1,4}), mName=(.{0,200}?), mStatus=")

# What an allowed clock is: the governor's upper limit, which a thermal driver lowers.
_CLOCKS_SCRIPT = """
for _dbc_path in @SYS@/devices/system/cpu/@CPUS@; do
  read -r _dbc_value < "$_dbc_path/scaling_cur_freq" || continue
  _dbc_cap=; read -r _dbc_cap < "$_dbc_path/scaling_max_freq"
  _dbc_cpu=${_dbc_path%/cpufreq}; echo "khz ${_dbc_cpu##*[!0-9]} $_dbc_value $_dbc_cap"
done
_dbc_cap=; if read -r _dbc_value < @SYS@/class/kgsl/kgsl-3d0/gpuclk; then
  read -r _dbc_cap < @SYS@/class/kgsl/kgsl-3d0/max_gpuclk; echo "gpu $_dbc_value $_dbc_cap"
else
  for _dbc_path in @SYS@/class/misc/mali0/device @SYS@/class/misc/mali0/device/devfreq/* @SYS@/class/devfreq/*mali* \
      @SYS@/class/devfreq/*gpu*; do
    read -r _dbc_value < "$_dbc_path/cur_freq" || continue
    read -r _dbc_cap < "$_dbc_path/max_freq"; echo "gpu $_dbc_value $_dbc_cap"; break
  done
fi
read -r _dbc_value < @SYS@/class/power_supply/battery/current_now && echo "current $_dbc_value"
"""


def clocks_script(*, each_cpu: bool, sysfs: str = "/sys") -> str:
    """Shell lines that read clocks of CPUs and GPU and the battery's current, with built-ins alone.

    Args:
        each_cpu: a line for each CPU; else one for each group of CPUs that share a clock, by the group's number, which
            is that of its first CPU.
        sysfs: where the kernel's files are.
    """
    cpus = "cpu[0-9]*/cpufreq" if each_cpu else "cpufreq/policy[0-9]*"
    return _CLOCKS_SCRIPT.replace("@SYS@", sysfs).replace("@CPUS@", cpus).strip()


# The thermal zones of the kernel are read only where the thermal service names no temperature (before Android 10):
# there can be a hundred of them, some behind a slow bus.
CONDITIONS_COMMAND = f"""{{
{open_script("_dbc_word")}
read -r _dbc_value < /proc/uptime && echo "uptime $_dbc_value"
read -r _dbc_value < /proc/loadavg && echo "load $_dbc_value"
while read -r _dbc_key _dbc_value _dbc_unit; do
  case $_dbc_key in MemAvailable:) echo "available_kb $_dbc_value"; break;; esac
done < /proc/meminfo
{clocks_script(each_cpu=True)}
{section_script("_dbc_word", "battery")}
dumpsys battery
{section_script("_dbc_word", "thermal")}
_dbc_value=$(dumpsys thermalservice); echo "$_dbc_value"
case $_dbc_value in *mValue=*) ;; *)
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
        taken_utc: when the host asked, UTC.
        battery_level: percent, 0 to 100.
        battery_current_ma: as the fuel gauge says it; makers differ in what is positive.
        battery_charging: `True` while current flows into the battery; a full battery on its cable is not charging.
        thermal_status: Android's throttling status, 0 none to 6 shutdown.
        temperatures_c: degrees by the sensor's name.
        cpu_khz: current clock by CPU number; `None` for a CPU that is offline or not readable; empty where none is.
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
    battery_current_ma: float | None = None
    thermal_status: int | None = None
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
        """Whether Android says that it throttles: any status above none, as AndroidX's benchmarks take it."""
        return None if self.thermal_status is None else self.thermal_status > 0

    @property
    def thermal_status_name(self) -> str:
        """The name of the thermal status; empty where it is not known."""
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
    battery = _battery_values(sections.get("battery", []))
    level, battery_c, charging = _battery(battery)
    thermal = sections.get("thermal", [])
    gpu = _words_after(kernel, "gpu", 2)
    available_kb = whole_number(_first_word(kernel, "available_kb"), most=1 << 50)
    return Conditions(
        taken_utc=taken_utc,
        uptime_s=decimal(_first_word(kernel, "uptime"), least=0, most=1e12),
        battery_level=level,
        battery_temperature_c=battery_c,
        battery_charging=charging,
        battery_current_ma=_milliamperes(_first_word(kernel, "current") or battery.get("current now", "")),
        thermal_status=_thermal_status(thermal),
        temperatures_c=_temperatures(thermal),
        cpu_khz=_clocks(kernel, 0),
        cpu_cap_khz=_clocks(kernel, 1),
        gpu_khz=_gpu_khz(gpu[0]) if gpu else None,
        gpu_cap_khz=_gpu_khz(gpu[1]) if len(gpu) > 1 else None,
        screen_on={"true": True, "false": False}.get(next(iter(sections.get("screen", [])), "").strip()),
        load_1min=decimal(_first_word(kernel, "load"), least=0, most=1e6),
        memory_available_bytes=None if available_kb is None else available_kb * 1024,
    )


def to_json(conditions: Conditions) -> dict[str, Any]:
    """A JSON-ready mapping with the field names as keys; the time as ISO 8601 with its offset."""
    return {
        "taken_utc": conditions.taken_utc.isoformat(),
        "uptime_s": conditions.uptime_s,
        "battery_level": conditions.battery_level,
        "battery_temperature_c": conditions.battery_temperature_c,
        "battery_charging": conditions.battery_charging,
        "battery_current_ma": conditions.battery_current_ma,
        "thermal_status": conditions.thermal_status,
        "temperatures_c": dict(conditions.temperatures_c),
        "cpu_khz": list(conditions.cpu_khz),
        "cpu_cap_khz": list(conditions.cpu_cap_khz),
        "gpu_khz": conditions.gpu_khz,
        "gpu_cap_khz": conditions.gpu_cap_khz,
        "screen_on": conditions.screen_on,
        "load_1min": conditions.load_1min,
        "memory_available_bytes": conditions.memory_available_bytes,
    }


def from_json(values: Mapping[str, Any]) -> Conditions:
    """Conditions from what `to_json` made; fields that an older devbench did not write are `None` or empty.

    Raises:
        ValueError, KeyError: `taken_utc` is missing or no time.
    """
    return Conditions(
        taken_utc=datetime.fromisoformat(str(values["taken_utc"])),
        uptime_s=values.get("uptime_s"),
        battery_level=values.get("battery_level"),
        battery_temperature_c=values.get("battery_temperature_c"),
        battery_charging=values.get("battery_charging"),
        battery_current_ma=values.get("battery_current_ma"),
        thermal_status=values.get("thermal_status"),
        temperatures_c=dict(values.get("temperatures_c") or {}),
        cpu_khz=tuple(values.get("cpu_khz") or ()),
        cpu_cap_khz=tuple(values.get("cpu_cap_khz") or ()),
        gpu_khz=values.get("gpu_khz"),
        gpu_cap_khz=values.get("gpu_cap_khz"),
        screen_on=values.get("screen_on"),
        load_1min=values.get("load_1min"),
        memory_available_bytes=values.get("memory_available_bytes"),
    )


def _words_after(lines: Iterable[str], key: str, most: int) -> list[str]:
    """The words after `key` on the first line that starts with it and has any."""
    for line in lines:
        words = line[:400].split(None, most + 1)
        if len(words) > 1 and words[0] == key:
            return words[1 : most + 1]
    return []


def _first_word(lines: Iterable[str], key: str) -> str:
    return next(iter(_words_after(lines, key, 1)), "")


def _clocks(lines: Iterable[str], which: int) -> tuple[int | None, ...]:
    """Of lines `khz CPU CURRENT ALLOWED` the current clocks (0) or the allowed ones (1), by CPU."""
    clocks: dict[int, int] = {}
    for line in lines:
        words = line.split(None, 4)
        if 3 + which <= len(words) <= 4 and words[0] == "khz":
            cpu, khz = whole_number(words[1], most=_MOST_CPUS - 1), whole_number(words[2 + which], least=1, most=10**9)
            if cpu is not None and khz is not None:
                clocks[cpu] = khz
    return tuple(clocks.get(cpu) for cpu in range(max(clocks, default=-1) + 1))


def _gpu_khz(text: str) -> int | None:
    """A GPU's clock; drivers give Hz, kHz or MHz, whose ranges do not meet: GPUs run at 50 MHz to 4 GHz."""
    value = whole_number(text, least=1, most=10**11)
    for factor in (0.001, 1.0, 1000.0):
        if value is not None and 50_000 <= value * factor <= 4_000_000:
            return round(value * factor)
    return None


def _milliamperes(text: str) -> float | None:
    """A battery's current. The kernel documents microamperes; some makers give milliamperes, always below 10,000."""
    value = whole_number(text, least=-(10**8), most=10**8)
    return None if value is None else value / 1000 if abs(value) >= 10_000 else float(value)


def _battery_values(lines: Iterable[str]) -> Mapping[str, str]:
    """What `dumpsys battery` says by its keys. Vendors append lines of their own, so the first of each key counts."""
    values: dict[str, str] = {}
    for line in lines:
        key, colon, value = line[:200].partition(":")
        if colon:
            values.setdefault(key.strip().lower(), value.strip())
    return values


def _battery(values: Mapping[str, str]) -> tuple[int | None, float | None, bool | None]:
    """Level in percent, temperature in degrees and whether it charges."""
    if values.get("present") == "false":
        return None, None, None
    level, scale = whole_number(values.get("level", ""), most=10**6), whole_number(values.get("scale", "100"), least=1)
    percent = None if level is None or scale is None else round(100 * level / scale)
    tenths = whole_number(values.get("temperature", ""), least=int(_COLDEST_C * 10), most=int(_HOTTEST_C * 10))
    status = values.get("status", "")
    charging = True if status == _BATTERY_CHARGING else False if status in _BATTERY_NOT_CHARGING else None
    in_percent = percent if percent is not None and percent <= 100 else None
    return in_percent, None if tenths is None else tenths / 10, charging


def _thermal_status(lines: Iterable[str]) -> int | None:
    for line in lines:
        key, colon, value = line[:100].partition(":")
        if colon and key.strip() == "Thermal Status":
            return whole_number(value, most=len(THERMAL_STATUS_NAMES) - 1)
    return None


def _temperatures(lines: Sequence[str]) -> dict[str, float]:
    """Degrees by sensor: what the hardware says now, else what the service remembers, else the kernel's zones."""
    cached: dict[str, float] = {}
    current: dict[str, float] = {}
    zones: dict[str, float] = {}
    into = cached
    for line in lines:
        if line.startswith("zone "):
            _add_zone(zones, line)
        elif "{" not in line:
            into = current if line.startswith("Current temperatures") else into
        elif match := _TEMPERATURE.search(line[:400]):
            value, kind, name = match.groups()
            if int(kind) not in _NOT_DEGREES:
                _add(into, name, decimal(value, least=_COLDEST_C, most=_HOTTEST_C))
    return current or cached or zones


def _add_zone(zones: dict[str, float], line: str) -> None:
    """A line `zone VALUE TYPE`. The kernel documents thousandths of a degree; some vendors give whole degrees."""
    words = line[:400].split(None, 2)
    reading = whole_number(words[1], least=-(10**6), most=10**6) if len(words) == 3 else None
    if reading is not None:
        degrees = reading / 1000 if abs(reading) >= 1000 else float(reading)
        _add(zones, words[2], degrees if _COLDEST_C <= degrees <= _HOTTEST_C else None)


def _add(sensors: dict[str, float], name: str, degrees: float | None) -> None:
    """Keep a reading; of two sensors of one name the hotter. Exactly 0.0 is what sensors that are not there say."""
    name = clean(name, 60)
    if degrees and name and (name in sensors or len(sensors) < _MOST_SENSORS):
        sensors[name] = round(max(degrees, sensors.get(name, degrees)), 2)
