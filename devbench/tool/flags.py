"""The tool's command line from a typed case, and which flags a tool has, from its own help; knows no device.

Every word is quoted for the device's shell. Only `--name=value` is used: the tool ignores `--use_gpu` alone and
`--use_gpu true`, and warns about an unconsumed flag.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping, Sequence

from devbench.errors import InputError
from devbench.tool.case import Delegate, ToolCase, ToolOptions
from devbench.tool.measurement import Failure, FailureKind, ToolName

_CHECK_OUTPUTS_HINT = "check them with TensorFlow Lite's benchmark_model, or leave --check-outputs out"
_INPUT_SHAPE_HINT = "measure them with TensorFlow Lite's benchmark_model, or leave --input-shape out"
_LITERT_FLAGS_HINT = "use TensorFlow Lite's benchmark_model, or add litert_flags to the delegate's entry"
FLAG_NAME = r"[A-Za-z][A-Za-z0-9_-]{0,80}"
_EXTRA = re.compile(rf"(?:--)?({FLAG_NAME})=(.*)", re.DOTALL)
# These are devbench's to set; a second word for one of them would make the result lie about itself.
_OURS = frozenset({"graph", "help"})
# "\t--num_runs=50      \tint32\toptional\texpected number of runs"
_HELP_LINE = re.compile(r"^\s+--([A-Za-z][\w-]{0,80})=", re.MULTILINE)
# Without one of these the tool writes no outputs, or not those of the inputs that are known.
OUTPUT_FLAGS = ("output_filepath", "input_layer", "input_layer_shape", "input_layer_value_files")


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
    options, delegate = case.options, case.delegate
    if tool == "litert":
        for is_asked, what, hint in (
            (options.output_filepath is not None, "cannot write its outputs", _CHECK_OUTPUTS_HINT),
            (options.input_layer_shape is not None, "takes no shapes of inputs", _INPUT_SHAPE_HINT),
            (not delegate.litert_flags, f"has no flags for the delegate {delegate.name}", _LITERT_FLAGS_HINT),
        ):
            if is_asked:
                raise InputError(f"LiteRT's benchmark_model {what}", hint=hint)
        flags = [*_common_options(options), *([("use_profiler", "true")] if options.profile else [])]
    else:
        flags = _tflite_options(options)
    flags += placed(delegate.litert_flags if tool == "litert" else delegate.flags, places)
    return (binary, *(f"--{name}={value}" for name, value in [("graph", graph), *flags, *options.extra_flags]))


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


def flags_of_help(text: str) -> frozenset[str]:
    """The names of the flags that a help text lists; empty where it is none."""
    return frozenset(_HELP_LINE.findall(text[: 1 << 20]))


def missing_flags(delegate: Delegate, tool: ToolName, known: Collection[str]) -> list[str]:
    """The delegate's flags that the binary does not take: it would warn, go on on the CPU, and exit 0.

    Empty where nothing is known of the binary's flags.
    """
    wanted = delegate.litert_flags if tool == "litert" else delegate.flags
    return [name for name, _ in wanted if known and name not in known]


def refused(argv: Sequence[str], known: Collection[str], name: str) -> Failure | None:
    """Why a binary cannot do what a command line asks: flags that it does not take, which it would ignore.

    Args:
        argv: words of one process; those that are `--name=value` are looked at.
        known: the binary's flags; where empty, nothing is known and nothing is refused.
        name: the binary's name.
    """
    wanted = dict.fromkeys(word[2:].partition("=")[0] for word in argv if word.startswith("--"))
    missing = [flag for flag in wanted if known and flag not in known]
    if not missing:
        return None
    if "signature_to_run_for" in missing:
        said = f"{name} has no --signature_to_run_for: it cannot choose a signature; take another binary"
    elif missing[0] in OUTPUT_FLAGS and "output_filepath" not in wanted:
        said = f"{name} has no --{missing[0]}: it cannot set the shapes of inputs; take another binary"
    elif missing[0] in OUTPUT_FLAGS:
        said = f"{name} has no --{missing[0]}: outputs cannot be compared; leave the check of outputs out"
    else:
        flags = ", ".join(f"--{flag}" for flag in missing[:10])
        said = f"{name} has no {flags}: it would be ignored; take another binary, or leave it out"
        if missing == ["enable_op_profiling"] or missing == ["max_profiling_buffer_entries"]:
            said += " with --no-profile"
    return Failure(FailureKind.UNKNOWN_FLAG, f"{said} (`devbench binaries flags {name}` lists its flags)")
