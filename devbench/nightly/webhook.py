"""A message to a chat: the JSON of Slack's incoming webhooks, posted with retries. Knows no run.

The address is a secret: anyone who has it can post. It never appears in a text, an error or a log. Messages of the HTTP
library are not shown either, since they contain it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from devbench import numbers
from devbench.errors import InputError

_TIMEOUT_S = (5.0, 15.0)
_ATTEMPTS = 4
_FIRST_PAUSE_S = 1.0
_MOST_PAUSE_S = 30.0
_MOST_ASKED_S = 1e6
# Slack cuts a message's text at 40,000 characters; a tenth of that is enough for a reader.
_MOST_CHARACTERS = 4000


def check_url(url: str) -> None:
    """Check the address of a webhook. The error does not contain the address.

    Raises:
        InputError: it is not a valid address.
    """
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("https", "http") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        right = False
    if not right:
        raise InputError("the webhook is not an address", hint="https://… in DEVBENCH_WEBHOOK, or --webhook")


def message(text: str) -> dict[str, Any]:
    """Return the JSON of a message. `text` is Slack's markup; parts from outside must be escaped (`text.for_chat`)."""
    return {"text": text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"}


def post(url: str, payload: dict[str, Any], *, sleep: Callable[[float], None] = time.sleep) -> str:
    """Post a message, and retry after a pause if that may help; return the last error, or an empty text.

    Retries may help if there is no connection or no answer in time, and for 429 and 5xx. The pauses double; a
    `Retry-After` counts.
    """
    import requests

    pause_s, problem = _FIRST_PAUSE_S, ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            sleep(min(pause_s, _MOST_PAUSE_S))
            pause_s *= 2
        try:
            # Redirects are not followed: the night's result goes only to the given address.
            with requests.post(url, json=payload, timeout=_TIMEOUT_S, allow_redirects=False, stream=True) as answer:
                status, after = answer.status_code, answer.headers.get("Retry-After", "")
        except requests.Timeout:
            problem = "no answer in time"
            continue
        except (requests.RequestException, ValueError, OSError) as error:
            problem = f"no connection ({type(error).__name__})"
            continue
        if 200 <= status < 300:
            return ""
        problem = f"HTTP {status}"
        if status != 429 and status < 500:
            break
        pause_s = max(pause_s, numbers.real(after, minimum=0, maximum=_MOST_ASKED_S) or 0.0)
    return problem
