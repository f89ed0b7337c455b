"""What was measured over all runs: documented columns and units, filters, what counts, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import devbench.results
from devbench.errors import InputError
from devbench.metrics import OPERATOR_TIME, shown_in, stored
from devbench.results.columns import Coded, frame_of
from devbench.results.history import History
from devbench.results.records import DeviceRecord
from devbench.results.store import Store
from tests.made.samples import NOW, RUN, SESSION, add_run, job_record, repetition, run_record

CASE = "model · gpu · 4 threads"
JOB = {
    "run_id": RUN, "job": 1, "device_key": "KEY", "device": "Phone (KEY)", "virtual": False, "case": CASE,
    "model": "model", "delegate": "gpu", "threads": 4,
}  # fmt: skip


@pytest.fixture
def history(store: Store, url: str) -> Iterator[History]:
    """Three nights: the second is slower, in the third the device had another system."""
    add_run(store)
    add_run(store, 1, (1500.0, 1600.0, 1700.0))
    newer = DeviceRecord(
        "KEY", "127.0.0.1:9", "Phone (KEY)", False, "generic-phone", {"abis": ["arm64-v8a"], "sdk": 35}
    )
    add_run(store, 2, device=newer)
    with devbench.results.open_history(url) as opened:
        yield opened


def only(frame: pd.DataFrame) -> dict[str, object]:
    assert len(frame) == 1
    return dict(frame.iloc[0])


def test_every_query_says_of_each_row_whose_it_is(history: History) -> None:
    for query in (history.latencies, history.samples, history.series, history.operator_types, history.operators):
        frame = query(runs=[RUN])
        assert {name: frame.iloc[0][name] for name in JOB} == JOB
        assert str(frame["started_utc"].dtype) == "datetime64[us, UTC]"


def test_latencies_are_those_that_count_in_milliseconds(history: History) -> None:
    frame = history.latencies(runs=[RUN])
    assert frame["latency_ms"].tolist() == [1.0, 1.1, 1.2]
    assert frame["started_utc"].tolist() == [NOW + timedelta(seconds=index) for index in range(3)]


def test_series_have_a_median_a_job_in_the_unit_of_the_metric(history: History) -> None:
    frame = history.series(devices=["KEY"], cases=[CASE])
    values = {metric: of["value"].tolist() for metric, of in frame.groupby("metric")}
    assert values == {
        "latency": [1.1, 1.6, 1.1],
        "init": [5.0] * 3,
        "first_inference": [2.2, 3.2, 2.2],
        "peak_memory": [80.0] * 3,
        "delegated_node_share": [0.75] * 3,
        "model_size": [3e9] * 3,
    }
    latency = frame[frame["metric"] == "latency"].iloc[1]
    assert (latency["low"], latency["high"], latency["n"], latency["unit"]) == (1.5, 1.7, 3, "ms")
    assert frame[frame["metric"] == "peak_memory"]["low"].isna().all()
    assert set(values) == set(stored()) == set(shown_in("history")) - {OPERATOR_TIME}


def test_samples_have_a_row_a_repetition(history: History) -> None:
    frame = history.samples(("latency", "model_size"), runs=[RUN])
    assert frame["value"].tolist() == [1.0, 1.1, 1.2, 3e9]
    assert frame["repetition"].tolist() == [0, 1, 2, 0]
    assert frame["unit"].tolist() == ["ms"] * 3 + ["bytes"]
    with pytest.raises(InputError, match="no metric 'speed'"):
        history.samples(("speed",))


def test_operator_types_count_each_operator_once(history: History) -> None:
    frame = history.operator_types(runs=[RUN])
    found = frame[["type", "place", "count", "total_ms", "share"]].to_records(index=False).tolist()
    assert found == [("TfLiteGpuDelegateV2", "delegate", 1, 0.9, 0.9), ("SOFTMAX", "cpu", 1, 0.1, 0.1)]
    assert history.operators(runs=[RUN])["name"].tolist() == ["Delegate/0", "[s]", "Delegate/1"]
    row = only(history.delegation(runs=[RUN]))
    assert (row["nodes_delegated"], row["nodes_total"], row["delegated_node_share"]) == (3, 4, 0.75)


def test_conditions_are_a_row_a_reading(history: History) -> None:
    frame = history.conditions(runs=[RUN])
    assert frame["hottest_c"].dropna().tolist() == [40.0]
    assert frame["load_1min"].tolist() == [0.5] * 4
    assert set(frame["moment"]) == {"before"}


def test_a_device_is_a_row_and_what_changed_of_it(history: History) -> None:
    row = only(history.devices())
    assert (row["device_key"], row["runs"], row["facts"]["sdk"]) == ("KEY", 3, 35)  # type: ignore[index]
    change = only(history.device_changes())
    assert (change["fact"], change["before"], change["after"]) == ("sdk", None, "35")
    assert change["started_utc"] == NOW + timedelta(days=2)


def test_starts_are_the_runs_without_their_counts(history: History) -> None:
    for filters in ({}, {"since": NOW + timedelta(hours=1)}, {"labels": {"no": "such"}}):
        frame = history.runs(**filters)  # type: ignore[arg-type]
        expected = zip(frame["run_id"], frame["started_utc"].dt.to_pydatetime(), frame["labels"], strict=True)
        found = [(run.run_id, run.started_utc, run.labels) for run in history.starts(**filters)]  # type: ignore[arg-type]
        assert found == list(expected)


def test_columns_without_pandas_are_those_of_the_frames(history: History) -> None:
    pd.testing.assert_frame_equal(frame_of(history.series_columns()[0])[list(history.series())], history.series())
    times = (
        frame_of(history.series_columns(("operator_time",))[0])
        .groupby(["run_id", "job", "operator_type"])["value"]
        .first()
    )
    types = history.operator_types().groupby(["run_id", "job", "type"])["total_ms"].sum()
    assert len(times) > 1
    assert times.to_dict() == pytest.approx(types.to_dict())


def test_operator_times_of_runs_without_a_profile_are_no_rows(history: History) -> None:
    columns = history.series_columns(("operator_time",), models=["none"])[0]
    assert {len(column) for column in columns.values()} == {0}
    assert isinstance(columns["operator_type"], Coded)


def test_a_device_is_called_what_it_was_called_last(history: History, store: Store) -> None:
    renamed = DeviceRecord("KEY", "127.0.0.1:9", "Renamed (KEY)", False, "generic-phone", {})
    add_run(store, 3, device=renamed)
    assert history.device_titles() == {"KEY": "Renamed (KEY)"}


def test_runs_are_listed_with_their_labels(history: History) -> None:
    frame = history.runs()
    assert frame["labels"].tolist()[0] == {"build": "7", "branch": "main"}
    assert frame["jobs"].tolist() == [1, 1, 1]
    assert frame["failed_jobs"].tolist() == [0, 0, 0]
    assert not frame["virtual"].any()


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({}, 3),
        ({"runs": [RUN]}, 1),
        ({"labels": {"build": "8"}}, 1),
        ({"labels": {"build": "8", "branch": "other"}}, 0),
        ({"since": NOW + timedelta(hours=1)}, 2),
        ({"until": NOW + timedelta(hours=1)}, 1),
        ({"devices": ["KEY"], "models": ["model"], "delegates": ["gpu"], "cases": [CASE]}, 3),
        ({"devices": ["OTHER"]}, 0),
        ({"delegates": ["cpu"]}, 0),
    ],
)
def test_filters_leave_out_what_is_not_asked_for(history: History, filters: dict[str, object], count: int) -> None:
    assert len(history.series(("latency",), **filters)) == count  # type: ignore[arg-type]
    assert len(history.latencies(**filters)) == 3 * count  # type: ignore[arg-type]
    assert len(history.conditions(**filters)) == 4 * count  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        history.series(device="KEY")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("text", "nights"),
    [
        ("latest", [2]), (RUN, [0]), ("20261124", [1]), ("build=8", [1]), ("branch=main", [0, 1, 2]),
        ("2026-11-24", [1]), ("2026-11", [0, 1, 2]), ("2026-11-24..", [1, 2]), ("..2026-11-24", [0, 1]),
        ("2026-11-23..2026-11-24", [0, 1]), ("2026-11-23T12:00", [0]), ("2026-11-23T13:00+01:00", [0]),
    ],
)  # fmt: skip
def test_runs_are_found_by_what_people_call_them(history: History, text: str, nights: list[int]) -> None:
    expected = tuple(f"{NOW + timedelta(days=night):%Y%m%d-%H%M%S}-aaaa" for night in nights)
    assert history.find_runs(text) == expected


@pytest.mark.parametrize("text", ["build=99", "2020-01-01", "2026-13-01", "nothing", "2026-11-2x..", "..", "=", ""])
def test_what_names_no_run_is_one_clear_line(history: History, text: str) -> None:
    with pytest.raises(InputError):
        history.find_runs(text)


def test_what_counts_follows_the_repetitions_that_come(store: Store, url: str) -> None:
    def counting() -> list[int]:
        with devbench.results.open_history(url) as history:
            return sorted(history.latencies()["repetition"].tolist())

    store.create_run(run_record())
    store.add_job(job_record())
    store.add_repetition(repetition(verdict="unreliable"))
    assert counting() == [0]  # for want of a better one
    store.add_repetition(repetition(index=1, verdict="valid"))
    assert counting() == [1]
    store.add_repetition(repetition(index=2, status="failed", failure_kind="crash", latency_avg_us=None))
    assert counting() == [1]
    wrong = replace(repetition(purpose="outputs", status="failed", failure_kind="output_mismatch"), latency_avg_us=None)
    store.add_repetition(wrong)
    assert counting() == []
    with devbench.results.open_history(url) as history:
        assert history.series(("latency",)).empty


def test_an_empty_store_gives_empty_frames_with_their_columns(store: Store, url: str) -> None:
    with devbench.results.open_history(url) as history:
        for query in (history.runs, history.latencies, history.samples, history.series, history.operator_types,
                      history.operators, history.delegation, history.conditions, history.devices, history.jobs,
                      history.device_changes):  # fmt: skip
            frame = query()
            assert frame.empty
            assert len(frame.columns) > 5


@pytest.mark.campaign
@pytest.mark.parametrize("what", ["a run", "a job", "a failed repetition", "no profile", "a failed session"])
def test_a_store_that_measured_little_can_be_asked_for_everything(store: Store, url: str, what: str) -> None:
    store.create_run(run_record())
    if what != "a run":
        store.add_job(job_record())
    if what == "a failed repetition":
        store.add_repetition(repetition(status="failed", failure_kind="crash", latency_avg_us=None, operators=()))
    elif what == "no profile":
        store.add_repetition(repetition(operators=()))
    elif what == "a failed session":
        store.add_pipeline_session(replace(SESSION, status="failed", latency_ms=None, stages=(), samples=()))
    nothing: dict[str, Any] = {"models": ("none",)}
    with devbench.results.open_history(url) as history:
        for query in (history.runs, history.starts, history.jobs, history.latencies, history.pipelines,
                      history.pipeline_stages, history.operator_types, history.operators, history.delegation,
                      history.files, history.used_files, history.states_of_cases, history.unreliable,
                      history.conditions, history.devices, history.device_changes):  # fmt: skip
            assert len(query()) <= 1, query
            assert len(query(**nothing)) <= 1, query
        for metrics in ((OPERATOR_TIME,), *((name,) for name in stored())):
            measured = what == "no profile" and metrics in (("latency",), ("model_size",))
            for filters, expected in (({}, measured), (nothing, 0)):
                assert sum(len(part["run_id"]) for part in history.series_columns(metrics, **filters)) == expected


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no results store"):
        devbench.results.open_history(str(tmp_path / "none.db"))
    assert not (tmp_path / "none.db").exists()
