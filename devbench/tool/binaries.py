"""The benchmark_model binaries on this machine: added or downloaded, stored by SHA-256, chosen by a device's ABI.

Layout in devbench's cache folder:

    binaries/index.json         name, version, ABI and so on, by hash
    binaries/<sha256>           the files
    binaries/pins.json          hash and date of the first download from addresses that may change
"""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from devbench.errors import EnvironmentProblem, InputError
from devbench.frozen import dataclass
from devbench.host.download import download, forget
from devbench.host.hashing import hash_file, sha256_of
from devbench.host.locks import hold
from devbench.host.paths import cache_dir, shipped
from devbench.host.whole_files import aside, write_whole_bytes
from devbench.text import near
from devbench.tool.manifest import APK, VIRTUAL_ABI, Offer, is_apk, offers, read_kind
from devbench.tool.measurement import ToolName

Via = Literal["shell", "apk"]

_LOCK_TIMEOUT_S = 30.0
_MIN_HASH_DIGITS = 6
_MAX_BYTES = 2 << 30


@dataclass(frozen=True, slots=True)
class Binary:
    """A binary on this machine.

    Attributes:
        abi: Android's name of the ABI, several with commas for an APK; `virtual` for the tool of the virtual device.
        flavour: `default`, `flex` (Select TensorFlow ops), `performance_options`, or any word of the user; `apk` or
            `apk-…` for the tool as an app.
        source: the address or path that it came from.
        added_utc: ISO 8601; empty for the one that comes with devbench.
        by_name_only: it was given for a single run; other runs use it only if they name it.
    """

    name: str
    tool: ToolName
    version: str
    abi: str
    flavour: str
    sha256: str
    path: Path
    size_bytes: int
    source: str = ""
    added_utc: str = ""
    by_name_only: bool = False

    @property
    def is_apk(self) -> bool:
        """Whether it is the tool as an app, which a shell cannot run."""
        return is_apk(self.flavour)

    @property
    def abis(self) -> tuple[str, ...]:
        return tuple(self.abi.split(","))


class NoBinary(EnvironmentProblem):
    """No benchmark_model on this machine runs on the device."""

    def __init__(self, abis: Sequence[str]) -> None:
        names = ", ".join(abis) or "an unknown ABI"
        fetch = f"`devbench binaries fetch --abi {abis[0]}`, or " if abis and abis[0] != "x86_64" else ""
        super().__init__(
            f"no benchmark_model for {names} on this machine",
            hint=f"{fetch}`devbench binaries add FILE` for one you have",
        )
        self.abis = tuple(abis)


class NoApk(EnvironmentProblem):
    """No benchmark APK on this machine can be installed on the device."""

    def __init__(self, abis: Sequence[str]) -> None:
        if VIRTUAL_ABI in abis:
            super().__init__("a virtual device cannot run apps", hint="use --via shell")
            return
        names = ", ".join(abis) or "an unknown ABI"
        offered = next((offer.name for offer in offers() if offer.flavour == APK and offer.abi in abis), "")
        fetch = f"`devbench binaries fetch {offered}`, or " if offered else ""
        super().__init__(
            f"no benchmark APK for {names} on this machine",
            hint=f"{fetch}`devbench binaries add FILE.apk` for one you have; or use --via shell",
        )


class WrongHash(EnvironmentProblem):
    """A downloaded file does not have the expected hash."""

    def __init__(self, offer: Offer, expected: str, found: str, since: str) -> None:
        hint = "the file at this address has changed: accept it with --repin" if since else "the download is not used"
        where = f"the one pinned on {since}" if since else "the manifest's"
        super().__init__(f"{offer.name}: SHA-256 {found[:16]}… is not {where}, {expected[:16]}…", hint=hint)
        self.expected, self.found = expected, found


def installed() -> list[Binary]:
    """All binaries on this machine, newest first; the last one is the virtual device's, which comes with devbench."""
    return [_with_version(binary) for binary in _here()]


