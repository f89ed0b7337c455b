"""Results travel whole, arrive once, and hostile files are one clear line: both formats, both databases."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import devbench.results
from devbench.bench.records import refused_record
from devbench.errors import InputError
from devbench.notices import Effect, Notice, NoticeKind
from devbench.results.column_types import content_id
from devbench.results.exchange import files
from devbench.results.exchange.files import FORMATS, Format
from devbench.results.exchange.folder import MANIFEST, export_store, import_folder, merge_store, open_folder
from devbench.results.selection import Selection, parse_age
from devbench.results.store import Store
from devbench.tool.measurement import Failure, FailureKind
from tests.made.samples import FILES, NOW, RUN, SESSION, add_run, job_record, repetition, run_record

SECOND = f"{NOW + timedelta(days=1):%Y%m%d-%H%M%S}-aaaa"


@pytest.fixture
def make(new_url: Callable[[], str], tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Gives another empty store each time."""
    stores: list[Store] = []

    def new() -> Store:
        stores.append(Store(new_url(), tmp_path / f"artifacts{len(stores)}"))
        return stores[-1]

    yield new
    for store in stores:
        store.close()


def filled(store: Store) -> Store:
    """Two runs, a failed repetition, a hostile name, a pipeline, and a raw output of the first run."""
    add_run(store, files=FILES)
    add_run(store, 1, (1500.0, 1600.0), files=FILES)
    store.add_repetition(
        repetition(
            index=9, status="failed", failure_kind="crash", failure_message="\0 \x1b[1m\ud800", latency_avg_us=None
        )
    )
    store.add_pipeline_session(SESSION)
    store.add_notices(RUN, [Notice(NoticeKind.OPEN_SHAPES, "model", "measured at 1x1x1x3", effect=Effect.EXCLUDED)])
    store.artifacts.write(RUN, "job0001-0", b"what the device said")
    return store


def views(store: Store) -> list[Any]:
    runs = [store.run(RUN), store.run(SECOND)]
    return [*runs, store.pipeline_sessions(RUN)]


def series(store: Store) -> Any:
    with devbench.results.open_history(store.database.url.render_as_string(hide_password=False)) as history:
        frame = history.series()
        return frame.sort_values(["run_id", "metric"], ignore_index=True).drop(columns="job").to_dict("list")


@pytest.mark.parametrize("file_format", FORMATS)
def test_what_is_exported_arrives_the_same_and_once(
    make: Callable[[], Store], tmp_path: Path, file_format: Format
) -> None:
    store, other = filled(make()), make()
    done = export_store(store, tmp_path / "out", Selection(), file_format=file_format, raw=True)
    assert (done.rows["runs"], done.rows["repetitions"], done.raw) == (2, 8, 1)
    first = import_folder(other, open_folder(tmp_path / "out"))
    assert first.added == dict(done.rows)
    assert (first.runs, first.raw) == ({RUN, SECOND}, 1)
    assert views(other) == views(store)
    assert str(series(other)) == str(series(store))
    assert other.artifacts.read(f"{RUN}/job0001-0.txt.gz") == b"what the device said"
    second = import_folder(other, open_folder(tmp_path / "out"))
    assert set(second.added.values()) == {0}
    assert (second.runs, second.conflicts, second.raw) == (set(), [], 0)
    assert views(other) == views(store)
    # New rows get numbers of their own, also after rows that came with some.
    other.add_repetition(repetition(index=10, started_utc=NOW + timedelta(hours=1)))


def test_a_job_that_was_refused_is_stored_and_travels(make: Callable[[], Store], tmp_path: Path) -> None:
    store, other = make(), make()
    add_run(store)
    refusal = Failure(FailureKind.UNKNOWN_FLAG, "no --signature_to_run_for")
    store.add_repetition(refused_record(job_record(), "profile", refusal, ("/b",), "x", NOW + timedelta(hours=1)))
    export_store(store, tmp_path / "out", Selection(), file_format="jsonl", raw=False)
    import_folder(other, open_folder(tmp_path / "out"))
    for one in (store, other):
        last = one.run(RUN).jobs[0].repetitions[-1]
        assert (last.failure_kind, last.duration_s) == ("unknown_flag", 0.0)


