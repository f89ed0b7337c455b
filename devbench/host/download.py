"""Files over HTTPS: resumed where they were cut, never trusted before their hash is known; knows not what they are."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from devbench import numbers
from devbench.errors import EnvironmentProblem, InputError
from devbench.host.masking import mask_url, scrub, secrets_of
from devbench.host.paths import cache_dir

Progress = Callable[[int, int], None]

_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S = 15.0, 60.0
# Small, since what has come of a block is lost where the connection ends in its middle.
_BLOCK_BYTES = 1 << 15
_LOCAL = {"127.0.0.1", "localhost", "::1"}


class FetchFailed(EnvironmentProblem):
    """The network, the server or the disk did not give the file; what arrived is kept for the next try."""

    transient = True

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"cannot fetch {mask_url(url)}: {scrub(reason, secrets_of(url))}",
            hint="try again; what has arrived is kept",
        )
        self.url = url


def download(url: str, most_bytes: int, progress: Progress | None = None) -> Path:
    """Bring a file into the cache; gives where it lies until `forget`.

    Args:
        url: an HTTPS address, or a plain one on this machine.
        most_bytes: more is refused.
        progress: told bytes done and bytes in all (0 where the server does not say).

    Raises:
        InputError: the address is not HTTPS.
        FetchFailed: it cannot be had.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOCAL):
        raise InputError(f"{mask_url(url)} is not an https address", hint="fix the address")
    folder = cache_dir() / "downloads"
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / (hashlib.sha256(url.encode()).hexdigest()[:32] + ".part")
    _bring(url, part, most_bytes, progress or (lambda done, total: None))
    return part


def forget(part: Path) -> None:
    """Remove what `download` brought."""
    part.unlink(missing_ok=True)
    part.with_suffix(".tag").unlink(missing_ok=True)


def _bring(url: str, part: Path, most_bytes: int, progress: Progress) -> None:
    """Bring `part` to its full length; goes on where an earlier try stopped, if the server has the same file still."""
    import requests

    tag_file = part.with_suffix(".tag")
    done = part.stat().st_size if part.exists() else 0
    tag = tag_file.read_text("utf-8") if tag_file.exists() and done else ""
    headers = {"Accept-Encoding": "identity"}
    if done and tag:
        headers |= {"Range": f"bytes={done}-", "If-Range": tag}
    try:
        with requests.get(
            url, headers=headers, stream=True, timeout=(_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S), allow_redirects=True
        ) as answer:
            if answer.status_code == 416 and done:
                return  # everything has arrived before
            if answer.status_code not in (200, 206):
                raise FetchFailed(url, f"HTTP {answer.status_code} {answer.reason}")
            resumed = answer.status_code == 206
            done = done if resumed else 0
            length = numbers.whole(answer.headers.get("Content-Length") or "0")
            if length is None:
                raise FetchFailed(url, "the server's Content-Length is no number")
            total = done + length
            if total > most_bytes:
                raise FetchFailed(url, f"{total} bytes are more than such a file has")
            new_tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
            tag_file.write_text("" if new_tag.startswith("W/") else new_tag, "utf-8")
            with part.open("ab" if resumed else "wb") as file:
                for block in answer.iter_content(_BLOCK_BYTES):
                    file.write(block)
                    done += len(block)
                    if done > most_bytes:
                        raise FetchFailed(url, "it does not end")
                    progress(done, total)
            if total and done < total:
                raise FetchFailed(url, f"the connection ended after {done} of {total} bytes")
    except requests.RequestException as error:
        raise FetchFailed(url, _reason(error)) from None
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise FetchFailed(url, error.strerror or str(error)) from None


def _reason(error: Exception) -> str:
    """The last words of a chain of wrapped errors: those that name the cause."""
    inner: BaseException = error
    while inner.__cause__ is not None or inner.__context__ is not None:
        inner = inner.__cause__ or inner.__context__ or inner
    return " ".join(str(inner).split())[:300] or type(error).__name__