def add(
    path: Path,
    *,
    name: str = "",
    version: str = "",
    flavour: str = "default",
    source: str = "",
    by_name_only: bool = False,
) -> Binary:
    """Keep a copy of a binary; if it is here already, its name and version change.

    Raises:
        InputError: it cannot be read, or is not a binary for a device.
    """
    kind = read_kind(path)
    tool: ToolName = kind.tool or "tflite"
    if kind.is_apk and not is_apk(flavour):
        flavour = APK if flavour == "default" else f"{APK}-{flavour}"
    elif is_apk(flavour) and not kind.is_apk:
        raise InputError(f"{path} is not an APK", hint=f"leave the flavour {flavour} out")
    suffix = "" if flavour == "default" else f"-{flavour}"
    sha256 = hash_file(path)
    with _locked():
        target = _folder() / sha256
        if not target.is_file() or target.stat().st_size != path.stat().st_size:
            with aside(target) as part:
                shutil.copyfile(path, part)
            target.chmod(0o755)
        index = _load("index.json")
        index[sha256] = {
            "name": name or f"{tool}-{version or sha256[:8]}-{kind.abi.replace(',', '-')}{suffix}",
            "tool": tool,
            "version": version or sha256[:8],
            "abi": kind.abi,
            "flavour": flavour,
            "source": source or str(path.absolute()),
            "added_utc": datetime.now(timezone.utc).isoformat(timespec="microseconds"),
            "by_name_only": by_name_only,
        }
        _save("index.json", index)
    return next(binary for binary in _here() if binary.sha256 == sha256)


def remove(name: str) -> Binary:
    """Remove a binary and its file.

    Raises:
        InputError: there is none with that name or hash, or it comes with devbench.
    """
    binary = find(name)
    if binary.abi == VIRTUAL_ABI and not binary.added_utc:
        raise InputError(f"{binary.name} comes with devbench", hint="it cannot be removed")
    with _locked():
        index = _load("index.json")
        index.pop(binary.sha256, None)
        _save("index.json", index)
        binary.path.unlink(missing_ok=True)
    return binary


def verify(binary: Binary) -> bool:
    """Whether the file still has the hash of its name; the file is read completely."""
    try:
        return hash_file(binary.path) == binary.sha256
    except OSError:
        return False


def choose(abis: Sequence[str], *, name: str | None = None, via: Via = "shell") -> Binary:
    """The binary for a device.

    Args:
        abis: the device's ABIs, best first.
        name: name, hash or file that the user gave; a file is added first.
        via: "apk" chooses among APKs only, "shell" among the others.

    Raises:
        NoBinary, NoApk: none fits the device.
        InputError: the named one does not exist, is not for the device's ABI, or does not fit `via`.
    """
    wants_apk = via == "apk"
    if name is not None:
        binary = find(name)
        if binary.is_apk != wants_apk:
            is_what = "an APK, which a shell cannot run" if binary.is_apk else "not an APK"
            hint = "use --via apk" if binary.is_apk else "leave --binary or --via apk out"
            raise InputError(f"{binary.name} is {is_what}", hint=hint)
        if not set(binary.abis) & set(abis):
            raise InputError(
                f"{binary.name} is for {binary.abi}, the device runs {', '.join(abis) or 'an unknown ABI'}",
                hint="leave --binary out to choose automatically, or see `devbench binaries list`",
            )
        return binary
    here = _here()
    for abi in abis:
        fitting = [b for b in here if abi in b.abis and b.is_apk == wants_apk and not b.by_name_only]
        if fitting:
            return _with_version(next((one for one in fitting if one.flavour in ("default", APK)), fitting[0]))
    raise NoApk(abis) if wants_apk else NoBinary(abis)


def find(name: str) -> Binary:
    """The binary with that name, hash or start of a hash, or in that file.

    Raises:
        InputError: there is none.
    """
    here = _here()
    named = [binary for binary in here if binary.name == name]
    if not named and len(name) >= _MIN_HASH_DIGITS:
        named = [binary for binary in here if binary.sha256.startswith(name.lower())]
    # Unlike pathlib's, this is false for a name that is too long.
    if not named and os.path.isfile(name):  # noqa: PTH113
        sha256 = sha256_of(Path(name))
        named = [binary for binary in here if binary.sha256 == sha256] or [add(Path(name), by_name_only=True)]
    if not named:
        hint = near(name, [binary.name for binary in here], "give a file, or a name from `devbench binaries list`")
        raise InputError(f"no binary {name!r}", hint=hint)
    return _with_version(named[0])


