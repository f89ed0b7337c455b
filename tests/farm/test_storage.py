"""The storage: a file comes back with its hash or not at all, from folders, HTTP and object stores; the cache is bounded."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from devbench.errors import DevbenchError, EnvironmentProblem, InputError
from devbench.farm import storage as module
from devbench.farm.storage import NotStored, Removed, Storage, StorageFailed

MIB = 1 << 20


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


class _Writable(_Quiet):
    """Takes files by PUT, as a server with WebDAV does."""

    def do_PUT(self) -> None:
        target = Path(self.translate_path(self.path))
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            while size := int(self.rfile.readline(), 16):
                file.write(self.rfile.read(size))
                self.rfile.readline()
        self.rfile.readline()
        self.send_response(201)
        self.end_headers()


class _Lying(_Quiet):
    """Answers with more than it announces, and never ends."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b"x" * 100)

    do_HEAD = do_GET


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[object]:
    servers = []

    def start(handler: type[SimpleHTTPRequestHandler], folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def moto_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("s3fs", reason="needs s3fs")
    server_module = pytest.importorskip("moto.server", reason="needs moto")
    server = server_module.ThreadedMotoServer(port=0)
    server.start()
    _, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "us-east-1")
    import s3fs

    # The address of an earlier test's server is in the instances that are kept.
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem(skip_instance_cache=True).mkdir(bucket := f"farm-{uuid.uuid4().hex}")
    yield f"s3://{bucket}/files"
    server.stop()


def _file(folder: Path, data: bytes) -> Path:
    path = folder / f"file-{uuid.uuid4().hex[:6]}"
    path.write_bytes(data)
    return path


def _object(root: Path, digest: str) -> Path:
    return root / "sha256" / digest[:2] / digest


def _aged(path: Path, seconds: float) -> None:
    at = path.stat().st_mtime - seconds
    os.utime(path, (at, at))


