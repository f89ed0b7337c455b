"""Types for the fields of dataclasses that are tables of TOML files, with error messages for people.

The dataclass is the only declaration: pydantic checks a file against it (`tomlfile.check`), and `made` turns checked
values into it. pydantic is imported only when a file is checked, since that takes longer than many commands run.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

from devbench.frozen import dataclass
from devbench.text import clean

_MAX_SHOWN = 60

T = TypeVar("T")


def refuse(what: str, hint: str = "") -> Exception:
    """The error of a value. `hint` is what to do; without one the field's description is shown."""
    from pydantic_core import PydanticCustomError

    return PydanticCustomError("words", "{what}", {"what": what, "hint": hint})


def shown(value: object) -> str:
    """A value in a message."""
    return clean(repr(value), _MAX_SHOWN)


def key(text: str, default: Any = dataclasses.MISSING, alias: str = "") -> Any:
    """A field with a description, and with its name in the file if that differs."""
    return field(default=default, metadata={"description": text} | ({"alias": alias} if alias else {}))


@dataclass(frozen=True, slots=True)
class ReadBy:
    """For `Annotated`: a function checks and converts the value; `schema` describes it for editors.

    With `parts`, the function only checks, and then the parts of the value are checked by their own types.
    """

    validate: Callable[[Any], Any]
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"}, compare=False)
    parts: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        if self.parts:
            return core_schema.no_info_before_validator_function(self.validate, handler(source))
        return core_schema.no_info_plain_validator_function(self.validate)

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        return dict(self.schema)


def _no_key(value: Any) -> Any:
    from pydantic_core import PydanticCustomError

    raise PydanticCustomError("unexpected_keyword_argument", "not a key")


_NOT_IN_FILE = ReadBy(_no_key)
# A field that the program fills in: the file cannot contain it.
Added = Annotated[T, _NOT_IN_FILE]


def _text(value: Any) -> Any:
    if not isinstance(value, str) or not value:
        raise refuse("is not a text")
    return value


def _truth(value: Any) -> Any:
    if not isinstance(value, bool):
        raise refuse("is not true or false")
    return value


def _texts(value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise refuse("is not a list of texts")
    return tuple(value)


def _pattern(value: Any) -> Any:
    if not isinstance(value, str):
        raise refuse("is not a text")
    try:
        re.compile(value, re.IGNORECASE)
    except (re.error, ValueError, RecursionError, OverflowError) as error:
        raise refuse(f"is not a regular expression: {error}") from None
    return value


Text = Annotated[str, ReadBy(_text, {"type": "string", "minLength": 1})]
Truth = Annotated[bool, ReadBy(_truth, {"type": "boolean"})]
Texts = Annotated[tuple[str, ...], ReadBy(_texts, {"type": "array", "items": {"type": "string"}})]
Pattern = Annotated[str, ReadBy(_pattern, {"type": "string", "format": "regex"})]


def within(minimum: float | None, maximum: float | None, *, whole: bool) -> ReadBy:
    """A number within bounds, both inclusive."""
    kind = "a whole number" if whole else "a number"

    def validate(value: Any) -> Any:
        fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not fits or value != value or abs(value) == float("inf"):
            raise refuse(f"is not {kind}")
        if minimum is not None and maximum is not None and not minimum <= value <= maximum:
            raise refuse(f"is not between {minimum:.10g} and {maximum:.10g}")
        if minimum is not None and value < minimum:
            raise refuse(f"is not {kind} of {minimum:.10g} or more")
        return value

    bounds = {name: bound for name, bound in (("minimum", minimum), ("maximum", maximum)) if bound is not None}
    return ReadBy(validate, {"type": "integer" if whole else "number", **bounds})


@functools.cache
def keys_of(table: type) -> dict[str, tuple[dataclasses.Field[Any], Any]]:
    """The keys of a table by their name in the file: each one's field and type."""
    types = get_type_hints(table, include_extras=True)
    return {
        one.metadata.get("alias", one.name): (one, types[one.name])
        for one in dataclasses.fields(table)
        if _NOT_IN_FILE not in getattr(types[one.name], "__metadata__", ())
    }


def made(declared: Any, value: Any) -> Any:
    """A value of a checked file as its declared type: a table as its dataclass, a list as a tuple."""
    if reader := next((one for one in getattr(declared, "__metadata__", ()) if isinstance(one, ReadBy)), None):
        return made(declared.__origin__, value) if reader.parts else reader.validate(value)
    if isinstance(declared, type) and dataclasses.is_dataclass(declared):
        keys = keys_of(declared)
        return declared(**{keys[name][0].name: made(keys[name][1], one) for name, one in value.items()})
    inner = get_args(declared)
    if isinstance(value, list):
        return tuple(made(inner[0], one) for one in value)
    if isinstance(value, dict):
        return {made(inner[0], name): made(inner[1], one) for name, one in value.items()}
    return value
