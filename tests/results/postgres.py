"""A PostgreSQL server for tests: started by them in a folder of their own, on a Unix socket and a loopback port."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.made.adb_servers import free_port

_START_S = 60
# The server refuses to run as root; these accounts come with PostgreSQL's package and with any Linux.
_ACCOUNTS = ("postgres", "nobody")


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The URL of a running server's database `postgres`; skips where there is no server, or fails if it must be there."""
    with restartable() as (url, _):
        yield url


@contextlib.contextmanager
def restartable() -> Iterator[tuple[str, Callable[[float], None]]]:
    """As `server`, with a function that kills the server and starts it again after so many seconds."""
    programs = _programs()
    try:
        import psycopg  # noqa: F401
    except ModuleNotFoundError:
        _missing("psycopg is not installed")
    if programs is None:
        _missing("no PostgreSQL server on this machine (Debian: apt-get install postgresql)")
    assert programs is not None
    folder = Path(tempfile.mkdtemp(prefix="devbench-postgres-", dir="/tmp"))
    account = _account()
    try:
        if account is not None:
            os.chown(folder, account.pw_uid, account.pw_gid)
        port = free_port()
        data = folder / "data"
        _run(account, programs / "initdb", "-D", data, "-U", "devbench", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        _run(
            account,
            programs / "pg_ctl",
            "-D",
            data,
            "-l",
            folder / "log",
            "-w",
            "-t",
            str(_START_S),
            "-o",
            options,
            "start",
        )

        def restart(pause_s: float) -> None:
            _run(account, programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
            time.sleep(pause_s)
            _run(account, programs / "pg_ctl", "-D", data, "-l", folder / "log", "-w", "-o", options, "start")

        try:
            yield f"postgresql+psycopg://devbench@127.0.0.1:{port}/postgres", restart
        finally:
            _run(account, programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`; Debian keeps them out of the PATH."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


def _missing(why: str) -> None:
    if os.environ.get("DEVBENCH_REQUIRE_POSTGRES") == "1":
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


def _account() -> pwd.struct_passwd | None:
    """Whom the server runs as; `None` for this user."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(known[name] for name in _ACCOUNTS if name in known)


def _run(account: pwd.struct_passwd | None, *words: object) -> None:
    who = {} if account is None else {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    done = subprocess.run(
        [str(word) for word in words], env=environment, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        timeout=2 * _START_S, **who,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
