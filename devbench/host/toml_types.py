"""Types for the models of TOML files, with error messages for people.

Imported only when a file is checked, since importing pydantic takes longer than many commands run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, WrapValidator
from pydantic_core import PydanticCustomError, ValidationError, core_schema

from devbench.text import clean, near

_MAX_SHOWN = 60


class TomlTable(BaseModel):
    """A table with known keys. `unknown` is the message for any other key, if the usual one does not fit."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    unknown: ClassVar[str] = ""


def refuse(what: str, hint: str = "") -> PydanticCustomError:
    """The error of a value. `hint` is what to do; without one the field's description is shown."""
    return PydanticCustomError("words", "{what}", {"what": what, "hint": hint})


def shown(value: object) -> str:
    """A value in a message."""
    return clean(repr(value), _MAX_SHOWN)


def words(what: str, hint: str = "") -> Any:
    """One message for every error in a value or within it."""

    def validate(value: Any, inner: Callable[[Any], Any]) -> Any:
        try:
            return inner(value)
        except ValidationError:
            raise refuse(what, hint) from None

    return WrapValidator(validate)


Text = Annotated[str, Field(min_length=1), words("is not a text")]
AnyText = Annotated[str, words("is not a text")]
Truth = Annotated[bool, words("is not true or false")]
Texts = Annotated[list[str], words("is not a list of texts")]
TextTable = dict[str, AnyText]


@dataclass(frozen=True, slots=True)
class ReadBy:
    """For `Annotated`: a function checks and converts the value; `schema` describes it for editors."""

    validate: Callable[[Any], Any]
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.validate)

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        return dict(self.schema)


def number(minimum: float | None, maximum: float | None, *, whole: bool) -> ReadBy:
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


def choice(known: Sequence[str]) -> ReadBy:
    """One of the words."""

    def validate(value: Any) -> Any:
        if value not in known:
            raise refuse(
                f"{shown(value)} is unknown", near(str(value), known, f"use {' or '.join(filter(None, known))}")
            )
        return value

    return ReadBy(validate, {"type": "string", "enum": list(known)})


def _pattern(value: Any) -> Any:
    if not isinstance(value, str):
        raise refuse("is not a text")
    try:
        re.compile(value, re.IGNORECASE)
    except (re.error, ValueError, RecursionError, OverflowError) as error:
        raise refuse(f"is not a regular expression: {error}") from None
    return value


Pattern = Annotated[str, ReadBy(_pattern, {"type": "string", "format": "regex"})]
