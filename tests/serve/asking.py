"""A server of a store's pages for tests, and requests to it."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator

from devbench.serve.server import Server


@contextlib.contextmanager
def served(url: str) -> Iterator[int]:
    """The port of a running server of that store."""
    with Server(url, 0) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        yield int(server.url.rsplit(":", 1)[1].strip("/"))
        server.stop()
        thread.join(10)


def ask(port: int, path: str, *, method: str = "GET", host: str | None = None) -> tuple[int, str, dict[str, str]]:
    """Status, text and headers of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, headers={"Host": host if host is not None else f"127.0.0.1:{port}"})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text, dict(answer.getheaders())
