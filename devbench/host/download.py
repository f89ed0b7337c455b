"""Downloads over HTTPS: resumed after an interruption, never trusted before their hash is checked."""

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
# The block size is small, since a block is lost if the connection ends within it.
_BLOCK_BYTES = 1 << 15
_LOCAL = {"127.0.0.1", "localhost", "::1"}


class FetchFailed(EnvironmentProblem):
    """A download failed because of the network, the server or the disk. The part that arrived is kept."""

    transient = True

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"cannot fetch {mask_url(url)}: {scrub(reason, secrets_of(url))}",
            hint="try again; the part that has arrived is kept",
        )
        self.url = url


def download(url: str, max_bytes: int, progress: Progress | None = None) -> Path:
    """Download a file into the cache; gives its path there. `forget` removes it.

    Args:
        url: an HTTPS address, or a plain one on this machine.
        max_bytes: larger files are refused.
        progress: called with bytes done and bytes in all (0 if the server does not say).

    Raises:
        InputError: the address is not HTTPS.
        FetchFailed: the download failed.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOCAL):
        raise InputError(f"{mask_url(url)} is not an https address", hint="fix the address")
    folder = cache_dir() / "downloads"
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / (hashlib.sha256(url.encode()).hexdigest()[:32] + ".part")
    _bring(url, part, max_bytes, progress or (lambda done, total: None))
    return part


def forget(part: Path) -> None:
    """Remove a file of `download`."""
    part.unlink(missing_ok=True)
    part.with_suffix(".tag").unlink(missing_ok=True)


def _bring(url: str, part: Path, max_bytes: int, progress: Progress) -> None:
    """Complete `part`; resumes an earlier try if the server still has the same file."""
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
                return  # an earlier try was complete
            if answer.status_code not in (200, 206):
                raise FetchFailed(url, f"HTTP {answer.status_code} {answer.reason}")
            resumed = answer.status_code == 206
            done = done if resumed else 0
            length = numbers.whole(answer.headers.get("Content-Length") or "0")
            if length is None:
                raise FetchFailed(url, "the server's Content-Length is not a number")
            total = done + length
            if total > max_bytes:
                raise FetchFailed(url, f"{total} bytes are more than the limit of {max_bytes}")
            new_tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
            tag_file.write_text("" if new_tag.startswith("W/") else new_tag, "utf-8")
            with part.open("ab" if resumed else "wb") as file:
                for block in answer.iter_content(_BLOCK_BYTES):
                    file.write(block)
                    done += len(block)
                    if done > max_bytes:
                        raise FetchFailed(url, f"more than {max_bytes} bytes arrived")
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
    """The innermost of a chain of wrapped errors: it names the cause."""
    inner: BaseException = error
    while inner.__cause__ is not None or inner.__context__ is not None:
        inner = inner.__cause__ or inner.__context__ or inner
    return " ".join(str(inner).split())[:300] or type(error).__name__
