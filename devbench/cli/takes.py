"""How commands take options of the catalogue: Typer gets a signature made of the declarations, commands one object.

Also the few options that many commands share. A command says what a shell completes for an option.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from devbench.declare import Option, options_of
from devbench.frozen import dataclass

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.results.store import Store

Complete = Mapping[str, Callable[..., list[str]]]


@dataclass(frozen=True, slots=True)
class Taken:
    """Options of a catalogue for one parameter of a command.

    Attributes:
        catalogue: the class with the declarations, of which the command gets an object.
        only: the names of those that the command takes, `None` for all.
        panels: whether the help shows them below their headings.
        defaults: by the option's name, a default that replaces the declared one.
        complete: by the option's name, what a shell offers for it.
        required: names of options that must be given.
        texts: by the option's name, a help text that replaces the declared one.
    """

    catalogue: type
    only: Collection[str] | None = None
    panels: bool = False
    defaults: Mapping[str, Any] | None = None
    complete: Complete | None = None
    required: Collection[str] = ()
    texts: Mapping[str, str] | None = None

    @property
    def options(self) -> list[Option]:
        return [one for one in options_of(self.catalogue) if self.only is None or one.name in self.only]

    def made_of(self, values: dict[str, Any]) -> Any:
        """The object for the command; takes the values that it needs out of those that Typer gives."""
        given = {one.name: _stored(one, values.pop(one.name)) for one in self.options}
        return self.catalogue(**{**(self.defaults or {}), **given})


def takes(**taken: Taken) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator of a command: parameters of these names are replaced by the options that are taken for them."""
    return lambda command: _taking(command, taken)


def _taking(command: Callable[..., None], taken: Mapping[str, Taken]) -> Callable[..., None]:
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        if parameter.name in taken:
            parameters += [_parameter(one, taken[parameter.name]) for one in taken[parameter.name].options]
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def called(**values: Any) -> None:
        made = {name: one.made_of(values) for name, one in taken.items()}
        command(**values, **made)

    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in parameters}
    return called


def is_typed(context: typer.Context, name: str) -> bool:
    """Whether an option was given on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def typer_option(catalogue: type, name: str) -> Any:
    """The declaration of one option for Typer, for a command that takes no more of the catalogue."""
    return _info(next(one for one in options_of(catalogue) if one.name == name), Taken(catalogue))


StoreOption = Annotated[
    str | None,
    typer.Option("--store", metavar="URL|FILE", help="The results store to use. Default: DEVBENCH_STORE, or your own."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
OpenOption = Annotated[bool, typer.Option("--open", help="Open the page in your browser.")]


def open_store(url: str | None, *, create: bool = True, foreign: bool = False) -> Store:
    """The store of `--store`, imported now; for arguments and errors see `Store`."""
    from devbench.results.store import Store

    return Store(url, create=create, foreign=foreign)


def open_devices(words: Sequence[str], faults: str = "") -> AbstractContextManager[list[Device]]:
    """The devices of `--device`, imported now; for arguments and errors see `open_targets`."""
    from devbench.bench.targets import open_targets

    return open_targets(words, faults)


def _parameter(one: Option, taken: Taken) -> inspect.Parameter:
    default = (taken.defaults or {}).get(one.name, one.default)
    kind: Any = one.type
    if one.kind in _SEVERAL:
        kind, default = list[str] | None, list(default) or None
    if one.name in taken.required:
        kind, default = list[str] if one.kind in _SEVERAL else one.type, inspect.Parameter.empty
    annotation = Annotated[kind, _info(one, taken)]
    return inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


# Kinds that may be given several times.
_SEVERAL = ("texts", "files", "shapes", "table")


def _info(one: Option, taken: Taken) -> Any:
    complete = (taken.complete or {}).get(one.name)
    text = (taken.texts or {}).get(one.name, one.text)
    if one.argument:
        return typer.Argument(help=text, metavar=one.metavar, autocompletion=complete)
    number = one.kind in ("number", "real")
    spellings = one.spellings
    if one.type is bool and (taken.defaults or {}).get(one.name) and len(spellings) == 1:
        spellings = (f"{spellings[0]}/--no-{spellings[0].removeprefix('--')}",)
    return typer.Option(
        *spellings,
        help=text,
        rich_help_panel=one.panel if taken.panels else None,
        metavar=one.metavar,
        hidden=one.hidden,
        envvar=one.envvar,
        show_envvar=True,
        min=one.minimum if number else None,
        max=one.maximum if number else None,
        autocompletion=complete,
    )


def _stored(one: Option, value: Any) -> Any:
    if one.kind not in _SEVERAL:
        return value
    words = tuple(value or ())
    # The command line gives the shapes of one call.
    return ((words,) if words else ()) if one.kind == "shapes" else words