@pytest.mark.campaign
@pytest.mark.parametrize("file_format", FORMATS)
def test_large_files_are_read_by_another_process(
    tmp_path: Path, file_format: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_LARGE_BYTES", -1)
    with Store(str(tmp_path / "a.db")) as store, Store(str(tmp_path / "b.db")) as other:
        export_store(filled(store), tmp_path / "out", Selection(), file_format=file_format)
        folder = open_folder(tmp_path / "out")
        import_folder(other, folder)
        assert views(other) == views(store)
        names = tmp_path / "out" / f"operator_names.{file_format}"
        for data, words in ((b"[1]\n", "operator_names"), (names.read_bytes()[:-9], "operator_names")):
            names.write_bytes(data)
            with pytest.raises(InputError, match=words):
                import_folder(other, folder)
        # A reader that dies says nothing.
        monkeypatch.setattr(files, "__name__", "devbench.no_such_module")
        with pytest.raises(InputError, match="cannot be read"):
            import_folder(other, folder)


def test_only_what_is_asked_for_is_exported(make: Callable[[], Store], tmp_path: Path) -> None:
    store = filled(make())
    for number, (selection, runs) in enumerate((
        (Selection(runs=[SECOND]), [SECOND]), (Selection(labels={"build": "7"}), [RUN]),
        (Selection(since=NOW + timedelta(hours=1)), [SECOND]), (Selection(labels={"branch": "main"}), [RUN, SECOND]),
    )):  # fmt: skip
        folder = tmp_path / str(number)
        export_store(store, folder, selection)
        other = make()
        import_folder(other, open_folder(folder))
        assert sorted(run.run_id for run in other.runs()) == runs
        assert other.run(runs[0]) == store.run(runs[0])
    with pytest.raises(InputError, match="no run"):
        export_store(store, tmp_path / "none", Selection(labels={"build": "none"}))
    with pytest.raises(InputError, match="not empty"):
        export_store(store, tmp_path / "0", Selection())


def test_a_run_that_went_on_is_completed(make: Callable[[], Store], tmp_path: Path) -> None:
    """Exported while it ran, and once more when it was done."""
    store, other = make(), make()
    store.create_run(run_record())
    store.add_job(job_record())
    store.add_repetition(repetition())
    export_store(store, tmp_path / "early", Selection())
    import_folder(other, open_folder(tmp_path / "early"))
    assert other.run().status == "running"
    store.add_repetition(repetition(index=1, latency_avg_us=2000.0, started_utc=NOW + timedelta(seconds=9)))
    store.add_job(job_record(number=2, delegate="cpu"))
    store.finish_run(RUN, "done", NOW + timedelta(minutes=1))
    export_store(store, tmp_path / "late", Selection())
    loaded = import_folder(other, open_folder(tmp_path / "late"))
    assert (loaded.added["jobs"], loaded.added["repetitions"]) == (1, 1)
    assert other.run() == store.run()
    assert str(series(other)) == str(series(store))


def test_two_stores_become_one(make: Callable[[], Store]) -> None:
    one, two, three = filled(make()), make(), make()
    add_run(two, 2)
    merge_store(three, one)
    loaded = merge_store(three, two)
    assert loaded.added["runs"] == 1
    assert len(three.runs()) == 3
    assert views(three) == views(one)
    assert three.artifacts.read(f"{RUN}/job0001-0.txt.gz") == b"what the device said"
    assert set(merge_store(three, one).added.values()) == {0}
    with pytest.raises(InputError, match="with itself"):
        merge_store(one, one)


def test_another_run_of_the_same_id_is_left_out_and_said(make: Callable[[], Store]) -> None:
    one, two = filled(make()), make()
    two.create_run(replace(run_record(), command="devbench run something else"))
    add_run(two, 1, (1500.0, 1600.0), delegate="npu")
    before = [two.run(RUN), two.run(SECOND)]
    loaded = merge_store(two, one)
    assert loaded.conflicts == [f"{RUN} is another run here", f"{SECOND} has another job 1 here"]
    assert loaded.added["repetitions"] == 0
    assert [two.run(RUN), two.run(SECOND)] == before


def change(folder: Path, table: str, edit: Callable[[list[dict[str, Any]]], Any]) -> None:
    """Change the rows of an exported table, and the manifest with them."""
    import hashlib

    file = folder / f"{table}.jsonl"
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    edit(rows)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    manifest["tables"][table]["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest), "utf-8")


@pytest.mark.parametrize(
    ("table", "values", "words"),
    [
        ("runs", {"run_id": "../../etc"}, "not the id of a run"),
        ("runs", {"started_utc": "yesterday"}, "not a time"),
        ("runs", {"started_utc": "2026-11-23T12:00:00"}, "not a time"),
        ("runs", {"status": "paused"}, "not one of"),
        ("runs", {"options": [1]}, "not a JSON object"),
        ("devices", {"virtual": "no"}, "truth value"),
        ("devices", {"key": "x" * 81}, "not text of at most 80"),
        ("jobs", {"number": 2**40}, "not a whole number in the range"),
        ("jobs", {"case_id": 5}, "not there"),
        ("jobs", {"binary_sha256": "c" * 64}, "not there"),
        ("repetitions", {"latency_avg_us": "fast"}, "not a finite number"),
        ("repetitions", {"latency_avg_us": float("inf")}, "not a finite number"),
        ("repetitions", {"job_id": 77}, "not there"),
        ("repetitions", {"index": None}, "missing"),
        ("repetitions", {"index": True}, "whole number"),
        ("details", {"argv": "rm -rf"}, "not a JSON array"),
        ("details", {"repetition_id": 10**9}, "not there"),
        ("operators", {"name_id": 1}, "not there"),
        ("operators", {"phase": "later"}, "not one of"),
    ],
)
def test_hostile_values_are_one_clear_line_and_change_nothing(
    make: Callable[[], Store], tmp_path: Path, table: str, values: dict[str, Any], words: str
) -> None:
    export_store(filled(make()), tmp_path / "out", Selection())
    change(tmp_path / "out", table, lambda rows: rows[-1].update(values))
    other = make()
    with pytest.raises(InputError, match=words):
        import_folder(other, open_folder(tmp_path / "out"))
    assert other.runs() == []


def test_rows_that_are_missing_or_twice_do_no_harm(make: Callable[[], Store], tmp_path: Path) -> None:
    export_store(filled(make()), tmp_path / "out", Selection())
    change(tmp_path / "out", "repetitions", lambda rows: rows.append({**rows[0], "id": 10**6}))
    other = make()
    import_folder(other, open_folder(tmp_path / "out"))
    assert len(other.run(RUN).jobs[0].repetitions) == 5
    change(tmp_path / "out", "details", lambda rows: rows.pop())
    with pytest.raises(InputError, match="without their details"):
        import_folder(make(), open_folder(tmp_path / "out"))


def test_no_file_puts_its_words_under_the_number_of_others(make: Callable[[], Store], tmp_path: Path) -> None:
    store, other = filled(make()), make()
    export_store(store, tmp_path / "out", Selection())
    change(tmp_path / "out", "operator_names", lambda rows: [row.update(type="EVIL") for row in rows])
    import_folder(other, open_folder(tmp_path / "out"))
    add_run(other, 5)
    assert "SOFTMAX" in {op.type for r in other.run("latest").jobs[0].repetitions for op in r.operators}
    assert content_id("SOFTMAX", "[s]") != content_id("EVIL", "[s]")


@pytest.mark.parametrize("file_format", FORMATS)
def test_damaged_files_are_one_clear_line(tmp_path: Path, file_format: Format) -> None:
    with Store(str(tmp_path / "a.db")) as store, Store(str(tmp_path / "b.db")) as other:
        export_store(filled(store), tmp_path / "out", Selection(), file_format=file_format)
        file = tmp_path / "out" / f"operators.{file_format}"
        whole = file.read_bytes()
        file.write_bytes(whole[:-3])
        with pytest.raises(InputError, match="is not what"):
            open_folder(tmp_path / "out")
        file.write_bytes(whole)
        folder = open_folder(tmp_path / "out")
        for data in (whole[:-3], b"{}\n", b"[1]\n", b"\xff\n", b"[" * 100_000, b"{},{}\n", b""):
            file.write_bytes(data)
            if data or file_format == "parquet":
                with pytest.raises(InputError):
                    import_folder(other, folder)
        file.unlink()
        with pytest.raises(InputError, match="cannot read"):
            open_folder(tmp_path / "out")
        assert other.runs() == []


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (None, "no export"), ("[]", "not the manifest"), ("{", "cannot read"), ('{"format": "other"}', "not the manifest"),
        ('{"format": "devbench-export-3", "schema": "0099"}', "has schema 0099"),
        ('{"format": "devbench-export-3", "schema": "baseline-2", "files": "../x", "tables": {}}', "not the manifest"),
    ],
)  # fmt: skip
def test_what_is_no_export_is_said(tmp_path: Path, manifest: str | None, words: str) -> None:
    if manifest is not None:
        (tmp_path / MANIFEST).write_text(manifest)
    with pytest.raises(InputError, match=words):
        open_folder(tmp_path)