@pytest.fixture(params=["folder", "http", "memory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    folder = tmp_path / "storage"
    folder.mkdir()
    if request.param == "http":
        return str(request.getfixturevalue("serve")(_Writable, folder))
    if request.param == "s3":
        return str(request.getfixturevalue("moto_bucket"))
    return str(folder) if request.param == "folder" else f"memory://{uuid.uuid4().hex}"


def test_a_file_comes_back_on_another_host(url: str, tmp_path: Path) -> None:
    data = os.urandom(9 * MIB + 7)
    digest = Storage(url, tmp_path / "host-1", 64 * MIB).put(_file(tmp_path, data))
    other = Storage(url, tmp_path / "host-2", 64 * MIB)
    found = other.fetch(digest)
    assert digest == hashlib.sha256(data).hexdigest() and found.read_bytes() == data
    assert found == other.fetch(digest), "the second time from the cache"
    with pytest.raises(NotStored, match="put the file again"):
        other.fetch("0" * 64)


def test_putting_a_file_again_sends_nothing_while_it_is_new(tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    there = Storage(str(tmp_path / "storage"), tmp_path / "cache", MIB)
    file = _file(tmp_path, b"model")
    stored = _object(tmp_path / "storage", there.put(file))
    before = stored.stat()
    there.put(file)
    assert stored.stat().st_ino == before.st_ino
    _aged(stored, 2 * 86400)
    there.put(file)
    assert stored.stat().st_mtime > before.st_mtime - 86400, "an old object is new again, so that it is not pruned"


def test_a_damaged_object_is_found_by_both_ends(tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    there = Storage(str(tmp_path / "storage"), tmp_path / "cache", MIB)
    file = _file(tmp_path, b"model")
    digest = there.put(file)
    _object(tmp_path / "storage", digest).write_bytes(b"mOdel")
    with pytest.raises(StorageFailed, match="damaged"):
        there.fetch(digest)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["locks"], "nothing of it is kept"
    there.put(file)
    assert there.fetch(digest).read_bytes() == b"model"


def test_a_copy_in_the_cache_that_was_changed_is_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    there = Storage(str(tmp_path / "storage"), tmp_path / "cache", MIB)
    digest = there.put(_file(tmp_path, b"model"))
    there.fetch(digest).write_bytes(b"other")
    assert there.fetch(digest).read_bytes() == b"model"


def test_the_cache_drops_what_was_not_used_for_the_longest_time(tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    there = Storage(str(tmp_path / "storage"), tmp_path / "cache", 3 * MIB)
    digests = [there.put(_file(tmp_path, os.urandom(MIB))) for _ in range(5)]
    first, second, third = (there.fetch(digest) for digest in digests[:3])
    with pytest.raises(StorageFailed, match="files are in use"):
        there.fetch(digests[3])
    _aged(first, 2000)
    _aged(second, 3000)
    _aged(third, 1000)
    there.fetch(digests[0])
    there.fetch(digests[3])
    assert not second.exists() and first.exists() and third.exists()
    with pytest.raises(StorageFailed, match="cache's limit"):
        Storage(str(tmp_path / "storage"), tmp_path / "small", MIB - 1).fetch(digests[4])


def test_what_an_interrupted_fetch_left_is_dropped_too(tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    there = Storage(str(tmp_path / "storage"), tmp_path / "cache", 2 * MIB)
    left = tmp_path / "cache" / ".0123.abc"
    left.write_bytes(bytes(2 * MIB))
    _aged(left, 1000)
    there.fetch(there.put(_file(tmp_path, os.urandom(MIB))))
    assert not left.exists()


def _fetch_all(url: str, cache: Path, digests: list[str], wrong: object) -> None:
    there = Storage(url, cache, 64 * MIB)
    for digest in digests:
        if hashlib.sha256(there.fetch(digest).read_bytes()).hexdigest() != digest:
            wrong.set()  # type: ignore[attr-defined]


def test_processes_share_a_cache(tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    url, cache = str(tmp_path / "storage"), tmp_path / "cache"
    there = Storage(url, cache, 64 * MIB)
    digests = [there.put(_file(tmp_path, os.urandom(MIB))) for _ in range(8)]
    spawn = multiprocessing.get_context("spawn")
    wrong = spawn.Event()
    orders = [digests, digests[::-1], digests[4:] + digests[:4]]
    started = [spawn.Process(target=_fetch_all, args=(url, cache, order, wrong)) for order in orders]
    for one in started:
        one.start()
    for one in started:
        one.join(60)
    assert [one.exitcode for one in started] == [0, 0, 0] and not wrong.is_set()
    assert sorted(path.name for path in cache.iterdir()) == sorted([*digests, "locks"])


def test_threads_that_need_one_file_fetch_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "storage").mkdir()
    there = Storage(str(tmp_path / "storage"), tmp_path / "cache", 64 * MIB)
    digest = there.put(_file(tmp_path, os.urandom(4 * MIB)))
    copies = []
    copy = there._copy
    monkeypatch.setattr(there, "_copy", lambda *words: copies.append(words) or copy(*words))
    threads = [threading.Thread(target=there.fetch, args=(digest,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(copies) == 1


@pytest.mark.parametrize("word", ["", "../../etc/passwd", "http://evil/x", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_only_a_hash_is_fetched(word: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a SHA-256"):
        Storage(str(tmp_path), tmp_path / "cache", MIB).fetch(word)


def test_a_read_only_server_says_so(serve: object, tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    digest = Storage(str(tmp_path / "storage"), tmp_path / "cache", MIB).put(_file(tmp_path, b"model"))
    url = serve(_Quiet, tmp_path / "storage")  # type: ignore[operator]
    there = Storage(url, tmp_path / "other", MIB)
    assert there.fetch(digest).read_bytes() == b"model"
    with pytest.raises(StorageFailed, match=r"HTTP 501.*allow PUT there"):
        there.put(_file(tmp_path, b"new"))
    with pytest.raises(InputError, match="cannot list its files"):
        there.prune(timedelta(days=30), ())


def test_a_server_that_cannot_be_reached_is_not_an_absent_file(tmp_path: Path) -> None:
    there = Storage("http://user:secret@127.0.0.1:9/files", tmp_path / "cache", MIB)
    with pytest.raises(StorageFailed) as caught:
        there.fetch("0" * 64)
    assert "secret" not in str(caught.value) and caught.value.transient


def test_a_server_that_sends_more_than_it_announced_fills_nothing(serve: object, tmp_path: Path) -> None:
    there = Storage(serve(_Lying, tmp_path), tmp_path / "cache", MIB)  # type: ignore[operator]
    with pytest.raises(StorageFailed):
        there.fetch("0" * 64)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["locks"]


def test_a_storage_that_does_not_answer_is_left_after_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Storage(str(tmp_path), tmp_path / "cache", MIB)
    release = threading.Event()
    monkeypatch.setattr(module, "_ANSWER_S", 0.2)
    monkeypatch.setattr(there._files, "info", lambda path: release.wait(60))
    with pytest.raises(StorageFailed, match="no answer within"):
        there.fetch("0" * 64)
    release.set()


def test_only_old_objects_that_nothing_refers_to_are_removed(tmp_path: Path) -> None:
    root = tmp_path / "storage"
    root.mkdir()
    there = Storage(str(root), tmp_path / "cache", MIB)
    new, old, kept = (there.put(_file(tmp_path, name)) for name in (b"new", b"old", b"kept"))
    other = root / "sha256" / "notes.txt"
    left = _object(root, kept).with_name(f"{kept}.0011aabb")
    for path in (other, left):
        path.write_bytes(b"1234")
    for path in (_object(root, old), _object(root, kept), other, left):
        _aged(path, 40 * 86400)
    assert there.prune(timedelta(days=30), {kept}, dry_run=True) == Removed(2, 7)
    assert _object(root, old).exists()
    assert there.prune(timedelta(days=30), {kept}) == Removed(2, 7)
    assert [_object(root, one).exists() for one in (new, old, kept)] == [True, False, True]
    assert other.exists() and not left.exists()
    with pytest.raises(InputError, match="are not removed"):
        there.prune(timedelta(days=1), ())


def test_object_stores_are_pruned_too(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if url.startswith("http"):
        pytest.skip("HTTP cannot list files")
    there = Storage(url, tmp_path / "cache", MIB)
    old, kept = there.put(_file(tmp_path, b"old")), there.put(_file(tmp_path, b"kept"))
    monkeypatch.setattr(module, "_FRESH", timedelta(seconds=-1))
    assert there.prune(timedelta(seconds=-2), {kept}) == Removed(1, 3)
    assert there.fetch(kept).read_bytes() == b"kept"
    with pytest.raises(NotStored):
        there.fetch(old)


def test_a_wrong_storage_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not a folder.*mount it"):
        Storage(str(tmp_path / "absent"), tmp_path / "cache", MIB)
    with pytest.raises(InputError, match="is not a storage"):
        Storage("nosuch://x", tmp_path / "cache", MIB)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EnvironmentProblem, match="cannot make the cache"):
        Storage(str(tmp_path), tmp_path / "file", MIB)
    with pytest.raises(InputError, match="cannot be read"):
        Storage(str(tmp_path), tmp_path / "cache", MIB).put(tmp_path / "absent")


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(EnvironmentProblem, match=r"farm-gcs") as caught:
        Storage("gs://bucket/files", tmp_path / "cache", MIB)
    assert isinstance(caught.value, DevbenchError)
