"""Every form of one made store is as it was: terminal, Markdown, page, JSON, CSV, JUnit, summary and message.

If a change is meant, make the files again with `python -m tests.golden.make`, read the difference and commit it with the
change. What differs between machines and versions is replaced (`forms.py`); of charts only the values are kept.
"""

from __future__ import annotations

import pytest

from tests.golden.forms import all_forms
from tests.golden.make import FILES

NAMES = sorted(path.relative_to(FILES).as_posix() for path in FILES.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return all_forms(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("name", NAMES)
def test_the_form_is_as_it_was(name: str, made: dict[str, str]) -> None:
    assert made[name].splitlines() == (FILES / name).read_text("utf-8").splitlines(), (
        "meant? then run `python -m tests.golden.make`, and read the difference"
    )


def test_there_is_a_file_for_every_form(made: dict[str, str]) -> None:
    assert sorted(made) == NAMES


def test_the_files_are_small_enough_to_be_read() -> None:
    assert sum(path.stat().st_size for path in FILES.rglob("*") if path.is_file()) < 400_000
