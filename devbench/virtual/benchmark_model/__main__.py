"""The virtual device's benchmark_model: the stock tool's flags, text and exit codes, on LiteRT.

Started by the virtual device's shell as `python -m devbench.virtual.benchmark_model`. INFO and WARN go to standard
output, ERROR to standard error, as in the stock tool since 2.14.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from devbench.models.tensors import operator_names
from devbench.virtual.benchmark_model.choice import (
    Call,
    Chosen,
    call_of,
    check_graph,
    choose,
    graph_of,
    xnnpack_extent,
)
from devbench.virtual.benchmark_model.flags import FlagError, Flags, parse_flags, usage
from devbench.virtual.benchmark_model.litert import (
    Backend,
    CompiledModel,
    LiteRtError,
    Model,
    load_gpu_accelerator,
    load_library,
)
from devbench.virtual.benchmark_model.phases import lengthened, replay, run_phases, slowdown_of
from devbench.virtual.benchmark_model.report import Event, Operator, aggregate, profile
from devbench.virtual.benchmark_model.talk import (
    Failed,
    MemoryMeter,
    error,
    explicitly_applied,
    heard_stderr,
    info,
    log_flags,
    print_summary,
    warn,
)
from devbench.virtual.faults import NOISE_VARIABLE, RECORD_VARIABLE
from devbench.virtual.vulkan import vulkan_available

# The runtime keeps every event of a profile in memory; more inferences do not make an average more precise.
_MAX_PROFILED_RUNS = 200
_INIT_TITLE = "Profiling Info for Benchmark Initialization"
_RUNS_TITLE = "Operator-wise Profiling Info for Regular Benchmark Runs"


def main(argv: Sequence[str]) -> int:
    info("STARTING!")
    # A replay needs no Vulkan driver.
    replays = bool(os.environ.get(NOISE_VARIABLE))
    gpu = replays or vulkan_available()
    try:
        flags = parse_flags(argv[1:], gpu=gpu)
        if flags.yes("help"):
            raise Failed(usage(argv[0], gpu=gpu))
        if flags.unconsumed:
            warn(f"Unconsumed cmdline flags: {' '.join(flags.unconsumed)}")
        (replay if replays else _benchmark)(flags)
    except (Failed, FlagError) as problem:
        lines = problem.args if isinstance(problem, Failed) else (str(problem), usage(argv[0], gpu=gpu))
        for line in (*lines, "Benchmarking failed."):
            error(line)
        return 1
    return 0


def _benchmark(flags: Flags) -> None:
    log_flags(flags)
    graph = graph_of(flags)
    memory = MemoryMeter(flags)
    profiling = flags.yes("enable_op_profiling")
    choice = choose(flags)
    load_library()
    if choice.backend.gpu:
        load_gpu_accelerator()
    start = time.perf_counter_ns()
    model = _load(graph)
    call = call_of(flags, model)
    compiled = _compile(model, choice, call, profiling=profiling)
    init_us = (time.perf_counter_ns() - start) // 1000
    _say_how_applied(flags, graph, model, choice, call, compiled)
    init_mb = memory.growth_mb()
    info(f"The input model file size (MB): {Path(graph).stat().st_size / 1e6:g}")
    info(f"Initialized session in {init_us / 1000:g}ms.")
    _fill_inputs(flags, compiled)
    slowdown = slowdown_of(choice.name)
    recorded: list[list[Event]] = []

    def profiled() -> None:
        if len(recorded) < _MAX_PROFILED_RUNS:
            recorded.append(compiled.profiled_run())
        else:
            compiled.run()

    once = profiled if profiling and compiled.profiling else compiled.run
    try:
        warmup_us, runs_us = run_phases(flags, lengthened(compiled.run, slowdown), lengthened(once, slowdown))
    except LiteRtError as problem:
        raise Failed(f"Failed to invoke: {problem}") from None
    print_summary(init_us, warmup_us, runs_us, memory, init_mb)
    if path := os.environ.get(RECORD_VARIABLE):
        # For a noise file.
        Path(path).write_text(json.dumps(runs_us), "utf-8")
    _write_outputs(flags, compiled)
    if recorded:
        _print_profile(
            flags, init_us, aggregate(recorded, operator_names(Path(graph), flags.text("signature_to_run_for")))
        )


def _fill_inputs(flags: Flags, compiled: CompiledModel) -> None:
    """Fill the inputs, from files if there are any; they belong to inputs by the order of --input_layer."""
    compiled.fill_inputs()
    names = [name for name in flags.text("input_layer").split(",") if name]
    given = dict(part.rsplit(":", 1) for part in flags.text("input_layer_value_files").split(",") if ":" in part)
    if names and len(names) != compiled.input_count:
        raise Failed(f"The model has {compiled.input_count} inputs but {len(names)} are given in --input_layer")
    for number, name in enumerate(names):
        if name in given:
            try:
                data = Path(given[name]).read_bytes()
            except OSError as problem:
                raise Failed(f"Failed to read the input file {given[name]}: {problem.strerror}") from None
            if not compiled.set_input(number, data):
                raise Failed(f"The size of {given[name]} is not that of input {number}")


def _load(graph: str) -> Model:
    check_graph(graph)
    try:
        model = Model(graph)
    except LiteRtError:
        raise Failed("The model is not a valid Flatbuffer buffer", f"Failed to load model {graph}") from None
    info(f"Loaded model {graph}")
    return model


def _compile(model: Model, choice: Chosen, call: Call, *, profiling: bool) -> CompiledModel:
    if choice.delegate:
        info(f"{choice.delegate} delegate created.")
    try:
        if choice.backend.gpu:
            # The accelerator cannot profile: with it, every run fails ("Profile is not implemented").
            return _compile_for_gpu(model, choice.backend, call)
        return call.compiled(model, choice.backend, profiling=profiling)
    except (LiteRtError, OSError) as problem:
        if choice.delegate:
            raise Failed(f"Failed to apply {choice.delegate} delegate.") from None
        raise Failed(f"Failed to prepare the model: {problem}") from None


def _compile_for_gpu(model: Model, backend: Backend, call: Call) -> CompiledModel:
    """A model on the accelerator; refused if the runtime silently put it on the CPU.

    Only the accelerator's own count of operators shows that it took any.
    """
    with heard_stderr() as heard:
        compiled = call.compiled(model, backend)
    count = re.search(r"(\d+) operations will run on the GPU", "".join(heard))
    if not compiled.gpu_takes_all and (count is None or count.group(1) == "0"):
        raise LiteRtError("the GPU accelerator", 0)
    return compiled


def _say_how_applied(
    flags: Flags, graph: str, model: Model, choice: Chosen, call: Call, compiled: CompiledModel
) -> None:
    """Print how much of the graph the delegate runs, in the stock tool's words."""
    if not choice.delegate:
        return
    kernels = ""
    if choice.backend.gpu:
        # The accelerator itself prints how many operators it runs; XNNPACK runs the rest.
        full = compiled.gpu_takes_all
    else:
        partitions, taken, all_partitions = xnnpack_extent(graph, model, choice.backend, call)
        full = taken == model.operator_count
        kernels = f" w/ {partitions} delegate kernels"
        info(
            f"Replacing {taken} out of {model.operator_count} node(s) with delegate (TfLiteXNNPackDelegate) node, "
            f"yielding {all_partitions} partitions for the whole graph."
        )
        if not taken:
            info("Though XNNPACK delegate is explicitly applied, the model graph will not be executed by the delegate.")
            return
    if not full and flags.yes("require_full_delegation"):
        raise Failed("Disallowed CPU fallback detected.")
    how = "completely executed by the delegate" if full else f"partially executed by the delegate{kernels}"
    info(explicitly_applied(choice.delegate, how))


def _write_outputs(flags: Flags, compiled: CompiledModel) -> None:
    path = flags.text("output_filepath")
    if path:
        try:
            Path(path).write_bytes(compiled.output_bytes())
        except OSError as problem:
            error(f"Failed to write outputs to {path}: {problem.strerror}")


def _print_profile(flags: Flags, init_us: int, operators: Sequence[Operator]) -> None:
    """Print the profiles of both phases, or write them to a CSV file."""
    # One operator stands for everything before the first inference.
    init = [Operator("CompileModel", "CompileModel/0", init_us / 1000, init_us / 1000)]
    path = flags.text("profiling_output_csv_file")
    if flags.text("op_profiling_output_mode") == "csv":
        path = path or flags.text("op_profiling_output_file")
    total_us = round(sum(op.avg_ms for op in operators) * 1000)
    phases = ((_INIT_TITLE, init, init_us), (_RUNS_TITLE, operators, total_us))
    if not path:
        for phase in phases:
            info(profile(*phase))
        return
    try:
        Path(path).write_text("".join(profile(*phase, csv=True) for phase in phases), "utf-8")
    except OSError as problem:
        error(f"Failed to write {path}: {problem.strerror}")


if __name__ == "__main__":
    sys.exit(main(sys.argv))
