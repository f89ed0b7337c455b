"""Binaries: added, chosen by ABI, fetched from a real HTTP server with resume and hash check."""

from __future__ import annotations

import hashlib
import http.server
import re
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from devbench.errors import EnvironmentProblem, InputError
from devbench.host.download import FetchFailed
from devbench.tool import binaries
from devbench.tool.binaries import WrongHash, fetch
from devbench.tool.manifest import Offer, offers, read_kind

ARM64, X86_64 = 183, 62


def elf(path: Path, machine: int, body: bytes = b"--enable_op_profiling") -> Path:
    path.write_bytes(b"\x7fELF\x02\x01\x01" + b"\x00" * 11 + machine.to_bytes(2, "little") + b"\x00" * 100 + body)
    return path


def test_a_binary_tells_its_abi_and_tool(tmp_path: Path) -> None:
    assert read_kind(elf(tmp_path / "a", ARM64)).abi == "arm64-v8a"
    assert read_kind(elf(tmp_path / "b", X86_64, b"compiler_plugin_library_path")).tool == "litert"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 an APK", b"#!/bin/sh\necho", b"\x7fELF"])
def test_what_is_no_binary_for_a_device_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x"
    file.write_bytes(content)
    with pytest.raises(InputError, match="not a benchmark_model"):
        binaries.add(file)


def test_an_added_binary_is_kept_chosen_and_verified(tmp_path: Path) -> None:
    added = binaries.add(elf(tmp_path / "bm", ARM64), version="2.19")
    assert binaries.choose(["arm64-v8a", "armeabi-v7a"]) == added
    assert added.name == "tflite-2.19-arm64-v8a"
    assert binaries.verify(added)
    added.path.write_bytes(b"damaged")
    assert not binaries.verify(added)


def test_a_better_abi_of_the_device_comes_first_and_the_newest_binary_of_it(tmp_path: Path) -> None:
    binaries.add(elf(tmp_path / "arm", 40))
    binaries.add(elf(tmp_path / "old", ARM64, b"1--enable_op_profiling"), version="1")
    newest = binaries.add(elf(tmp_path / "new", ARM64, b"2--enable_op_profiling"), version="2")
    assert binaries.choose(["arm64-v8a", "armeabi-v7a"]) == newest


def test_no_binary_says_how_to_get_one() -> None:
    with pytest.raises(EnvironmentProblem) as caught:
        binaries.choose(["arm64-v8a"])
    assert "devbench binaries fetch --abi arm64-v8a" in caught.value.hint


def test_a_binary_for_another_device_is_refused_by_name_hash_or_file(tmp_path: Path) -> None:
    file = elf(tmp_path / "bm", ARM64)
    added = binaries.add(file, name="mine")
    for name in ("mine", added.sha256[:10], str(file)):
        with pytest.raises(InputError, match="mine is for arm64-v8a, the device runs x86_64"):
            binaries.choose(["x86_64"], name=name)
    with pytest.raises(InputError, match="no binary 'nope'"):
        binaries.find("nope")


def test_a_file_given_for_one_run_is_not_taken_for_the_next(tmp_path: Path) -> None:
    file = elf(tmp_path / "bm", ARM64)
    assert binaries.choose(["arm64-v8a"], name=str(file)).by_name_only
    with pytest.raises(EnvironmentProblem, match="no benchmark_model"):
        binaries.choose(["arm64-v8a"])
    binaries.add(file)
    assert binaries.choose(["arm64-v8a"]).sha256


def test_the_virtual_device_s_tool_is_always_there() -> None:
    assert binaries.choose(["virtual"]).name == "virtual"


def test_the_shipped_manifest_names_google_s_binaries() -> None:
    found = offers()
    assert {offer.abi for offer in found} == {"arm64-v8a", "armeabi-v7a"}
    assert all(offer.url.startswith("https://storage.googleapis.com/") for offer in found)
    assert {"default", "flex"} <= {offer.flavour for offer in found}


# -- fetching ------------------------------------------------------------------------------------------------------


