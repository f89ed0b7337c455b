"""A farm in a database of its own, on a PostgreSQL server that all tests of this folder share."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from devbench.farm.database import Farm, farm_url
from tests.farm.made import MadeFarm, made_farm
from tests.results import postgres

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server whose database `template` has a farm."""
    with postgres.server() as url:
        _database(url, "farm_template")
        with made_farm(_named(url, "farm_template"), tmp_path_factory.mktemp("template")):
            pass
        yield url


@pytest.fixture
def farm(postgres_url: str, tmp_path: Path) -> Iterator[MadeFarm]:
    name = f"farm{next(_numbers)}"
    _database(postgres_url, name, "farm_template")
    with made_farm(_named(postgres_url, name), tmp_path) as made:
        yield made


def _database(url: str, name: str, template: str = "template1") -> None:
    with Farm(farm_url(url)) as server:
        server.rows(f"CREATE DATABASE {name} TEMPLATE {template}")
        # Rights on a database are not copied.
        server.rows(f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")
        if template != "template1":
            server.rows(f"GRANT TEMPORARY ON DATABASE {name} TO devbench_submitter, devbench_keeper, devbench_admin")


def _named(url: str, name: str) -> str:
    return f"{url.rpartition('/')[0]}/{name}"
