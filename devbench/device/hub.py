"""Switches the power of a phone's USB port with uhubctl, for hubs that can; knows no adb.

Which port a device is connected to is kept as JSON in the data folder, {"KEY": "1-4.2"}, in the form of adb and of the
kernel: bus, port, port of the next hub. uhubctl wants the last one apart: hub 1-4, port 2.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from devbench.errors import EnvironmentProblem, InputError
from devbench.host.paths import data_dir
from devbench.host.tables import changing, load
from devbench.text import clean

_PORT = re.compile(r"(\d{1,3}(?:-\d{1,2}(?:\.\d{1,2}){0,5})?)[-.](\d{1,2})")
_OFF_S = 5
_TIMEOUT_S = 60.0


def ports_file() -> Path:
    return data_dir() / "hub_ports.json"


def load_ports() -> Mapping[str, str]:
    """The USB port of each device that has one whose power can be switched, by the device's key.

    Raises:
        InputError: the file is damaged.
    """
    return load(ports_file(), _checked, "fix it, or delete it and set the ports again")


def _checked(port: object) -> str:
    if not isinstance(port, str) or not _PORT.fullmatch(port):
        raise InputError(f"{str(port)[:40]!r} is not a USB port", hint="for example 1-4.2, as `devices --json` has it")
    return port


def set_port(key: str, port: str) -> None:
    """Keep the USB port of a device; an empty one is forgotten.

    Raises:
        InputError: `port` is not a USB port, or the file cannot be written.
    """
    if port and not _PORT.fullmatch(port):
        raise InputError(
            f"{port[:40]!r} is not a USB port", hint="give it as in `devbench devices --json`, such as 1-4.2"
        )
    with changing(ports_file(), load_ports) as book:
        book.pop(key, None)
        if port:
            book[key] = _checked(port)


def power_cycle(key: str) -> str:
    """Switch the power of a device's USB port off and on again; gives the port, or nothing for a device without one.

    Raises:
        EnvironmentProblem: there is no uhubctl, or it failed.
        InputError: the file of the ports is damaged.
    """
    port = load_ports().get(key, "")
    found = _PORT.fullmatch(port)
    if found is None:
        return ""
    program = shutil.which("uhubctl")
    if program is None:
        raise EnvironmentProblem("uhubctl is not installed", hint="install it (Debian: `apt install uhubctl`)")
    command = [program, "-l", found[1], "-p", found[2], "-a", "cycle", "-d", str(_OFF_S)]
    hint = "try it by hand; it needs access to the hub: run it as root, or install its udev rules"
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise EnvironmentProblem(f"uhubctl did not end within {_TIMEOUT_S:.0f} s", hint=hint) from None
    except OSError as error:
        raise EnvironmentProblem(f"uhubctl: {error.strerror or error}", hint=hint) from None
    if done.returncode:
        said = clean((done.stderr or done.stdout).decode("utf-8", "replace"), 200)
        raise EnvironmentProblem(f"uhubctl failed on port {port}: {said or f'exit code {done.returncode}'}", hint=hint)
    return port
