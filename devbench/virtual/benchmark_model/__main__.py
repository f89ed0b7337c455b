"""The virtual device's benchmark_model: the stock tool's flags, text and exit codes, on LiteRT.

Started by the virtual device's shell as `python -m devbench.virtual.benchmark_model`. INFO and WARN go to standard
output, ERROR to standard error, as in the stock tool since 2.14.
"""

from __future__ import annotations

import os
import re
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from devbench.virtual.benchmark_model.flags import FlagError, Flags, parse_flags, usage
from devbench.virtual.benchmark_model.litert import (
    Backend,
    Compiled,
    Event,
    KernelMode,
    LiteRtError,
    Model,
    load_gpu_accelerator,
    load_library,
    operator_names,
)
from devbench.virtual.benchmark_model.report import (
    Operator,
    aggregate,
    profile_csv,
    profile_text,
    stat_line,
)
from devbench.virtual.benchmark_model.streams import heard_stderr
from devbench.virtual.vulkan import driver_files, vulkan_available

_FAILED = 1
# The runtime keeps every event of a profile in memory; more inferences than these add no precision to an average.
_MOST_PROFILED_RUNS = 200
_INIT_TITLE = "Profiling Info for Benchmark Initialization"
_RUNS_TITLE = "Operator-wise Profiling Info for Regular Benchmark Runs"
_IS_MAC = sys.platform == "darwin"


class Failed(Exception):
    """The benchmark cannot go on; everything there is to say has been printed."""


def info(text: str) -> None:
    print(f"INFO: {text}", flush=True)


def error(text: str) -> None:
    print(f"ERROR: {text}", file=sys.stderr, flush=True)


def main(argv: Sequence[str]) -> int:
    info("STARTING!")
    gpu = vulkan_available()
    try:
        flags = parse_flags(argv[1:], gpu=gpu)
    except FlagError as problem:
        error(str(problem))
        error(usage(argv[0], gpu=gpu))
        error("Benchmarking failed.")
        return _FAILED
    if flags.yes("help"):
        error(usage(argv[0], gpu=gpu))
        error("Benchmarking failed.")
        return _FAILED
    if flags.unconsumed:
        print(f"WARN: Unconsumed cmdline flags: {' '.join(flags.unconsumed)}", flush=True)
    try:
        _benchmark(flags)
    except Failed:
        error("Benchmarking failed.")
        return _FAILED
    return 0


def _benchmark(flags: Flags) -> None:
    _log_flags(flags)
    graph = flags.text("graph")
    if not graph:
        error("Please specify the name of your TF Lite input file with --graph")
        raise Failed
    memory = _Memory(flags)
    profiling = flags.yes("enable_op_profiling")
    choice = _backend(flags)
    load_library()
    if choice.backend.gpu:
        load_gpu_accelerator()
    start = time.perf_counter_ns()
    model = _load(graph)
    compiled = _compile(model, choice, profiling=profiling)
    init_us = (time.perf_counter_ns() - start) // 1000
    _say_how_applied(flags, model, choice, compiled)
    init_mb = memory.growth_mb()
    info(f"The input model file size (MB): {Path(graph).stat().st_size / 1e6:g}")
    info(f"Initialized session in {init_us / 1000:g}ms.")
    _fill_inputs(flags, compiled)
    dry = flags.yes("dry_run")
    warm = _Phase(0, -1.0) if dry else _Phase(flags.whole("warmup_runs"), flags.real("warmup_min_secs"))
    regular = _Phase(0, -1.0) if dry else _Phase(flags.whole("num_runs"), flags.real("min_secs"))
    try:
        warmup_us = _run_phase(warm, flags, compiled.run)
        recorded: list[list[Event]] = []

        def profiled() -> None:
            if len(recorded) < _MOST_PROFILED_RUNS:
                recorded.append(compiled.profiled_run())
            else:
                compiled.run()

        runs_us = _run_phase(regular, flags, profiled if profiling and compiled.profiling else compiled.run)
    except LiteRtError as problem:
        error(f"Failed to invoke: {problem}")
        raise Failed from None
    _print_summary(init_us, warmup_us, runs_us, memory, init_mb)
    _write_outputs(flags, compiled)
    if recorded:
        _print_profile(flags, init_us, aggregate(recorded, operator_names(graph)), runs_us)


@dataclass(frozen=True, slots=True)
class _Phase:
    """A phase runs at least so often and so long."""

    least_runs: int
    least_s: float


