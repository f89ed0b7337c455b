"""Conditions while something runs, about once a second, by one background process on the device; knows no run.

It must not slow down what is measured: it reads /proc and /sys with shell built-ins, which takes some tenths
of a millisecond. It asks Android's services, each of which is a process and a call into the system server, so rarely
that it stays under half a percent of the time. `benchmarks/sampler_cost.py` measures this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from devbench import numbers
from devbench.device.conditions import CLOCKS_SCRIPT, Conditions, conditions_of, find_clocks_script, to_json
from devbench.device.lease_script import MARK_VARIABLE
from devbench.device.sections import MAX_CHARACTERS
from devbench.frozen import dataclass

_MAX_ON_DEVICE = 2000
_MAX_KEPT = 600
_MAX_ZONES = 12
_FIRST_SERVICES_S = 5

# Zones are chosen once, by names that tell of what computes, of the battery or of the skin: a phone has up to a
# hundred. Times are hundredths of a second, as /proc/uptime has them. A reading that took n of them is followed by n
# seconds of rest, Android's services by two hundred times what they took. A sleeping process can outlive the sampler by
# seconds. It runs without the mark of the lease, so that the next run does not wait for it.
_SCRIPT = """
_dbs_count=0 _dbs_seen=0
set --
for _dbs_zone in @SYS@/class/thermal/thermal_zone*; do
  read -r _dbs_type < "$_dbs_zone/type" || continue
  case $_dbs_type in
    soc|*[._-]soc|socd|*[Bb][Cc][Ll]*|*[VvIi][Bb][Aa][Tt]*|*[._-]step|*lowf|*cdev*|*lvl[0-9]*|*ocp*) continue;;
  esac
  case $_dbs_type in
    *[Ss][Kk][Ii][Nn]*|*[Cc][Pp][Uu]*|*[Gg][Pp][Uu]*|*[Nn][Pp][Uu]*|*[Tt][Pp][Uu]*|*[Ss][Oo][Cc]*|*[Bb][Aa][Tt][Tt]*) ;;
    *quiet*|*tsens*|*[Cc][Ll][Uu][Ss][Tt][Ee][Rr]*|BIG|MID|LITTLE|G3D|ISP) ;;
    *) continue;;
  esac
  read -r _dbs_value < "$_dbs_zone/temp" || continue
  set -- "$@" "$_dbs_zone/temp" "$_dbs_type"
  _dbs_count=$((_dbs_count + 1)); [ $_dbs_count -ge @ZONES@ ] && break
done
@FIND@
read -r _dbs_start _dbs_rest < /proc/uptime; _dbs_up=$_dbs_start
_dbs_now=${_dbs_up%.*}${_dbs_up#*.}
_dbs_services=$((_dbs_now + @FIRST@00)) _dbs_sleep=1
while [ $_dbs_seen -lt @MOST@ ]; do
  @MARK@= sleep $_dbs_sleep
  [ -d /proc/$$ ] || exit 0
  _dbs_seen=$((_dbs_seen + 1))
  read -r _dbs_up _dbs_rest < /proc/uptime; echo "@sample $_dbs_up $_dbs_start"
  _dbs_now=${_dbs_up%.*}${_dbs_up#*.}
  read -r _dbs_value < /proc/loadavg && echo "load $_dbs_value"
  while read -r _dbs_key _dbs_value _dbs_rest; do
    case $_dbs_key in MemAvailable:) echo "available_kb $_dbs_value"; break;; esac
  done < /proc/meminfo
@CLOCKS@
  _dbs_path=
  for _dbs_word in "$@"; do
    if [ -z "$_dbs_path" ]; then _dbs_path=$_dbs_word; continue; fi
    read -r _dbs_value < "$_dbs_path" && echo "zone $_dbs_value $_dbs_word"
    _dbs_path=
  done
  read -r _dbs_up _dbs_rest < /proc/uptime
  _dbs_sleep=$((${_dbs_up%.*}${_dbs_up#*.} - _dbs_now))
  [ $_dbs_sleep -lt 3 ] && _dbs_sleep=1; [ $_dbs_sleep -gt 10 ] && _dbs_sleep=10
  if [ $_dbs_now -ge $_dbs_services ]; then
    echo @thermal; dumpsys thermalservice; echo; echo @battery; dumpsys battery; echo
    echo @screen; cmd deviceidle get screen; echo; echo @end
    read -r _dbs_up _dbs_rest < /proc/uptime
    _dbs_services=$((201 * ${_dbs_up%.*}${_dbs_up#*.} - 200 * _dbs_now))
    [ $_dbs_services -lt $((_dbs_now + 1000)) ] && _dbs_services=$((_dbs_now + 1000))
  fi
done
"""


@dataclass(frozen=True, slots=True)
class ConditionSample:
    """Conditions `t_s` seconds after the sampler's start; those from services only if they were just asked."""

    t_s: float
    conditions: Conditions


def sampler_script(sysfs: str = "/sys") -> str:
    """Shell text of the sampler, for a subshell in the background whose output goes to a file.

    It ends when the shell that started it does, and after some two thousand samples.
    """
    values = {
        "SYS": sysfs,
        "ZONES": _MAX_ZONES,
        "FIRST": _FIRST_SERVICES_S,
        "MOST": _MAX_ON_DEVICE,
        "MARK": MARK_VARIABLE,
        "FIND": find_clocks_script(each_cpu=False, sysfs=sysfs),
        "CLOCKS": CLOCKS_SCRIPT,
    }
    script = _SCRIPT.strip()
    for name, value in values.items():
        script = script.replace(f"@{name}@", str(value))
    return script


def parse_samples(text: str, started_utc: datetime) -> tuple[ConditionSample, ...]:
    """The samples that the sampler printed; never raises. Of very many samples, evenly spaced ones are kept.

    Args:
        text: the file's content, cut anywhere.
        started_utc: when the sampler began.
    """
    blocks: list[tuple[str, dict[str, list[str]]]] = []
    lines: list[str] = []
    for line in text[:MAX_CHARACTERS].splitlines():
        word, _, rest = line.partition(" ")
        if word == "@sample":
            lines = []
            blocks.append((rest, {"": lines}))
        elif word in ("@thermal", "@battery", "@screen", "@end") and blocks:
            lines = []
            blocks[-1][1].setdefault(word[1:], lines)
        elif line:
            lines.append(line)
    step = -(-len(blocks) // _MAX_KEPT) or 1
    found = []
    for uptimes, sections in blocks[::step]:
        t_s = _elapsed(uptimes)
        if t_s is None:
            continue
        # The kernel's zones and the service's sensors are read as one list, as before and after the run.
        zones = [line for line in sections[""] if line.startswith("zone ")]
        sections["thermal"] = [*sections.get("thermal", []), *zones]
        found.append(ConditionSample(t_s, conditions_of(sections, started_utc + timedelta(seconds=t_s))))
    return tuple(found)


def samples_to_json(samples: Sequence[ConditionSample]) -> tuple[Mapping[str, Any], ...]:
    """JSON-ready mappings with `t_s` and every field that is known."""
    return tuple(
        {
            "t_s": sample.t_s,
            **{key: value for key, value in to_json(sample.conditions).items() if value not in (None, [], {})},
        }
        for sample in samples
    )


def _elapsed(text: str) -> float | None:
    """Seconds between two times of /proc/uptime, given the later one first."""
    now, _, start = text.partition(" ")
    later, earlier = numbers.real(now, minimum=0, maximum=1e12), numbers.real(start, minimum=0, maximum=1e12)
    return None if later is None or earlier is None or later < earlier else round(later - earlier, 2)