def fetch(offer: Offer, *, repin: bool = False, progress: Callable[[int, int], None] | None = None) -> Binary:
    """Download a binary of the manifest, check its hash and add it.

    Args:
        offer: the entry.
        repin: accept a file that differs from the first download; for entries without a hash.
        progress: called with bytes done and bytes in all (0 if the server does not say).

    Raises:
        InputError: the address is not HTTPS.
        FetchFailed, WrongHash.
    """
    part = download(offer.url, _MAX_BYTES, progress)
    found = hash_file(part)
    expected, since = (offer.sha256, "") if offer.sha256 else _pinned(offer.name)
    if expected and found != expected and not (since and repin):
        forget(part)
        raise WrongHash(offer, expected, found, since)
    try:
        binary = add(part, name=offer.name, version=offer.version, flavour=offer.flavour, source=offer.url)
    finally:
        forget(part)
    if not offer.sha256:
        _pin(offer.name, found)
    return binary


def _pinned(name: str) -> tuple[str, str]:
    """Hash and date (ISO 8601) of an offer's first download; empty before that."""
    entry = _load("pins.json").get(name)
    entry = entry if isinstance(entry, dict) else {}
    return str(entry.get("sha256", "")), str(entry.get("date", ""))


def _pin(name: str, sha256: str) -> None:
    with _locked():
        date = datetime.now(timezone.utc).date().isoformat()
        _save("pins.json", {**_load("pins.json"), name: {"sha256": sha256, "date": date}})


def to_json(binary: Binary) -> dict[str, Any]:
    """A JSON-ready mapping with the field names as keys."""
    return {**asdict(binary), "path": str(binary.path)}


# -- files ----------------------------------------------------------------------------------------------------------


def _folder() -> Path:
    folder = cache_dir() / "binaries"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _locked() -> AbstractContextManager[None]:
    """A lock, so that two commands do not lose each other's entry."""
    return hold(
        _folder() / "lock", held="another devbench changes the binaries", hint="try again", wait_s=_LOCK_TIMEOUT_S
    )


def _load(name: str) -> dict[str, Any]:
    try:
        values = json.loads((_folder() / name).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _save(name: str, values: dict[str, Any]) -> None:
    write_whole_bytes(_folder() / name, json.dumps(values, indent=1).encode())


def _from_entry(sha256: str, entry: Any) -> Binary | None:
    path = _folder() / sha256
    if not isinstance(entry, dict) or not path.is_file():
        return None
    tool: ToolName = "litert" if entry.get("tool") == "litert" else "tflite"
    words = {key: str(entry.get(key, "")) for key in ("name", "version", "abi", "flavour", "source", "added_utc")}
    alone = bool(entry.get("by_name_only"))
    return Binary(tool=tool, sha256=sha256, path=path, size_bytes=path.stat().st_size, by_name_only=alone, **words)


def _here() -> list[Binary]:
    """As `installed`, but the binary of the virtual device has an empty version."""
    found = [binary for entry in _load("index.json").items() if (binary := _from_entry(*entry)) is not None]
    path = shipped("bench_bin") / "virtual" / "benchmark_model"
    virtual = Binary("virtual", "tflite", "", VIRTUAL_ABI, "default", sha256_of(path), path, path.stat().st_size)
    return [*sorted(found, key=lambda binary: binary.added_utc, reverse=True), virtual]


def _with_version(binary: Binary) -> Binary:
    """Adds the version of the virtual device's binary: that of LiteRT on this machine. The look-up takes 10 ms."""
    return binary if binary.version else replace(binary, version=_runtime())


@functools.lru_cache(maxsize=1)
def _runtime() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"LiteRT {version('ai-edge-litert')}"
    except PackageNotFoundError:
        return "without LiteRT"
