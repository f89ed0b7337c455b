"""SHA-256 of files on this machine, remembered while a file is unchanged.

Hashing a 1 GiB model takes about a second; a run whose model is already on the device should not need that second. A
remembered hash is used only if path, size, inode and modification time (ns) are all the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from pathlib import Path

from devbench.errors import EnvironmentProblem
from devbench.host.paths import cache_dir
from devbench.host.whole_files import write_whole_bytes

_BLOCK_BYTES = 1 << 20
_MAX_ENTRIES = 2000
# A file changed within this time of being hashed may change again without its mtime moving (coarse file clocks).
_SETTLED_NS = 2_000_000_000
_lock = threading.Lock()


def sha256_of(path: Path) -> str:
    """SHA-256 of `path` as 64 hex digits, remembered if the file is unchanged.

    Raises:
        OSError: the file cannot be read.
    """
    path = path.resolve()
    state = path.stat()
    key = str(path)
    stamp = [state.st_size, state.st_ino, state.st_mtime_ns]
    with _lock:
        known = _load().get(key)
    if known is not None and known[:3] == stamp:
        return str(known[3])
    digest = hash_file(path)
    after = path.stat()
    unchanged = [after.st_size, after.st_ino, after.st_mtime_ns] == stamp
    if unchanged and time.time_ns() - after.st_mtime_ns > _SETTLED_NS:
        with _lock:
            entries = _load()
            entries.pop(key, None)
            entries[key] = [*stamp, digest]
            _save(dict(list(entries.items())[-_MAX_ENTRIES:]))
    return digest


def hash_file(path: Path) -> str:
    """SHA-256 of `path` as 64 hex digits, read in full."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _memory() -> Path:
    return cache_dir() / "hashes.json"


def _load() -> dict[str, list[int | str]]:
    try:
        entries = json.loads(_memory().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(entries, dict):
        return {}
    return {k: v for k, v in entries.items() if isinstance(v, list) and len(v) == 4}


def _save(entries: dict[str, list[int | str]]) -> None:
    # Only a cache: a full disk must not stop a measurement.
    with contextlib.suppress(EnvironmentProblem):
        write_whole_bytes(_memory(), json.dumps(entries).encode())
