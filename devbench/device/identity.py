"""Which board a device is: the random id that devbench writes to it, and how connections to one board are told apart.

Factory serial numbers are not unique, and adb's serial changes with the connection. The id is in a file in devbench's
folder on the device, written at first use. Knows no fact of the device and no run.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from devbench.frozen import dataclass

if TYPE_CHECKING:
    from devbench.adb.device import Device

IDENTITY_FILE = "/data/local/tmp/devbench/identity"
# 24 bits: the probability that two of a hundred boards with one serial have the same digits is 0.03 %.
_DIGITS = 6
_TIMEOUT_S = 10.0
_BOOT = re.compile(r"[0-9a-f-]{8,64}")
_FILE = re.compile(r"\d{1,20}:\d{1,20}")

_NEW = f'read -r _dbi_new < /proc/sys/kernel/random/uuid && echo "$_dbi_new" > {IDENTITY_FILE}.$$'
# If two processes come at once, only one makes the file, because `ln` is atomic. If the device forbids `ln`, `mv` is
# used.
IDENTITY_SCRIPT = f"""[ -s {IDENTITY_FILE} ] || {{ mkdir -p {IDENTITY_FILE.rpartition("/")[0]} && {_NEW} &&
{{ ln {IDENTITY_FILE}.$$ {IDENTITY_FILE} || [ -s {IDENTITY_FILE} ] || mv -f {IDENTITY_FILE}.$$ {IDENTITY_FILE}; }}
rm -f {IDENTITY_FILE}.$$; }}
_dbi_id=; read -r _dbi_id < {IDENTITY_FILE}; [ -n "$_dbi_id" ] && echo "id $_dbi_id"
_dbi_id=; read -r _dbi_id < /proc/sys/kernel/random/boot_id; [ -n "$_dbi_id" ] && echo "boot $_dbi_id"
stat -c 'file %d:%i' {IDENTITY_FILE}"""


@dataclass(frozen=True, slots=True)
class Identity:
    """What distinguishes a board from others; each field is empty if the device does not have it or does not let it be
    read.

    Attributes:
        written: the text of its id file.
        boot: the kernel's id of this boot.
        file: device and inode of the id file. Containers share their host's kernel, and so its boot id, but no file.
    """

    written: str = ""
    boot: str = ""
    file: str = ""

    @property
    def digits(self) -> str:
        """The id as it is shown; empty for a board without one."""
        return short_hash(self.written) if self.written else ""


def parse_identity(lines: Sequence[str]) -> Identity:
    """What `IDENTITY_SCRIPT` printed; never raises."""
    words = dict(line[:300].split(" ", 1) for line in reversed(lines) if " " in line[:300])
    boot, file = words.get("boot", "").strip(), words.get("file", "").strip()
    return Identity(
        written=words.get("id", "").strip()[:100],
        boot=boot if _BOOT.fullmatch(boot) else "",
        file=file if _FILE.fullmatch(file) else "",
    )


def same_board(one: Identity, other: Identity) -> bool:
    """Whether two connections, asked at about the same time, are to one board."""
    if not one.boot or one.boot != other.boot or one.written != other.written:
        return False
    return not (one.file and other.file) or one.file == other.file


def short_hash(text: str) -> str:
    """A few hexadecimal digits that stand for the text."""
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]


def renew(device: Device, old: Identity) -> None:
    """Give a board a new id in place of one that another board has too, unless another process already did.

    Raises:
        DeviceLost, ShellTimeout: the connection ended, or there was no answer in time.
    """
    script = (
        f'{{ read -r _dbi_id < {IDENTITY_FILE}; [ "$_dbi_id" = {shlex.quote(old.written)} ] && {_NEW} && '
        f"mv -f {IDENTITY_FILE}.$$ {IDENTITY_FILE}; rm -f {IDENTITY_FILE}.$$; }} 2>/dev/null </dev/null; true"
    )
    device.shell(script, timeout_s=_TIMEOUT_S, doing="writing a new id")
