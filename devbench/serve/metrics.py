"""`/metrics` of `devbench serve`: the last value of each series of a store, its runs, and its farm, as OpenMetrics.

Values are in base units (seconds, bytes, ratios), as Prometheus has them. Needs prometheus-client (extra `metrics`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from devbench.errors import EnvironmentProblem, install_hint
from devbench.metrics import METRICS, stored
from devbench.results import schema
from devbench.text import clean

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

    from devbench.results.history import History

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
# By the unit of the catalogue: the base unit and its factor.
_UNITS = {"ms": ("seconds", 1e-3), "MB": ("bytes", 1e6), "bytes": ("bytes", 1.0), "": ("ratio", 1.0)}
_LABELS = ("device", "title", "virtual", "model", "delegate", "case")
_MOST_SERIES = 50_000
_MOST_TEXT = 200
# Name, help, labels, and a query on the tables of a farm whose last column is the value.
_OF_FARM = (
    ("farm_jobs", "Jobs of the farm by state", ("state",), "SELECT state, count(*) FROM farm.jobs_now GROUP BY 1"),
    (
        "farm_phones",
        "Phones of the farm",
        ("host", "state"),
        "SELECT host, CASE WHEN quarantine IS NOT NULL THEN 'quarantine' WHEN present THEN 'present' ELSE 'away' END, "
        "count(*) FROM farm.phones_now GROUP BY 1, 2",
    ),
    (
        "farm_host_seen_timestamp_seconds",
        "When a host was last heard of",
        ("host",),
        "SELECT name, extract(epoch FROM seen_utc) FROM farm.hosts WHERE seen_utc IS NOT NULL",
    ),
    (
        "farm_oldest_waiting_seconds",
        "Age of the oldest job that waits",
        (),
        "SELECT coalesce(extract(epoch FROM now() - min(created_utc)), 0) FROM farm.jobs_now WHERE state = 'todo'",
    ),
    (
        "farm_results_waiting",
        "Results that hosts delivered and the keeper has not stored",
        (),
        "SELECT count(*) FROM farm.results WHERE NOT stored AND problem = ''",
    ),
)


def exposition(history: History) -> bytes:
    """Return all metrics as OpenMetrics text.

    Raises:
        EnvironmentProblem: prometheus-client is missing.
        StoreProblem: the store cannot be read.
    """
    try:
        from prometheus_client import CollectorRegistry
        from prometheus_client.openmetrics.exposition import generate_latest
    except ModuleNotFoundError:
        raise EnvironmentProblem(
            "/metrics needs the Python package prometheus-client", hint=install_hint("metrics")
        ) from None

    class Collector:
        def collect(self) -> Iterator[GaugeMetricFamily]:
            with history.store.database.reading() as connection:
                yield from _of_store(connection)
                yield from _of_series(connection)
                if connection.dialect.name == "postgresql" and sa.inspect(connection).has_table("jobs", schema="farm"):
                    for name, words, labels, query in _OF_FARM:
                        yield _gauge(name, words, labels, connection.execute(sa.text(query)))

    registry = CollectorRegistry()
    registry.register(Collector())
    return bytes(generate_latest(registry))  # type: ignore[no-untyped-call]


def _gauge(name: str, words: str, labels: tuple[str, ...], rows: Any, unit: str = "") -> GaugeMetricFamily:
    """Return a gauge; each row has the labels and then the value."""
    from prometheus_client.core import GaugeMetricFamily

    made = GaugeMetricFamily(f"devbench_{name}", words, labels=labels, unit=unit)
    for *texts, value in rows:
        made.add_metric([clean(str(text), _MOST_TEXT) for text in texts], float(value))
    return made


def _of_store(connection: sa.Connection) -> Iterator[GaugeMetricFamily]:
    runs, devices = schema.runs, schema.devices
    by_status = sa.select(runs.c.status, sa.func.count()).group_by(runs.c.status)
    yield _gauge("runs", "Runs of the store by status", ("status",), connection.execute(by_status))
    last = sa.select(devices.c.key, sa.func.max(runs.c.started_utc).label("last"))
    rows = connection.execute(last.join(runs, runs.c.run_id == devices.c.run_id).group_by(devices.c.key))
    times = [(row.key, row.last.timestamp()) for row in rows]
    yield _gauge("device_last_run_timestamp_seconds", "Start of the last run of a device", ("device",), times)


def _of_series(connection: sa.Connection) -> Iterator[GaugeMetricFamily]:
    """Yield the last value of each metric of each case on each device; of more series than the limit, the newest."""
    jobs, cases, devices, values = schema.jobs, schema.cases, schema.devices, schema.job_metrics
    measured = sa.select(values.c.job_id).where(values.c.job_id == jobs.c.id).exists()
    newest = sa.select(sa.func.max(jobs.c.id).label("id")).where(measured).group_by(jobs.c.case_id, jobs.c.device_key)
    last = newest.subquery()
    query = (
        sa.select(
            values.c.metric, jobs.c.device_key, devices.c.title, devices.c.virtual, cases.c.model, cases.c.delegate,
            cases.c.text, values.c.value,
        )
        .join(last, last.c.id == values.c.job_id)
        .join(jobs, jobs.c.id == values.c.job_id)
        .join(cases, cases.c.id == jobs.c.case_id)
        .join(devices, sa.and_(devices.c.run_id == jobs.c.run_id, devices.c.key == jobs.c.device_key))
        .order_by(values.c.job_id.desc())
        .limit(_MOST_SERIES)
    )  # fmt: skip
    found: dict[str, list[tuple[Any, ...]]] = {name: [] for name in stored()}
    for metric, device, title, virtual, *texts, value in connection.execute(query):
        unit, factor = _UNITS[METRICS[metric].unit] if metric in METRICS else ("", 0.0)
        if unit:
            found[metric].append((device, title, "yes" if virtual else "no", *texts, value * factor))
    for name, rows in found.items():
        unit, _ = _UNITS[METRICS[name].unit]
        yield _gauge(name, f"Last {METRICS[name].title} of a case on a device", _LABELS, rows, unit)
