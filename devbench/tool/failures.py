"""Whether a repetition counts: from the parsed text, the exit code and the requested delegate.

The checks have a fixed order, the most basic first, so that the failure is the cause and not a consequence.
"""

from __future__ import annotations

from collections.abc import Sequence

from devbench.tool.case import Delegate, Require
from devbench.tool.measurement import DelegateUse, Failure, FailureKind, Measurement
from devbench.tool.parse.problems import best_reason, names_reason

_K = FailureKind
# 128 + signal, as shells report it.
_SIGKILL = 137
_SIGNALS = {
    4: "SIGILL",
    5: "SIGTRAP",
    6: "SIGABRT",
    7: "SIGBUS",
    8: "SIGFPE",
    11: "SIGSEGV",
    15: "SIGTERM",
    24: "SIGXCPU",
    31: "SIGSYS",
}
_CANNOT_EXECUTE, _NOT_FOUND = 126, 127


def classify(
    measured: Measurement,
    *,
    delegate: Delegate,
    require: Require,
    exit_code: int | None,
    argv: Sequence[str] = (),
    latency_needed: bool = True,
) -> Failure | None:
    """Why the repetition has no latency, or `None` if it has one.

    Args:
        measured: the parsed output.
        delegate: the requested delegate.
        require: "full" if the delegate must run the whole graph.
        exit_code: the tool's exit code; `None` if the output ends before it.
        argv: the command line; only flags in it are named as unknown.
        latency_needed: whether inferences that are too short for the tool's clock are a failure.
    """
    said = measured.failure
    if exit_code is not None and exit_code > 128:
        return _died(exit_code, said)
    if exit_code in (_CANNOT_EXECUTE, _NOT_FOUND):
        if said is not None and said.kind is _K.BINARY_NOT_FOR_DEVICE:
            return said
        return Failure(_K.BINARY_NOT_FOR_DEVICE, f"the device's shell could not start the tool (exit code {exit_code})")
    if said is not None:
        return said
    if measured.unknown_flags:
        return Failure(_K.UNKNOWN_FLAG, _unknown(measured.unknown_flags, argv))
    if exit_code is None or measured.status == "incomplete" or measured.inference_avg_us is None:
        if measured.status == "ok" and exit_code == 0:
            if measured.runs is None or not measured.runs.count:
                return Failure(_K.OUTPUT_INCOMPLETE, "the tool printed no latency (a dry run, or no inference was run)")
            if latency_needed:
                return Failure(_K.OUTPUT_INCOMPLETE, "every inference took less than 1 µs, the tool's resolution")
            return _delegation(measured, delegate, require)
        how = "the connection ended first" if exit_code is None else f"exit code {exit_code}"
        return Failure(_K.OUTPUT_INCOMPLETE, f"the output ends before the tool's summary ({how})")
    if exit_code != 0:
        return Failure(_K.TOOL_ERROR, _best_warning(measured) or f"exit code {exit_code}")
    return _delegation(measured, delegate, require)


def _died(exit_code: int, said: Failure | None) -> Failure:
    if exit_code == _SIGKILL:
        message = said.message if said is not None and said.kind is _K.KILLED else "Killed (SIGKILL)"
        return Failure(_K.KILLED, message)
    name = _SIGNALS.get(exit_code - 128, f"signal {exit_code - 128}")
    evidence = f": {said.message}" if said is not None else ""
    return Failure(_K.CRASH, f"ended by {name} (exit code {exit_code}){evidence}")


def _unknown(flags: Sequence[str], argv: Sequence[str]) -> str:
    given = [flag for flag in flags if flag in argv]
    return f"Unconsumed cmdline flags: {' '.join(given or flags)}"


def _best_warning(measured: Measurement) -> str:
    return best_reason(measured.warnings) or next(iter(measured.warnings), "")


def _delegation(measured: Measurement, delegate: Delegate, require: Require) -> Failure | None:
    """The tool's output must show that the requested delegate ran."""
    if not delegate.reported_as:
        return None
    use = find_use(measured.delegates, delegate)
    if use is None:
        if measured.tool == "litert" and not measured.delegates:
            # LiteRT's tool does not report its CPU path, which is XNNPACK.
            return None if delegate.name == "xnnpack" else _not_applied(measured, delegate)
        return _not_applied(measured, delegate)
    if use.applied == "none":
        return _not_applied(measured, delegate)
    if require == "full" and use.applied != "full":
        return Failure(_K.DELEGATE_PARTLY_APPLIED, _partly(use, measured))
    return None


def find_use(uses: Sequence[DelegateUse], delegate: Delegate) -> DelegateUse | None:
    """The tool's report about the delegate, under any of its names."""
    wanted = {name.casefold() for name in delegate.reported_as}
    return next((use for use in uses if use.name.casefold() in wanted), None)


def _not_applied(measured: Measurement, delegate: Delegate) -> Failure:
    """The failure with the most specific line: one with an operator and a reason, else one with the delegate."""
    names = [name.casefold() for name in delegate.reported_as]
    named = [line for line in measured.warnings if any(name in line.casefold() for name in names)]
    telling = best_reason([line for line in measured.warnings if names_reason(line)]) or best_reason(named)
    said = telling or next(iter(named), "the tool's output does not say that it was applied")
    return Failure(
        _K.DELEGATE_NOT_APPLIED, f"{delegate.title} was requested and not applied: {said}{_refused(measured)}"
    )


def _partly(use: DelegateUse, measured: Measurement) -> str:
    counts = f"{use.nodes_delegated} of {use.nodes_total} nodes" if use.nodes_delegated is not None else "a part"
    return f"{use.name} runs {counts} of the graph{_refused(measured)}"


def _refused(measured: Measurement) -> str:
    refused = ", ".join(dict.fromkeys(op.op for op in measured.unsupported_ops[:20]))
    return f"; not supported: {refused}" if refused else ""
