"""What can go wrong between this machine and a device, each with its fields and one readable line.

`transient` is true for a fault that trying again may fix (a lost connection), false for others (no such device).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from devbench.errors import EnvironmentProblem, InputError
from devbench.text import clean, near

# The longest part of a device's error message that is shown, in bytes.
_MAX_REASON_BYTES = 2000


class AdbNotFound(EnvironmentProblem):
    """No adb binary on PATH, in the Android SDK or in the adbutils wheel."""

    def __init__(self) -> None:
        super().__init__(
            "no adb was found", hint="install Android's platform-tools and put adb on PATH, or set ANDROID_HOME"
        )


class ServerUnavailable(EnvironmentProblem):
    """The adb server cannot be reached or does not answer as one."""

    transient = True

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"the adb server at {host}:{port} cannot be used: {reason}",
            hint="`devbench doctor` checks it; ANDROID_ADB_SERVER_HOST and ANDROID_ADB_SERVER_PORT choose another",
        )
        self.host, self.port, self.reason = host, port, reason


class NoSuchDevice(EnvironmentProblem):
    """The adb server does not know a device with that serial."""

    def __init__(self, serial: str, known: Sequence[str] = ()) -> None:
        listed = ", ".join(known[:8]) if known else "none"
        hint = near(serial, [*known, "virtual", "all"], "see `devbench devices`")
        super().__init__(f"no device {serial!r} is connected (connected: {listed})", hint=hint)
        self.serial, self.known = serial, tuple(known)


class DeviceOffline(EnvironmentProblem):
    """The device is listed and does not answer."""

    transient = True

    def __init__(self, serial: str) -> None:
        super().__init__(
            f"{serial} is offline",
            hint="reconnect its cable, or reboot it; over the network: "
            f"`devbench devices disconnect {serial}`, then `devbench devices connect {serial}`",
        )
        self.serial = serial


class DeviceUnauthorized(EnvironmentProblem):
    """The device has not accepted this machine's key."""

    def __init__(self, serial: str) -> None:
        super().__init__(
            f"{serial} has not authorized this computer", hint="unlock it and accept the USB debugging question"
        )
        self.serial = serial


class DeviceLost(EnvironmentProblem):
    """The connection to the device was lost during an action."""

    transient = True

    def __init__(self, serial: str, doing: str) -> None:
        super().__init__(f"{serial} went away while {doing}", hint="check its cable and power, then run again")
        self.serial, self.doing = serial, doing


class DeviceRestarted(DeviceLost):
    """The device restarted during an action; `uptime_s` is the device's uptime when it was found again."""

    def __init__(self, serial: str, doing: str, uptime_s: float) -> None:
        EnvironmentProblem.__init__(
            self,
            f"{serial}: the device restarted while {doing} (uptime {uptime_s:.0f} s)",
            hint="run less at once there: too much memory in use can restart a phone",
        )
        self.serial, self.doing, self.uptime_s = serial, doing, uptime_s


# The connection was lost: with the device, or with the server.
LOST = (DeviceLost, DeviceOffline, ServerUnavailable)


class ShellTimeout(EnvironmentProblem):
    """A command did not end by its deadline; its process group on the device has been ended."""

    transient = True

    def __init__(self, serial: str, command: str, timeout_s: float) -> None:
        super().__init__(f"{serial}: no end after {timeout_s:g} s of: {clean(command, 80)}")
        self.serial, self.command, self.timeout_s = serial, command, timeout_s


class OutputTooLong(EnvironmentProblem):
    """A command printed more than it may; its process group on the device has been ended."""

    def __init__(self, serial: str, doing: str, max_bytes: int) -> None:
        super().__init__(
            f"{serial} printed more than {max_bytes / (1 << 20):g} MiB while {doing}",
            hint="the command was ended; reboot the device, or leave it out",
        )
        self.serial, self.doing, self.max_bytes = serial, doing, max_bytes


class CommandFailed(EnvironmentProblem):
    """A command that must succeed ended with another exit code."""

    def __init__(self, serial: str, command: str, exit_code: int, stdout: bytes, stderr: bytes) -> None:
        said = (stderr.strip() or stdout.strip())[:_MAX_REASON_BYTES].decode("utf-8", "replace")
        super().__init__(f"{serial}: exit code {exit_code} of {clean(command, 80)}: {clean(said, 200)}")
        self.serial, self.command, self.exit_code = serial, command, exit_code


class SyncFailed(EnvironmentProblem):
    """A file could not be moved to or from the device; `reason` is the device's own text."""

    def __init__(self, serial: str, remote: str, reason: str) -> None:
        super().__init__(f"{serial}: {clean(remote, 200)}: {clean(reason, 200)}")
        self.serial, self.remote, self.reason = serial, remote, reason


class LocalFileChanged(InputError):
    """A file of this machine changed between its hash and the end of its transfer; the device does not keep it."""

    transient = True

    def __init__(self, serial: str, local: Path, *, while_sent: bool = True) -> None:
        when = "while it was being sent" if while_sent else "after it was hashed, before it was sent"
        super().__init__(
            f"{local} changed on this machine {when} to {serial}", hint="run again when the file is complete"
        )
        self.serial, self.local, self.while_sent = serial, local, while_sent


class DeviceFull(EnvironmentProblem):
    """The device has no space for a file."""

    def __init__(
        self, serial: str, remote: str, needed_bytes: int | None = None, free_bytes: int | None = None
    ) -> None:
        room = ""
        if needed_bytes is not None and free_bytes is not None:
            room = f": {needed_bytes / 1e6:.1f} MB needed, {free_bytes / 1e6:.1f} MB free"
        super().__init__(
            f"{serial} has no room for {remote}{room}", hint="free space on the device (/data) and run again"
        )
        self.serial, self.remote = serial, remote


def running(command: str) -> str:
    """What a command without a description does: its first word."""
    return f"running {clean((command.split(maxsplit=1) or ['nothing'])[0], 80)}"
