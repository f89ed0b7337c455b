"""The file depot on a device: every file under its SHA-256, pushed once, removed if space is short; knows no model.

A file is pushed under a temporary name next to the depot, its size and hash are checked there, and only then it is
moved into place, so that a file in the depot is whole. Layout below the depot's root:

    sha256/<64 hex digits>      the files
    stamps/<64 hex digits>      the stamp of each; its own modification time is when the file was last used
    incoming/<hash>.<random>    files on their way

A stamp is size, inode, modification time and change time of a file as the device's file system has them. The kernel
sets the change time, so no program can restore it. It is noted when the hash was checked; a file with another stamp is
hashed again before it is used. Every script is one shell session, because each one costs a round trip. Each prints a
word on its first line, with the stamp after it.
"""

from __future__ import annotations

import contextlib
import secrets
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from devbench import numbers
from devbench.adb.errors import CommandFailed, DeviceFull, LocalFileChanged, SyncFailed
from devbench.device.sections import free_bytes
from devbench.errors import DevbenchError
from devbench.frozen import dataclass
from devbench.host.hashing import hash_file, sha256_of

if TYPE_CHECKING:
    from devbench.adb.device import Device


# The zone is fixed because stat prints local time. A device without stat has no change time; there the text of ls is
# compared, which shows size, modification time and, on most, the inode.
_STAT = "TZ=UTC stat -c '%s %i %y %z'"
_STAMP = f'_db_st() {{ {_STAT} "$1" 2>/dev/null || ls -lin "$1" 2>/dev/null; }}'
# The stamp is taken before the file is hashed. If a later stamp begins differently, the file has changed.
_CONTENT = '_db_b=$(TZ=UTC stat -c "%s %i %y" "$_db_f" 2>/dev/null)'
_HASH = '_db_h=$(sha256sum "$_db_f" 2>/dev/null); _db_h=${_db_h%% *}'
# A device that is full keeps no stamp, and the file is hashed again next time.
_NOTE = (
    '_db_s=$(_db_st "$_db_f"); case $_db_s in "$_db_b"*) ;; *) _db_s=;; esac; '
    'echo "$_db_s" > "$_db_m" 2>/dev/null || rm -f "$_db_m"'
)


