"""Runs a results store in a second process, which imports the database's modules while a run is planned.

These imports take as long as the rest of a short run. The two processes exchange pickled calls and answers over
pipes. The store's process ends with the pipe: if the run is killed, it completes its transaction and ends.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from devbench.errors import EnvironmentProblem
from devbench.results import store_server

if TYPE_CHECKING:
    from devbench.results.artifacts import Artifacts
    from devbench.results.store import Store


class StoreProcess:
    """A store with the methods of `Store(url)`, for use as a context and by several threads; opened at its first use.

    A store on a server is opened at once, so an error in its address is shown before a device is used.
    """

    def __init__(self, url: str | None) -> None:
        self._url = url or os.environ.get("DEVBENCH_STORE")
        # The lock allows one call at a time. A call is completed even if Ctrl-C ends the waiting for it.
        self._calls = ThreadPoolExecutor(1)

    def __enter__(self) -> Store:
        self._process = store_server.take()
        self._used = False
        if "://" in (self._url or "") and not str(self._url).startswith("sqlite:///"):
            try:
                self._call("newest_run_id")
            except BaseException:
                self.__exit__(None, None, None)
                raise
        return cast("Store", self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if not self._used:
            self._process.kill()
        with self._process:
            pass

    def close(self) -> None:
        """Tell the process to end, if it was used, without waiting for its end."""
        self._calls.shutdown()
        if self._used and self._process.stdin is not None:
            # If the process was killed, the buffer may contain data that could not be sent.
            with suppress(BrokenPipeError):
                self._process.stdin.close()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(self._call, name)

    @cached_property
    def artifacts(self) -> Artifacts:
        """Return the raw outputs, which this process writes itself."""
        return cast("Artifacts", self._call("artifacts"))

    def _call(self, name: str, *args: Any, **options: Any) -> Any:
        return self._calls.submit(self._answer, name, args, options).result()

    def _answer(self, name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        incoming, outgoing = self._process.stdout, self._process.stdin
        assert incoming is not None and outgoing is not None
        try:
            if not self._used:
                pickle.dump(self._url, outgoing)
                self._used = True
            pickle.dump((name, args, options), outgoing)
            outgoing.flush()
            answer, problem = pickle.load(incoming)
        except (OSError, EOFError):
            code = self._process.wait()
            raise EnvironmentProblem(f"the process of the results store ended (exit code {code})") from None
        if problem is not None:
            raise problem
        return answer