@dataclass
class Server:
    """A local HTTP server with ranges; `cut` breaks the next answer off after so many bytes."""

    url: str = ""
    body: bytes = b""
    tag: str = '"1"'
    cut: int | None = None
    status: int = 200
    ranges: list[str] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            state.ranges.append(asked)
            match = re.fullmatch(r"bytes=(\d+)-", asked)
            start = int(match.group(1)) if match and self.headers.get("If-Range") == state.tag else 0
            if state.status != 200:
                self.send_error(state.status)
                return
            data = state.body[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("ETag", state.tag)
            self.end_headers()
            cut, state.cut = state.cut, None
            self.wfile.write(data if cut is None else data[:cut])

        def log_message(self, *args: object) -> None:
            pass

    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{listener.server_port}/benchmark_model"
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    yield state
    listener.shutdown()
    listener.server_close()


@pytest.fixture
def offer(server: Server, tmp_path: Path) -> Offer:
    server.body = elf(tmp_path / "origin", ARM64, b"--enable_op_profiling" + b"x" * 500_000).read_bytes()
    sha256 = hashlib.sha256(server.body).hexdigest()
    return Offer("remote", "tflite", "1", "arm64-v8a", server.url, sha256=sha256)


def test_a_fetched_binary_is_checked_and_kept(offer: Offer) -> None:
    told: list[tuple[int, int]] = []
    binary = fetch(offer, progress=lambda done, total: told.append((done, total)))
    assert binary.sha256 == offer.sha256
    assert binaries.choose(["arm64-v8a"]).name == "remote"
    assert told[-1][0] == told[-1][1] == binary.size_bytes


def test_a_cut_download_goes_on_where_it_stopped(offer: Offer, server: Server) -> None:
    server.cut = 200_000
    with pytest.raises(FetchFailed, match="cannot fetch"):
        fetch(offer)
    assert fetch(offer).sha256 == offer.sha256
    assert server.ranges[0] == ""
    assert 150_000 < int(server.ranges[1].removeprefix("bytes=").removesuffix("-")) <= 200_000


def test_a_file_that_changed_meanwhile_is_fetched_anew(offer: Offer, server: Server) -> None:
    server.cut = 200_000
    with pytest.raises(FetchFailed):
        fetch(offer)
    server.tag = '"2"'
    assert fetch(offer).sha256 == offer.sha256


def test_wrong_bytes_are_not_kept(offer: Offer, server: Server) -> None:
    server.body += b"!"
    with pytest.raises(WrongHash, match="is not the manifest's"):
        fetch(offer)
    assert [binary.name for binary in binaries.installed()] == ["virtual"]


def test_an_address_that_moves_is_pinned_at_its_first_fetch(offer: Offer, server: Server) -> None:
    moving = replace(offer, sha256="")
    first = fetch(moving)
    server.body += b"!"
    server.tag = '"2"'
    with pytest.raises(WrongHash) as caught:
        fetch(moving)
    assert "--repin" in caught.value.hint
    assert fetch(moving, repin=True).sha256 != first.sha256


def test_a_server_s_refusal_and_a_dead_server_are_one_line(offer: Offer, server: Server) -> None:
    server.status = 404
    with pytest.raises(FetchFailed, match="HTTP 404"):
        fetch(offer)
    dead = replace(offer, url="http://127.0.0.1:9/x")
    with pytest.raises(FetchFailed, match="cannot fetch"):
        fetch(dead)


def test_only_https_is_trusted(offer: Offer) -> None:
    with pytest.raises(InputError, match="not an https address"):
        fetch(replace(offer, url="http://example.com/benchmark_model"))


def apk(path: Path, *abis: str, manifest: bool = True) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        if manifest:
            archive.writestr("AndroidManifest.xml", b"\x03\x00\x08\x00")
        for abi in abis:
            archive.writestr(f"lib/{abi}/libtensorflowlite_benchmark.so", b"\x7fELF" + abi.encode())
    return path


def test_an_apk_tells_the_abis_of_its_libraries(tmp_path: Path) -> None:
    added = binaries.add(apk(tmp_path / "b.apk", "armeabi-v7a", "arm64-v8a"), version="2.20")
    assert (added.abi, added.flavour, added.tool, added.is_apk) == ("arm64-v8a,armeabi-v7a", "apk", "tflite", True)
    assert added.name == "tflite-2.20-arm64-v8a-armeabi-v7a-apk"
    assert binaries.choose(["armeabi-v7a"], via="apk") == added


@pytest.mark.parametrize("kind", ["no libraries", "no manifest", "unknown ABI", "cut", "huge list"])
def test_what_is_no_apk_for_a_device_is_refused(tmp_path: Path, kind: str) -> None:
    abis = {"no libraries": [], "unknown ABI": ["mips"]}.get(kind, ["arm64-v8a"])
    file = apk(tmp_path / "x.apk", *abis, manifest=kind != "no manifest")
    data = bytearray(file.read_bytes())
    if kind == "cut":
        del data[-30:]
    if kind == "huge list":
        data[-10:-6] = b"\xff\xff\xff\x7f"
    file.write_bytes(data)
    with pytest.raises(InputError, match="not a benchmark_model"):
        binaries.add(file)


def test_the_shell_never_gets_an_apk_nor_the_app_a_binary(tmp_path: Path) -> None:
    app = binaries.add(apk(tmp_path / "b.apk", "arm64-v8a"), name="app")
    with pytest.raises(EnvironmentProblem, match="no benchmark_model for arm64-v8a"):
        binaries.choose(["arm64-v8a"])
    plain = binaries.add(elf(tmp_path / "bm", ARM64), name="plain")
    assert binaries.choose(["arm64-v8a"]) == plain
    assert binaries.choose(["arm64-v8a"], via="apk") == app
    with pytest.raises(InputError, match="app is an APK, which a shell cannot run"):
        binaries.choose(["arm64-v8a"], name="app")
    with pytest.raises(InputError, match="plain is not an APK"):
        binaries.choose(["arm64-v8a"], name="plain", via="apk")
    with pytest.raises(InputError, match=r"bm is not an APK"):
        binaries.add(tmp_path / "bm", flavour="apk")


def test_no_apk_says_how_to_get_one() -> None:
    with pytest.raises(EnvironmentProblem, match="no benchmark APK for arm64-v8a") as caught:
        binaries.choose(["arm64-v8a"], via="apk")
    offered = next(offer for offer in offers() if f"fetch {offer.name}`" in caught.value.hint)
    assert (offered.abi, offered.is_apk) == ("arm64-v8a", True)
    assert offered.url.endswith("android_aarch64_benchmark_model.apk")
