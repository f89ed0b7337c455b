"""The file depot on a device: every file under its SHA-256, pushed once, evicted when room is short; knows no model.

A file is pushed under a name of its own beside the depot, its size and hash are checked there, and only then it is
moved into place, so that a file in the depot is whole. Layout below the depot's root:

    sha256/<64 hex digits>      the files
    incoming/<hash>.<random>    files on their way
"""

from __future__ import annotations

import contextlib
import secrets
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from devbench.adb.errors import DeviceFull, SyncFailed
from devbench.errors import DevbenchError
from devbench.hashing import sha256_of

if TYPE_CHECKING:
    from devbench.adb.device import Device

_TIMEOUT_S = 15.0
# A phone hashes at least this fast (toybox on one slow core).
_SLOWEST_HASH_BYTES_PER_S = 10_000_000
# Left free on the device beside the file: the tool writes outputs, profiles and caches there.
_SPARE_BYTES = 32 << 20
_HASH_HEX_DIGITS = 64


@dataclass(frozen=True, slots=True)
class DepotEntry:
    """Where a file lies on the device.

    Attributes:
        remote: its path there.
        pushed: whether it had to be pushed.
        hash_checked: whether the device could hash it; devices without `sha256sum` are trusted by size.
        duration_s: what it took, the host's hash included.
    """

    remote: str
    sha256: str
    size_bytes: int
    pushed: bool
    hash_checked: bool
    duration_s: float


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in the depot; `used_s` is when it was last used, in seconds since the epoch by the device's clock."""

    remote: str
    size_bytes: int
    used_s: int


