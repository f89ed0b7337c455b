"""Ends what a virtual device runs when the program that plays it dies without a word (kill -9, out of memory).

A shell of its own waits at a pipe, which ends with the program, in whatever way that ended. Then it kills whatever has
its working directory in the device's and removes that. Knows no protocol.
"""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

# Signals to the program's whole group are not for the guard. A process may start another while the list is gone
# through, hence the rounds.
_SCRIPT = r"""
trap '' HUP INT TERM
read -r word
[ "$word" = stopped ] && exit
for round in 1 2 3; do
  for process in /proc/[0-9]*; do
    case $(readlink "$process/cwd" 2>/dev/null) in "$1"*) kill -9 "${process#/proc/}" 2>/dev/null;; esac
  done
done
rm -rf "$1"
"""


class Guard:
    """Watches over the device that lives in a directory, from the start to `stop`."""

    def __init__(self, root: Path) -> None:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "sh", str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )

    def stop(self) -> None:
        """The device has ended as it should: nothing is left to do."""
        with contextlib.suppress(BrokenPipeError):
            self._shell.communicate(b"stopped\n")
