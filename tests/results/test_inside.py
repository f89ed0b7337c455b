"""Nothing outside a folder from elsewhere is read or written: no link is followed, and only regular files are read."""

from __future__ import annotations

import gzip
import os
import random
from pathlib import Path

import pytest

from devbench.errors import InputError
from devbench.results.artifacts import Artifacts, DamagedRaw, open_inside
from devbench.results.exchange.folder import export_store, import_folder, merge_store, open_folder
from devbench.results.selection import Selection
from devbench.results.store import Store
from tests.made.samples import RUN, add_run, repetition

SECRET = b"of this machine"
RAW = f"{RUN}/job0001-0.txt.gz"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.mkdir()
    (path / "job0001-0.txt.gz").write_bytes(SECRET)
    (path / RUN).mkdir()
    (path / RAW).write_bytes(SECRET)
    return path


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    with Store(str(tmp_path / "from" / "a.db")) as store:
        add_run(store)
        store.artifacts.write(RUN, "job0001-0", b"raw")
        store.add_repetition(repetition(index=7, raw_path=RAW))
        export_store(store, tmp_path / "out", Selection(), raw=True)
    return tmp_path / "out"


def taken(tmp_path: Path, folder: Path) -> list[bytes]:
    """All files among the raw outputs of a store that took the export in, and of an export of that store."""
    with Store(str(tmp_path / "to" / "b.db")) as store:
        import_folder(store, open_folder(folder))
        export_store(store, tmp_path / "again", Selection(), raw=True)
    roots = (tmp_path / "to" / "artifacts", tmp_path / "again" / "artifacts")
    return [path.read_bytes() for root in roots for path in root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("link", ["artifacts", f"artifacts/{RUN}", f"artifacts/{RAW}"])
def test_no_link_among_raw_outputs_of_an_export_is_followed(
    tmp_path: Path, exported: Path, secret: Path, link: str
) -> None:
    place = exported / link
    target = {"artifacts": secret, f"artifacts/{RUN}": secret / RUN}.get(link, secret / RAW)
    place.rename(tmp_path / "moved")
    place.symlink_to(target)
    assert SECRET not in taken(tmp_path, exported)


@pytest.mark.parametrize("link", ["artifacts", f"artifacts/{RUN}", f"artifacts/{RAW}"])
def test_no_link_among_raw_outputs_of_another_store_is_followed(
    tmp_path: Path, exported: Path, secret: Path, link: str
) -> None:
    place = tmp_path / "from" / link
    target = {"artifacts": secret, f"artifacts/{RUN}": secret / RUN}.get(link, secret / RAW)
    place.rename(tmp_path / "moved")
    place.symlink_to(target)
    with Store(str(tmp_path / "from" / "a.db")) as other, Store(str(tmp_path / "to" / "b.db")) as store:
        assert merge_store(store, other).raw == 0


@pytest.mark.parametrize("name", ["manifest.json", "runs.jsonl", "details.jsonl"])
@pytest.mark.parametrize("kind", ["link", "fifo", "device"])
def test_tables_and_manifest_of_an_export_are_regular_files(
    tmp_path: Path, exported: Path, name: str, kind: str
) -> None:
    place = exported / name
    place.rename(tmp_path / "moved")
    if kind == "fifo":
        os.mkfifo(place)
    else:
        place.symlink_to(tmp_path / "moved" if kind == "link" else "/dev/zero")
    with pytest.raises(InputError, match="not a regular file" if kind == "fifo" else "links are not followed"):
        open_folder(exported)


def test_raw_outputs_that_are_no_files_are_left_out(tmp_path: Path, exported: Path) -> None:
    place = exported / "artifacts" / RAW
    place.unlink()
    os.mkfifo(place)
    assert taken(tmp_path, exported) == []


def test_a_link_among_the_own_raw_outputs_is_not_written_through(tmp_path: Path, exported: Path, secret: Path) -> None:
    (tmp_path / "to" / "artifacts").mkdir(parents=True)
    (tmp_path / "to" / "artifacts" / RUN).symlink_to(secret)
    (secret / "job0001-0.txt.gz").unlink()
    taken(tmp_path, exported)
    assert sorted(path.name for path in secret.iterdir()) == [RUN]


def test_no_raw_output_of_another_run_is_written_or_handed_on(tmp_path: Path) -> None:
    other_run = "20200101-000000-bbbb"
    with Store(str(tmp_path / "a.db")) as source, Store(str(tmp_path / "to" / "b.db")) as store:
        add_run(source)
        path = source.artifacts.write(other_run, "job0001-0", b"planted")
        source.add_repetition(repetition(index=7, raw_path=path))
        assert merge_store(store, source).raw == 0
        store.artifacts.write(other_run, "job0001-0", b"of another run")
        assert export_store(store, tmp_path / "out", Selection(runs=[RUN]), raw=True).raw == 0


@pytest.mark.parametrize("relative", ["..", "../x", "/etc/passwd", "a//b", "a/../../x", "", "a/.", "a\0b", "x" * 300])
def test_paths_that_lead_outside_are_refused(tmp_path: Path, relative: str) -> None:
    with pytest.raises(InputError, match="not a path within"):
        open_inside(tmp_path, relative)


def test_a_raw_output_that_is_damaged_anywhere_is_one_clear_line(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    relative = artifacts.write(RUN, "job0001-0", [random.Random(1).randbytes(3000) + b"text\n" * 1000])
    whole = (tmp_path / relative).read_bytes()
    for place in range(0, len(whole), 7):
        bits = bytearray(whole)
        bits[place] ^= 0x21
        (tmp_path / relative).write_bytes(bits)
        try:
            assert len(artifacts.read(relative)) == 8000  # the header has bits without a meaning
        except DamagedRaw as error:
            assert error.what.startswith(f"raw output damaged: {relative}")
            assert "\n" not in error.what
    for length in (0, 5, 20, len(whole) - 1):
        (tmp_path / relative).write_bytes(whole[:length])
        with pytest.raises(DamagedRaw):
            artifacts.read(relative)


def test_raw_outputs_unpack_to_a_limited_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from devbench.results import artifacts as module

    monkeypatch.setattr(module, "MAX_RAW_BYTES", 1 << 20)
    artifacts = Artifacts(tmp_path)
    (tmp_path / RUN).mkdir()
    (tmp_path / RAW).write_bytes(gzip.compress(bytes(4 << 20)))
    with pytest.raises(DamagedRaw, match="larger than 1 MiB"):
        artifacts.read(RAW)
