"""A password in the address of a PostgreSQL store is in nothing that a run, a report or an export leaves behind."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.conftest import DATA

SECRET = "SEC/RET"


@pytest.mark.campaign
@pytest.mark.postgres
@pytest.mark.parametrize("new_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("form", ["{user}:SEC%2FRET@{rest}", "{user}:SEC/RET@{rest}", "{user}@{rest}?password=SEC/RET"])
def test_nothing_that_is_written_has_the_password(
    new_url: Callable[[], str], form: str, tmp_path: Path, adb_server_port: int
) -> None:
    plain = new_url()
    scheme, _, rest = plain.partition("://")
    user, _, rest = rest.partition("@")
    url = f"{scheme}://{form.format(user=user, rest=rest)}"
    written = ""

    def devbench(*words: object) -> None:
        nonlocal written
        command = [sys.executable, "-m", "devbench", *map(str, words), "--store", url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        written += done.stdout + done.stderr

    short = ("--num-runs", "2", "--min-secs", "0", "--warmup-min-secs", "0", "--unreliable-retries", "0")
    devbench(
        "run", DATA / "tiny_conv.tflite", "-d", "virtual", "-D", "cpu", "-r", "1", "--json", "run.json", "--csv",
        "run.csv", "--out", "report", "--no-profile", *short,
    )  # fmt: skip
    devbench("runs", "--json")
    devbench("show", "latest", "--json")
    devbench("report", "latest", "--out", "again")
    devbench("export", "out", "--raw")
    for file in (path for path in tmp_path.rglob("*") if path.is_file()):
        data = file.read_bytes()
        text = (gzip.decompress(data) if file.suffix == ".gz" else data).decode("utf-8", "replace")
        # The page's charts library and pictures are long base64, in which any three letters may be.
        written += re.sub(r"[A-Za-z0-9+/=]{500,}", "", text)
    engine = sa.create_engine(plain)
    with engine.connect() as connection:
        for table in ("runs", "labels", "documents"):
            written += str(connection.exec_driver_sql(f"SELECT * FROM {table}").fetchall())
    engine.dispose()
    assert "--store" in written, "the command is kept"
    assert not any(piece in written for piece in (SECRET, "SEC%2FRET", "SEC", "/RET"))
