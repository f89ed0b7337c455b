"""Steps that make a device steadier while it measures, each undone afterwards; knows no tool and no store.

What undoes them is on the device before anything is changed: after Ctrl-C, a crash or a pulled cable the next run there
undoes what this one left.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devbench.errors import DevbenchError, InputError

if TYPE_CHECKING:
    from devbench.adb.device import Device

_TIMEOUT_S = 30.0
_MASK = re.compile(r"[0-9a-fA-F]{1,16}")
_NETWORK_SERIAL = re.compile(r"(?!127\.|localhost|\[::1\]).*:\d{1,5}")


@dataclass(frozen=True, slots=True)
class Step:
    """Shell commands that change something and change it back; `undo` is empty where nothing is left to undo."""

    do: str
    undo: str
    help: str


STEPS: Mapping[str, Step] = {
    "awake": Step("svc power stayon true", "svc power stayon false", "keep the device awake"),
    "screen-off": Step("input keyevent 223", "input keyevent 224", "screen off while measuring, on again afterwards"),
    "airplane": Step(
        "cmd connectivity airplane-mode enable", "cmd connectivity airplane-mode disable", "no radio; not over Wi-Fi"
    ),
    "performance": Step(
        "cmd power set-fixed-performance-mode-enabled true",
        "cmd power set-fixed-performance-mode-enabled false",
        "Android's fixed performance mode, where the device has one",
    ),
    "background": Step("am kill-all", "", "end background processes"),
}


@dataclass(frozen=True, slots=True)
class Stabilising:
    """What is asked for: names of `STEPS`, and a mask of CPUs for the tool (hexadecimal, as `taskset` takes it)."""

    steps: tuple[str, ...] = ()
    cpu_mask: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """For the record."""
        return (*self.steps, *((f"affinity={self.cpu_mask}",) if self.cpu_mask else ()))


def parse_stabilising(texts: Sequence[str]) -> Stabilising:
    """Steps as typed: `awake,performance,affinity=f0`.

    Raises:
        InputError: there is no such step, or a mask is none.
    """
    steps: dict[str, None] = {}
    mask = ""
    for word in (part.strip() for text in texts for part in text.split(",") if part.strip()):
        if word.startswith("affinity="):
            mask = word.removeprefix("affinity=").removeprefix("0x").lower()
            if not _MASK.fullmatch(mask) or not int(mask, 16):
                raise InputError(f"--stabilise {word}: not a mask of CPUs", hint="hexadecimal, for example affinity=f0")
        elif word in STEPS:
            steps[word] = None
        else:
            hint = f"known: {', '.join(STEPS)}, affinity=MASK"
            raise InputError(f"--stabilise {word!r} is unknown", hint=hint)
    return Stabilising(tuple(steps), mask)


class Stabiliser:
    """The steps on one device, from `start` to `stop`.

    Args:
        device: an adb connection.
        root: the folder of everything on the device.
        wanted: what to do.
    """

    def __init__(self, device: Device, root: str, wanted: Stabilising) -> None:
        self._device = device
        self._undo = f"{root}/run/undo.sh"
        self._wanted = wanted
        self._started = False

    def recover(self) -> None:
        """Undo what a run left that could not do it itself."""
        undo = shlex.quote(self._undo)
        script = f"[ -f {undo} ] && {{ sh {undo} >/dev/null 2>&1; rm -f {undo}; }}; true"
        self._device.shell(script, timeout_s=_TIMEOUT_S, doing="undoing what an earlier run changed")

    def start(self) -> dict[str, bool]:
        """Do the steps; gives for each whether the device took it.

        Raises:
            InputError: airplane mode would cut the connection.
            DeviceLost and the errors of an unfit device.
        """
        steps = self._wanted.steps
        if "airplane" in steps and _NETWORK_SERIAL.fullmatch(self._device.serial):
            raise InputError(
                f"--stabilise airplane would cut the connection to {self._device.serial}", hint="connect it by USB"
            )
        if not steps:
            return {}
        self._started = True
        back = "\n".join(STEPS[name].undo for name in reversed(steps) if STEPS[name].undo)
        lines = [f"printf %s {shlex.quote(back)} > {shlex.quote(self._undo)} || exit 1"]
        lines += [f"{STEPS[name].do} >/dev/null 2>&1; echo {name} $?" for name in steps]
        done = self._device.shell("\n".join(lines), timeout_s=_TIMEOUT_S, check=True, doing="making it steady")
        words = [line.split() for line in done.stdout.decode("utf-8", "replace").splitlines()]
        return {pair[0]: pair[1] == "0" for pair in words if len(pair) == 2}

    def stop(self) -> None:
        """Undo the steps, if the device is still there; if not, the next run does."""
        if self._started:
            self._started = False
            try:
                self.recover()
            except DevbenchError:
                return
