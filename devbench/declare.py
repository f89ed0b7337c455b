"""How an option is declared in the catalogue (`devbench/options.py`), and how the declarations are read.

Typer's options, keys of TOML files and the JSON Schema are made from them elsewhere.
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
# The kind of a value in a file, if the type of the field is not enough.
Kind = Literal["", "text", "path", "truth", "number", "real", "texts", "numbers", "shapes", "files", "table"]


@dataclass(frozen=True, slots=True)
class Option:
    """An option as it is declared.

    Attributes:
        name: the name of the field; `type` and `default` are the field's, too.
        spellings: on the command line, if the spelling made from the name is not enough.
        argument: it is an argument, not an option.
        text: what it is for; `file_text` is the text for suites, if it differs.
        panel: the heading in the help under which it is shown.
        minimum, maximum: bounds of a number, both included.
        choices: the words that it takes.
        key: the suite's key that sets it, in the table `table`; empty for none. `kind` is the value's kind there.
        beside: the kinds of file with which the command line may give it.
        pipeline: the default for pipelines, if it differs from `default`.
        only_pipeline: it needs a pipeline's file, and replaces the key of the same name there.
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
        """Its name on the command line, for messages."""
        if self.argument:
            return self.name
        return self.spellings[0].partition("/")[0] if self.spellings else f"--{self.name.replace('_', '-')}"


def option(default: Value, *spellings: str, text: str, **declared: Any) -> Value:
    """The declaration of a field; `declared` are attributes of `Option`."""
    return field(default=default, metadata={"spellings": spellings, "text": text, **declared})


def options_of(catalogue: type) -> tuple[Option, ...]:
    """The options of a catalogue, in the order in which the help shows them."""
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
