"""The depot's shell scripts: check a file, hash it again, move a pushed one into place; knows no connection.

A stamp is size, inode, modification time and change time of a file as the device's file system has them. The kernel
sets the change time, so no program can restore it. It is noted when the hash was checked. Every script is one shell
session, because each one costs a round trip. Each prints a word on its first line, with the stamp after it.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

# The zone is fixed because stat prints local time. A device without stat has no change time; there the text of ls is
# compared, which shows size, modification time and, on most, the inode.
_STAT = "TZ=UTC stat -c '%s %i %y %z'"
_STAMP = f'_db_st() {{ {_STAT} "$1" 2>/dev/null || ls -lin "$1" 2>/dev/null; }}'
# Taken before a file is hashed: a later stamp that begins with something else is that of a changed file.
_CONTENT = '_db_b=$(TZ=UTC stat -c "%s %i %y" "$_db_f" 2>/dev/null)'
_HASH = '_db_h=$(sha256sum "$_db_f" 2>/dev/null); _db_h=${_db_h%% *}'
# A device that is full keeps no stamp, and the file is hashed again next time.
_NOTE = (
    '_db_s=$(_db_st "$_db_f"); case $_db_s in "$_db_b"*) ;; *) _db_s=;; esac; '
    'echo "$_db_s" > "$_db_m" 2>/dev/null || rm -f "$_db_m"'
)


@dataclass(frozen=True, slots=True)
class DepotLayout:
    """The depot's folders on the device (`depot.py` describes them)."""

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
