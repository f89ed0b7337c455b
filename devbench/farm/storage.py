"""Store files under their SHA-256 in a storage behind a URL, and fetch them into a cache on this host.

The storage has one object per file, `sha256/AB/ABCD…`. A file that several jobs use is stored once. A host asks for a
hash and gets the file with that hash, or an error; hosts exchange no file names, paths or addresses. Several processes
of one host may share the cache. This module does not depend on the queue, the database or devices.

The storage is accessed with fsspec: a folder, HTTP, S3 or GCS. Each fsspec call runs in a separate thread, because some
of them have no timeout.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, TimeoutError
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from devbench.errors import EnvironmentProblem, InputError, install_hint, system_errors
from devbench.host.hashing import hash_file, sha256_of
from devbench.host.locks import hold
from devbench.host.masking import mask_url, scrub, secrets_of
from devbench.host.whole_files import aside

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_T = TypeVar("_T")
_SHA256 = re.compile(r"[0-9a-f]{64}")
MAX_FILE_BYTES = 16 << 30
"""Larger files are refused."""
_BLOCK_BYTES = 4 << 20
# The deadline of a transfer: this base time plus the time that the file takes at this speed.
_ANSWER_S, _SLOWEST_BYTES_PER_S = 60.0, 500_000
# A cached file is not removed for this long after its last use, because the caller may still read it.
_IN_USE_S = 600.0
# `put` leaves an object alone if it is younger than this. It writes an older one again, which resets its age.
_FRESH = timedelta(days=1)
# Protocols in which an object becomes visible only when complete. With others, write under another name, then rename.
_ATOMIC = frozenset({"http", "https", "s3", "s3a", "gs", "gcs"})
_EXTRAS = {"s3": "farm-s3", "s3a": "farm-s3", "gs": "farm-gcs", "gcs": "farm-gcs"}


class StorageFailed(EnvironmentProblem):
    """The storage or the connection to it failed; a retry may help."""

    transient = True


class NotStored(EnvironmentProblem):
    """The storage does not have the file."""


@dataclass(frozen=True, slots=True)
class Removed:
    """The number and total size of files that `Storage.prune` removed, or would remove in a dry run."""

    files: int
    size_bytes: int


class Storage:
    """A storage of files and this host's cache of it; threads and processes may use it at the same time.

    Args:
        url: a folder, or an address that fsspec knows: `http(s)://`, `s3://`, `gs://`.
        cache: the folder of the files that this host has fetched; made if it is missing.
        limit: the largest size of the cache in bytes; the least recently used files are removed first.

    Raises:
        InputError: the URL is not one that fsspec knows.
        EnvironmentProblem: a package for this kind of URL is not installed.
    """

    def __init__(self, url: str, cache: Path, limit: int) -> None:
        self._shown, self._secrets = mask_url(url), secrets_of(url)
        self._cache, self._limit = cache, limit
        self._files, self._root = _open(url, self._shown)
        protocol = self._files.protocol
        names = {protocol} if isinstance(protocol, str) else {*protocol}
        self._atomic, self._http = bool(names & _ATOMIC), "http" in names
        # Do not create the folder: it may be a mount point that is not mounted, and its files would seem to be lost.
        is_there = partial(self._files.isdir, self._root)
        if "file" in names and not self._within(_ANSWER_S, "cannot open the storage", is_there):
            raise InputError(f"the storage {self._shown} is not a folder", hint="make or mount it")
        with system_errors(f"cannot make the cache {cache}", kind=EnvironmentProblem):
            (cache / "locks").mkdir(parents=True, exist_ok=True)

    # -- putting ------------------------------------------------------------------------------------------------

    def put(self, file: Path) -> str:
        """Store a file, read it back to check its hash, and return its SHA-256.

        Raises:
            InputError: the file cannot be read or is too large.
            StorageFailed: the file cannot be stored, or changed while it was sent.
        """
        with system_errors(f"{file} cannot be read"):
            digest, size = sha256_of(file), file.stat().st_size
        if size > MAX_FILE_BYTES:
            raise InputError(f"{file} is larger than {MAX_FILE_BYTES >> 30} GiB")
        self._within(_deadline_s(2 * size), f"cannot put {file.name}", lambda: self._put(file, digest, size))
        return digest

    def _put(self, file: Path, digest: str, size: int) -> None:
        target = self._path(digest)
        if self._is_fresh(target, size) and self._hash(target, size) == digest:
            return
        # fsspec cannot replace a file atomically in a folder; it can in HTTP, S3 and GCS.
        written = target if self._atomic else f"{target}.{secrets.token_hex(4)}"
        try:
            if not self._atomic:
                self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
            self._files.put_file(str(file), written, **({"method": "put"} if self._http else {}))
            if self._hash(written, size) != digest:
                what = "changed while it was sent" if hash_file(file) != digest else "did not arrive complete"
                raise StorageFailed(f"{self._shown}: {file.name} {what}", hint="put it again")
            if written != target:
                self._files.mv(written, target)
        except BaseException:
            if written != target:
                with suppress(OSError):
                    self._files.rm_file(written)
            raise

    def _is_fresh(self, path: str, size: int) -> bool:
        """Whether the storage has an object of that size that is less than a day old."""
        try:
            return (
                self._files.info(path)["size"] == size
                and datetime.now(timezone.utc) - _aware(self._files.modified(path)) < _FRESH
            )
        except (FileNotFoundError, NotImplementedError):
            return False

    def _hash(self, path: str, size: int) -> str:
        digest = hashlib.sha256()
        for block in self._blocks(path, size):
            digest.update(block)
        return digest.hexdigest()

    # -- fetching -----------------------------------------------------------------------------------------------

    def fetch(self, sha256: str) -> Path:
        """Return the file with that hash in this host's cache; fetch it if needed. It stays for at least ten minutes.

        Raises:
            InputError: `sha256` is not 64 hex digits.
            NotStored: the storage does not have it.
            StorageFailed: the file cannot be fetched, has another hash, or is too large for the cache.
        """
        if not _SHA256.fullmatch(sha256):
            raise InputError(f"{sha256[:80]!r} is not a SHA-256", hint="give 64 hex digits")
        target = self._cache / sha256
        if not self._is_cached(target):
            size = self._size(sha256)
            # If several threads or processes need the same file, one fetches it and the others wait.
            lock = self._cache / "locks" / sha256
            with hold(lock, held=f"{sha256} is being fetched", wait_s=_deadline_s(size)):
                if not self._is_cached(target):
                    self._fetch(sha256, target, size)
        return target

    def _size(self, sha256: str) -> int:
        failed = f"cannot fetch {sha256}"
        size = self._within(_ANSWER_S, failed, lambda: self._files.info(self._path(sha256))["size"])
        if size is None:
            raise StorageFailed(f"{failed}: {self._shown} does not tell its size", hint="use another server")
        if size > self._limit:
            raise StorageFailed(f"{failed}: {size} bytes are more than the cache's limit", hint="raise the limit")
        return int(size)

    def _is_cached(self, path: Path) -> bool:
        """Whether the cache has the file with the right hash; also mark the file as used now."""
        try:
            found = path.stat()
            os.utime(path, ns=(time.time_ns(), found.st_mtime_ns))
            return sha256_of(path) == path.name
        except OSError:
            return False

    def _fetch(self, sha256: str, target: Path, size: int) -> None:
        remote = self._path(sha256)
        with aside(target) as part:
            self._reserve(part, size)
            with part.open("wb") as file:
                call = partial(self._copy, remote, size, file)
                found = self._within(_deadline_s(size), f"cannot fetch {sha256}", call)
            if found != sha256:
                raise StorageFailed(
                    f"{self._shown}: the object {sha256} is damaged", hint="put the file again from where it is"
                )

    def _copy(self, remote: str, size: int, file: IO[bytes]) -> str:
        digest = hashlib.sha256()
        for block in self._blocks(remote, size):
            file.write(block)
            digest.update(block)
        return digest.hexdigest()

    def _reserve(self, part: Path, size: int) -> None:
        """Make room for a file in the cache, and extend `part` to its size, so that other processes count the space."""
        with hold(self._cache / "locks" / "room", held="the cache is being cleared", wait_s=_ANSWER_S):
            found = sorted(_entries(self._cache), key=lambda entry: entry[1])
            total = sum(one.st_size for _, _, one in found) + size
            for path, used_s, one in found:
                if total > self._limit and time.time() - used_s > _IN_USE_S:
                    path.unlink(missing_ok=True)
                    total -= one.st_size
            if total > self._limit:
                raise StorageFailed(
                    f"the cache {self._cache} has no room for {size} bytes: its files are in use",
                    hint=f"its limit is {self._limit} bytes; raise it, or try again in ten minutes",
                )
            os.truncate(part, size)

    # -- retention ----------------------------------------------------------------------------------------------

    def prune(self, older_than: timedelta, keep: Collection[str], *, dry_run: bool = False) -> Removed:
        """Remove objects older than `older_than` that are not in `keep`, and leftovers of interrupted writes.

        Args:
            older_than: the age, at least two days, because a job that uses a new file may not be submitted yet.
            keep: hashes that a stored result or a queued job refers to; these objects stay.
            dry_run: only count what would be removed.

        Raises:
            InputError: the age is too short, or the storage cannot list its files.
            StorageFailed: the storage failed.
        """
        if older_than < 2 * _FRESH:
            raise InputError(f"files of the last {2 * _FRESH.days} days are not removed", hint="give a longer age")
        if self._http:
            raise InputError(f"{self._shown} cannot list its files", hint="prune the folder that its server has")
        return self._within(3600.0, "cannot prune", lambda: self._prune(older_than, keep, dry_run))

    def _prune(self, older_than: timedelta, keep: Collection[str], dry_run: bool) -> Removed:
        now = datetime.now(timezone.utc)
        files = size_bytes = 0
        for path, info in self._files.find(f"{self._root}/sha256", detail=True).items():
            digest = path.rpartition("/")[2].partition(".")[0]
            if not _SHA256.fullmatch(digest) or (path.endswith(digest) and digest in keep):
                continue
            if now - _aware(self._files.modified(path)) > older_than:
                files, size_bytes = files + 1, size_bytes + int(info["size"])
                if not dry_run:
                    self._files.rm_file(path)
        return Removed(files, size_bytes)

    # -- the way there ------------------------------------------------------------------------------------------

    def _path(self, sha256: str) -> str:
        return f"{self._root}/sha256/{sha256[:2]}/{sha256}"

    def _blocks(self, path: str, size: int) -> Iterator[bytes]:
        """Yield the content of an object in blocks; stop once more than `size` bytes were read."""
        done = 0
        # 0: request the whole file at once, because some HTTP servers do not support range requests.
        with self._files.open(path, "rb", block_size=0 if self._http else _BLOCK_BYTES) as file:
            while done <= size and (block := file.read(_BLOCK_BYTES)):
                done += len(block)
                yield block

    def _within(self, deadline_s: float, failed: str, call: Callable[[], _T]) -> _T:
        """Run a call in a thread and return its result. After the deadline, the thread is left to itself.

        Raises:
            NotStored: the storage does not have the file.
            StorageFailed: the call failed, or did not return before the deadline.
        """
        answer: Future[_T] = Future()
        threading.Thread(target=_answer, args=(answer, call), daemon=True, name="storage").start()
        try:
            return answer.result(deadline_s)
        except EnvironmentProblem:
            raise
        except FileNotFoundError as error:
            # fsspec reports every HTTP failure as a missing file; the exception's cause has the actual failure.
            cause = error.__cause__
            if cause is None or isinstance(cause, FileNotFoundError) or getattr(cause, "status", None) == 404:
                raise NotStored(f"{failed}: {self._shown} does not have it", hint="put the file again") from None
            raise self._failure(failed, cause) from None
        except TimeoutError as error:
            reason = f"no answer within {deadline_s:.0f} s" if not answer.done() else str(error)
            raise StorageFailed(f"{failed}: {self._shown}: {reason}", hint="check the storage") from None
        except Exception as error:
            raise self._failure(failed, error) from None

    def _failure(self, failed: str, error: BaseException) -> StorageFailed:
        status = getattr(error, "status", None)
        reason = " ".join(scrub(str(error), self._secrets).split())[:300] or type(error).__name__
        hint = "check that the storage can be reached"
        if self._http and status in (405, 501):
            reason, hint = f"HTTP {status}", "allow PUT there, or put files into the folder that its server has"
        return StorageFailed(f"{failed}: {self._shown}: {reason}", hint=hint)


def _open(url: str, shown: str) -> tuple[AbstractFileSystem, str]:
    """Return fsspec's file system for a URL, and the path of the storage in that file system."""
    kind = url.partition("://")[0] if "://" in url else "file"
    try:
        from fsspec.core import url_to_fs

        options: dict[str, Any] = {"use_listings_cache": False}
        if kind in ("http", "https"):
            from aiohttp import ClientTimeout

            options["client_kwargs"] = {"timeout": ClientTimeout(total=None, sock_connect=15, sock_read=60)}
        files, root = url_to_fs(url, **options)
        return files, root.rstrip("/")
    except ImportError:
        extra = _EXTRAS.get(kind, "farm")
        raise EnvironmentProblem(f"the storage {shown} needs further packages", hint=install_hint(extra)) from None
    except ValueError as error:
        hint = "give a folder, or an address that begins with http://, https://, s3:// or gs://"
        raise InputError(f"{shown} is not a storage: {str(error)[:200]}", hint=hint) from None


def _answer(answer: Future[_T], call: Callable[[], _T]) -> None:
    try:
        answer.set_result(call())
    except BaseException as error:
        answer.set_exception(error)


def _deadline_s(size: int) -> float:
    return _ANSWER_S + size / _SLOWEST_BYTES_PER_S


def _aware(time_: datetime) -> datetime:
    return time_ if time_.tzinfo else time_.replace(tzinfo=timezone.utc)


def _entries(cache: Path) -> Iterator[tuple[Path, float, os.stat_result]]:
    """Yield the files of a cache, complete or partial, each with the time of its last use and its `lstat` result."""
    for path in cache.iterdir():
        # Another process may rename a file while this runs; the file is then counted once or not at all.
        with suppress(FileNotFoundError):
            found = path.lstat()
            if stat.S_ISREG(found.st_mode):
                yield path, max(found.st_atime, found.st_mtime), found
