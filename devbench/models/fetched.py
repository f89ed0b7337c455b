"""Models from the network, kept under their hash; knows no device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from devbench.errors import EnvironmentProblem
from devbench.host.download import download, forget
from devbench.host.hashing import hash_file
from devbench.host.masking import mask_url
from devbench.host.paths import cache_dir

# The largest models that a phone can hold.
_MAX_BYTES = 32 << 30


def fetch_model(url: str, sha256: str, progress: Callable[[int, int], None] | None = None) -> Path:
    """The model's file, fetched unless it is in the cache.

    Raises:
        FetchFailed: it cannot be had.
        EnvironmentProblem: it has another hash, and is not used.
    """
    folder = cache_dir() / "models" / sha256
    name = Path(unquote(urlsplit(url).path)).name or "model.tflite"
    target = folder / name
    if target.is_file():
        return target
    part = download(url, _MAX_BYTES, progress)
    found = hash_file(part)
    if found != sha256:
        forget(part)
        raise EnvironmentProblem(
            f"{mask_url(url)}: SHA-256 {found[:16]}… is not the suite's, {sha256[:16]}…",
            hint="fix the suite, or the file there",
        )
    folder.mkdir(parents=True, exist_ok=True)
    part.replace(target)
    forget(part)
    return target
