"""The views and the dashboard for Grafana: each query of the dashboard runs on a real PostgreSQL, as Grafana's role."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from devbench.farm.database import farm_url, init
from devbench.results.store import Store
from tests.made import store as made
from tests.results.conftest import fresh_database
from tests.results.postgres import server

pytestmark = pytest.mark.postgres
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
DASHBOARD = json.loads((EXAMPLES / "grafana-dashboard.json").read_text("utf-8"))
VARIABLES = {"metric": "latency", "model": "All", "device": "All"}


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with server() as url:
        yield url


@pytest.fixture(params=["store", "farm"])
def engine(request: pytest.FixtureRequest, base: str) -> Iterator[sa.Engine]:
    url = fresh_database(base)
    if request.param == "farm":
        init(farm_url(url), {"host": ["lab1"]}, None)
    with Store(url) as store:
        made.make(store)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        # Twice: it is run again after an update.
        for _ in range(2):
            connection.exec_driver_sql((EXAMPLES / "grafana-views.sql").read_text("utf-8"))
    yield engine
    engine.dispose()


def expanded(query: str) -> str:
    """The query as Grafana sends it."""
    query = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 BETWEEN '2020-01-01T00:00:00Z' AND '2040-01-01T00:00:00Z'", query)
    for name, value in VARIABLES.items():
        query = query.replace(f"${name}", value)
    assert "$" not in query
    return query


def queries() -> dict[str, str]:
    found = {panel["title"]: panel["targets"][0]["rawSql"] for panel in DASHBOARD["panels"]}
    found |= {one["name"]: one["query"] for one in DASHBOARD["templating"]["list"] if one["type"] == "query"}
    return found


def asked(engine: sa.Engine, query: str) -> list[dict[str, Any]]:
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL ROLE devbench_grafana")
        return [dict(row) for row in connection.exec_driver_sql(expanded(query)).mappings()]


def test_every_query_of_the_dashboard_runs_and_the_store_s_have_rows(engine: sa.Engine) -> None:
    rows = {title: asked(engine, query) for title, query in queries().items()}
    assert len(rows) == 16
    of_farm = {"Hosts", "Phones", "Jobs done per hour", "Jobs that failed or were tried again"}
    assert [title for title, found in rows.items() if not found and title not in of_farm] == []
    series = rows["$metric over time, by case"]
    assert {"time", "metric", "value"} == set(series[0])
    assert all(one["value"] > 0 and one["time"].tzinfo is not None for one in series)
    with_farm = asked(engine, "SELECT count(*) > 0 AS there FROM pg_namespace WHERE nspname = 'farm'")[0]["there"]
    assert [row["host"] for row in rows["Hosts"]] == (["lab1"] if with_farm else [])


def test_grafana_s_role_reads_nothing_but_the_views(engine: sa.Engine) -> None:
    for statement in ("SELECT * FROM public.runs", "SELECT * FROM public.details", "DELETE FROM grafana.runs"):
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
            asked(engine, statement)


def test_panels_do_not_overlap_and_use_the_chosen_data_source() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        own = {(at["x"] + k, at["y"] + n) for k in range(at["w"]) for n in range(at["h"])}
        assert not own & cells and at["x"] + at["w"] <= 24
        cells |= own
        assert panel["datasource"]["uid"] == panel["targets"][0]["datasource"]["uid"] == "${datasource}"
        assert set(re.findall(r"(?:FROM|JOIN) (\w+\.\w+)", panel["targets"][0]["rawSql"])) <= {
            f"grafana.{name}" for name in ("runs", "series", "repetitions", "farm_hosts", "farm_phones", "farm_jobs")
        }