def _run_phase(phase: _Phase, flags: Flags, run: Callable[[], None]) -> list[int]:
    """Times of single inferences in whole microseconds."""
    longest_s, delay_s = flags.real("max_secs"), flags.real("run_delay")
    info(
        f"Running benchmark for at least {phase.least_runs} iterations and at least {phase.least_s:g} seconds but "
        f"terminate if exceeding {longest_s:g} seconds."
    )
    began = time.perf_counter()
    times: list[int] = []
    while True:
        passed_s = time.perf_counter() - began
        if (len(times) >= phase.least_runs and passed_s >= phase.least_s) or passed_s > longest_s:
            break
        start = time.perf_counter_ns()
        run()
        times.append((time.perf_counter_ns() - start) // 1000)
        if delay_s > 0:
            time.sleep(delay_s)
    info(stat_line(times))
    print(flush=True)
    return times


def _fill_inputs(flags: Flags, compiled: Compiled) -> None:
    """Values from files where they are given, bound by the order of the input layers as in the stock tool."""
    compiled.fill_inputs()
    names = [name for name in flags.text("input_layer").split(",") if name]
    given = dict(part.rsplit(":", 1) for part in flags.text("input_layer_value_files").split(",") if ":" in part)
    if names and len(names) != compiled.input_count:
        error(f"The model has {compiled.input_count} inputs but {len(names)} are given in --input_layer")
        raise Failed
    for number, name in enumerate(names):
        if name in given:
            try:
                data = Path(given[name]).read_bytes()
            except OSError as problem:
                error(f"Failed to read the input file {given[name]}: {problem.strerror}")
                raise Failed from None
            if not compiled.set_input(number, data):
                error(f"The size of {given[name]} is not that of input {number}")
                raise Failed


def _log_flags(flags: Flags) -> None:
    titles = {
        "num_runs": "Min num runs",
        "min_secs": "Min runs duration (seconds)",
        "max_secs": "Max runs duration (seconds)",
        "num_threads": "Num threads",
        "warmup_runs": "Min warmup runs",
        "warmup_min_secs": "Min warmup runs duration (seconds)",
        "report_peak_memory_footprint": "Report the peak memory footprint",
        "graph": "Graph",
        "require_full_delegation": "Require full delegation",
        "enable_op_profiling": "Enable op profiling",
        "use_xnnpack": "Use xnnpack",
        "use_gpu": "Use gpu",
    }
    info(f"Log parameter values verbosely: [{int(flags.yes('verbose'))}]")
    for name, title in titles.items():
        if name in flags.values and (name in flags.named or name == "graph" or flags.yes("verbose")):
            value = flags.values[name]
            shown = int(value) if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else value
            if name != "graph" or value:
                info(f"{title}: [{shown}]")


def _load(graph: str) -> Model:
    """The model, refused in the stock tool's words where it cannot be had."""
    path = Path(graph)
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except FileNotFoundError:
        error(f"Could not open '{graph}'.")
        error("The model allocation is null/empty")
    except OSError as problem:
        error(f"Mmap of '3' at offset '0' failed with error '{problem.errno}'.")
        error("The model allocation is null/empty")
    else:
        try:
            if head[4:8] != b"TFL3":
                raise LiteRtError("identifier", 0)
            model = Model(graph)
        except LiteRtError:
            error("The model is not a valid Flatbuffer buffer")
        else:
            info(f"Loaded model {graph}")
            return model
    error(f"Failed to load model {graph}")
    raise Failed


@dataclass(frozen=True, slots=True)
class _Choice:
    """What runs the model, and the delegate that was asked for by name; empty for the default."""

    backend: Backend
    delegate: str


def _backend(flags: Flags) -> _Choice:
    """Naming the flag of a delegate at all, true or false, turns the default XNNPACK off, as in the stock tool."""
    gpu, xnnpack = flags.yes("use_gpu"), flags.yes("use_xnnpack")
    off = "use_xnnpack" in flags.named and not xnnpack
    mode = KernelMode.BUILTIN if off else KernelMode.XNNPACK
    if gpu:
        # SwiftShader is found where its browser put it.
        os.environ.update(driver_files() or {})
        os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    backend = Backend(gpu=gpu, kernel_mode=mode, num_threads=max(1, flags.whole("num_threads")))
    return _Choice(backend, "GPU" if gpu else "XNNPACK" if xnnpack else "")


def _compile(model: Model, choice: _Choice, *, profiling: bool) -> Compiled:
    if choice.delegate:
        info(f"{choice.delegate} delegate created.")
    try:
        if choice.backend.gpu:
            # The accelerator cannot profile: with it, every run fails ("Profile is not implemented").
            return _compile_for_gpu(model, choice.backend)
        return Compiled(model, choice.backend, profiling=profiling)
    except (LiteRtError, OSError) as problem:
        if choice.delegate:
            error(f"Failed to apply {choice.delegate} delegate.")
        else:
            error(f"Failed to prepare the model: {problem}")
        raise Failed from None


def _compile_for_gpu(model: Model, backend: Backend) -> Compiled:
    """A model on the accelerator; one that the runtime put on the CPU instead without a word is refused.

    Only the accelerator's own count of operators shows that it took any.
    """
    with heard_stderr() as heard:
        compiled = Compiled(model, backend)
    count = re.search(r"(\d+) operations will run on the GPU", "".join(heard))
    if not compiled.gpu_takes_all and (count is None or count.group(1) == "0"):
        raise LiteRtError("the GPU accelerator", 0)
    return compiled


def _say_how_applied(flags: Flags, model: Model, choice: _Choice, compiled: Compiled) -> None:
    """How much of the graph the delegate took, in the stock tool's words."""
    if not choice.delegate:
        return
    kernels = ""
    if choice.backend.gpu:
        # The accelerator itself prints how many operators it takes; the rest runs with XNNPACK.
        full = compiled.gpu_takes_all
    else:
        partitions, taken, all_partitions = _xnnpack_extent(model, choice.backend)
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
        error("Disallowed CPU fallback detected.")
        raise Failed
    how = "completely executed by the delegate" if full else f"partially executed by the delegate{kernels}"
    info(f"Explicitly applied {choice.delegate} delegate, and the model graph will be {how}.")


def _xnnpack_extent(model: Model, backend: Backend) -> tuple[int, int, int]:
    """XNNPACK's partitions, the nodes in them, and the partitions of both kinds: seen in one profiled inference."""
    probe = Compiled(model, backend, profiling=True)
    try:
        events = probe.profiled_run()
    except LiteRtError as problem:
        error(f"Failed to invoke: {problem}")
        raise Failed from None
    finally:
        probe.close()
    partitions = {event.partition for event in events if event.partition is not None}
    on_cpu = sum(event.partition is None for event in events)
    changes = [event.partition for event in events]
    groups = sum(1 for before, now in zip([object(), *changes], changes, strict=False) if before != now)
    return len(partitions), model.operator_count - on_cpu, groups


class _Memory:
    """Growth of the process's high-water mark since the tool started, and its peak by periodic monitoring."""

    def __init__(self, flags: Flags) -> None:
        self._start_mb = _high_water_mb()
        self._interval_s = max(1, flags.whole("memory_footprint_check_interval_ms")) / 1000
        self._peak_mb = self._start_mb
        self._watch = flags.yes("report_peak_memory_footprint")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._monitor, daemon=True)
        if self._watch:
            self._thread.start()

    def growth_mb(self) -> float:
        return _high_water_mb() - self._start_mb

    def peak_mb(self) -> float | None:
        """The peak in MB; ends the monitoring."""
        if not self._watch:
            return None
        self._stop.set()
        self._thread.join()
        return max(self._peak_mb, _high_water_mb())

    def _monitor(self) -> None:
        while not self._stop.wait(self._interval_s):
            self._peak_mb = max(self._peak_mb, _high_water_mb())


