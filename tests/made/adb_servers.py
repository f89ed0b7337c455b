"""Adb servers of a test's own, on free ports, so that runs of tests on one machine do not meet."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator

from devbench.adb.server import find_adb

_TRIES = 5


def free_port() -> int:
    """A free loopback port outside 5555-5585, where an adb server looks for emulators by itself."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if not 5554 <= port <= 5586:
            return port


@contextlib.contextmanager
def adb_server() -> Iterator[int]:
    """The port of a running adb server, which ends with the context."""
    adb = str(find_adb())
    for tries_left in reversed(range(_TRIES)):
        port = free_port()
        # Another program may have taken the port in between.
        done = subprocess.run([adb, "-P", str(port), "start-server"], check=False, timeout=30, capture_output=True)
        if done.returncode == 0:
            break
        assert tries_left, done.stderr.decode("utf-8", "replace")
    try:
        yield port
    finally:
        subprocess.run([adb, "-P", str(port), "kill-server"], check=False, timeout=30, capture_output=True)