@dataclass(frozen=True, slots=True)
class DepotLayout:
    """The depot's folders on the device."""

    files: str
    stamps: str
    incoming: str

    def _names(self, digest: str) -> str:
        file, stamp = shlex.quote(f"{self.files}/{digest}"), shlex.quote(f"{self.stamps}/{digest}")
        return f"_db_f={file}; _db_m={stamp}; {_STAMP}"

    def _prepare(self) -> str:
        """Makes the folders, removes what was left half pushed long ago, prints what is free."""
        files, stamps, incoming = map(shlex.quote, (self.files, self.stamps, self.incoming))
        return (
            f"mkdir -p {files} {stamps} {incoming} || exit 1; "
            f"find {incoming} -type f -mmin +60 -delete 2>/dev/null; df -k {files}"
        )

    def check(self, digest: str, *, executable: bool) -> str:
        """Prints `there`, `unsure` (there, with another stamp) or `missing` and what is free.

        A file that is there is marked as used: its stamp is written again.
        """
        mode = '[ -x "$_db_f" ] || { chmod 755 "$_db_f"; _db_s=$(_db_st "$_db_f"); }; ' if executable else ""
        return (
            f'{self._names(digest)}; if [ -f "$_db_f" ]; then _db_s=$(_db_st "$_db_f"); _db_k=; '
            '[ -f "$_db_m" ] && IFS= read -r _db_k < "$_db_m"; '
            f'if [ -n "$_db_s" ] && [ "$_db_s" = "$_db_k" ]; then {mode}'
            'echo "$_db_s" > "$_db_m"; echo "there $_db_s"; else echo unsure; fi; '
            f"else echo missing; {self._prepare()}; fi"
        )

    def verify(self, digest: str, *, executable: bool) -> str:
        """Hashes a file that is there. Prints `there`, or `changed` (`unknown` without a hash) and what is free.

        A file that is not the one wanted is removed.
        """
        mode = 'chmod 755 "$_db_f"; ' if executable else ""
        return (
            f'{self._names(digest)}; {_CONTENT}; {_HASH}; if [ "$_db_h" = {digest} ]; then '
            f'{mode}mkdir -p {shlex.quote(self.stamps)}; {_NOTE}; echo "there $_db_s"; else rm -f "$_db_f" "$_db_m"; '
            f'if [ -n "$_db_h" ]; then echo changed; else echo unknown; fi; {self._prepare()}; fi'
        )

    def move(self, aside: str, digest: str, size: int) -> str:
        """Moves a pushed file into place if size and hash are right. Prints `moved`, then size and hash.

        What the device cannot tell is empty there, and is not compared.
        """
        return (
            f"{self._names(digest)}; _db_t=$_db_f; _db_f={shlex.quote(aside)}; {_CONTENT}; "
            f'_db_z=${{_db_b%% *}}; [ -n "$_db_z" ] || _db_z=$(wc -c < "$_db_f" 2>/dev/null); {_HASH}; '
            f'if {{ [ "$_db_z" = {size} ] || [ -z "$_db_z" ]; }} && {{ [ "$_db_h" = {digest} ] || [ -z "$_db_h" ]; }}; '
            f'then mv -f "$_db_f" "$_db_t" && {{ _db_f=$_db_t; {_NOTE}; echo "moved $_db_s"; }}; fi; '
            'echo "$_db_z $_db_h"'
        )

    def list(self) -> str:
        """Prints `file TIME SIZE NAME` for each file and `used TIME 0 NAME` for each stamp, times since the epoch."""
        return (
            f"cd {shlex.quote(self.files)} 2>/dev/null && stat -c 'file %Y %s %n' *; "
            f"cd {shlex.quote(self.stamps)} 2>/dev/null && stat -c 'used %Y 0 %n' *"
        )


def stamps_of(remotes: list[str]) -> str:
    """Prints name and stamp of each file, in one process."""
    return f"{_STAT.replace('%s', '%n %s', 1)} {shlex.join(remotes)} 2>/dev/null; true"


_TIMEOUT_S = 15.0
# No device has an exabyte, no clock is beyond the year 5000.
_MAX_FILE_BYTES = 1 << 60
_MAX_TIME_S = 10**11
# A phone hashes at least this fast (toybox on one slow core).
_SLOWEST_HASH_BYTES_PER_S = 10_000_000
# Left free on the device in addition to the file: the tool writes outputs, profiles and caches there.
_SPARE_BYTES = 32 << 20
_HASH_HEX_DIGITS = 64


@dataclass(frozen=True, slots=True)
class DepotEntry:
    """Where a file lies on the device.

    Attributes:
        remote: its path there.
        pushed: whether it had to be pushed.
    """

    remote: str
    sha256: str
    size_bytes: int
    pushed: bool


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in the depot; `used_s` is when it was last used, in seconds since the epoch by the device's clock."""

    remote: str
    size_bytes: int
    used_s: int


