"""Which flags a benchmark_model takes, from its own help; knows no device."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from devbench.tool.case import Delegate
from devbench.tool.measurement import Failure, FailureKind, ToolName

# "\t--num_runs=50      \tint32\toptional\texpected number of runs"
_HELP_LINE = re.compile(r"^\s+--([A-Za-z][\w-]{0,80})=", re.MULTILINE)


def flags_of_help(text: str) -> frozenset[str]:
    """The names of the flags that a help text lists; empty where it is none."""
    return frozenset(_HELP_LINE.findall(text[: 1 << 20]))


def missing_flags(delegate: Delegate, tool: ToolName, known: Collection[str]) -> list[str]:
    """The delegate's flags that the binary does not take: it would warn, go on on the CPU, and exit 0.

    Empty where nothing is known of the binary's flags.
    """
    wanted = delegate.litert_flags if tool == "litert" else delegate.flags
    return [name for name, _ in wanted if known and name not in known]


# Without one of these the tool writes no outputs, or not those of the inputs that are known.
OUTPUT_FLAGS = ("output_filepath", "input_layer", "input_layer_shape", "input_layer_value_files")


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