def _high_water_mb() -> float:
    """`ru_maxrss` in MB: kilobytes on Linux, bytes on macOS."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * 1024 if _IS_MAC else 1024)


def _print_summary(
    init_us: int, warmup_us: Sequence[int], runs_us: Sequence[int], memory: _Memory, init_mb: float
) -> None:
    def average(times: Sequence[int]) -> float:
        return sum(times) / len(times) if times else 0.0

    info(
        f"Inference timings in us: Init: {init_us}, First inference: {warmup_us[0] if warmup_us else 0}, "
        f"Warmup (avg): {average(warmup_us):g}, Inference (avg): {average(runs_us):g}"
    )
    info(
        "Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual "
        "memory footprint of the model at runtime. Take the information at your discretion."
    )
    info(f"Memory footprint delta from the start of the tool (MB): init={init_mb:g} overall={memory.growth_mb():g}")
    peak_mb = memory.peak_mb()
    if peak_mb is not None:
        info(f"Overall peak memory footprint (MB) via periodic monitoring: {peak_mb:g}")


def _write_outputs(flags: Flags, compiled: Compiled) -> None:
    path = flags.text("output_filepath")
    if path:
        try:
            Path(path).write_bytes(compiled.output_bytes())
        except OSError as problem:
            error(f"Failed to write outputs to {path}: {problem.strerror}")


def _print_profile(flags: Flags, init_us: int, operators: Sequence[Operator], runs_us: Sequence[int]) -> None:
    """The profiles of both phases, to standard output or to a CSV file."""
    # What the runtime does before the first inference is one call here.
    init = [Operator("CompileModel", "CompileModel/0", init_us / 1000, init_us / 1000, 1, None)]
    csv = flags.text("profiling_output_csv_file")
    if flags.text("op_profiling_output_mode") == "csv":
        csv = csv or flags.text("op_profiling_output_file")
    render = profile_csv if csv else profile_text
    total_us = round(sum(op.avg_ms for op in operators) * 1000)
    tables = (render(_INIT_TITLE, init, init_us), render(_RUNS_TITLE, operators, total_us))
    if csv:
        try:
            Path(csv).write_text("".join(tables), "utf-8")
        except OSError as problem:
            error(f"Failed to write {csv}: {problem.strerror}")
    else:
        for table in tables:
            info(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