def test_raw_outputs_are_copied_from_within_their_folder_only(make: Callable[[], Store], tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt.gz"
    secret.write_bytes(b"secret")
    store, other = make(), make()
    add_run(store)
    store.artifacts.write(RUN, "job0001-0", b"raw")
    store.add_repetition(repetition(index=7, raw_path="../secret.txt.gz"))
    (store.artifacts.root / RUN / "link").symlink_to(secret)
    store.add_repetition(repetition(index=8, raw_path=f"{RUN}/link"))
    assert merge_store(other, store).raw == 1
    assert [path.name for path in other.artifacts.root.rglob("*.gz")] == ["job0001-0.txt.gz"]


def test_prune_drops_raw_outputs_by_age_and_no_measurement(make: Callable[[], Store]) -> None:
    store = filled(make())
    store.artifacts.write(SECOND, "job0001-0", b"newer")
    before, now = views(store), NOW + timedelta(days=91)
    wanted = store.prune(parse_age("90d"), now, dry_run=True)
    assert (wanted.runs, wanted.files) == ((RUN,), 1)
    assert store.artifacts.read(f"{RUN}/job0001-0.txt.gz")
    assert store.prune(parse_age("90d"), now) == wanted
    assert views(store) == before
    with pytest.raises(InputError):
        store.artifacts.read(f"{RUN}/job0001-0.txt.gz")
    assert store.artifacts.read(f"{SECOND}/job0001-0.txt.gz") == b"newer"
    assert store.prune(parse_age("90d"), now).runs == ()


@pytest.mark.parametrize("text", ["", "90", "d", "-3d", "3 days", "1e9d", "999999d"])
def test_an_invalid_age_is_rejected(text: str) -> None:
    with pytest.raises(InputError, match="invalid age"):
        parse_age(text)
