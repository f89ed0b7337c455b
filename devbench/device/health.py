"""Whether a device can be measured on: is its folder for tools writable and executable, can it hash a file.

One shell round trip that leaves nothing behind. `doctor` shows what it finds, and a run that cannot prepare a device
ends with the same words (`explaining`). Knows no model and no run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal

from devbench.adb.errors import CommandFailed, DeviceLost, ShellTimeout, SyncFailed
from devbench.device.sections import clean, open_script, section_script, split_sections
from devbench.errors import EnvironmentProblem
from devbench.frozen import dataclass

if TYPE_CHECKING:
    from devbench.adb.device import Device

Kind = Literal["read_only", "full", "not_ours", "not_writable", "noexec"]

_TMP, _DEPOT = "/data/local/tmp", "/data/local/tmp/devbench"
_MAX_FOLDERS = 40
_SHA256_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

# The test file has no `#!` line, since the path of the shell differs between devices; a folder mounted noexec refuses
# it anyway. The depot's folders are tested too: they may belong to another user than the folder around them.
HEALTH_COMMAND = f"""{{
{open_script("_dbh_word")}
_dbh_file={_TMP}/.devbench-doctor-$$
{section_script("_dbh_word", "folder")}
if _dbh_said=$( {{ echo 'echo executed' > "$_dbh_file"; }} 2>&1 ); then
  echo writable; chmod 755 "$_dbh_file" && "$_dbh_file"
else echo "said $_dbh_said"
fi
rm -f "$_dbh_file"
{section_script("_dbh_word", "depot")}
for _dbh_dir in {_DEPOT} {_DEPOT}/*; do
  [ -d "$_dbh_dir" ] || continue
  [ -w "$_dbh_dir" ] && [ -x "$_dbh_dir" ] && continue
  echo "folder $_dbh_dir"; echo "said $( {{ : > "$_dbh_dir/.devbench-doctor-$$"; }} 2>&1 )"
done
{section_script("_dbh_word", "hash")}
sha256sum
{section_script("_dbh_word", "end")}
}} 2>/dev/null </dev/null"""


@dataclass(frozen=True, slots=True)
class Problem:
    """A reason why a device cannot be used; `what` follows the device's name, `hint` is the next step."""

    kind: Kind
    what: str
    hint: str


@dataclass(frozen=True, slots=True)
class Health:
    """Attributes:
    writable, executable: whether the shell user may write to, and execute files in, /data/local/tmp.
    hashes: `sha256sum` is there and right.
    said: the device's message, if the folder is not writable.
    locked: folders of devbench's that the shell user may not write to, each with the device's message.
    """

    writable: bool
    executable: bool
    hashes: bool
    said: str = ""
    locked: tuple[tuple[str, str], ...] = ()

    @property
    def problem(self) -> Problem | None:
        """What keeps the device from being measured on; `None` if nothing does."""
        if not self.writable:
            return _unwritable(_TMP, self.said)
        if not self.executable:
            return Problem("noexec", f"{_TMP} does not let programs run", "it is mounted noexec: use another device")
        return _unwritable(*self.locked[0]) if self.locked else None


class FolderUnfit(EnvironmentProblem):
    """The device's folder for tools cannot be used; `kind` is the reason."""

    def __init__(self, serial: str, problem: Problem) -> None:
        super().__init__(f"{serial}: {problem.what}", hint=problem.hint)
        self.serial, self.kind = serial, problem.kind


def read_health(device: Device, timeout_s: float = 10) -> Health:
    """Try the device's folder and tools.

    Raises:
        DeviceLost, ShellTimeout: the connection ended, or there was no answer in time.
    """
    result = device.shell(HEALTH_COMMAND, timeout_s=timeout_s, doing="trying its folder for tools")
    return parse_health(result.stdout.decode("utf-8", "replace"))


def parse_health(text: str) -> Health:
    """What `HEALTH_COMMAND` printed; never raises."""
    sections = split_sections(text)
    folder = sections.get("folder", [])
    hashed = sections.get("hash", [])
    said = next((line.removeprefix("said ") for line in folder if line.startswith("said ")), "")
    locked: list[tuple[str, str]] = []
    for line in sections.get("depot", [])[: 2 * _MAX_FOLDERS]:
        word, _, rest = line.partition(" ")
        if word == "folder":
            locked.append((clean(rest, 200), ""))
        elif word == "said" and locked:
            locked[-1] = (locked[-1][0], clean(rest, 200))
    return Health(
        writable="writable" in folder,
        executable="executed" in folder,
        hashes=bool(hashed) and hashed[0].startswith(_SHA256_OF_NOTHING),
        said=clean(said, 200),
        locked=tuple(locked),
    )


@contextmanager
def explaining(device: Device) -> Iterator[None]:
    """Scripts and files that fail within end with the reason why the device's folder is unfit, if it is.

    Raises:
        FolderUnfit: in place of a `CommandFailed` or `SyncFailed`.
    """
    try:
        yield
    except (CommandFailed, SyncFailed):
        with suppress(CommandFailed, SyncFailed, ShellTimeout, DeviceLost):
            problem = read_health(device).problem
            if problem is not None:
                raise FolderUnfit(device.serial, problem) from None
        raise


def _unwritable(folder: str, said: str) -> Problem:
    words = said.lower()
    if "read-only" in words:
        return Problem("read_only", f"{folder} is read-only", "reboot the device; it mounts a damaged disk read-only")
    if "no space" in words or "quota" in words:
        return Problem("full", f"{folder} is full", "free space on the device (/data) and run again")
    if "permission denied" in words or "not permitted" in words:
        hint = f"make it the shell's: `adb root`, then `adb shell chown -R shell:shell {folder}`"
        if folder != _TMP:
            hint = f"remove it as root: `adb root`, then `adb shell rm -rf {_DEPOT}`"
        return Problem("not_ours", f"{folder} belongs to another user", hint)
    return Problem("not_writable", f"{folder} cannot be written to", "free some space there, or reboot the device")
