"""What is within JSON in columns, as far as anything reads it: keys and the types of their values; knows no table.

Keys that are not named may hold anything. A key may be missing; where `None` stands for a value that is not known, it
is among the types.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Fits = Callable[[Any], bool]


def _is(*types: type) -> Fits:
    return lambda value: value is None or type(value) in types


def _list_of(fits: Fits) -> Fits:
    return lambda value: value is None or (isinstance(value, list) and all(map(fits, value)))


def _table_of(fits: Fits) -> Fits:
    return lambda value: value is None or (isinstance(value, dict) and all(map(fits, value.values())))


_TEXT, _NUMBER, _FLAG = _is(str), _is(int, float), _is(bool)


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _input_shape(value: Any) -> bool:
    """A name and its sizes."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[1], list)


FIELDS: Mapping[str, Mapping[str, Fits]] = {
    # Facts of a device, and options of a job.
    "document": {
        "key": _TEXT, "notes": _list_of(_TEXT), "sensors": _list_of(lambda value: isinstance(value, (str, dict, list))),
        "abis": _list_of(_TEXT), "reported_as": _list_of(_TEXT), "via": _TEXT, "signature": _TEXT,
        "input_shapes": _list_of(_input_shape),
        "extra_flags": lambda value: value is None or isinstance(value, list),
    },
    "conditions": {"temperatures_c": _table_of(_NUMBER), "taken_utc": _TEXT},
    "measurement": {"unsupported_ops": _list_of(_object)},
    "output": {
        "name": _TEXT, "against": _TEXT, "dtype": _TEXT, "max_abs": _NUMBER, "max_rel": _NUMBER, "cosine": _NUMBER,
        "snr_db": _NUMBER, "nan": _NUMBER, "inf": _NUMBER, "all_zero": _FLAG, "wrong_size": _FLAG, "wrong": _FLAG,
        "limits": lambda value: value is None or isinstance(value, dict),
    },
}  # fmt: skip


def fields_fit(kind: str, value: Mapping[str, Any]) -> bool:
    """Whether an object's known keys have values of their types."""
    return all(fits(value[key]) for key, fits in FIELDS[kind].items() if key in value)
