"""Checks a delegate's outputs: the same inputs on the device and on this machine, compared.

The check takes one process of the tool per job, before anything is timed, since the latency of a delegate with wrong
outputs is useless.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbench.analysis.accuracy import NO_LIMITS, compare, limit_to_json, violation
from devbench.errors import InputError
from devbench.frozen import dataclass
from devbench.models.case_inputs import called_tensors
from devbench.models.tensors import ModelTensors, make_inputs
from devbench.tool.measurement import Failure, FailureKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from devbench.adb.device import Device
    from devbench.bench.plan import Called, Case, OutputCheck
    from devbench.device.depot import Depot
    from devbench.tool.case import ToolOptions


@dataclass(frozen=True, slots=True)
class Expected:
    """A model's inputs and its right outputs, computed once for all devices.

    `unsteady` are the numbers of the outputs that differ from run to run on this machine.
    """

    called: Called
    tensors: ModelTensors
    inputs: tuple[NDArray[np.generic], ...]
    outputs: tuple[NDArray[np.generic], ...]
    unsteady: frozenset[int] = frozenset()


def expect(case: Case, check: OutputCheck) -> Expected:
    """Inputs for a case's model, with the shapes that it is called with, and its outputs on this machine.

    The model is run twice, in two processes: an output that differs between them cannot be checked on a device.

    Raises:
        InputError: the model's tensors or the user's inputs cannot be used.
        ReferenceFailed: LiteRT on this machine does not run the model.
    """
    from devbench.models.reference import SignatureCall, run_on_host

    model, options = case.model, case.options
    tensors, inputs = checked_inputs(case, check)
    call = None
    if options.signature is not None and options.signature_graph:
        names = [tuple(spec.alias for spec in side) for side in (tensors.inputs, tensors.outputs)]
        call = SignatureCall(options.signature, *names)
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda _: run_on_host(model.path, [inputs], signature=call), range(2)))
    # The shape of an output in the file may be open, or depend on the inputs.
    specs = zip(tensors.outputs, runs[0].shapes, strict=True)
    tensors = replace(tensors, outputs=tuple(replace(spec, shape=shape) for spec, shape in specs))
    first, second = (split_outputs(run.outputs[0], tensors) for run in runs)
    outputs = tuple(array for array in first if array is not None)
    differ = [not _same(*pair) for pair in zip(first, second, strict=True)]
    unsteady = frozenset(number for number, differs in enumerate(differ) if differs)
    return Expected(case.called, tensors, tuple(inputs), outputs, unsteady)


def checked_inputs(case: Case, check: OutputCheck) -> tuple[ModelTensors, list[NDArray[np.generic]]]:
    """The input and output tensors of a case's model, and the inputs for the check.

    Raises:
        InputError: the model's tensors or the user's inputs make no sense.
    """
    model, options = case.model, case.options
    tensors = called_tensors(model.path, dict(options.input_shapes), options.signature_graph)
    unknown = [spec.name for spec in tensors.outputs if not spec.dtype]
    if unknown:
        raise InputError(
            f"model {model.name}: output {unknown[0]} has a type that cannot be compared",
            hint="leave --check-outputs out",
        )
    if [spec.shape for spec in tensors.inputs] == [()]:
        # The tool splits --input_layer_shape at colons, so the shape of a scalar would disappear.
        raise InputError(
            f"model {model.name}: its only input is a scalar, which the tool cannot be given values for",
            hint="leave --check-outputs out",
        )
    return tensors, make_inputs(tensors.inputs, check.inputs)


def _same(one: NDArray[np.generic] | None, other: NDArray[np.generic] | None) -> bool:
    return one is not None and other is not None and one.tobytes() == other.tobytes()


def split_outputs(data: bytes, tensors: ModelTensors) -> list[NDArray[np.generic] | None]:
    """The tool's output file, which has one output after the other; `None` for each if the size does not match."""
    import numpy as np

    if len(data) != sum(spec.size_bytes for spec in tensors.outputs):
        return [None] * len(tensors.outputs)
    found: list[NDArray[np.generic] | None] = []
    start = 0
    for spec in tensors.outputs:
        found.append(np.frombuffer(data[start : start + spec.size_bytes], np.dtype(spec.dtype)))
        start += spec.size_bytes
    return found


