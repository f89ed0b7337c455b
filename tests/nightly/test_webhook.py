"""Posting to a real HTTP server on loopback: what it gets, patience, and that the address stays a secret."""

from __future__ import annotations

import json

import pytest

from devbench.errors import InputError
from devbench.nightly.webhook import check_url, message, post
from devbench.text import for_chat
from tests.made.webhook import SECRET, Hook, hook

__all__ = ["hook"]


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
