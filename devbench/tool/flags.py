"""The tool's command line from a typed case; every word is quoted for the device's shell; knows no device.

Only `--name=value` is used: `--use_gpu` alone or `--use_gpu true` is an unconsumed flag, warned about and ignored.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from devbench.errors import InputError
from devbench.tool.case import ToolCase, ToolOptions
from devbench.tool.measurement import ToolName

FLAG_NAME = r"[A-Za-z][A-Za-z0-9_-]{0,80}"
_EXTRA = re.compile(rf"(?:--)?({FLAG_NAME})=(.*)", re.DOTALL)
# These are devbench's to set; a second word for one of them would make the result lie about itself.
_OURS = frozenset({"graph", "help"})


def build_argv(
    case: ToolCase, *, binary: str, graph: str, tool: ToolName, places: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """The command line of one process, unquoted.

    A delegate's flags come after the options and a user's further flags last: where a flag stands twice, the tool takes
    the last.

    Args:
        case: delegate and options.
        binary, graph: paths on the device.
        tool: whose flags to use.
        places: what {cache}, {files} and {model} stand for in the delegate's flags.

    Raises:
        InputError: LiteRT's tool has no flags for the delegate.
    """
    delegate = case.delegate
    flags = [("graph", graph), *(_litert_options(case.options) if tool == "litert" else _tflite_options(case.options))]
    if tool == "litert":
        if case.options.output_filepath is not None:
            raise InputError(
                "LiteRT's benchmark_model cannot write its outputs",
                hint="check them with TensorFlow Lite's benchmark_model, or leave --check-outputs out",
            )
        if case.options.input_layer_shape is not None:
            raise InputError(
                "LiteRT's benchmark_model takes no shapes of inputs",
                hint="measure them with TensorFlow Lite's benchmark_model, or leave --input-shape out",
            )
        if not delegate.litert_flags:
            raise InputError(
                f"LiteRT's benchmark_model has no flags for the delegate {delegate.name}",
                hint="use TensorFlow Lite's benchmark_model, or add litert_flags to the delegate's entry",
            )
        flags += placed(delegate.litert_flags, places)
    else:
        flags += placed(delegate.flags, places)
    return (binary, *(f"--{name}={value}" for name, value in [*flags, *case.options.extra_flags]))


def command_line(argv: Sequence[str], env: Sequence[tuple[str, str]] = ()) -> str:
    """The words quoted for a POSIX shell, so that none of them means anything to it, behind their environment."""
    return " ".join([*(f"{name}={shlex.quote(value)}" for name, value in env), shlex.join(argv)])


def placed(pairs: Sequence[tuple[str, str]], places: Mapping[str, str] | None) -> list[tuple[str, str]]:
    """The pairs with {cache}, {files} and {model} in their values replaced."""
    found = []
    for name, value in pairs:
        for key, place in (places or {}).items():
            value = value.replace(f"{{{key}}}", place)
        found.append((name, value))
    return found


def parse_extra_flag(text: str) -> tuple[str, str]:
    """A flag as a user types it, `name=value`, with or without dashes.

    Raises:
        InputError: it has no value, or it is one that devbench sets itself.
    """
    match = _EXTRA.fullmatch(text.strip())
    if match is None or "\x00" in text or "\n" in text:
        raise InputError(f"--tool-flag {text!r} is not name=value", hint="for example --tool-flag allow_fp16=true")
    name, value = match.groups()
    if name in _OURS:
        raise InputError(f"--tool-flag {name} is set by devbench itself", hint="leave it out")
    return name, value


def _common_options(options: ToolOptions) -> list[tuple[str, str]]:
    flags = [
        ("num_runs", str(options.num_runs)),
        ("min_secs", f"{options.min_secs:g}"),
        ("max_secs", f"{options.max_secs:g}"),
        ("warmup_runs", str(options.warmup_runs)),
        ("warmup_min_secs", f"{options.warmup_min_secs:g}"),
    ]
    if options.num_threads is not None:
        flags.append(("num_threads", str(options.num_threads)))
    if options.report_peak_memory:
        flags.append(("report_peak_memory_footprint", "true"))
    if options.signature is not None and options.signature_graph:
        flags.append(("signature_to_run_for", options.signature))
    return flags


def _tflite_options(options: ToolOptions) -> list[tuple[str, str]]:
    profile = [("enable_op_profiling", "true")] if options.profile else []
    names = ("input_layer", "input_layer_shape", "input_layer_value_files", "output_filepath")
    given = [(name, value) for name in names if (value := getattr(options, name)) is not None]
    return [*_common_options(options), *profile, *given]


def _litert_options(options: ToolOptions) -> list[tuple[str, str]]:
    return [*_common_options(options), *([("use_profiler", "true")] if options.profile else [])]
