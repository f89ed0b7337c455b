"""`devbench serve` on loopback: the pages of a store, and what it refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from devbench.errors import InputError
from devbench.serve.server import Server
from tests.made.phones import OTHER, RUN_ID, later, phone_view, stored
from tests.serve.asking import ask, served


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    view = phone_view()
    url = stored(tmp_path_factory.mktemp("store") / "results.db", view, later(view))
    with served(url) as number:
        yield number


def test_the_pages_of_a_store(port: int) -> None:
    status, runs, _ = ask(port, "/")
    assert status == 200
    assert f'href="/run/{RUN_ID}"' in runs
    status, run, _ = ask(port, f"/run/{RUN_ID}")
    assert status == 200
    assert f"Run {RUN_ID}" in run
    assert 'href="/"' in run
    status, compared, _ = ask(port, f"/compare?baseline={RUN_ID}&candidate={OTHER}")
    assert status == 200
    assert "What changed" in compared
    status, history, _ = ask(port, "/history?device=37021JE&metric=latency")
    assert status == 200
    assert "Pixel 8 Pro" in history


def test_every_answer_has_a_strict_policy_and_is_not_kept(port: int) -> None:
    for path in ("/", "/nothing"):
        _, _, headers = ask(port, path)
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"


def test_head_has_no_body_and_nothing_but_reading_is_answered(port: int) -> None:
    status, text, headers = ask(port, "/", method="HEAD")
    assert (status, text) == (200, "")
    assert int(headers["Content-Length"]) > 1000
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        status, _, headers = ask(port, "/", method=method)
        assert status == 405, method
        assert headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "", "127.0.0.1", "localhost", "127.0.0.1:1"])
def test_another_name_gets_nothing(port: int, host: str) -> None:
    status, text, _ = ask(port, "/", host=host)
    assert status == 403
    assert RUN_ID not in text


def test_localhost_is_its_own_name(port: int) -> None:
    assert ask(port, "/", host=f"localhost:{port}")[0] == 200


@pytest.mark.parametrize(
    "path",
    ["/../etc/passwd", "/run/../../etc/passwd", "/run/..%2f..%2fetc%2fpasswd", "/run/%2e%2e/x", "/run/", "/run/%00",
     "/run/20990101-000000-0000", "//etc/passwd", "/artifacts/x", "/run/<script>"],
)  # fmt: skip
def test_what_is_not_a_page_is_not_found(port: int, path: str) -> None:
    status, text, _ = ask(port, path)
    assert status == 404
    assert "root:" not in text
    assert "<script>alert" not in text


@pytest.mark.parametrize(
    "path",
    ["/?x=1", "/history?metric=speed", "/history?since=yesterday", "/history?device=%3Cscript%3E", "/compare?baseline=a",
     f"/compare?baseline={RUN_ID}&candidate={RUN_ID}", f"/compare?baseline={'a' * 300}&candidate=latest",
     "/compare?baseline=%27%20OR%201=1&candidate=latest"],
)  # fmt: skip
def test_a_parameter_that_makes_no_sense_is_refused(port: int, path: str) -> None:
    status, text, _ = ask(port, path)
    assert status == 400
    assert "This page cannot be shown" in text
    assert "<script>alert" not in text


def test_many_readers_at_once(port: int) -> None:
    found: list[int] = []
    readers = [threading.Thread(target=lambda: found.append(ask(port, f"/run/{RUN_ID}")[0])) for _ in range(8)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(60)
    assert found == [200] * 8


def test_a_store_that_is_not_there_and_a_port_that_is_taken_are_told(port: int, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        Server(str(tmp_path / "none.db"), 0)
    done = subprocess.run(
        [sys.executable, "-m", "devbench.cli.app", "serve", "--port", str(port), "--store",
         stored(tmp_path / "r.db", phone_view())],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert "choose another --port" in done.stderr


def test_ctrl_c_ends_it_cleanly(tmp_path: Path) -> None:
    url = stored(tmp_path / "r.db", phone_view())
    command = [sys.executable, "-m", "devbench.cli.app", "serve", "--port", "0", "--store", url]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as server:
        assert server.stdout is not None
        assert "http://127.0.0.1:" in server.stdout.readline()
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=30)
    assert server.returncode == 0
    assert out.strip() == "ended"
    assert err == ""
