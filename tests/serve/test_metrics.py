"""`/metrics` of `devbench serve`, read with the parser of Prometheus's client."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from devbench.results.history import History
from tests.made.phones import later, phone_view, stored
from tests.made.views import EVIL, view
from tests.serve.asking import ask, served


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[str, int]]:
    base = phone_view()
    url = stored(tmp_path / "results.db", base, later(base), view(name=EVIL, title=EVIL))
    with served(url) as port:
        yield url, port


def test_the_last_value_of_each_series_in_base_units(opened: tuple[str, int]) -> None:
    url, port = opened
    status, text, headers = ask(port, "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    found = {family.name: family for family in text_string_to_metric_families(text)}
    with History(url) as history:
        frame = history.series(["latency"])
    last = frame.groupby(["device_key", "case"])["value"].last()
    got = {(one.labels["device"], one.labels["case"]): one.value for one in found["devbench_latency_seconds"].samples}
    assert len(got) == len(last) > 2
    assert sorted(got.values()) == pytest.approx(sorted(last / 1000))
    assert found["devbench_latency_seconds"].unit == "seconds"
    assert sum(one.value for one in found["devbench_runs"].samples) == 3
    sizes = [one.value for one in found["devbench_model_size_bytes"].samples]
    assert all(size > 0 for size in sizes) and len(sizes) == len(last)
    hostile = [one.labels["model"] for one in found["devbench_latency_seconds"].samples if "<" in one.labels["model"]]
    assert len(hostile) == 1 and "\n" not in hostile[0]


def test_without_the_library_the_answer_names_it(opened: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    status, text, _ = ask(opened[1], "/metrics")
    assert status == 500
    assert "/metrics needs the Python package prometheus-client" in text
    assert "litert-devbench[metrics]" in text
