"""Steps that stabilise a device while it is measured, each undone afterwards; knows no tool and no store.

Before anything is changed, a script that undoes the steps is put on the device, with a process that runs it if the host
is silent for too long. After Ctrl-C, a crash or a pulled cable, the device is restored within minutes, or when the next
run begins.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from devbench.errors import DevbenchError, InputError
from devbench.frozen import dataclass

if TYPE_CHECKING:
    from devbench.adb.device import Device

_TIMEOUT_S = 30.0
# For each step that takes a value: the valid values, the text of the error for others, and its hint.
_VALUES = {
    "affinity": (
        r"(0x)?0*[1-9a-f][0-9a-f]{0,15}|[a-z][a-z0-9_+-]{0,30}",
        "not CPUs",
        "a mask such as f0, or a name such as big",
    ),
    "governor": (r"[a-z][a-z_]{0,30}", "not a governor", "for example governor=performance"),
    "clock": (r"(100|[1-9][0-9]?)%?", "not a share of the highest clock", "for example clock=70"),
}
_NETWORK_SERIAL = re.compile(r"(?!127\.|localhost|\[::1\]).*:\d{1,5}")
_CPUFREQ = "/sys/devices/system/cpu/cpufreq"
# A host counts as gone this long after the end of the silence that it announced.
_GRACE_S = 60
_WATCH_S = 5


@dataclass(frozen=True, slots=True)
class StabilisingStep:
    """A change of the device.

    Attributes:
        do: the shell command.
        undo: shell text that prints the command which restores the present state; prints nothing if that is not needed.
    """

    do: str
    undo: str
    help: str


STEPS: Mapping[str, StabilisingStep] = {
    "awake": StabilisingStep(
        "svc power stayon true",
        "_db_v=$(settings get global stay_on_while_plugged_in); case $_db_v in [1-9]|1[0-5]) "
        "echo settings put global stay_on_while_plugged_in $_db_v;; *) echo svc power stayon false;; esac",
        "keep the device awake",
    ),
    "screen-off": StabilisingStep(
        "input keyevent 223",
        "case $(cmd deviceidle get screen) in false) ;; *) echo input keyevent 224;; esac",
        "screen off while measuring",
    ),
    "screen-on": StabilisingStep(
        "input keyevent 224",
        "case $(cmd deviceidle get screen) in false) echo input keyevent 223;; esac",
        "screen on while measuring",
    ),
    "airplane": StabilisingStep(
        "cmd connectivity airplane-mode enable",
        "case $(settings get global airplane_mode_on) in 1) ;; *) echo cmd connectivity airplane-mode disable;; esac",
        "no radio; not over Wi-Fi",
    ),
    "performance": StabilisingStep(
        "cmd power set-fixed-performance-mode-enabled true",
        "echo cmd power set-fixed-performance-mode-enabled false",
        "Android's fixed performance mode, where the device has one",
    ),
    "background": StabilisingStep("am kill-all", "", "end background processes"),
}
# For messages and help: the steps that take a value.
VALUED_STEPS: Mapping[str, str] = {
    "affinity": "CPUs for the tool: a mask (f0) or a name of the device's profile (big)",
    "governor": "cpufreq governor of all CPUs, takes root (performance)",
    "clock": "fixed clock of all CPUs in percent of their highest, takes root (70)",
}


@dataclass(frozen=True, slots=True)
class Stabilising:
    """The requested steps.

    Attributes:
        steps: names of `STEPS`.
        affinity: CPUs for the tool: a mask as `taskset` takes it (hexadecimal), or the name of one in the device's
            profile; empty for all.
        governor: a cpufreq governor; empty keeps the present one.
        clock_pct: fixed clock in percent of each CPU's highest; `None` keeps the present limits.
    """

    steps: tuple[str, ...] = ()
    affinity: str = ""
    governor: str = ""
    clock_pct: int | None = None

    def mask(self, masks: Mapping[str, str]) -> str:
        """Return the mask of CPUs for the tool on a device; empty for all CPUs.

        Args:
            masks: the masks of the device's profile, by name.

        Raises:
            InputError: the device's profile has no mask of that name.
        """
        if not self.affinity or self.affinity in masks:
            return masks.get(self.affinity, "")
        if re.fullmatch("[0-9a-f]+", self.affinity):
            return self.affinity
        hint = f"its profile has {', '.join(masks)}" if masks else "its profile has none: give a mask such as f0"
        raise InputError(f"--stabilise affinity={self.affinity}: the device has no CPUs of that name", hint=hint)


def parse_stabilising(texts: Sequence[str]) -> Stabilising:
    """Parse steps as typed, for example `awake,performance,affinity=f0`.

    Raises:
        InputError: there is no such step, or a value makes no sense.
    """
    steps: dict[str, None] = {}
    values: dict[str, str] = {}
    for word in (part.strip() for text in texts for part in text.split(",") if part.strip()):
        name, equals, value = word.partition("=")
        if equals and name in VALUED_STEPS:
            pattern, what, hint = _VALUES[name]
            values[name] = value.strip().lower()
            if not re.fullmatch(pattern, values[name]):
                raise InputError(f"--stabilise {name}={values[name]}: {what}", hint=hint)
        elif word in STEPS:
            steps[word] = None
        else:
            known = [*STEPS, *(f"{valued}=…" for valued in VALUED_STEPS)]
            raise InputError(f"--stabilise {word!r} is unknown", hint=f"known: {', '.join(known)}")
    if {"screen-off", "screen-on"} <= set(steps):
        raise InputError("--stabilise screen-on and screen-off", hint="choose one")
    clock = values.get("clock", "").removesuffix("%")
    affinity = values.get("affinity", "").removeprefix("0x")
    return Stabilising(tuple(steps), affinity, values.get("governor", ""), int(clock) if clock else None)


class Stabiliser:
    """The steps on one device, from `start` to `stop`.

    Args:
        device: an adb connection.
        root: the folder of everything on the device.
        wanted: the requested steps.
        cpufreq: where the kernel's files of CPU clocks are.

    Attributes:
        started: whether there is anything to undo.
    """

    def __init__(self, device: Device, root: str, wanted: Stabilising, *, cpufreq: str = _CPUFREQ) -> None:
        self._device = device
        self._undo = f"{root}/run/undo.sh"
        self._until = f"{root}/run/until"
        self._wanted = wanted
        self._cpufreq = cpufreq
        self.started = False

    def recover(self) -> None:
        """Undo the steps of a run that ended without undoing them."""
        script = f"{_undo_script(self._undo)}; rm -f {shlex.quote(self._until)}; true"
        self._device.shell(script, timeout_s=_TIMEOUT_S, doing="undoing what an earlier run changed")

    def start(self, silence_s: float) -> dict[str, bool]:
        """Apply the steps; return for each whether the device accepted it.

        Args:
            silence_s: how long the host may be silent before its first `alive`.

        Raises:
            InputError: airplane mode would cut the connection.
            DeviceLost and the errors of an unfit device.
        """
        wanted = self._wanted
        if "airplane" in wanted.steps and _NETWORK_SERIAL.fullmatch(self._device.adb_serial):
            raise InputError(
                f"--stabilise airplane would cut the connection to {self._device.serial}", hint="connect it by USB"
            )
        if not wanted.steps and not wanted.governor and wanted.clock_pct is None:
            return {}
        self.started = True
        undo = shlex.quote(self._undo)
        # An interrupted start is repeated. It must undo its own changes first, or they would be kept as the old state.
        lines = [f"[ -f {undo} ] && {{ {_undo_script(self._undo)}; }}", f": > {undo} || exit 1"]
        found = [STEPS[name].undo for name in reversed(wanted.steps) if STEPS[name].undo]
        lines += [f"{{ {text}\n}} 2>/dev/null >> {undo}" for text in found]
        lines += [self._remember_clocks(), self.alive(silence_s)]
        # The inner shell starts a session of its own before it starts the watch in the background: adbd may end the
        # outer shell, and all of its session, at any time.
        watch = f"( {self._watch_script()} ) >/dev/null 2>&1 </dev/null &"
        lines += [f"setsid sh -c {shlex.quote(watch)}"]
        lines += [f"{STEPS[name].do} >/dev/null 2>&1; echo {name} $?" for name in wanted.steps]
        lines += self._set_clocks()
        done = self._device.shell("\n".join(lines), timeout_s=_TIMEOUT_S, check=True, doing="making it steady")
        words = [line.split() for line in done.stdout.decode("utf-8", "replace").splitlines()]
        return {pair[0]: pair[1] == "0" for pair in words if len(pair) == 2}

    def alive(self, silence_s: float) -> str:
        """Shell text that tells the device how long the host may be silent; empty if there is nothing to undo.

        It is run with the next command, which saves a round trip.
        """
        if not self.started:
            return ""
        later = f"$((${{_db_now%.*}} + {round(silence_s) + _GRACE_S}))"
        return f"read -r _db_now _db_rest < /proc/uptime && echo {later} > {shlex.quote(self._until)}"

    def stop(self) -> None:
        """Undo the steps, if the device is reachable; otherwise it undoes them by itself, or the next run does."""
        if self.started:
            self.started = False
            try:
                self.recover()
            except DevbenchError:
                return

    # -- shell text ---------------------------------------------------------------------------------------------

    def _watch_script(self) -> str:
        """Return a loop that runs the undo script once the host is silent for too long.

        The loop ends when the undo script is gone.
        """
        undo, until = shlex.quote(self._undo), shlex.quote(self._until)
        return (
            f"while sleep {_WATCH_S}; [ -f {undo} ]; do read -r now rest < /proc/uptime; "
            f"read -r end < {until} || end=0; [ ${{now%.*}} -lt $end ] || {{ {_undo_script(self._undo)}; exit; }}; done"
        )

    def _remember_clocks(self) -> str:
        """Append commands to the undo file that restore the present governors and clock limits.

        The lower limit is lowered before the upper one, and raised after it: the kernel refuses a lower limit above
        the upper one.
        """
        if not self._wanted.governor and self._wanted.clock_pct is None:
            return ":"
        undo = shlex.quote(self._undo)
        return (
            f"for _db_p in {self._cpufreq}/policy*; do\n"
            '  read -r _db_low < "$_db_p/cpuinfo_min_freq" && echo "echo $_db_low > $_db_p/scaling_min_freq"\n'
            "  for _db_f in scaling_governor scaling_max_freq scaling_min_freq; do\n"
            '    read -r _db_v < "$_db_p/$_db_f" && echo "echo $_db_v > $_db_p/$_db_f"\n'
            f"  done\ndone >> {undo} 2>/dev/null"
        )

    def _set_clocks(self) -> list[str]:
        lines = []
        # A step counts as applied only if every group of CPUs took it: otherwise the clocks are not as requested.
        each = f"_db_code=1 _db_bad=0; for _db_p in {self._cpufreq}/policy*; do"
        if self._wanted.governor:
            word = shlex.quote(self._wanted.governor)
            lines.append(
                f"{{ {each}\n  _db_v= _db_f=$_db_p/scaling_governor\n"
                f'  echo {word} > "$_db_f" && read -r _db_v < "$_db_f"\n'
                f'  [ "$_db_v" = {word} ] && _db_code=0 || _db_bad=1\ndone; }} 2>/dev/null'
            )
            lines.append("echo governor $((_db_code + _db_bad))")
        if self._wanted.clock_pct is not None:
            # The kernel rounds this down to a clock that the CPU supports.
            lines.append(
                f"{{ {each}\n"
                '  read -r _db_high < "$_db_p/cpuinfo_max_freq" && read -r _db_low < "$_db_p/cpuinfo_min_freq" ||\n'
                "    { _db_bad=1; continue; }\n"
                f"  _db_v=$((_db_high / 100 * {self._wanted.clock_pct})); [ $_db_v -lt $_db_low ] && _db_v=$_db_low\n"
                '  echo $_db_low > "$_db_p/scaling_min_freq"; echo $_db_v > "$_db_p/scaling_max_freq" &&\n'
                '    echo $_db_v > "$_db_p/scaling_min_freq" && _db_code=0 || _db_bad=1\ndone; } 2>/dev/null'
            )
            lines.append("echo clock $((_db_code + _db_bad))")
        return lines


def _undo_script(path: str) -> str:
    """Return shell text that runs the undo script; it moves the script first, so two callers cannot both run it."""
    mine = shlex.quote(path) + ".$$"
    return f"mv {shlex.quote(path)} {mine} 2>/dev/null && {{ sh {mine} >/dev/null 2>&1; rm -f {mine}; }}"
