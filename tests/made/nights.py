"""Runs in a store, made from numbers: for tests of what is read over many runs. Nothing here was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np

from devbench.results.counting import JobView, RunView
from devbench.results.records import DeviceRecord, ModelRecord, OperatorRecord
from devbench.results.store import Store
from tests.made.samples import job_record, repetition, run_record

_BUSY: dict[str, Any] = {"verdict": "unreliable", "verdict_reasons": ("other load: 4.0 on 2 CPUs",)}
START = datetime(2026, 9, 1, 21, 0, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Made:
    """A job: latencies in ms, one a repetition; the profile's time in ms and number by type of operator.

    `types` are of the CPU; `on_delegate` is the time of a partition. `failed` repetitions end with `kind`. The first
    `unreliable` repetitions, and the profile if all of them, were measured under other load.
    """

    latencies: Sequence[float] = ()
    model: str = "unet"
    delegate: str = "gpu"
    device: str = "KEY"
    sha: str = "a"
    binary: str = "b"
    size: int = 1_000_000
    peak_mb: float | None = 100.0
    types: Mapping[str, tuple[float, int]] = field(default_factory=lambda: {"CONV_2D": (4.0, 4), "ADD": (1.0, 2)})
    on_delegate: float | None = None
    nodes: tuple[int, int, int] | None = None
    failed: int = 0
    kind: str = "crash"
    facts: Mapping[str, Any] = field(default_factory=dict)
    virtual: bool = False
    unreliable: int = 0
    title: str = ""


def noisy(level: float, n: int = 8, sigma: float = 0.004, seed: int = 1) -> tuple[float, ...]:
    """Latencies around `level`, of that relative standard deviation."""
    return tuple(level * np.exp(np.random.default_rng(seed).normal(0, sigma, n)))


def night(store: Store, number: int, jobs: Sequence[Made], labels: Mapping[str, str] | None = None) -> str:
    """Add a run of the night of that number; gives its id."""
    at = START + timedelta(days=number)
    run_id = f"{at:%Y%m%d-%H%M%S}-{number:04x}"
    run = replace(run_record(run_id, at), labels=dict(labels or {}))
    views = [job_view(run_id, k + 1, job, at) for k, job in enumerate(jobs)]
    store.add_run(RunView(run, "done", at + timedelta(minutes=5), tuple(views)))
    return run_id


def job_view(run_id: str, number: int, made: Made, at: datetime) -> JobView:
    """The job as the store would give it, with its repetitions and a profile."""
    title = made.title or f"Phone ({made.device})"
    device = DeviceRecord(made.device, "127.0.0.1:1", title, made.virtual, "generic-phone", dict(made.facts))
    job = job_record(
        run_id, number, device=device, model=ModelRecord(made.sha * 64, made.model, made.size), delegate=made.delegate,
        binary=replace(job_record().binary, sha256=made.binary * 64), threads=None,
        options={"reported_as": ["GPU"]},
    )  # fmt: skip
    common: dict[str, Any] = {"started_utc": at, "finished_utc": at + timedelta(seconds=1), "operators": ()}
    if made.nodes:
        names = ("nodes_delegated", "nodes_total", "partitions")
        common |= dict(zip(names, made.nodes, strict=True))
        common["delegate_applied"] = "full" if made.nodes[0] == made.nodes[1] else "partial"
    rows = [
        repetition(
            run_id,
            number,
            k,
            latency_avg_us=float(1000 * ms),
            init_us=float(5000 * ms / made.latencies[0]),
            first_inference_us=float(2000 * ms),
            **(_BUSY if k < made.unreliable else {}),
            **common,
        )
        for k, ms in enumerate(made.latencies)
    ]
    bad = {"status": "failed", "failure_kind": made.kind, "failure_message": "no more", "latency_avg_us": None}
    rows += [repetition(run_id, number, len(rows) + k, **{**common, **bad}) for k in range(made.failed)]
    if made.latencies:
        profile = {**common, "purpose": "profile", "latency_avg_us": None, "peak_memory_mb": made.peak_mb}
        profile |= _BUSY if made.unreliable >= len(made.latencies) else {}
        rows.append(repetition(run_id, number, 0, **{**profile, "operators": tuple(_operators(made))}))
    return JobView(job, tuple(rows))


def _operators(made: Made) -> list[OperatorRecord]:
    rows = [(kind, ms / count) for kind, (ms, count) in made.types.items() for _ in range(count)]
    if made.on_delegate is not None:
        rows.append(("TfLiteGpuDelegateV2", made.on_delegate))
    return [
        OperatorRecord("runs", k, kind, f"[{kind}]", k, ms, ms, None, None, 1.0) for k, (kind, ms) in enumerate(rows)
    ]
