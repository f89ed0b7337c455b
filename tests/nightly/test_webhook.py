"""Posting to a real HTTP server on loopback: what it gets, patience, and that the address stays a secret."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from devbench.errors import InputError
from devbench.nightly.webhook import check_url, message, post
from devbench.text import for_chat

SECRET = "/services/T0SECRET"


class Hook(HTTPServer):
    """Answers with the statuses that it is given, then with 200; keeps what it got."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses: list[int] = []
        self.headers: dict[str, str] = {}
        self.silent_s = 0.0
        self.got: list[tuple[str, str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}{SECRET}"


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, self.headers["Content-Type"], body))
        time.sleep(self.server.silent_s)
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Hook()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_it_gets_slack_s_json(hook: Hook) -> None:
    assert post(hook.url, message("all well")) == ""
    ((path, kind, body),) = hook.got
    assert (path, kind, json.loads(body)) == (SECRET, "application/json", {"text": "all well"})


def test_it_is_asked_again_while_it_is_busy_and_the_pauses_grow(hook: Hook) -> None:
    hook.statuses = [500, 429, 503]
    pauses: list[float] = []
    assert post(hook.url, message("x"), sleep=pauses.append) == ""
    assert pauses == [1, 2, 4]
    assert len(hook.got) == 4


def test_it_is_given_up_in_the_end(hook: Hook) -> None:
    hook.statuses = [500] * 9
    assert post(hook.url, message("x"), sleep=lambda _: None) == "HTTP 500"
    assert len(hook.got) == 4


@pytest.mark.parametrize("status", [302, 400, 403, 404])
def test_a_refusal_is_not_asked_again_and_no_redirect_is_followed(status: int, hook: Hook) -> None:
    hook.statuses = [status]
    hook.headers = {"Location": hook.url + "/elsewhere"}
    assert post(hook.url, message("x"), sleep=lambda _: None) == f"HTTP {status}"
    assert len(hook.got) == 1


def test_it_may_say_how_long_to_wait(hook: Hook) -> None:
    hook.statuses = [429]
    hook.headers = {"Retry-After": "7"}
    pauses: list[float] = []
    post(hook.url, message("x"), sleep=pauses.append)
    assert pauses == [7]
    hook.statuses, hook.headers = [429], {"Retry-After": "86400"}
    post(hook.url, message("x"), sleep=pauses.append)
    assert pauses[-1] == 30


def test_one_that_does_not_answer_is_not_waited_for_for_ever(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devbench.nightly.webhook._TIMEOUT_S", (0.2, 0.2))
    hook.silent_s = 0.6
    assert post(hook.url, message("x"), sleep=lambda _: None) == "no answer in time"


def test_nobody_there_is_said_without_the_address() -> None:
    said = post("http://127.0.0.1:9" + SECRET, message("x"), sleep=lambda _: None)
    assert said.startswith("no connection")
    assert "SECRET" not in said
    assert "127.0.0.1" not in said


@pytest.mark.parametrize("url", ["", "hooks.slack.com/SECRET", "ftp://x/SECRET", "https://", "https://[/SECRET", "http://x:port/SECRET"])  # fmt: skip
def test_what_is_no_address_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(InputError) as caught:
        check_url(url)
    assert "SECRET" not in str(caught.value)


def test_text_from_outside_is_no_markup() -> None:
    shown = for_chat("<!channel> *bold* & @here `x`")
    assert "<" not in shown
    assert "&lt;!channel&gt;" in shown
    assert "*\u2060bold" in shown
    assert len(message("x" * 9000)["text"]) == 4000
