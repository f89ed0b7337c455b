"""Makes a store of years of nightly runs from real measurements, with changes put in; the truth is written beside it.

    python benchmarks/big_store.py OUT.db [--nights 200] [--devices 10] [--cases 40] [--repetitions 5]

Operator profiles are measured on this machine (a dozen processes of the virtual device's tool); levels and the noise
between processes are those of `tests/data/process_noise.json.gz`, in stretches as they were recorded. Devices differ in
speed, and three nights of a hundred are missing. `big_changes.py` says what is put in: changes of models, system
updates of devices, drift, hot nights; `OUT.truth.json` has them with the run that is the first after each. The same
arguments put in the same. All devices are marked as virtual. With the defaults it takes some minutes and 1 GB.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.big_changes import BigCase, effect, make_cases, make_changes
from benchmarks.record_noise import CASES
from devbench.analysis.operators import delegated_node_share
from devbench.results import schema
from devbench.results.column_types import content_id, pack, to_us
from devbench.results.engine import insert_rows
from devbench.results.store import Store
from devbench.results.writing import total_types, total_up
from devbench.tool.parse import to_json

_START = datetime(2026, 4, 1, 21, 0, tzinfo=timezone.utc)
_SEED = 20261126
_MISSING = 0.03
_BINARY = "b" * 64
# Name, SoC, and how long it takes for what the recording machine did in 1.
_DEVICES = (
    ("Pixel 8", "Tensor G3", 1.0),
    ("Galaxy S24", "SM8650", 0.8),
    ("Mi 11", "SM8350", 1.3),
    ("Pixel 6a", "Tensor", 1.5),
    ("Galaxy A54", "Exynos 1380", 2.4),
)
_COLUMNS = {
    "runs": "run_id started_utc finished_utc status end_reason command devbench_version host options",
    "labels": "run_id key value",
    "documents": "id body",
    "devices": "run_id key serial title virtual profile facts_id",
    "jobs": "id run_id number device_key case_id model_sha256 binary_sha256 delegate_title require options_id",
    "repetitions": "id job_id purpose index started_utc finished_utc duration_s status exit_code raw_path init_us "
    "first_inference_us warmup_avg_us latency_avg_us latency_min_us latency_max_us latency_std_us inferences "
    "init_memory_mb peak_memory_mb delegate_applied nodes_delegated nodes_total partitions delegated_node_share "
    "file_cache verdict counts_latency counts_start",
    "details": "repetition_id argv measurement outputs verdict_reasons",
    "conditions": "repetition_id before after during",
    "operators": "repetition_id phase position name_id node avg_ms first_ms pct mem_kb times_called inside_delegate "
    "is_partition",
}


class Nights:
    """All nights of all devices, made one after the other."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.devices, self.repetitions = arguments.devices, arguments.repetitions
        self.rng = np.random.default_rng(_SEED)
        self.cases = make_cases(CASES, arguments.cases)
        self.changes = make_changes(arguments.nights, self.devices, self.cases, self.rng)
        self.there = self.rng.random((arguments.nights, self.devices)) >= _MISSING
        self.facts = [
            [self._facts(device, night) for device in range(self.devices)] for night in range(arguments.nights)
        ]
        self.names = {id(op): content_id(op.type, op.name) for case in self.cases for op in case.operators}
        self.measurements = {id(case): pack(_without_profile(case)) for case in self.cases}
        self.jobs = self.processes = 0
        self.rows: dict[str, list[tuple[Any, ...]]] = {}

    def started(self, night: int) -> datetime:
        return _START + timedelta(days=night, seconds=content_id(night) % 600)

    def run_id(self, night: int) -> str:
        return f"{self.started(night):%Y%m%d-%H%M%S}-{content_id(night) % 65536:04x}"

    def _facts(self, device: int, night: int) -> dict[str, Any]:
        name, soc, _ = _DEVICES[device % len(_DEVICES)]
        updates = sum(one.kind == "update" and device in one.devices and one.night <= night for one in self.changes)
        return {
            "key": _key(device), "name": name, "soc": soc, "android": str(14 + updates), "sdk": 34 + updates,
            "build_id": f"AP{updates + 1}A.2404{updates + 1:02d}.001", "cpu_count": 8, "abis": ["arm64-v8a"],
            "virtual": True, "notes": [], "quirks": [],
        }  # fmt: skip

    def write_shared(self, store: Store) -> None:
        """What is there once for all nights: models, the binary, cases, documents, names of operators."""
        models = {}
        for case in self.cases:
            for changed in (False, True):
                sha256, size = _model(case, changed)
                models[sha256] = (sha256, size, sum(op.phase == "runs" for op in case.operators))
        documents = [case.options for case in self.cases] + [facts for night in self.facts for facts in night]
        operators = {(op.type, op.name) for case in self.cases for op in case.operators}
        binary = (_BINARY, "virtual", "1", "virtual", "default", "tflite")
        with store.database.writing() as connection:
            for table, columns, rows in (
                (schema.models, "sha256 size_bytes operators", models.values()),
                (schema.binaries, "sha256 name version abi flavour tool", [binary]),
                (
                    schema.cases,
                    "id text model delegate threads",
                    [(content_id(c.text), c.text, c.model, c.delegate, c.threads) for c in self.cases],
                ),
                (
                    schema.documents,
                    _COLUMNS["documents"],
                    {content_id(d): (content_id(d), pack(d)) for d in documents}.values(),
                ),
                (schema.operator_names, "id type name", [(content_id(*one), *one) for one in operators]),
            ):
                insert_rows(connection, table, columns.split(), rows)

    def write(self, store: Store, night: int) -> None:
        """One night."""
        self.rows = {name: [] for name in _COLUMNS}
        at, run_id = to_us(self.started(night)), self.run_id(night)
        command = "devbench nightly big.toml"
        self.rows["runs"].append((run_id, at, at + 7_200_000_000, "done", "", command, "0", "big", pack({})))
        labels = {"branch": "main", "build": str(1000 + night), "commit": f"{content_id('commit', night):016x}"}
        self.rows["labels"] += [(run_id, key, value) for key, value in labels.items()]
        for device in np.flatnonzero(self.there[night]).tolist():
            name = _DEVICES[device % len(_DEVICES)][0]
            facts_id = content_id(self.facts[night][device])
            title = f"{name} ({_key(device)}) (virtual)"
            self.rows["devices"].append((run_id, _key(device), _key(device), title, True, "virtual", facts_id))
            around = self._conditions(night)
            for number, case in enumerate(self.cases, 1 + device * len(self.cases)):
                self._job(night, device, number, case, around)
        with store.database.writing() as connection:
            for name, rows in self.rows.items():
                insert_rows(connection, schema.metadata.tables[name], _COLUMNS[name].split(), rows)
            jobs = [row[0] for row in self.rows["jobs"]]
            total_up(connection, jobs)
            total_types(connection, jobs)

    def _conditions(self, night: int) -> tuple[bytes, bytes, bytes]:
        warm, taken = 24 + 2 * float(self.rng.random()), self.started(night).isoformat()
        around = [
            {
                "taken_utc": taken, "battery_level": 90.0, "battery_temperature_c": round(warm + more, 1),
                "battery_charging": True, "thermal_status": 0, "temperatures_c": {"CPU0": round(warm + 12 + more, 1)},
                "load_1min": 0.4, "memory_available_bytes": 4_000_000_000,
            }
            for more in (0.0, 0.4)
        ]  # fmt: skip
        return pack(around[0]), pack(around[1]), pack([])

    def _job(self, night: int, device: int, number: int, case: BigCase, around: tuple[bytes, ...]) -> None:
        self.jobs += 1
        run_id = self.run_id(night)

        def changed(metric: str) -> float:
            return effect(self.changes, metric, night, device, case.model)

        sha256, _ = _model(case, changed("model_size") != 1)
        self.rows["jobs"].append((
            self.jobs, run_id, number, _key(device), content_id(case.text), sha256, _BINARY, case.delegate.upper(),
            "any", content_id(case.options),
        ))  # fmt: skip
        # A device is a little faster or slower each time.
        speed = _DEVICES[device % len(_DEVICES)][2] * float(self.rng.normal(1.0, 0.003))
        runs = [op.avg_ms or 0.0 for op in case.operators if op.phase == "runs"]
        dearer = changed("operator")
        share = max(runs) / sum(runs) if sum(runs) else 0.0
        slower = speed * changed("latency") * (1 + (dearer - 1) * share)
        use = next(iter(case.measured.delegates), None) if case.delegate == "xnnpack" else None
        nodes = (
            None
            if use is None or use.nodes_delegated is None
            else int(use.nodes_delegated * changed("delegated_node_share"))
        )
        taken: tuple[Any, ...] = (None,) * 4 if use is None else (use.applied, nodes, use.nodes_total, use.kernels)
        taken += (delegated_node_share(*taken[:3]), "warm", "valid", False, False)
        first = int(self.rng.integers(len(case.noise["latency_us"]) - self.repetitions))
        noise = {metric: of[first : first + self.repetitions].tolist() for metric, of in case.noise.items()}
        began = to_us(self.started(night)) + number * 1_000_000
        argv = pack(["/data/local/tmp/devbench/benchmark_model", f"--graph=/data/local/tmp/devbench/{sha256}"])
        for index in range(self.repetitions + 1):
            profile = index == self.repetitions
            latency = None if profile else case.levels["latency_us"] * noise["latency_us"][index] * slower
            times = (None,) * 3 if latency is None else (
                case.levels["init_us"] * noise["init_us"][index] * speed,
                case.levels["first_us"] * noise["first_us"][index] * slower,
                latency * 1.02,
            )  # fmt: skip
            spread = (None,) * 5 if latency is None else (latency, latency * 0.96, latency * 1.2, latency * 0.02, 50)
            purpose = "profile" if profile else "latency"
            self.processes += 1
            self.rows["repetitions"].append((
                self.processes, self.jobs, purpose, 0 if profile else index, began + index * 900_000_000,
                began + index * 900_000_000 + 1_600_000, 1.6, "ok", 0,
                f"{run_id}/job{number:04d}-{purpose}-{0 if profile else index:03d}.txt.gz", *times, *spread,
                case.measured.memory.init_mb,
                (case.measured.memory.peak_mb or 0.0) * float(self.rng.normal(1.0, 0.003)) if profile else None, *taken,
            ))  # fmt: skip
            self.rows["details"].append((self.processes, argv, self.measurements[id(case)], _NOTHING, _NOTHING))
            self.rows["conditions"].append((self.processes, *around))
        factors = self.rng.normal(case.scale * slower, 0.02 * case.scale, len(case.operators))
        factors[case.dearest] *= dearer
        self.rows["operators"] += [
            (
                self.processes, op.phase, op.position, self.names[id(op)], op.node, round((op.avg_ms or 0.0) * by, 4),
                round((op.first_ms or 0.0) * by, 4), op.pct, op.mem_kb, op.times_called, op.inside_delegate,
                op.is_partition,
            )
            for op, by in zip(case.operators, factors.tolist(), strict=True)
        ]  # fmt: skip

    def truth(self) -> list[dict[str, Any]]:
        """What was put in, with words that the store knows."""
        return [
            {
                **asdict(change),
                "devices": [_key(device) for device in change.devices],
                "run_id": self.run_id(change.night),
                "started_utc": self.started(change.night).isoformat(),
            }
            for change in self.changes
        ]


