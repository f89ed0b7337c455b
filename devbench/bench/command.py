"""The command line of each repetition on one device, and the files that its delegate needs there; knows no store."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from devbench.bench import apk
from devbench.errors import InputError
from devbench.frozen import dataclass
from devbench.tool.case import ToolCase
from devbench.tool.flags import OUTPUT_FLAGS, build_argv, placed, refused
from devbench.tool.measurement import Failure, FailureKind

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.bench.outputs import DeviceOutputs
    from devbench.bench.plan import Case
    from devbench.device.depot import Depot
    from devbench.results.records import FileRecord, Purpose
    from devbench.tool.binaries import Binary

# The tool's profiling buffer has room for 1,024 events by default; a graph with more operators would lose some.
_PROFILING_BUFFER_DEFAULT = 1024
_TIMEOUT_S = 15.0
# What a prelude (see `Command.prelude`) prints: the file cache was emptied; the delegate's cache is not empty.
DROPPED, CACHED = "dropped", "cached"
_DROP = f"sync; echo 3 > /proc/sys/vm/drop_caches && echo {DROPPED}"


@dataclass(frozen=True, slots=True)
class Command:
    """One process of the tool.

    Attributes:
        argv, env: the words of its command line, and its environment variables.
        out: the device's file for the model's outputs, if requested.
        prelude: shell text that runs before it; prints DROPPED if the file cache was emptied and CACHED if the
            delegate's cache is not empty.
        has_cache: whether the delegate keeps compiled kernels or packed weights between processes.
        shell: shell text that runs instead of `argv`: for the tool as an app, or for the session of a pipeline.
        stop: for the tool as an app: shell text that ends the app after the script was killed.
    """

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    out: str = ""
    prelude: str = ""
    has_cache: bool = False
    shell: str = ""
    stop: str = ""


class Commands:
    """Makes commands for one device.

    Args:
        device, depot: the device, and the depot that files are pushed to.
        root: the folder of everything on the device.
        binary: the tool; `binary_path` is its path there, or the name of the app's activity.
        cpu_mask: CPUs that the tool may use, hexadecimal as `taskset` takes it; empty for all.
        can_drop: whether the device's file cache may be emptied for a cold start, which needs root.
    """

    def __init__(
        self,
        device: Device,
        depot: Depot,
        root: str,
        binary: Binary,
        binary_path: str,
        *,
        cpu_mask: str = "",
        can_drop: bool = False,
    ) -> None:
        self._device = device
        self._depot = depot
        self._root = root
        self._binary = binary
        self._binary_path = binary_path
        self._cpu_mask = cpu_mask
        self._can_drop = can_drop

    def can_be_cold(self, case: Case) -> bool:
        """Whether the device's file cache or a cache of the delegate can be emptied before a process."""
        return self._can_drop or case.delegate.uses_cache

    def prepare(self, case: Case, files: Sequence[FileRecord] = ()) -> None:
        """Put a delegate's libraries into a folder on the device, under their own names, and make its cache folder.

        `files` are the job's recorded files, with their hashes.
        """
        recorded = {one.name: one.sha256 for one in files if one.role == "delegate"}
        delegate, places = case.delegate, self._places(case)
        commands = [f"mkdir -p {shlex.quote(places['cache'])}"] if delegate.uses_cache else []
        if delegate.files:
            folder = shlex.quote(places["files"])
            # The folder is emptied first; otherwise a library of an earlier run could be loaded too.
            commands.append(f"rm -rf {folder}; mkdir -p {folder}")
            for file in map(Path, delegate.files):
                stored = self._depot.ensure(file, sha256=recorded.get(file.name), mode=0o755).remote
                commands.append(f"ln -sf {shlex.quote(stored)} {folder}/{shlex.quote(file.name)}")
        if commands:
            doing = f"preparing {delegate.name}"
            self._device.shell("\n".join(commands), timeout_s=_TIMEOUT_S, check=True, doing=doing)

    def build(self, case: Case, purpose: Purpose, graph: str, outputs: DeviceOutputs | None = None) -> Command:
        """Return the command of a repetition.

        Profiling operators and sampling memory slow the process down, so both are on only if latency is not measured.
        """
        profiling = purpose == "profile"
        options = replace(case.options, profile=profiling, report_peak_memory=profiling)
        if purpose == "cold":
            options = replace(options, num_runs=1, min_secs=0.0, warmup_runs=1, warmup_min_secs=0.0)
        operators = case.model.operator_count or 0
        if profiling and self._binary.tool == "tflite" and operators > _PROFILING_BUFFER_DEFAULT // 2:
            extra = (("max_profiling_buffer_entries", str(4 * operators)), *options.extra_flags)
            options = replace(options, extra_flags=extra)
        out = ""
        if purpose == "outputs" and outputs is not None:
            options, out = outputs.options(replace(case, options=options))
        places = self._places(case)
        argv = build_argv(
            ToolCase(delegate=case.delegate, options=options),
            binary=self._binary_path,
            graph=graph,
            tool=self._binary.tool,
            places=places,
        )
        if self._cpu_mask:
            argv = ("taskset", self._cpu_mask, *argv)
        prelude = self._prelude(case, purpose, places["cache"])
        command = Command(argv, tuple(placed(case.delegate.env, places)), out, prelude, case.delegate.uses_cache)
        if not self._binary.is_apk:
            return command
        folders = [self._root, f"{self._root}/sha256"]
        return replace(command, shell=apk.build_shell(argv[1:], graph, folders), stop=apk.STOP)

    def _prelude(self, case: Case, purpose: Purpose, cache: str) -> str:
        folder = shlex.quote(cache)
        lines = []
        if case.delegate.uses_cache:
            if purpose == "cold" or case.delegate.cache == "fresh":
                lines.append(f"rm -rf {folder}/*")
            lines.append(f'set -- {folder}/*; [ -e "$1" ] && echo {CACHED}')
        if purpose == "cold" and self._can_drop:
            lines.append(_DROP)
        return "\n".join(lines)

    def refusal(self, case: Case, purposes: Sequence[Purpose], known: Collection[str]) -> Failure | None:
        """Return why the binary cannot measure a case: it lacks a flag, and would ignore it.

        Args:
            purposes: the purposes of the case's planned processes.
            known: the binary's flags; if empty, only limits of this kind of tool are checked.
        """
        for purpose in purposes:
            try:
                words = self.build(case, purpose, "").argv
            except InputError as error:
                return Failure(FailureKind.UNKNOWN_FLAG, f"{error.what}; {error.hint}")
            if purpose == "outputs":
                words = (*words, *(f"--{flag}=" for flag in OUTPUT_FLAGS))
            failure = refused(words, known, self._binary.name)
            if failure is not None:
                return failure
        return None

    def _places(self, case: Case) -> Mapping[str, str]:
        """Return the values of placeholders in a delegate's flags and environment: its folders and the model's hash.

        Each combination of model, binary and delegate has its own cache folder: a weight cache would not notice that
        one of them changed.
        """
        key = f"{case.model.sha256[:16]}-{self._binary.sha256[:16]}-{case.delegate.folder}"
        if case.options.input_shapes or case.options.signature_graph:
            # Compiled kernels in the cache depend on the input shapes.
            key += f"-{sha256(repr(case.called).encode()).hexdigest()[:8]}"
        return {
            "cache": f"{self._root}/cache/{key}",
            "files": f"{self._root}/files/{case.delegate.folder}",
            "model": case.model.sha256[:32],
        }
