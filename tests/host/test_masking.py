"""No password and no token of an address is in anything that is shown or kept, in whatever form it was written."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from devbench.errors import DevbenchError
from devbench.host.masking import mask_url, mask_words, scrub, secrets_of
from devbench.results.engine import Database
from devbench.results.store import Store

# The secret's pieces: none of them may come out, wherever a parser cuts.
FORMS = [
    "postgresql://me:SECRET@127.0.0.1:9/db",
    "postgresql+psycopg://me:SECRET@127.0.0.1:9/db",
    "postgresql+psycopg://me:SEC/RET@127.0.0.1:9/db",
    "postgresql+psycopg://me:SEC%2FRET@127.0.0.1:9/db",
    "postgresql+psycopg://me:SEC%40RET@127.0.0.1:9/db",
    "postgresql+psycopg://me:SEC@RET@127.0.0.1:9/db",
    "postgresql+psycopg://me:SEC:RET@127.0.0.1:9/db",
    "postgresql+psycopg://me:SEC?RET@127.0.0.1:9/db",
    "postgresql+psycopg://me:SEC#RET@127.0.0.1:9/db",
    "postgresql+psycopg://me:SEC RET@127.0.0.1:9/db",
    "postgresql+psycopg://me:SEC&RET=1@127.0.0.1:9/db",
    "postgresql+psycopg://me:SECRET@[::1]:9/db",
    "postgresql+psycopg://me:SECRET@/db?host=/nowhere",
    "postgresql+psycopg://me:SECRET@127.0.0.1:port/db",
    "postgresql+psycopg://:SECRET@127.0.0.1:9/db",
    "postgresql+psycopg://m/e:SECRET@127.0.0.1:9/db",
    "postgresql+psycopg://m%2Fe:SECRET@127.0.0.1:9/db",
    "postgresql+psycopg://127.0.0.1:9/db?user=me&password=SECRET",
    "postgresql+psycopg://127.0.0.1:9/db?password=SEC@RET",
    "postgresql+psycopg://127.0.0.1:9/db?password=SEC/RET",
    "postgresql+psycopg://127.0.0.1:9/db?password=SEC%26RET",
    "postgresql+psycopg://127.0.0.1:9/db?PASSWORD=SECRET",
    "postgresql+psycopg://127.0.0.1:9/db?sslpassword=SECRET&sslmode=disable",
    "postgresql+psycopg://?host=127.0.0.1&port=9&password=SECRET",
    "postgresql+psycopg://?host=127.0.0.1&port=9&password=SEC@RET",
    "postgresql+psycopg:///db?service=none&password=SECRET",
    "postgresql+psycopg:///db?passfile=/nowhere/SECRET",
    "postgresql+psycopg://127.0.0.1:9/db?options=-csearch_path%3DSECRET",
    "postgresql+nodriver://me:SECRET@127.0.0.1:9/db",
    "mysql://me:SECRET@127.0.0.1/db",
    "postgres://me:SECRET@127.0.0.1:9/db",
    "host=127.0.0.1 port=9 password=SECRET",
    "host=127.0.0.1 password = 'SEC RET'",
]  # fmt: skip


def leaks(text: str) -> bool:
    return any(piece in text for piece in ("SECRET", "SEC", "RET"))


@pytest.mark.parametrize("url", FORMS)
def test_a_password_in_any_form_of_an_address_is_in_no_error_and_no_stored_command(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not leaks(mask_url(url))
    assert not leaks(" ".join(mask_words(["runs", "--store", url, f"--store={url}", f"--label=x={url}", url])))
    monkeypatch.chdir(tmp_path)
    try:
        Database(url, create=False).close()
    except DevbenchError as error:
        assert not leaks(str(error))


@pytest.mark.parametrize("url", [FORMS[0], FORMS[5], FORMS[17]])
def test_a_command_that_cannot_reach_the_store_shows_no_password(url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "devbench", "runs", "--store", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert done.returncode in (2, 3)
    assert not leaks(done.stdout + done.stderr)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host/model.tflite?token=SECRET&x", "https://host/model.tflite?token=***&x=***"),
        ("https://me:SECRET@host:8443/a", "https://***@host:8443/a"),
        ("https://host:port/SECRET", "https://***"),
        ("s3://key:SECRET@bucket/a", "s3://***@bucket/a"),
        ("postgresql://me:SECRET@host/db", "postgresql://me:***@host/db"),
        ("postgresql://host/db?sslmode=require&password=SECRET", "postgresql://host/db?password=***&sslmode=require"),
        ("sqlite:///a/b.db", "sqlite:///a/b.db"),
        ("results.db", "results.db"),
        ("model.tflite", "model.tflite"),
    ],
)
def test_what_is_no_secret_stays_readable(url: str, shown: str) -> None:
    assert mask_url(url) == shown


def test_what_others_say_is_cleaned_of_the_secrets() -> None:
    secrets = secrets_of("postgresql://me:SEC%2FRET@host/db")
    assert scrub('cannot use "SEC/RET" nor "SEC%2FRET"', secrets) == 'cannot use "***" nor "***"'


@pytest.mark.skipif(os.name != "posix", reason="rights of files are POSIX's")
def test_a_store_and_its_raw_outputs_belong_to_their_owner_alone(tmp_path: Path) -> None:
    with Store(str(tmp_path / "r.db")) as store:
        raw = store.artifacts.root / store.artifacts.write("run", "x", b"text")
    for file in (tmp_path / "r.db", raw):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