_NOTHING = pack([])


def _key(device: int) -> str:
    return f"BIG{device:04d}"


def _model(case: BigCase, changed: bool) -> tuple[str, int]:
    """Hash and size of a case's model, before or after it grew."""
    return (f"{content_id(case.model, 'larger'):064x}", int(case.size_bytes * 1.25)) if changed else (
        case.sha256, case.size_bytes,
    )  # fmt: skip


def _without_profile(case: BigCase) -> dict[str, Any]:
    """What the tool said, without the operators, which have rows of their own."""
    return {name: value for name, value in to_json(case.measured).items() if not name.startswith("profile")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    for name, default in (("nights", 200), ("devices", 10), ("cases", 40), ("repetitions", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    if arguments.out.exists():
        sys.exit(f"{arguments.out} is there already")
    began = time.monotonic()
    made = Nights(arguments)
    with Store(str(arguments.out)) as store:
        made.write_shared(store)
        for night in range(arguments.nights):
            made.write(store, night)
            if sys.stderr.isatty():
                print(f"\r{night + 1} of {arguments.nights} nights", end="", file=sys.stderr)
    truth = {"seed": _SEED, "changes": made.truth()}
    arguments.out.with_suffix(".truth.json").write_text(json.dumps(truth, indent=1) + "\n", "utf-8")
    size_mb = arguments.out.stat().st_size / 1e6
    took_s = time.monotonic() - began
    print(f"{made.jobs} jobs, {made.processes} repetitions, {size_mb:.0f} MB in {took_s:.0f} s: {arguments.out}")


if __name__ == "__main__":
    main()
