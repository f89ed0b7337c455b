"""`devbench serve`: the pages of a store and its metrics over HTTP on 127.0.0.1; reads only.

Only GET and HEAD are answered, and only where the Host header names this server: a foreign page whose name resolves to
this address (DNS rebinding) gets nothing.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

from devbench import __version__
from devbench.errors import DevbenchError, EnvironmentProblem, InputError
from devbench.forms.page import Frame, Link, policy, render
from devbench.results.salvage import shown_without_damage
from devbench.serve.metrics import CONTENT_TYPE
from devbench.serve.site import NotFound, Site

HOST = "127.0.0.1"
_NAMES = (HOST, "localhost")
_MOST_URL = 4000
_HTML = "text/html; charset=utf-8"
_SLOWEST_REQUEST_S = 30


class _Handler(BaseHTTPRequestHandler):
    server: _HttpServer
    server_version = f"devbench/{__version__}"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = _SLOWEST_REQUEST_S

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def __getattr__(self, name: str) -> object:
        # The library calls `do_` followed by the request's method.
        if name.startswith("do_"):
            return self._refuse
        raise AttributeError(name)

    def _refuse(self) -> None:
        self.close_connection = True
        self._send(405, _error("Only GET and HEAD are answered here."), body=True, extra=("Allow", "GET, HEAD"))

    def _answer(self, *, body: bool) -> None:
        status, page = self._page()
        self._send(status, page, body=body, kind=CONTENT_TYPE if status == 200 and self._is_metrics else _HTML)

    @property
    def _is_metrics(self) -> bool:
        return self.path == "/metrics"

    def _page(self) -> tuple[int, bytes]:
        if self.headers.get("Host", "") not in self.server.hosts:
            return 403, _error("This server answers to its own name only.")
        if len(self.path) > _MOST_URL:
            return 414, _error("The address is too long.")
        try:
            parts = urlsplit(self.path)
            query = dict(parse_qsl(parts.query, max_num_fields=20))
            with self.server.at_work:
                if self._is_metrics:
                    return 200, self.server.site.metrics()
                return 200, self._made(unquote(parts.path), query)
        except NotFound as error:
            return 404, _error(error.what)
        except (InputError, ValueError) as error:
            return 400, _error(error.what if isinstance(error, InputError) else "The address makes no sense.")
        except DevbenchError as error:
            return 500, _error(f"{error.what} ({error.hint})" if error.hint else error.what)
        except Exception as error:
            return 500, _error(f"This page cannot be made ({type(error).__name__}).")

    def _made(self, path: str, query: dict[str, str]) -> bytes:
        """Return the page; of a damaged store without its damaged places."""
        try:
            return self.server.site.page(path, query)
        except Exception as error:
            if isinstance(error, InputError) or not shown_without_damage(error):
                raise
            return self.server.site.page(path, query)

    def _send(
        self, status: int, page: bytes, *, body: bool, extra: tuple[str, str] | None = None, kind: str = _HTML
    ) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(page)),
            "Content-Security-Policy": policy(forms=True) + "; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-store",
        }
        for name, value in (*headers.items(), *([extra] if extra else [])):
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(page)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing, because a request may contain control characters."""


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, site: Site, port: int) -> None:
        super().__init__((HOST, port), _Handler)
        self.site = site
        self.hosts = frozenset(f"{name}:{self.server_address[1]}" for name in _NAMES)
        # One page at a time is made: pages are large, and the store has a single reader.
        self.at_work = threading.Lock()

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a connection that the browser closed early."""


def _error(words: str) -> bytes:
    frame = Frame("This page cannot be shown", (), (Link("/", "All runs"),))
    return render("error.html", frame, words=words).encode()


class Server(AbstractContextManager["Server"]):
    """The server, for use as a context.

    Raises:
        EnvironmentProblem: the port is taken.
        InputError: there is no such store.
    """

    def __init__(self, store_url: str | None, port: int) -> None:
        try:
            site = Site(store_url)
        except DevbenchError as error:
            if not shown_without_damage(error):
                raise
            site = Site(store_url)
        try:
            self._http = _HttpServer(site, port)
        except OSError as error:
            raise EnvironmentProblem(
                f"cannot serve on {HOST}:{port}: {error.strerror or error}", hint="choose another --port, or 0"
            ) from None
        self.url = f"http://{HOST}:{self._http.server_address[1]}/"

    def run(self) -> None:
        """Serve until Ctrl-C or `stop`."""
        self._http.serve_forever(poll_interval=0.2)

    def stop(self) -> None:
        """End `run`, from another thread."""
        self._http.shutdown()

    def __exit__(self, *error: object) -> None:
        self._http.server_close()