class Depot:
    """The depot of one device, for one session.

    Attributes:
        replaced: names of files whose copies in the depot had been changed, in the order in which that was found.
    """

    def __init__(self, device: Device, root: str = "/data/local/tmp/devbench") -> None:
        self._device = device
        self._at = DepotLayout(f"{root}/sha256", f"{root}/stamps", f"{root}/incoming")
        self._in_use: dict[str, DepotEntry] = {}
        self._stamp_of: dict[str, str] = {}
        self.replaced: list[str] = []

    def ensure(
        self,
        local: Path,
        *,
        sha256: str | None = None,
        mode: int = 0o644,
        progress: Callable[[int, int], None] | None = None,
    ) -> DepotEntry:
        """Make sure that `local` is on the device; pushes it only if it is not there, complete and unchanged.

        Args:
            local: a file on this machine.
            sha256: its hash, if the caller knows it.
            mode: permission bits; a file that must be executable is made so even if it is there already.
            progress: is called with the bytes done and the bytes in all while pushing.

        Raises:
            DeviceFull: there is not enough space, even after eviction.
            LocalFileChanged: `local` was changed while it was being sent, or is not the file of `sha256`.
            SyncFailed: what arrived is not what was sent.
            CommandFailed: the depot's folders cannot be made.
            DeviceLost and the errors of an unfit device.
        """
        digest = sha256 or sha256_of(local)
        size = local.stat().st_size
        remote = f"{self._at.files}/{digest}"
        word, free = self._check(digest, mode)
        if word == "unsure":
            word, free = self._verify(digest, size, mode, local.name)
        pushed = word != "there"
        if pushed:
            self._make_room(local.name, size, free)
            self._bring(local, digest, size, mode, progress)
        if word == "changed":
            self.replaced.append(local.name)
        entry = DepotEntry(remote, digest, size, pushed)
        self._in_use[remote] = entry
        return entry

    def changed_in_use(self) -> list[str]:
        """Hashes of files that this session uses and that are no longer what was checked; those are removed.

        One round trip if nothing has changed. Files of a device without `stat` are not checked.
        """
        known = {remote: stamp for remote, stamp in self._stamp_of.items() if remote in self._in_use and stamp}
        if not known:
            return []
        found = self._device.shell(stamps_of(list(known)), timeout_s=_TIMEOUT_S, doing="checking its depot")
        lines = found.stdout.decode("utf-8", "replace").splitlines()
        same = {remote for remote, stamp in known.items() if f"{remote} {stamp}" in lines}
        changed = []
        for remote in known:
            entry = self._in_use[remote]
            if remote not in same and self._verify(entry.sha256, entry.size_bytes, 0o644, remote)[0] != "there":
                changed.append(entry.sha256)
        return changed

    # -- what is there ------------------------------------------------------------------------------------------

    def _check(self, digest: str, mode: int) -> tuple[str, int | None]:
        """`there`, `unsure` or `missing`, and the free space if it is missing."""
        script = self._at.check(digest, executable=bool(mode & 0o111))
        return self._answer(digest, script, _TIMEOUT_S, "checking its depot")

    def _verify(self, digest: str, size: int, mode: int, title: str) -> tuple[str, int | None]:
        """`there`; or `changed` or `unknown`, with the free space after the file was removed."""
        script = self._at.verify(digest, executable=bool(mode & 0o111))
        return self._answer(digest, script, _hash_timeout_s(size), f"checking {title}")

    def _answer(self, digest: str, script: str, timeout_s: float, doing: str) -> tuple[str, int | None]:
        found = self._device.shell(script, timeout_s=timeout_s, doing=doing)
        text = found.stdout.decode("utf-8", "replace")
        if found.exit_code:
            raise CommandFailed(self._device.serial, script, found.exit_code, b"", found.stderr)
        word, _, stamp = text.partition("\n")[0].partition(" ")
        self._stamp_of[f"{self._at.files}/{digest}"] = stamp
        return word, free_bytes(text.splitlines()) if word != "there" else None

    # -- pushing ------------------------------------------------------------------------------------------------

    def _bring(
        self, local: Path, digest: str, size: int, mode: int, progress: Callable[[int, int], None] | None
    ) -> None:
        """Push, check, move into place."""
        aside = f"{self._at.incoming}/{digest}.{secrets.token_hex(4)}"
        before = _state(local)
        try:
            try:
                self._device.push(local, aside, mode=mode, progress=progress)
            except DeviceFull:
                # The space has been used by another process meanwhile, or the device does not report its free space.
                self.evict(size + _SPARE_BYTES)
                try:
                    self._device.push(local, aside, mode=mode, progress=progress)
                except DeviceFull:
                    raise DeviceFull(self._device.serial, local.name, size, self.free_bytes()) from None
            checked = self._check_and_move(aside, digest, size, local.name)
            if not checked and _state(local) != before and _is_other(local, digest):
                raise LocalFileChanged(self._device.serial, local)
        except SyncFailed:
            self._remove(aside)
            while_sent = _state(local) != before
            if while_sent or _is_other(local, digest):
                raise LocalFileChanged(self._device.serial, local, while_sent=while_sent) from None
            raise
        except BaseException:
            self._remove(aside)
            raise

    def _remove(self, remote: str) -> None:
        with contextlib.suppress(DevbenchError):
            self._device.shell(f"rm -f {shlex.quote(remote)}", timeout_s=_TIMEOUT_S)

    def _check_and_move(self, aside: str, digest: str, size: int, title: str) -> bool:
        remote = f"{self._at.files}/{digest}"
        script = self._at.move(aside, digest, size)
        result = self._device.shell(script, timeout_s=_hash_timeout_s(size), doing=f"checking {title}")
        first, _, rest = result.stdout.decode("utf-8", "replace").partition("\n")
        word, _, stamp = first.partition(" ")
        if word != "moved":
            said = result.stderr.decode("utf-8", "replace").strip()
            if "No space" in said:
                raise DeviceFull(self._device.serial, title, size, self.free_bytes())
            raise SyncFailed(
                self._device.serial, remote, said or f"{title} did not arrive whole ({first or 'no answer'})"
            )
        self._stamp_of[remote] = stamp
        hashed = rest.partition("\n")[0].partition(" ")[2]
        return len(hashed) == _HASH_HEX_DIGITS

    # -- space --------------------------------------------------------------------------------------------------

    def _make_room(self, title: str, size: int, free: int | None) -> None:
        if free is not None and free < size + _SPARE_BYTES:
            self.evict(size + _SPARE_BYTES - free)
            free = self.free_bytes()
            if free is not None and free < size:
                raise DeviceFull(self._device.serial, title, size, free)

    def free_bytes(self) -> int | None:
        """Free bytes where the depot is; `None` if the device does not report them in a known form."""
        answer = self._device.shell(
            f"df -k {shlex.quote(self._at.files)}", timeout_s=_TIMEOUT_S, doing="telling its free space"
        )
        return free_bytes(answer.stdout.decode("utf-8", "replace").splitlines())

    def entries(self) -> list[StoredFile]:
        """The files in the depot, the longest unused first."""
        answer = self._device.shell(
            self._at.list(),
            timeout_s=_TIMEOUT_S,
            doing="listing its depot",
        )
        found: dict[str, tuple[int, int]] = {}
        for line in answer.stdout.decode("utf-8", "replace").splitlines():
            words = line.split(" ", 3)
            if len(words) != 4 or "/" in words[3]:
                continue
            kind, name = words[0], words[3]
            time_s, size = (
                numbers.whole(words[1], maximum=_MAX_TIME_S),
                numbers.whole(words[2], maximum=_MAX_FILE_BYTES),
            )
            if time_s is None or size is None:
                continue
            if kind == "file":
                found[name] = (time_s, size)
            elif name in found:
                found[name] = (time_s, found[name][1])
        files = [StoredFile(f"{self._at.files}/{name}", size, used) for name, (used, size) in found.items()]
        return sorted(files, key=lambda file: file.used_s)

    def evict(self, bytes_needed: int) -> int:
        """Remove files, the longest unused first, until that much is freed; returns the bytes freed.

        Files that this session uses stay.
        """
        freed = 0
        doomed: list[str] = []
        for file in self.entries():
            if freed >= bytes_needed:
                break
            if file.remote not in self._in_use:
                doomed += [file.remote, f"{self._at.stamps}/{Path(file.remote).name}"]
                freed += file.size_bytes
        if doomed:
            self._device.shell(f"rm -f {shlex.join(doomed)}", timeout_s=_TIMEOUT_S, check=True, doing="making room")
        return freed


def _hash_timeout_s(size: int) -> float:
    return _TIMEOUT_S + size / _SLOWEST_HASH_BYTES_PER_S


def _state(local: Path) -> tuple[int, ...] | None:
    """Values that change when a file of this machine is written; `None` if the file is gone."""
    try:
        found = local.stat()
    except OSError:
        return None
    return found.st_size, found.st_ino, found.st_mtime_ns


def _is_other(local: Path, digest: str) -> bool:
    try:
        return hash_file(local) != digest
    except OSError:
        return True
