"""A table of a TOML file is declared once, as a dataclass: the check, the errors and the values are made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from devbench.errors import InputError
from devbench.host.toml_types import Added, Pattern, ReadBy, Text, Texts, Truth, key, keys_of, made, refuse, within
from devbench.host.tomlfile import check, read_toml


def _halved(value: Any) -> Any:
    if not isinstance(value, int) or value % 2:
        raise refuse("is not even")
    return value // 2


def _few(value: Any) -> Any:
    if isinstance(value, list) and len(value) > 2:
        raise refuse("has more than two wheels", "take one off")
    return value


@dataclass(frozen=True, slots=True)
class Wheel:
    """A part."""

    size: Annotated[int, within(1, 9, whole=True)]
    kind: Literal["front", "back"] = "front"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bicycle:
    """The whole file."""

    name: Text = key("what it is called", "")
    wheels: Annotated[tuple[Wheel, ...], ReadBy(_few, parts=True)] = key("one table per wheel", alias="wheel")
    half: Annotated[int, ReadBy(_halved)] = 0
    bell: Truth = False
    tags: Texts = ()
    spare: Wheel = field(default_factory=lambda: Wheel(3))
    owners: Mapping[Pattern, str] = field(default_factory=dict)
    path: Added[Path] = Path()


RIGHT = """
name = "red"
half = 8
bell = true
tags = ["a", "b"]
owners = { "an.*" = "Ana" }
[spare]
size = 4
[[wheel]]
size = 5
[[wheel]]
size = 6
kind = "back"
"""


def read(folder: Path, text: str) -> Bicycle:
    path = folder / "b.toml"
    path.write_text(text)
    values = read_toml(path)
    check("bicycle", path, values, Bicycle)
    found: Bicycle = made(Bicycle, values)
    return found


def test_values_become_those_of_the_declared_types(tmp_path: Path) -> None:
    assert read(tmp_path, RIGHT) == Bicycle(
        name="red", wheels=(Wheel(5), Wheel(6, "back")), half=4, bell=True, tags=("a", "b"), spare=Wheel(4),
        owners={"an.*": "Ana"},
    )  # fmt: skip
    assert read(tmp_path, "wheel = []") == Bicycle(wheels=())


def test_a_field_that_the_program_adds_is_no_key() -> None:
    assert list(keys_of(Bicycle)) == ["name", "wheel", "half", "bell", "tags", "spare", "owners"]


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        (RIGHT + "sizes = 1", "b.toml:14: wheel.sizes is not a key of wheel", "did you mean size?"),
        ('path = "x"\n' + RIGHT, "b.toml:1: path is not a key of a bicycle", "keys are name, wheel, half"),
        ('kind = "back"\n' + RIGHT, "b.toml:1: kind is not a key of a bicycle", "kind belongs into a [[wheel]]"),
        (RIGHT + "bell = false", "wheel.bell is not a key of wheel", "bell belongs to the top of the file"),
        (RIGHT.replace('"back"', '"bakc"'), "b.toml:13: wheel.kind 'bakc' is unknown", "did you mean back?"),
        (RIGHT.replace("size = 6", "size = 10"), "b.toml:12: wheel.size is not between 1 and 9", ""),
        (RIGHT.replace("size = 6\n", ""), "wheel 2 has no size", ""),
        (RIGHT + "[[wheel]]\nsize = 1", "wheel has more than two wheels", "take one off"),
        ("half = 1\nwheel = []", "b.toml:1: half is not even", ""),
        ("bell = 1\nwheel = []", "bell is not true or false", ""),
        ('name = ""\nwheel = []', "name is not a text", "what it is called"),
        ("tags = [1]\nwheel = []", "tags is not a list of texts", ""),
        ("wheel = 3", "wheel is not a list", "one table per wheel"),
        ("wheel = [3]", "wheel is not a table", "one table per wheel"),
        ("spare = 3\nwheel = []", "spare is not a table", ""),
        ('wheel = []\nowners = { "(" = "x" }', "owners.( is not a regular expression", ""),
        ("wheel = []\nowners = { a = 3 }", "owners.a is not a text", ""),
        ("name = 'x'", "b.toml: has no wheel", "wheel: one table per wheel"),
    ],
)
def test_what_does_not_fit_is_named_with_its_line(tmp_path: Path, text: str, what: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert what in caught.value.what
    assert hint in caught.value.hint
