"""The tool's command line from a typed case, and which flags a tool has, from its own help; knows no device.

Every word is quoted for the device's shell. Only `--name=value` is used: the tool ignores `--use_gpu` alone and
`--use_gpu true`, and warns about an unconsumed flag.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping, Sequence

from devbench.errors import InputError
from devbench.tool.case import FLAG_NAME, Delegate, ToolCase, ToolOptions
from devbench.tool.measurement import Failure, FailureKind, ToolName

_CHECK_OUTPUTS_HINT = "check them with TensorFlow Lite's benchmark_model, or leave --check-outputs out"
_INPUT_SHAPE_HINT = "measure them with TensorFlow Lite's benchmark_model, or leave --input-shape out"
_LITERT_FLAGS_HINT = "use TensorFlow Lite's benchmark_model, or add litert_flags to the delegate's entry"
_EXTRA = re.compile(rf"(?:--)?({FLAG_NAME})=(.*)", re.DOTALL)
# devbench sets these; with a second value, the stored flags would not be those that were used.
_OURS = frozenset({"graph", "help"})
# "\t--num_runs=50      \tint32\toptional\texpected number of runs"
_HELP_LINE = re.compile(r"^\s+--([A-Za-z][\w-]{0,80})=", re.MULTILINE)
# Options that are flags with the same name.
_SAME_NAMES = ("num_runs", "min_secs", "max_secs", "warmup_runs", "warmup_min_secs", "num_threads")
# Without one of these the tool writes no outputs, or outputs for unknown inputs.
_INPUT_FLAGS = ("input_layer", "input_layer_shape", "input_layer_value_files")
OUTPUT_FLAGS = ("output_filepath", *_INPUT_FLAGS)


def build_argv(
    case: ToolCase, *, binary: str, graph: str, tool: ToolName, places: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """The command line of one process, unquoted.

    The delegate's flags come after the options, the user's further flags come last: the tool uses the last value of a
    flag.

    Args:
        case: delegate and options.
        binary, graph: paths on the device.
        tool: which tool's flags to use.
        places: values for {cache}, {files} and {model} in the delegate's flags.

    Raises:
        InputError: LiteRT's tool has no flags for the delegate.
    """
    options, delegate = case.options, case.delegate
    if tool == "litert":
        for is_asked, what, hint in (
            (options.output_filepath is not None, "cannot write its outputs", _CHECK_OUTPUTS_HINT),
            (options.input_layer_shape is not None, "takes no shapes of inputs", _INPUT_SHAPE_HINT),
            (not delegate.litert_flags, f"has no flags for the delegate {delegate.name}", _LITERT_FLAGS_HINT),
        ):
            if is_asked:
                raise InputError(f"LiteRT's benchmark_model {what}", hint=hint)
    own = placed(delegate.litert_flags if tool == "litert" else delegate.flags, places)
    flags = [("graph", graph), *_option_flags(options, tool), *own, *options.extra_flags]
    return (binary, *(f"--{name}={value}" for name, value in flags))


def command_line(argv: Sequence[str], env: Sequence[tuple[str, str]] = ()) -> str:
    """The environment and the words, quoted for a POSIX shell."""
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
    """A flag of the user, `name=value`, with or without dashes.

    Raises:
        InputError: it has no value, or devbench sets it itself.
    """
    match = _EXTRA.fullmatch(text.strip())
    if match is None or "\x00" in text or "\n" in text:
        raise InputError(f"--tool-flag {text!r} is not name=value", hint="for example --tool-flag allow_fp16=true")
    name, value = match.groups()
    if name in _OURS:
        raise InputError(f"--tool-flag {name} is set by devbench itself", hint="leave it out")
    return name, value


def _option_flags(options: ToolOptions, tool: ToolName) -> list[tuple[str, str]]:
    values = {name: getattr(options, name) for name in _SAME_NAMES}
    values["report_peak_memory_footprint"] = "true" if options.report_peak_memory else None
    values["signature_to_run_for"] = options.signature if options.signature_graph else None
    values["use_profiler" if tool == "litert" else "enable_op_profiling"] = "true" if options.profile else None
    if tool == "tflite":
        values |= {name: getattr(options, name) for name in (*_INPUT_FLAGS, "output_filepath")}
    given = ((name, value) for name, value in values.items() if value is not None)
    return [(name, f"{value:g}" if isinstance(value, float) else str(value)) for name, value in given]


def flags_of_help(text: str) -> frozenset[str]:
    """The names of the flags in a help text; empty for other text."""
    return frozenset(_HELP_LINE.findall(text[: 1 << 20]))


def missing_flags(delegate: Delegate, tool: ToolName, known: Collection[str]) -> list[str]:
    """The delegate's flags that the binary does not have: it would print a warning, run on the CPU, and exit with 0.

    Empty if the binary's flags are unknown.
    """
    wanted = delegate.litert_flags if tool == "litert" else delegate.flags
    return [name for name, _ in wanted if known and name not in known]


def refused(argv: Sequence[str], known: Collection[str], name: str) -> Failure | None:
    """Why a binary cannot run a command line: it would ignore flags that it does not have.

    Args:
        argv: words of one process; those of the form `--name=value` are checked.
        known: the binary's flags; if empty, they are unknown and nothing is refused.
        name: the binary's name.
    """
    wanted = dict.fromkeys(word[2:].partition("=")[0] for word in argv if word.startswith("--"))
    missing = [flag for flag in wanted if known and flag not in known]
    if not missing:
        return None
    if "signature_to_run_for" in missing:
        said = f"{name} has no --signature_to_run_for: it cannot choose a signature; use another binary"
    elif missing[0] in OUTPUT_FLAGS and "output_filepath" not in wanted:
        said = f"{name} has no --{missing[0]}: it cannot set the shapes of inputs; use another binary"
    elif missing[0] in OUTPUT_FLAGS:
        said = f"{name} has no --{missing[0]}: outputs cannot be compared; leave out the check of outputs"
    else:
        flags = ", ".join(f"--{flag}" for flag in missing[:10])
        said = f"{name} has no {flags}: it would be ignored; use another binary, or leave it out"
        if missing == ["enable_op_profiling"] or missing == ["max_profiling_buffer_entries"]:
            said += " with --no-profile"
    return Failure(FailureKind.UNKNOWN_FLAG, f"{said} (`devbench binaries flags {name}` lists its flags)")
