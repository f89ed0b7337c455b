"""A farm in an empty database of a PostgreSQL server that all tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.farm.made import MadeFarm, made_farm
from tests.results import postgres
from tests.results.conftest import fresh_database


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres.server() as url:
        yield url


@pytest.fixture
def farm(postgres_url: str, tmp_path: Path) -> Iterator[MadeFarm]:
    with made_farm(fresh_database(postgres_url), tmp_path) as made:
        yield made
