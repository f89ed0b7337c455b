"""Reads the values of options, and turns each mistake on the command line into one line with the next step.

Typer reads values by pydantic, whose import takes longer than many commands. Values that are not text, numbers, paths
or flags are left to Typer. Knows no option.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import typer

from devbench import numbers
from devbench.errors import InputError
from devbench.text import near

# Typer's errors of usage; it exports only one of their subclasses.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]
_LEFT = object()
_WORDS = {bool: "", int: "NUMBER", float: "NUMBER", Path: "PATH", list[Path]: "PATH"}
# Words that other tools use, each with devbench's command or option for it.
_ELSEWHERE = {
    "help": "--help", "version": "--version", "benchmark": "run", "bench": "run", "measure": "run", "test": "run",
    "list": "runs", "ls": "runs", "history": "detect", "trend": "detect", "diff": "compare", "plot": "chart",
    "graph": "chart", "web": "serve", "ui": "serve", "page": "report", "html": "report", "check": "doctor",
    "connect": "devices connect", "disconnect": "devices disconnect", "tag": "devices tag", "phones": "devices",
    "inspect": "models inspect", "gpu-check": "models gpu-check", "rewrite": "models rewrite", "build": "models build",
    "convert": "models rewrite", "fetch": "binaries fetch", "install": "binaries fetch", "log": "parse",
    "delete": "prune", "clean": "prune", "backup": "export", "cron": "nightly", "verify": "accuracy",
    "ablation": "pipeline ablation",
}  # fmt: skip


def read_plainly(command: Any) -> Any:
    """The command, and all below it, with parameters that read plain values themselves and a help in plain words."""
    # Typer keeps the line breaks of docstrings.
    command.help = re.sub(r"(?<!\n)\n(?!\n)", " ", command.help or "")
    for one in command.params:
        _made_plain(one)
    help_option = command.get_help_option
    # Typer makes this option when the help is shown.
    command.get_help_option = lambda context: _made_plain(help_option(context))
    for below in getattr(command, "commands", {}).values():
        read_plainly(below)
    return command


def _made_plain(parameter: Any) -> Any:
    if parameter is None or "process_value" in vars(parameter):
        return parameter
    usual = parameter.process_value
    _show_words(parameter)

    def process_value(context: Any, value: Any) -> Any:
        found = _read(parameter, value)
        if found is _LEFT or (parameter.required and parameter.value_is_missing(found)):
            return usual(context, value)
        return found if parameter.callback is None else parameter.callback(context, parameter, found)

    parameter.process_value = process_value
    return parameter


def _show_words(parameter: Any) -> None:
    """`NUMBER [1 to 1000]` in the help, instead of Python's types."""
    declared = getattr(parameter, "type_descriptor", None)
    if declared is not None:
        argument = parameter.param_type_name == "argument"
        word = "" if argument else parameter.metavar or _WORDS.get(declared.annotation, "TEXT")
        parameter.display_type_rich = lambda ctx: word
        parameter._get_number_range_help_str = lambda: " ".join(_bounds(declared.parameter_info)).removeprefix("from ")


def _bounds(info: Any) -> list[str]:
    return [f"{word} {limit:.15g}" for word, limit in (("from", info.min), ("to", info.max)) if limit is not None]


def _read(parameter: Any, value: Any) -> Any:
    """The value by the type that the parameter is declared with, `_LEFT` for one that Typer has to read."""
    declared = getattr(parameter, "type_descriptor", None)
    if declared is None:
        return _LEFT
    kind, info = declared.annotation, declared.parameter_info
    if value is None:
        return () if getattr(parameter, "multiple", False) or parameter.nargs == -1 else None
    if kind in (list[str], list[Path]) and isinstance(value, (list, tuple)):
        return [Path(one) if kind == list[Path] else one for one in value]
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind in (int, float) and isinstance(value, str):
        return _number(_name(parameter), value, kind, info)
    return value if isinstance(kind, type) and isinstance(value, kind) else _LEFT


def _number(name: str, text: str, kind: Any, info: Any) -> Any:
    value = numbers.whole(text, minimum=-numbers.MAX_WHOLE) if kind is int else numbers.real(text)
    hint = f"give a number {' '.join(_bounds(info))}".strip()
    if value is None:
        raise InputError(f"{name} {text!r} is not a {'whole ' * (kind is int)}number", hint=hint)
    if (info.min is not None and value < info.min) or (info.max is not None and value > info.max):
        raise InputError(f"{name} {text} is out of range", hint=hint)
    return value


