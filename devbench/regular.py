"""Files of this machine that somebody names: only regular ones are read; knows nothing of what is in them.

Opening a pipe waits for its other end for ever, and a device such as /dev/zero has no end.
"""

from __future__ import annotations

import stat
from pathlib import Path

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def other_than_file(path: Path) -> str:
    """What is at `path` in place of a file, such as "a folder"; empty for a file, and where nothing is.

    Raises:
        OSError: it cannot be looked at, for a reason other than its absence.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "")
