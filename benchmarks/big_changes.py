"""What `big_store.py` makes its store of: real cases with their noise, and the changes that are put into them."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devbench.analysis.cuts import running_median
from devbench.bench.records import operator_records
from devbench.results.cases import case_text
from devbench.results.column_types import content_id
from devbench.results.records import OperatorRecord
from devbench.tool.measurement import Measurement
from devbench.tool.parse import parse_bytes

ROOT = Path(__file__).parents[1]
_VARIANTS = (("", 1.0), ("-wide", 1.7), ("-deep", 2.9), ("-lite", 0.6))
# So many recorded processes make the level; what is slower than they is noise.
_WINDOW = 31


@dataclass(frozen=True)
class BigCase:
    """A case with its levels in microseconds, and its noise relative to them, a value a process."""

    model: str
    sha256: str
    size_bytes: int
    delegate: str
    threads: int
    scale: float
    levels: dict[str, float]
    noise: dict[str, NDArray[np.float64]]
    measured: Measurement
    operators: tuple[OperatorRecord, ...]

    @property
    def options(self) -> dict[str, Any]:
        names = ["XNNPACK"] if self.delegate == "xnnpack" else []
        return {"num_threads": self.threads, "num_runs": 50, "reported_as": names, "extra_flags": []}

    @property
    def text(self) -> str:
        return case_text(self.model, self.delegate, self.threads, self.options)

    @property
    def dearest(self) -> int:
        """The operator that takes most time."""
        times = [(op.avg_ms or 0.0) if op.phase == "runs" else 0.0 for op in self.operators]
        return int(np.argmax(times))


@dataclass(frozen=True)
class Change:
    """Something injected: `metric` of these devices and models (empty: of all) times `factor` from a night on.

    Attributes:
        kind: "model", "operator" (the dearest of a model alone), "size", "delegation", "update" (of a device's system),
            "drift" (of a device, reaching `factor` after `nights`) or "hot" (one night of a device).
        night: index of the first night after it.
    """

    kind: str
    night: int
    factor: float
    metric: str
    devices: tuple[int, ...] = ()
    models: tuple[str, ...] = ()
    nights: int = 0

    def at(self, night: int, device: int, model: str) -> float:
        """What it does to a night of a model on a device."""
        elsewhere = (self.devices and device not in self.devices) or (self.models and model not in self.models)
        if night < self.night or elsewhere or (self.kind == "hot" and night != self.night):
            return 1.0
        reached = min(1.0, (night - self.night + 1) / self.nights) if self.nights else 1.0
        return 1 + (self.factor - 1) * reached


def measure(model: str, xnnpack: bool, threads: int) -> Measurement:
    """One process of the virtual device's tool on this machine, profiled."""
    command = [
        sys.executable, "-m", "devbench.virtual.benchmark_model", f"--graph={ROOT / model}",
        f"--use_xnnpack={str(xnnpack).lower()}", f"--num_threads={threads}", "--num_runs=20", "--min_secs=0.05",
        "--warmup_min_secs=0.02", "--enable_op_profiling=true", "--report_peak_memory_footprint=true",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, timeout=120, check=True, cwd=ROOT)
    return parse_bytes(done.stdout + done.stderr)


def make_cases(recorded: Sequence[tuple[str, bool, int]], count: int) -> list[BigCase]:
    """The recorded cases, then others of the same shape at other levels."""
    traces = json.loads(gzip.decompress((ROOT / "tests" / "data" / "process_noise.json.gz").read_bytes()))
    measured = [measure(*case) for case in recorded]
    found = []
    for number in range(count):
        variant, base = divmod(number, len(recorded))
        path, xnnpack, threads = recorded[base]
        round_, which = divmod(variant, len(_VARIANTS))
        suffix, scale = _VARIANTS[which]
        name = Path(path).stem + suffix + (f"-{round_ + 1}" if round_ else "")
        delegate = "xnnpack" if xnnpack else "cpu"
        values = {
            metric: np.asarray(of, dtype=float)
            for metric, of in traces[f"{Path(path).stem} {delegate} {threads}"].items()
        }
        found.append(
            BigCase(
                model=name,
                sha256=f"{content_id(name):064x}",
                size_bytes=int((ROOT / path).stat().st_size * scale),
                delegate=delegate,
                threads=threads,
                scale=scale,
                levels={metric: float(np.median(of)) * scale for metric, of in values.items()},
                # What the machine did over the recording is taken out: changes are injected, and known.
                noise={metric: of / running_median(of, _WINDOW) for metric, of in values.items()},
                measured=measured[base],
                operators=operator_records(measured[base]),
            )
        )
    return found


def make_changes(nights: int, devices: int, cases: Sequence[BigCase], rng: np.random.Generator) -> list[Change]:
    """One change a model at most, three updates of devices, a drift, and a hot night a month; none near an end."""
    edge = min(20, nights // 4)

    def night() -> int:
        return int(rng.integers(edge, max(edge + 1, nights - edge)))

    names = list(dict.fromkeys(case.model for case in cases))
    shuffled = [names[i] for i in rng.permutation(len(names))]
    kinds = [("model", factor, "latency") for factor in (1.03, 1.05, 1.1, 0.92, 1.2, 0.97)]
    kinds += [("operator", 1.5, "operator"), ("operator", 1.5, "operator"), ("size", 1.25, "model_size")]
    found = [
        Change(kind, night(), factor, metric, models=(model,))
        for (kind, factor, metric), model in zip(kinds, shuffled, strict=False)
    ]
    delegated = [case.model for case in cases if case.delegate == "xnnpack" and case.measured.delegates]
    found.append(Change("delegation", night(), 0.5, "delegated_node_share", models=(delegated[-1],)))
    for device, factor in zip(rng.permutation(devices)[:3], (1.06, 0.93, 1.12), strict=False):
        found.append(Change("update", night(), factor, "latency", devices=(int(device),)))
    drifting = int(rng.integers(devices))
    found.append(Change("drift", edge, 1.08, "latency", devices=(drifting,), nights=max(1, nights // 3)))
    for _ in range(max(1, nights // 30)):
        found.append(Change("hot", night(), 1.3, "latency", devices=(int(rng.integers(devices)),)))
    return sorted(found, key=lambda change: change.night)


def effect(changes: Sequence[Change], metric: str, night: int, device: int, model: str) -> float:
    """What all changes come to in a night."""
    product = 1.0
    for change in changes:
        if change.metric == metric:
            product *= change.at(night, device, model)
    return product
