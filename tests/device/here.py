"""This machine's shell in the place of a device, and requests for a lease on it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from devbench.adb.services import ShellResult
from devbench.device.lease import Request
from devbench.device.owner import Owner

ELSEWHERE = Owner("other-host", "somebody", "boot-of-the-other", "pid_1", 77, 1_700_000_000)
SHELLS = [name for name in ("mksh", "dash", "bash") if shutil.which(name)]


@dataclass
class HereDevice:
    """This machine's shell in the place of a device's."""

    name: str
    serial: str = "here"

    def shell(self, command: str, *, timeout_s: float, check: bool = False, doing: str = "") -> ShellResult:
        done = subprocess.run(
            [self.name, "-c", command], capture_output=True, timeout=timeout_s, check=check, start_new_session=True
        )
        return ShellResult(done.stdout, done.stderr, done.returncode)


def ask(token: str, owner: Owner = ELSEWHERE, **more: object) -> Request:
    return replace(Request(token, owner), **more)


def expire(root: Path) -> None:
    for file in (root / "lease").glob("*.until.*"):
        boot, _ = file.read_text().split()
        file.write_text(f"{boot} 1\n")
