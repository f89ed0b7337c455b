"""Stores of both kinds: what holds for SQLite must hold for PostgreSQL."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devbench.results.store import Store
from tests.results import postgres

BACKENDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres.server() as url:
        yield url


@pytest.fixture(params=BACKENDS)
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Gives the URL of another empty database each time."""
    numbers = itertools.count()
    if request.param == "sqlite":
        return lambda: str(tmp_path / f"store{next(numbers)}" / "results.db")
    return lambda: fresh_database(request.getfixturevalue("postgres_url"))


_databases = itertools.count()


def fresh_database(url: str) -> str:
    """An empty database on the server of `url`."""
    import sqlalchemy as sa

    name = f"store{next(_databases)}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return f"{url.rsplit('/', 1)[0]}/{name}"


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    return new_url()


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[Store]:
    with Store(url, tmp_path / "artifacts") as opened:
        yield opened
