"""Prebuilt binaries from the network: kept only when their hash is right; knows no device."""

from __future__ import annotations

from collections.abc import Callable

from devbench.errors import EnvironmentProblem
from devbench.host.download import FetchFailed, download, forget
from devbench.host.hashing import hash_file
from devbench.tool.binaries import Binary, add, pin, pinned
from devbench.tool.manifest import Offer

__all__ = ["FetchFailed", "WrongHash", "fetch"]

_MAX_BYTES = 2 << 30


class WrongHash(EnvironmentProblem):
    """What arrived is not what was expected."""

    def __init__(self, offer: Offer, expected: str, found: str, since: str) -> None:
        hint = "the address moves: take the new binary with --repin" if since else "the download is not used"
        where = f"the one pinned on {since}" if since else "the manifest's"
        super().__init__(f"{offer.name}: SHA-256 {found[:16]}… is not {where}, {expected[:16]}…", hint=hint)
        self.expected, self.found = expected, found


def fetch(offer: Offer, *, repin: bool = False, progress: Callable[[int, int], None] | None = None) -> Binary:
    """Download a binary of the manifest, check its hash and keep it.

    Args:
        offer: the entry.
        repin: accept other bytes than those of an earlier fetch from an address that moves.
        progress: told bytes done and bytes in all (0 where the server does not say).

    Raises:
        InputError: the address is not HTTPS.
        FetchFailed, WrongHash.
    """
    part = download(offer.url, _MAX_BYTES, progress)
    found = hash_file(part)
    before = pinned(offer.name)
    expected, since = (offer.sha256, "") if offer.sha256 else before or ("", "")
    if expected and found != expected and not (since and repin):
        forget(part)
        raise WrongHash(offer, expected, found, since)
    try:
        binary = add(part, name=offer.name, version=offer.version, flavour=offer.flavour, source=offer.url)
    finally:
        forget(part)
    if not offer.sha256:
        pin(offer.name, found)
    return binary
