"""Frozen dataclasses that are made quickly are compared, hashed, shown and replaced like the standard library's."""

from __future__ import annotations

import copy
import importlib
import pickle
import pkgutil
from dataclasses import field, fields, replace

import pytest

import devbench
from devbench.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 2
    note: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Named(Point):
    name: str = ""


def test_values_decide_what_is_equal_and_the_class_does() -> None:
    assert Point(1) == Point(1, 2) == Point(1, note="other")
    assert hash(Point(1)) == hash(Point(1, note="other"))
    assert Point(1) != Point(2)
    assert Point(1) != Named(1) and Named(1, name="a") != Named(1, name="b")


def test_it_is_shown_replaced_copied_and_pickled() -> None:
    one = Named(1, name="a")
    assert repr(one) == "Named(x=1, y=2, note='', name='a')"
    assert replace(one, x=3) == Named(3, name="a")
    assert copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == one
    assert [one.name for one in fields(Named)] == ["x", "y", "note", "name"]


def test_there_is_no_room_for_other_attributes() -> None:
    with pytest.raises(AttributeError):
        Point(1).z = 3  # type: ignore[attr-defined]


def test_every_module_can_be_imported() -> None:
    """A class and the one that it extends must be of the same kind."""
    for module in pkgutil.walk_packages(devbench.__path__, "devbench."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
