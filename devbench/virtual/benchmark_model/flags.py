"""The virtual tool's command line: the stock tool's flags, types and messages; knows no model.

As in the stock tool only `--name=value` is a flag; there is a warning about any other word. Delegates that this build
lacks (NNAPI, Hexagon, a GPU without Vulkan) have no flags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

_BOOLS = {"true": True, "1": True, "false": False, "0": False}


class FlagError(Exception):
    """A value that is not of its flag's type."""


@dataclass(frozen=True, slots=True)
class _Flag:
    kind: type
    default: bool | int | float | str
    help: str


_FLAGS: dict[str, _Flag] = {
    "num_runs": _Flag(int, 50, "expected number of runs, see also min_secs, max_secs"),
    "min_secs": _Flag(float, 1.0, "minimum number of seconds to rerun for"),
    "max_secs": _Flag(float, 150.0, "maximum number of seconds to rerun for"),
    "run_delay": _Flag(float, -1.0, "delay between runs in seconds"),
    "num_threads": _Flag(int, -1, "number of threads"),
    "warmup_runs": _Flag(int, 1, "minimum number of runs performed on initialization"),
    "warmup_min_secs": _Flag(float, 0.5, "minimum number of seconds to rerun for, before the timed runs"),
    "verbose": _Flag(bool, False, "whether to log parameters whose values are not set"),
    "dry_run": _Flag(bool, False, "whether to run the tool just with simply loading the model"),
    "report_peak_memory_footprint": _Flag(bool, False, "report the peak memory footprint by periodic monitoring"),
    "memory_footprint_check_interval_ms": _Flag(int, 50, "interval of the periodic monitoring in ms"),
    "graph": _Flag(str, "", "graph file name"),
    "allow_fp16": _Flag(bool, False, "allow fp16"),
    "require_full_delegation": _Flag(bool, False, "require delegate to run the entire graph"),
    "enable_op_profiling": _Flag(bool, False, "enable op profiling"),
    "max_profiling_buffer_entries": _Flag(int, 1024, "max initial profiling buffer entries"),
    "allow_dynamic_profiling_buffer_increase": _Flag(bool, False, "allow dynamic increase on profiling buffer entries"),
    "profiling_output_csv_file": _Flag(str, "", "file path to export profile data as CSV"),
    "op_profiling_output_mode": _Flag(str, "stdout", "output mode for op profiling results: stdout, csv"),
    "op_profiling_output_file": _Flag(str, "", "file path to export profile data, used with the mode csv"),
    "input_layer": _Flag(str, "", "input layer names"),
    "input_layer_shape": _Flag(str, "", "input layer shapes, separated by colons"),
    "signature_to_run_for": _Flag(str, "", "name of the signature to run; empty for the main graph"),
    "input_layer_value_files": _Flag(str, "", "files of raw values for input layers, name:path separated by commas"),
    "output_filepath": _Flag(str, "", "file path to export outputs layer to"),
    "help": _Flag(bool, False, "print out all supported flags if true"),
    "use_xnnpack": _Flag(bool, False, "explicitly apply the XNNPACK delegate; false turns the default one off"),
}
_GPU_FLAGS: dict[str, _Flag] = {
    "use_gpu": _Flag(bool, False, "use gpu"),
    "gpu_precision_loss_allowed": _Flag(bool, True, "allow computation in lower precision than fp32"),
}


@dataclass(frozen=True, slots=True)
class Flags:
    """Parsed flags: values or defaults, the flags that were given, and the words that are not flags."""

    values: dict[str, bool | int | float | str]
    named: frozenset[str]
    unconsumed: tuple[str, ...] = field(default=())

    def text(self, name: str) -> str:
        return str(self.values[name])

    def yes(self, name: str) -> bool:
        return bool(self.values.get(name, False))

    def whole(self, name: str) -> int:
        return int(self.values[name])

    def real(self, name: str) -> float:
        return float(self.values[name])


def known_flags(*, gpu: bool) -> dict[str, _Flag]:
    """All flags of a build, with those of the GPU delegate if it has one."""
    return {**_FLAGS, **_GPU_FLAGS} if gpu else _FLAGS


def parse_flags(argv: Sequence[str], *, gpu: bool) -> Flags:
    """The flags in `argv`.

    Raises:
        FlagError: with the stock tool's message.
    """
    known = known_flags(gpu=gpu)
    values = {name: flag.default for name, flag in known.items()}
    named: set[str] = set()
    left = []
    for word in argv:
        if word == "--help":
            # The only flag of the stock tool that needs no value.
            values["help"] = True
            continue
        name, equals, text = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not equals or name not in known:
            left.append(word)
            continue
        try:
            values[name] = _BOOLS[text] if known[name].kind is bool else known[name].kind(text)
        except (ValueError, KeyError):
            raise FlagError(f"Failed to parse flag '{name}' against argv '{word}'") from None
        named.add(name)
    return Flags(values, frozenset(named), tuple(left))


def usage(program: str, *, gpu: bool) -> str:
    """The help text in the stock tool's form."""
    names = {bool: "bool", int: "int32", float: "float", str: "string"}
    lines = [f"usage: {program} <flags>", "Flags:"]
    for name, flag in known_flags(gpu=gpu).items():
        default = (
            str(flag.default).lower()
            if flag.kind is bool
            else f"{flag.default:g}"
            if flag.kind is float
            else flag.default
        )
        lines.append(f"\t{f'--{name}={default}':<47}\t{names[flag.kind]}\toptional\t{flag.help}")
    return "\n".join(lines) + "\n"
