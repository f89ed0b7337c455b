"""Starts the second process of a results store (`store_process.py`), and answers calls in that process.

This file imports almost nothing, so that the process can be started first.
"""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from subprocess import Popen

    from devbench.results.store import Store

# Processes that were started ahead of their use.
_STARTED: list[Popen[bytes]] = []


def start() -> None:
    """Start a process for the next `take`. It imports SQLAlchemy at once, and ends with this process."""
    import subprocess

    process = subprocess.Popen(
        [sys.executable, "-c", f"from {__name__} import serve; serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Ctrl-C on a terminal goes to all processes of a session; this one must still store the end of the run.
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    atexit.register(process.kill)
    _STARTED.append(process)


def take() -> Popen[bytes]:
    """Return the process that was started, or a new one."""
    if not _STARTED:
        start()
    return _STARTED.pop()


def serve() -> None:
    """Answer calls of the process that started this one until it closes the pipe."""
    import gc
    import pickle

    # Imports create many objects and no garbage, so the collector would only cost time.
    gc.disable()
    from devbench.errors import DevbenchError
    from devbench.results.store import Store
    from devbench.text import clean

    gc.freeze()
    gc.enable()
    incoming, outgoing = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # Output that a library prints must not mix with the answers.
    os.dup2(2, 1)
    store: Store | None = None
    problem: Exception | None
    with suppress(EOFError):
        url = pickle.load(incoming)
        while True:
            name, args, options = pickle.load(incoming)
            answer, problem = None, None
            try:
                store = store or Store(url)
                member = getattr(store, name)
                answer = member(*args, **options) if callable(member) else member
            except (DevbenchError, OSError) as error:
                problem = error
            except Exception as error:
                if os.environ.get("DEVBENCH_DEBUG"):
                    import traceback

                    traceback.print_exception(error)
                words = f"the results store failed: {type(error).__name__}: {clean(error)}"
                problem = DevbenchError(words, hint="report this; DEVBENCH_DEBUG=1 shows where it happened")
            pickle.dump((answer, problem), outgoing)
            outgoing.flush()
    if store is not None:
        store.close()
    # Skips Python's clean-up, which takes longer than the rest; the run waits for the end of this process.
    os._exit(0)
