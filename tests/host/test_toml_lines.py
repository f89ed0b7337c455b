"""Lines of a TOML file's keys: the path that the standard reader gives a value has the line where it is written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbench.host.toml_lines import key_lines
from devbench.host.tomlfile import tomllib

TEXT = '''# threads = [1]
name = "a # b"  # threads = 2
models = [
  "threads = 3",  # [labels]
  { url = "https://x/]", sha256 = 'a}' },

  "c",
]
note = """
threads = 4
[labels]
quotes \\""" and four""""
raw = \'\'\'
[accuracy]\'\'\'
threads = [1,
  2]

[ labels ]
threads = "one"
"a.b" = "x"
'c d' = "y"
e.f = "z"
[accuracy.float32]
threads = 1979-05-27 07:32:00
[accuracy."int8"]
threads = { most = 1, inner.deep = [ { x = 1 } ] }
[[many]]
threads = 1
[[many]]
threads = 2
[many.below]
threads = 3
'''


def paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, inner in items for found in ((*path, key), *paths(inner, (*path, key)))]


def test_every_key_of_a_file_has_its_line() -> None:
    lines = key_lines(TEXT)
    assert set(lines) == set(paths(tomllib.loads(TEXT)))
    rows = TEXT.splitlines()
    for path, line in lines.items():
        if isinstance(path[-1], str):
            assert str(path[-1]) in rows[line - 1], path
    assert (lines[("models", 0)], lines[("models", 2)]) == (4, 7)
    assert lines[("threads",)] == rows.index("threads = [1,") + 1
    assert lines[("labels", "threads")] == rows.index('threads = "one"') + 1
    assert lines[("accuracy", "int8", "threads")] == rows.index('[accuracy."int8"]') + 2
    assert lines[("many", 1, "below", "threads")] == len(rows)


@pytest.mark.parametrize(
    "text", ["", "=", "[", "[[", "a = '", 'a = """', "a", "a = [", "a = {", "]", "a = ]", "[a", "\n[[", "a\n[[b"]
)
def test_what_is_no_toml_ends_all_the_same(text: str) -> None:
    assert isinstance(key_lines(text), dict)


@given(st.text(alphabet="ab.=[]{},\"'#\\\n ", max_size=60))
def test_any_text_ends_and_any_toml_is_covered(text: str) -> None:
    lines = key_lines(text)
    try:
        values = tomllib.loads(text)
    except ValueError:
        return
    assert set(paths(values)) <= set(lines)
