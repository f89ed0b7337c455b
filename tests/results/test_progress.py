"""What is noted of a run on its way, and taking it up again, on both databases."""

from __future__ import annotations

from datetime import timedelta

from devbench.results.store import Store
from tests.made.samples import NOW, run_record


def test_a_run_is_opened_again(store: Store) -> None:
    run = run_record()
    store.create_run(run)
    store.finish_run(run.run_id, "interrupted", NOW)
    store.reopen_run(run.run_id)
    view = store.run(run.run_id)
    assert (view.status, view.finished_utc) == ("running", None)


def test_an_option_is_noted_beside_the_others(store: Store) -> None:
    for number in range(3):
        store.create_run(run_record(f"20261123-12000{number}-aaaa", NOW + timedelta(seconds=number)))
    ids = ["20261123-120000-aaaa", "20261123-120002-aaaa"]
    for run_id in ids:
        store.note_option(run_id, "nightly", {"reported": False})
    store.note_option(ids[0], "nightly", {"reported": True})
    found = store.runs_with_option("nightly")
    assert [run.run_id for run in found] == ids[::-1], "the newest first"
    assert found[1].options == {**run_record().options, "nightly": {"reported": True}}
    assert (found[1].started_utc, found[1].host) == (NOW, run_record().host)


def test_what_a_dead_process_was_writing_is_dropped(store: Store) -> None:
    run = run_record()
    store.create_run(run)
    store.reopen_run(run.run_id)
    kept = store.artifacts.write(run.run_id, "job", b"whole")
    part = store.artifacts.root / run.run_id / ".job.txt.gz.x1"
    part.write_bytes(b"half")
    store.reopen_run(run.run_id)
    assert not part.exists()
    assert store.artifacts.read(kept) == b"whole"