class DeviceOutputs:
    """The check on one device: sends inputs, fetches outputs, compares them."""

    def __init__(
        self,
        device: Device,
        depot: Depot,
        work_dir: str,
        check: OutputCheck,
        expected: Mapping[Called, Expected],
    ) -> None:
        self._device = device
        self._depot = depot
        self._work_dir = work_dir
        self._check = check
        self._expected = expected
        self._remote: dict[Called, list[str]] = {}
        self._on_cpu: dict[Called, Sequence[NDArray[np.generic] | None]] = {}

    def options(self, case: Case) -> tuple[ToolOptions, str]:
        """A case's options for one inference on the expected inputs, and the file on the device for its outputs.

        The tool assigns inputs by their order, but requires names; short generated names need no escapes.
        """
        expected = self._expected[case.called]
        files = self._remote.get(expected.called) or self._push(expected)
        out = f"{self._work_dir}/{secrets.token_hex(8)}.out"
        names = [f"i{number}" for number in range(len(files))]
        shapes = [",".join(map(str, spec.shape)) for spec in expected.tensors.inputs]
        once = replace(
            case.options,
            num_runs=1,
            min_secs=0.0,
            warmup_runs=0,
            warmup_min_secs=0.0,
            input_layer=",".join(names),
            # A scalar's shape is empty: the tool refuses "1" for it.
            input_layer_shape=":".join(shapes),
            input_layer_value_files=",".join(f"{name}:{file}" for name, file in zip(names, files, strict=True)),
            output_filepath=out,
        )
        return once, out

    def _push(self, expected: Expected) -> list[str]:
        remote = []
        with tempfile.TemporaryDirectory() as folder:
            for number, array in enumerate(expected.inputs):
                path = Path(folder, f"input{number}")
                path.write_bytes(array.tobytes())
                remote.append(self._depot.ensure(path).remote)
        self._remote[expected.called] = remote
        return remote

    def judge(self, case: Case, out: str) -> tuple[list[dict[str, Any]], Failure | None]:
        """Fetch the outputs and compare each with this machine's and with the device's own CPU's.

        Gives rows for the store (each `against` "host", with the `limits` it was judged by, or "device cpu") and a
        failure if an output is wrong. An output that is not deterministic is wrong only by NaN, Inf, zeros or size.
        """
        expected, is_cpu = self._expected[case.called], not case.delegate.reported_as
        found = self._fetch(out, expected.tensors)
        if is_cpu:
            self._on_cpu[expected.called] = found
        rows: list[dict[str, Any]] = []
        wrong = ""
        for number, (spec, ours, theirs) in enumerate(
            zip(expected.tensors.outputs, found, expected.outputs, strict=True)
        ):
            error = compare(spec.name, ours, theirs)
            unsteady = number in expected.unsteady
            said = violation(error, NO_LIMITS if unsteady else self._check.thresholds)
            wrong = wrong or (f"output {spec.name}: {said}" if said else "")
            limits = limit_to_json(self._check.thresholds.of(error.dtype))
            row = {**asdict(error), "against": "host", "wrong": bool(said), "limits": {} if unsteady else limits}
            rows.append({**row, "deterministic": not unsteady})
        if not is_cpu:
            for spec, ours, cpu in zip(
                expected.tensors.outputs, found, self._on_cpu.get(expected.called, ()), strict=False
            ):
                if cpu is not None:
                    rows.append({**asdict(compare(spec.name, ours, cpu)), "against": "device cpu", "wrong": False})
        failure = Failure(FailureKind.OUTPUT_MISMATCH, wrong) if wrong else None
        return [_finite(row) for row in rows], failure

    def _fetch(self, out: str, tensors: ModelTensors) -> list[NDArray[np.generic] | None]:
        from devbench.adb.errors import SyncFailed

        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder, "outputs")
            try:
                self._device.pull(out, local, max_bytes=sum(spec.size_bytes for spec in tensors.outputs))
            except SyncFailed:
                return [None] * len(tensors.outputs)
            finally:
                self._device.shell(f"rm -f {out}", timeout_s=10, doing="fetching outputs")
            return split_outputs(local.read_bytes(), tensors)


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """Infinite figures as `None`, since JSON has no infinity: the signal-to-noise ratio of equal arrays is infinite."""
    return {
        key: None if isinstance(value, float) and value in (float("inf"), float("-inf")) else value
        for key, value in row.items()
    }
