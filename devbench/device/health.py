"""Whether a device can be measured on: is its folder for tools writable and executable, can it hash a file.

One shell round trip that leaves nothing behind. Knows no model and no run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from devbench.device.sections import open_script, section_script, split_sections

if TYPE_CHECKING:
    from devbench.adb.device import Device

_SHA256_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

# The file that is tried has no `#!` line: where the shell itself lies differs. A folder mounted noexec refuses it all
# the same.
HEALTH_COMMAND = f"""{{
{open_script("_dbh_word")}
_dbh_file=/data/local/tmp/.devbench-doctor-$$
{section_script("_dbh_word", "folder")}
if echo 'echo executed' > "$_dbh_file"; then
  echo writable; chmod 755 "$_dbh_file" && "$_dbh_file"
fi
rm -f "$_dbh_file"
{section_script("_dbh_word", "hash")}
sha256sum
{section_script("_dbh_word", "end")}
}} 2>/dev/null </dev/null"""


@dataclass(frozen=True, slots=True)
class Health:
    """Attributes:
    writable, executable: of /data/local/tmp, for the shell user.
    hashes: `sha256sum` is there and right.
    """

    writable: bool
    executable: bool
    hashes: bool


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
    return Health(
        writable="writable" in folder,
        executable="executed" in folder,
        hashes=bool(hashed) and hashed[0].startswith(_SHA256_OF_NOTHING),
    )
