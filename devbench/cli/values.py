"""Plain values of options are read here: Typer reads each by pydantic, whose import takes longer than many a command.

What is not plain, or not right, is left to Typer, which has the messages. Knows no option.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_REAL = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
_LEFT = object()


def read_plainly(command: Any) -> Any:
    """The command, and all below it, with parameters that read plain values themselves."""
    for one in command.params:
        _made_plain(one)
    help_option = command.get_help_option
    # Made when it is asked for, by the names in the context.
    command.get_help_option = lambda context: _made_plain(help_option(context))
    for below in getattr(command, "commands", {}).values():
        read_plainly(below)
    return command


def _made_plain(parameter: Any) -> Any:
    if parameter is None or "process_value" in vars(parameter):
        return parameter
    usual = parameter.process_value

    def process_value(context: Any, value: Any) -> Any:
        found = _read(parameter, value)
        if found is _LEFT or (parameter.required and parameter.value_is_missing(found)):
            return usual(context, value)
        return found if parameter.callback is None else parameter.callback(context, parameter, found)

    parameter.process_value = process_value
    return parameter


def _read(parameter: Any, value: Any) -> Any:
    """The value by the type that the parameter is declared with, `_LEFT` for one that Typer has to read."""
    declared = getattr(parameter, "type_descriptor", None)
    if declared is None:
        return _LEFT
    kind, info = declared.annotation, declared.parameter_info
    several = getattr(parameter, "multiple", False) or parameter.nargs == -1
    if value is None:
        return () if several else None
    if info.parser is not None or getattr(info, "click_type", None) is not None or parameter.nargs not in (1, -1):
        return _LEFT
    if kind == list[str] and isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
        return list(value)
    if kind == list[Path] and isinstance(value, (list, tuple)):
        found = [_path(one, info) for one in value]
        return _LEFT if _LEFT in found else found
    if kind in (str, bool) and isinstance(value, kind):
        return value
    if kind is Path:
        return _path(value, info)
    if kind in (int, float) and not isinstance(value, bool):
        return _number(value, kind, info)
    return _LEFT


def _number(value: Any, kind: Any, info: Any) -> Any:
    if isinstance(value, str):
        form = _WHOLE if kind is int else _REAL
        if form.fullmatch(value) is None:
            return _LEFT
        value = kind(value)
    elif kind is float and isinstance(value, int):
        value = float(value)
    right = isinstance(value, kind) and not info.clamp
    in_range = right and (info.min is None or value >= info.min) and (info.max is None or value <= info.max)
    return value if in_range else _LEFT


def _path(value: Any, info: Any) -> Any:
    if isinstance(value, Path):
        return value
    checked = info.exists or info.writable or info.resolve_path or info.allow_dash or info.path_type is not None
    if checked or not info.file_okay or not info.dir_okay or not isinstance(value, str):
        return _LEFT
    return Path(value) if os.access(value, os.R_OK) or not os.path.lexists(value) else _LEFT
