"""Files that travel between hosts by their SHA-256: a storage behind a URL, and this host's cache of it.

The storage has one object per file, `sha256/AB/ABCD…`, so that a file is stored once, however many jobs use it. A host
asks for a hash and gets the file with that hash, or an error: no name, path or address crosses between hosts. The cache
may be shared by several processes of one host. Knows no queue, no database and no device.

fsspec reaches the storage: a folder, HTTP, S3, GCS. Its calls run in a thread of their own, because not all of them
have a deadline.
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
"""A larger file is refused."""
_BLOCK_BYTES = 4 << 20
# A transfer may take this long, and as long as a connection of this speed needs for the file.
_ANSWER_S, _SLOWEST_BYTES_PER_S = 60.0, 500_000
# A file of the cache stays for this long after it was asked for, so that the caller can read it.
_IN_USE_S = 600.0
# A file that was put stays for at least this long. An older object is written again, so that its age starts anew.
_FRESH = timedelta(days=1)
# An object of these is complete when it appears. In others, it is written under another name and then renamed.
_ATOMIC = frozenset({"http", "https", "s3", "s3a", "gs", "gcs"})
_EXTRAS = {"s3": "farm-s3", "s3a": "farm-s3", "gs": "farm-gcs", "gcs": "farm-gcs"}


class StorageFailed(EnvironmentProblem):
    """The storage or the way to it failed; trying again may help."""

    transient = True


class NotStored(EnvironmentProblem):
    """The storage does not have the file."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What `Storage.prune` removed, or would remove."""

    files: int
    size_bytes: int


class Storage:
    """A storage of files and this host's cache of it; threads and processes may use it at the same time.

    Args:
        url: a folder, or an address that fsspec knows: `http(s)://`, `s3://`, `gs://`.
        cache: the folder of the files that this host has fetched; made if it is missing.
        limit: bytes that the cache may have; the files that were not used for the longest time are removed first.

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
        # A folder that is made in place of one that is not mounted would hide its files.
        is_there = partial(self._files.isdir, self._root)
        if "file" in names and not self._within(_ANSWER_S, "cannot open the storage", is_there):
            raise InputError(f"the storage {self._shown} is not a folder", hint="make or mount it")
        with system_errors(f"cannot make the cache {cache}", kind=EnvironmentProblem):
            (cache / "locks").mkdir(parents=True, exist_ok=True)

    # -- putting ------------------------------------------------------------------------------------------------

    def put(self, file: Path) -> str:
        """Store a file; returns its SHA-256. What the storage has afterwards was read back and has that hash.

        Raises:
            InputError: the file cannot be read, is too large, or changes while it is sent.
            StorageFailed: it cannot be stored.
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
        # In a folder, a file cannot be replaced in one step by fsspec; in other kinds of storage it can.
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
        """Whether the storage has had an object of that size for less than a day."""
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
        """The file with that hash, in this host's cache. It stays there for ten minutes at least.

        Raises:
            InputError: `sha256` is not 64 hex digits.
            NotStored: the storage does not have it.
            StorageFailed: it cannot be fetched, has another hash, or the cache is too small for it.
        """
        if not _SHA256.fullmatch(sha256):
            raise InputError(f"{sha256[:80]!r} is not a SHA-256", hint="give 64 hex digits")
        target = self._cache / sha256
        if not self._is_cached(target):
            size = self._size(sha256)
            # Threads and processes that need the same file wait for the first of them.
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
        """Whether the cache has the file, unchanged; it counts as used now."""
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
        """Make room for a file in the cache, and give the empty `part` its size, so that others count it."""
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
        """Remove the objects that were stored longer ago than that, and leftovers of interrupted writes.

        Args:
            older_than: the age, at least two days: who has just put a file may not have named it in a job yet.
            keep: hashes that a stored result or a queued job refers to; these objects stay.

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
        """The content of an object in blocks; reading stops after more than `size` bytes."""
        done = 0
        # 0: one request for the whole file. Not every HTTP server sends parts.
        with self._files.open(path, "rb", block_size=0 if self._http else _BLOCK_BYTES) as file:
            while done <= size and (block := file.read(_BLOCK_BYTES)):
                done += len(block)
                yield block

    def _within(self, deadline_s: float, failed: str, call: Callable[[], _T]) -> _T:
        """What the call returns; a call that is not back after the deadline is left alone.

        Raises:
            NotStored, StorageFailed.
        """
        answer: Future[_T] = Future()
        threading.Thread(target=_answer, args=(answer, call), daemon=True, name="storage").start()
        try:
            return answer.result(deadline_s)
        except EnvironmentProblem:
            raise
        except FileNotFoundError as error:
            # fsspec reports every failure of HTTP as a missing file; the cause tells which it is.
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
    """fsspec's file system for a URL, and the path of its root there."""
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
    """The files of a cache, complete or arriving, when each was used last, and what the system knows of it."""
    for path in cache.iterdir():
        # A file that has arrived is renamed meanwhile; it is then counted under one of its names, or not at all.
        with suppress(FileNotFoundError):
            found = path.lstat()
            if stat.S_ISREG(found.st_mode):
                yield path, max(found.st_atime, found.st_mtime), found
