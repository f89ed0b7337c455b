"""The folders of devbench on this machine.

`DEVBENCH_HOME` moves everything that devbench keeps for itself (store, raw artifacts, binaries) into one folder.
"""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import PlatformDirs

from devbench.errors import EnvironmentProblem, system_errors

_DIRS = PlatformDirs("devbench", appauthor=False)
_PACKAGE = Path(__file__).resolve().parents[1]


def data_dir() -> Path:
    """The folder of the store and the raw artifacts; made on first use."""
    home = os.environ.get("DEVBENCH_HOME")
    path = Path(home).expanduser() if home else Path(_DIRS.user_data_dir)
    return _made(path)


def cache_dir() -> Path:
    """The folder of files that can be made or downloaded again (binaries, file hashes); made on first use."""
    home = os.environ.get("DEVBENCH_HOME")
    path = Path(home).expanduser() / "cache" if home else Path(_DIRS.user_cache_dir)
    return _made(path)


def _made(path: Path) -> Path:
    hint = "set DEVBENCH_HOME to a folder that can be written"
    with system_errors(f"cannot make the folder {path}", hint, EnvironmentProblem):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def shipped(folder: str) -> Path:
    """Path of a data folder that comes with devbench (`bench_bin`, `device_profiles`).

    It is inside the package in a wheel, and at the top of the repository in a checkout.
    """
    packed = _PACKAGE / "_data" / folder
    return packed if packed.is_dir() else _PACKAGE.parent / folder