class Depot:
    """The depot of one device, for one session."""

    def __init__(self, device: Device, root: str = "/data/local/tmp/devbench") -> None:
        self._device = device
        self._files = f"{root}/sha256"
        self._incoming = f"{root}/incoming"
        self._in_use: set[str] = set()

    def ensure(
        self,
        local: Path,
        *,
        sha256: str | None = None,
        mode: int = 0o644,
        progress: Callable[[int, int], None] | None = None,
    ) -> DepotEntry:
        """Have `local` on the device; pushes it only where it is not there in full.

        Args:
            local: a file on this machine.
            sha256: its hash, where the caller knows it.
            mode: permission bits; a file that must be executable is made so also where it lay there already.
            progress: told bytes done and bytes in all while pushing.

        Raises:
            DeviceFull: there is no room, even after eviction.
            SyncFailed: what arrived is not what was sent, twice.
            DeviceLost and the errors of an unfit device.
        """
        began = time.monotonic()
        digest = sha256 or sha256_of(local)
        size = local.stat().st_size
        remote = f"{self._files}/{digest}"
        self._in_use.add(remote)
        pushed = checked = False
        there, free = self._look(remote, size, mode)
        if not there:
            self._make_room(local.name, size, free)
            checked = self._bring(local, digest, size, remote, mode, progress)
            pushed = True
        return DepotEntry(remote, digest, size, pushed, checked or not pushed, time.monotonic() - began)

    def _look(self, remote: str, size: int, mode: int) -> tuple[bool, int | None]:
        """Whether the file is there, and what is free where it is not; one round trip, since each costs the device.

        A file that is there is marked as used. For one that is not, the depot is made and what was left half pushed
        long ago is removed.
        """
        name, files, incoming = (shlex.quote(path) for path in (remote, self._files, self._incoming))
        executable = f"; [ -x {name} ] || chmod 755 {name}" if mode & 0o111 else ""
        script = (
            f'if [ -f {name} ] && [ "$(stat -c %s {name})" = {size} ]; then touch -c {name}{executable}; echo there; '
            f"else mkdir -p {files} {incoming} || exit 1; find {incoming} -type f -mmin +60 -delete; df -k {files}; fi"
        )
        found = self._device.shell(script, timeout_s=_TIMEOUT_S, doing="looking into its depot")
        text = found.stdout.decode("utf-8", "replace")
        return text.strip() == "there", parse_df(text)

    def _bring(
        self,
        local: Path,
        digest: str,
        size: int,
        remote: str,
        mode: int,
        progress: Callable[[int, int], None] | None,
    ) -> bool:
        """Push, check, move into place; gives whether the hash could be checked."""
        aside = f"{self._incoming}/{digest}.{secrets.token_hex(4)}"
        try:
            try:
                self._device.push(local, aside, mode=mode, progress=progress)
            except DeviceFull:
                # Another process took the room meanwhile, or the device does not tell what is free.
                self.evict(size + _SPARE_BYTES)
                try:
                    self._device.push(local, aside, mode=mode, progress=progress)
                except DeviceFull:
                    raise DeviceFull(self._device.serial, local.name, size, self.free_bytes()) from None
            return self._check_and_move(aside, remote, digest, size, local.name)
        except BaseException:
            with contextlib.suppress(DevbenchError):
                self._device.shell(f"rm -f {shlex.quote(aside)}", timeout_s=_TIMEOUT_S)
            raise

    def _check_and_move(self, aside: str, remote: str, digest: str, size: int, title: str) -> bool:
        name = shlex.quote(aside)
        # One script, since each session is a round trip: size, hash, and the move where both are right.
        script = (
            f"s=$(stat -c %s {name}); h=$(sha256sum {name} 2>/dev/null); h=${{h%% *}}; "
            f'if [ "$s" = {size} ] && {{ [ "$h" = {digest} ] || [ -z "$h" ]; }}; '
            f'then mv -f {name} {shlex.quote(remote)} && echo moved; fi; echo "$s $h"'
        )
        result = self._device.shell(
            script,
            timeout_s=_TIMEOUT_S + size / _SLOWEST_HASH_BYTES_PER_S,
            doing=f"checking {title}",
        )
        lines = result.stdout.decode("utf-8", "replace").split("\n")
        if lines[0] != "moved":
            said = result.stderr.decode("utf-8", "replace").strip()
            if "No space" in said:
                raise DeviceFull(self._device.serial, title, size, self.free_bytes())
            raise SyncFailed(
                self._device.serial, remote, said or f"{title} did not arrive whole ({lines[0] or 'no answer'})"
            )
        return len(lines[1].split(" ")[-1]) == _HASH_HEX_DIGITS

    # -- room ---------------------------------------------------------------------------------------------------

    def _make_room(self, title: str, size: int, free: int | None) -> None:
        if free is not None and free < size + _SPARE_BYTES:
            self.evict(size + _SPARE_BYTES - free)
            free = self.free_bytes()
            if free is not None and free < size:
                raise DeviceFull(self._device.serial, title, size, free)

    def free_bytes(self) -> int | None:
        """What is free where the depot lies; `None` where the device does not say it in a known form."""
        answer = self._device.shell(
            f"df -k {shlex.quote(self._files)}", timeout_s=_TIMEOUT_S, doing="telling its free space"
        )
        return parse_df(answer.stdout.decode("utf-8", "replace"))

    def entries(self) -> list[StoredFile]:
        """The files in the depot, the longest unused first."""
        answer = self._device.shell(
            f"cd {shlex.quote(self._files)} 2>/dev/null && stat -c '%Y %s %n' *",
            timeout_s=_TIMEOUT_S,
            doing="listing its depot",
        )
        found = []
        for line in answer.stdout.decode("utf-8", "replace").splitlines():
            words = line.split(" ", 2)
            if len(words) == 3 and words[0].isdigit() and words[1].isdigit() and "/" not in words[2]:
                found.append(StoredFile(f"{self._files}/{words[2]}", int(words[1]), int(words[0])))
        return sorted(found, key=lambda file: file.used_s)

    def evict(self, bytes_needed: int) -> int:
        """Remove files, the longest unused first, until that much is freed; gives the bytes freed.

        Files that this session uses stay.
        """
        freed = 0
        doomed: list[str] = []
        for file in self.entries():
            if freed >= bytes_needed:
                break
            if file.remote not in self._in_use:
                doomed.append(file.remote)
                freed += file.size_bytes
        if doomed:
            names = " ".join(shlex.quote(name) for name in doomed)
            self._device.shell(f"rm -f {names}", timeout_s=_TIMEOUT_S, check=True, doing="making room")
        return freed

    def clear(self) -> None:
        """Remove every file of the depot."""
        self._device.shell(
            f"rm -rf {shlex.quote(self._files)} {shlex.quote(self._incoming)}", timeout_s=_TIMEOUT_S, check=True
        )


def parse_df(text: str) -> int | None:
    """Free bytes from `df -k` as toybox and GNU print it: the fourth column of the last line, in KiB."""
    lines = [line for line in text.splitlines() if line.strip()]
    words = lines[-1].split() if lines else []
    # A long name of the file system goes onto a line of its own.
    column = 3 if len(words) >= 6 else 2
    if len(words) > column and words[column].isdigit():
        return int(words[column]) * 1024
    return None