def _name(parameter: Any) -> str:
    """A parameter as it is typed: its long option, or the word for an argument."""
    options = [word for word in parameter.opts if word.startswith("-")]
    word = str(parameter.metavar or "")
    return max(options, key=len) if options else word if word and "|" not in word else str(parameter.name).upper()


def explained(error: Exception, root: Any, words: Sequence[str]) -> InputError:
    """An error of Typer's as one line with the next step.

    Args:
        root: the command that read `words`, with all that is below it.
        words: what was typed behind `devbench`.
    """
    command, path, unknown = _called(root, words)
    message = " ".join(str(getattr(error, "message", error)).split()).rstrip(".")
    name = getattr(error, "option_name", "")
    parameter = getattr(error, "param", None)
    see = f"{path} --help"
    if message.startswith("No such option"):
        known = [word for one in command.params for word in (*one.opts, *one.secondary_opts) if word[:2] == "--"]
        return InputError(f"{path}: unknown option {name}", hint=near(name, known, f"all options: {see}"))
    if message.startswith("No such command") and unknown:
        return _unknown_command(unknown, command, path)
    if message.startswith("Missing command"):
        return InputError(f"{path} needs a command", hint=f"{', '.join(command.commands)}; {see}")
    if "unexpected extra argument" in message:
        extra = message.rpartition(" (")[2].removesuffix(")")
        return InputError(f"{path}: unexpected argument {extra!r}", hint=f"what it takes: {see}")
    if "requires an argument" in message:
        about = next((one.help or "" for one in command.params if name in one.opts), "")
        return InputError(f"{path}: {name} needs a value", hint=about.partition("; ")[0] or see)
    if "does not take a value" in message:
        return InputError(f"{path}: {name} takes no value", hint=see)
    if type(error).__name__ == "MissingParameter" and parameter is not None:
        return InputError(f"{path} needs {_name(parameter)}", hint=_example(command) or see)
    where = f" {_name(parameter)}" if parameter is not None else ""
    return InputError(f"{path}:{where} {message}", hint=see)


def _called(root: Any, words: Sequence[str]) -> tuple[Any, str, str]:
    """The command that the words name, how it is typed, and the first word below it that names none."""
    command, path = root, "devbench"
    for word in words:
        below = getattr(command, "commands", None)
        if below is None or (command is root and word.startswith("-")):
            break
        if word in below:
            command, path = below[word], f"{path} {word}"
        elif not word.startswith("-"):
            return command, path, word
    return command, path, ""


def _unknown_command(word: str, command: Any, path: str) -> InputError:
    see = f"all commands: {path} --help"
    if path != "devbench":
        return InputError(f"{path}: unknown command {word!r}", hint=near(word, command.commands, see))
    if word.endswith(".tflite"):
        return InputError(f"unknown command {word!r}", hint=f"to measure this model: devbench run {word}")
    if word in _ELSEWHERE:
        return InputError(f"unknown command {word!r}", hint=f"use: devbench {_ELSEWHERE[word]}")
    return InputError(f"unknown command {word!r}", hint=near(word, command.commands, see))


def _example(command: Any) -> str:
    """The first example of a command's help."""
    found = re.search(r"^ *(devbench .*)$", command.epilog or "", re.MULTILINE)
    return f"for example: {found.group(1).partition(' #')[0].strip()}" if found else ""


def one_of(option: str, word: str, known: Iterable[str]) -> str:
    """The word of an option that takes only these.

    Raises:
        InputError: it is another one; suggests the one that was probably meant.
    """
    words = list(known)
    if word not in words:
        raise InputError(f"{option} {word!r} is unknown", hint=near(word, words, f"use {', '.join(words)}"))
    return word


def several_of(option: str, texts: Iterable[str] | None, known: Iterable[str]) -> tuple[str, ...]:
    """The words of an option that may be given again and with commas; errors as of `one_of`."""
    words = list(known)
    parts = (part.strip() for text in texts or () for part in text.split(","))
    return tuple(dict.fromkeys(one_of(option, part, words) for part in parts if part))
