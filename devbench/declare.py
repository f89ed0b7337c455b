"""Functions to declare an option in the catalogue (`devbench/options.py`) and to read the declarations.

Other modules make Typer's options, the keys of TOML files and the JSON Schema from the declarations.
"""

from __future__ import annotations

import functools
import typing
from dataclasses import field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from devbench.frozen import dataclass

Value = TypeVar("Value")
File = Literal["suite", "pipeline"]
# The kind of an option's value in a TOML file. If a declaration names none, it follows from the type of the field.
Kind = Literal["", "text", "path", "truth", "number", "real", "texts", "numbers", "shapes", "files", "table"]


@dataclass(frozen=True, slots=True)
class Option:
    """The declaration of an option.

    Attributes:
        name, type, default: those of the field.
        spellings: its names on the command line; if empty, the name is made from `name`.
        argument: it is a positional argument.
        text: the help text; `file_text` is the text for suites, if it differs.
        panel: the heading in the help under which it is shown.
        minimum, maximum: bounds of a number, both included.
        choices: the allowed values.
        key: the suite's key that sets it, in the TOML table `table`; empty if no key does. `kind`: the value's kind
            there.
        beside: the kinds of file together with which it may be given on the command line.
        pipeline: the default for pipelines; `None` if it is `default`.
        only_pipeline: it is allowed only with a pipeline's file; it overrides the key of the same name in that file.
    """

    name: str
    type: Any
    default: Any
    spellings: tuple[str, ...]
    text: str
    argument: bool = False
    file_text: str = ""
    panel: str | None = None
    metavar: str | None = None
    envvar: str | None = None
    hidden: bool = False
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    key: str = ""
    table: str = ""
    kind: Kind = ""
    beside: tuple[File, ...] = ()
    pipeline: Any = None
    only_pipeline: bool = False

    @property
    def shown(self) -> str:
        """Return the option's name on the command line, for messages."""
        if self.argument:
            return self.name
        return self.spellings[0].partition("/")[0] if self.spellings else f"--{self.name.replace('_', '-')}"


def option(default: Value, *spellings: str, text: str, **declared: Any) -> Value:
    """Declare an option as a dataclass field; `declared` are attributes of `Option`."""
    return field(default=default, metadata={"spellings": spellings, "text": text, **declared})


def options_of(catalogue: type) -> tuple[Option, ...]:
    """Return the options of a catalogue in the order in which the help shows them."""
    return _found(catalogue)


@functools.cache
def _found(catalogue: type) -> tuple[Option, ...]:
    types = typing.get_type_hints(catalogue)
    return tuple(
        Option(
            name=one.name, type=types[one.name], default=one.default, **{"kind": _kind(types[one.name]), **one.metadata}
        )
        for one in fields(catalogue)
    )


def _kind(declared: Any) -> Kind:
    kinds: dict[Any, Kind] = {int: "number", float: "real", bool: "truth", str: "text", Path: "path"}
    if typing.get_origin(declared) is tuple:
        return "texts"
    return kinds[next((one for one in typing.get_args(declared) if one is not type(None)), declared)]
