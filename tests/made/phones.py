"""A run on a phone as the store would give it: three clusters, heat that builds up, throttling from halfway on.

Made by a small model of a phone's heat, with a fixed seed; nothing here was measured.
"""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from devbench.results.counting import JobView, RunView
from devbench.results.records import (
    BinaryRecord,
    DeviceRecord,
    JobRecord,
    ModelRecord,
    OperatorRecord,
    RepetitionRecord,
    RunRecord,
)
from devbench.results.store import Store

START = datetime(2026, 11, 23, 21, 15, 3, tzinfo=timezone.utc)
RUN_ID = "20261123-211503-4f2a"
OTHER = "20261124-211503-77aa"
CLUSTERS = (
    ("Cortex-A510", (0, 1, 2, 3), 2_016_000),
    ("Cortex-A715", (4, 5, 6), 2_803_200),
    ("Cortex-X3", (7,), 3_360_000),
)
# Delegate: name, title, threads, warm latency in ms, heat a second in °C.
JOBS = (("xnnpack", "XNNPACK", 4, 31.0, 1.15), ("gpu", "GPU", None, 9.4, 0.8), ("cpu", "CPU", 4, 96.0, 1.15))


class Phone:
    """Heat follows work with a delay; above 70 °C the phone throttles and its clocks fall."""

    def __init__(self, seed: int = 7) -> None:
        self.random = random.Random(seed)
        self.at_s = 4.0
        self.die_c = 41.0
        self.level = 78.0

    @property
    def status(self) -> int:
        return 0 if self.die_c < 68 else 1 if self.die_c < 76 else 2

    @property
    def speed(self) -> float:
        return (1.0, 0.82, 0.61)[self.status]

    def pass_time(self, seconds: float, heat: float) -> None:
        self.at_s += seconds
        self.die_c += seconds * (heat - 0.022 * (self.die_c - 33))
        self.level -= seconds * 0.004

    def sample(self, busy: bool) -> dict[str, Any]:
        noise = self.random.gauss
        caps = [int(top * self.speed) for _, cpus, top in CLUSTERS for _ in cpus]
        now = [int(cap * (noise(0.97, 0.02) if busy else noise(0.45, 0.1))) for cap in caps]
        now[2] = None  # type: ignore[call-overload]
        return {
            "thermal_status": self.status,
            "temperatures_c": {
                **{f"CPU{n}": round(self.die_c + noise(0, 0.8) + n * 0.3, 1) for n in range(8)},
                "GPU0": round(self.die_c - 4 + noise(0, 0.5), 1),
                "GPU1": round(self.die_c - 5 + noise(0, 0.5), 1),
                "skin-therm": round(31 + (self.die_c - 41) * 0.25, 1),
                "battery": round(30 + (self.die_c - 41) * 0.15, 1),
                "pmic": round(38 + (self.die_c - 41) * 0.4, 1),
                "modem": round(37 + (self.die_c - 41) * 0.2, 1),
                "usb": 29.5,
            },
            "cpu_khz": [min(khz, cap) if khz is not None else None for khz, cap in zip(now, caps, strict=True)],
            "cpu_cap_khz": caps,
            "gpu_khz": int(680_000 * self.speed) if busy else 220_000,
            "gpu_cap_khz": int(719_000 * self.speed),
            "battery_level": round(self.level),
            "battery_temperature_c": round(30 + (self.die_c - 41) * 0.15, 1),
            "battery_current_ma": round(-noise(1900 if busy else 480, 120)),
            "screen_on": False,
            "load_1min": round(max(0.3, noise(5.0 if busy else 3.0, 0.4)), 2),
            "memory_available_bytes": int(noise(5.1e9 if not busy else 4.6e9, 4e7)),
        }

    def stamped(self) -> dict[str, Any]:
        return {**self.sample(False), "taken_utc": (START + timedelta(seconds=self.at_s)).isoformat()}


def phone_view(
    *, virtual: bool = False, rounds: int = 9, unreliable_job: str = "", title: str = "Pixel 8 Pro (37021JE)"
) -> RunView:
    """A run of three delegates in turns, with cold starts, a profile of each and a pause to cool down."""
    phone = Phone()
    facts = {
        "soc": "Tensor G3",
        "abis": ["arm64-v8a"],
        "cpus": [{"cpus": list(cpus), "core": core, "max_khz": top} for core, cpus, top in CLUSTERS],
    }
    device = DeviceRecord("37021JE", "37021JE", title, virtual, "pixel-8-pro", facts)
    done: dict[str, list[RepetitionRecord]] = {name: [] for name, *_ in JOBS}
    for name, *_, heat in JOBS:
        done[name] += [_cold(phone, name, heat, n) for n in range(3)]
    for index in range(rounds):
        for name, _, _, base_ms, heat in JOBS:
            done[name].append(_timed(phone, name, base_ms, heat, index, unreliable=name == unreliable_job))
        if index == rounds - 3:
            phone.pass_time(38, 0.0)
    for name, *_, heat in JOBS:
        done[name].append(_profiled(phone, name, heat))
    views = []
    for number, (name, delegate, threads, _, _) in enumerate(JOBS, start=1):
        job = JobRecord(
            RUN_ID, number, device, ModelRecord("a" * 64, "mobile_unet_128", 42_300_000),
            BinaryRecord("b" * 64, "tflite", "2.19", "arm64-v8a", "default", "tflite"), name, delegate, threads, "any",
        )  # fmt: skip
        views.append(JobView(job, tuple(replace(r, job_number=number) for r in done[name])))
    command = "devbench run mobile_unet_128.tflite -d 37021JE -D xnnpack,gpu,cpu -r 9"
    return RunView(
        RunRecord(RUN_ID, START, command, "0.1.0", "bench", {}, {"build": "1742"}),
        "done",
        START + timedelta(seconds=phone.at_s),
        tuple(views),
    )


def _ran(phone: Phone, name: str, index: int, seconds: float, heat: float, purpose: Any) -> RepetitionRecord:
    before, start_s, during = phone.stamped(), phone.at_s, []
    for _ in range(int(seconds)):
        phone.pass_time(seconds / int(seconds), heat)
        during.append({**phone.sample(True), "t_s": round(phone.at_s - start_s, 3)})
    unreliable = before["thermal_status"] or phone.status
    partial = name == "gpu"
    record = RepetitionRecord(
        RUN_ID, 1, index, purpose, START + timedelta(seconds=start_s), START + timedelta(seconds=phone.at_s),
        phone.at_s - start_s, ("/data/local/tmp/devbench/benchmark_model", "--graph=m"), "ok", None, None, 0,
        f"{name}-{purpose}-{index}", {"status": "ok"}, conditions_before=before, conditions_after=phone.stamped(),
        conditions_during=tuple(during), verdict="unreliable" if unreliable else "valid",
        verdict_reasons=(f"throttled: thermal status {before['thermal_status']} → {phone.status}",) if unreliable else (),
        delegate_applied=None if name == "cpu" else "partial" if partial else "full",
        nodes_delegated=None if name == "cpu" else 171 if partial else 180,
        nodes_total=None if name == "cpu" else 180, partitions=None if name == "cpu" else 3 if partial else 1,
    )  # fmt: skip
    phone.pass_time(1.2, 0.1)
    return record


def _timed(phone: Phone, name: str, base_ms: float, heat: float, index: int, *, unreliable: bool) -> RepetitionRecord:
    record = _ran(phone, name, index, 7.0, heat, "latency")
    slow = 1.35 if (name, index) == ("gpu", 2) else 1.0
    us = 1000 * base_ms * slow * phone.random.gauss(1, 0.012) / phone.speed
    record = replace(
        record, latency_avg_us=us, latency_min_us=0.94 * us, latency_max_us=1.4 * us, latency_std_us=0.04 * us,
        latency_p5_us=0.95 * us, latency_median_us=0.99 * us, latency_p95_us=1.08 * us, inferences=60,
        init_us=410_000.0 if name == "gpu" else 18_000.0, first_inference_us=1.8 * us, warmup_avg_us=1.1 * us,
        file_cache="warm", kernel_cache="warm" if name == "gpu" else None, peak_memory_mb=212.5,
    )  # fmt: skip
    return replace(record, verdict="unreliable", verdict_reasons=("battery low: 9 %",)) if unreliable else record


def _cold(phone: Phone, name: str, heat: float, index: int) -> RepetitionRecord:
    record = _ran(phone, name, index, 2.0, heat, "cold")
    return replace(
        record, init_us=2_350_000.0 if name == "gpu" else 96_000.0, first_inference_us=120_000.0,
        file_cache="cold", kernel_cache="cold" if name == "gpu" else None,
    )  # fmt: skip


def _profiled(phone: Phone, name: str, heat: float) -> RepetitionRecord:
    record = _ran(phone, name, 0, 6.0, heat, "profile")
    if name == "gpu":
        rows = [("TfLiteGpuDelegateV2", 2.6, 3), ("SOFTMAX", 0.31, 4), ("MEAN", 0.12, 2), ("TILE", 0.05, 1)]
        refused = [
            {"op": "SOFTMAX", "reason": "Softmax is supported only with a last axis of channels"},
            {"op": "TILE", "reason": "Not supported TILE case"},
            {"op": "BROADCAST_TO", "reason": "Operation is not supported."},
        ]
        record = replace(
            record, delegate_time_share=7.8 / 9.33, measurement={"status": "ok", "unsupported_ops": refused}
        )
    elif name == "xnnpack":
        rows = [("TfLiteXNNPackDelegate", 30.8, 1)]
        record = replace(record, delegate_time_share=1.0)
    else:
        rows = [
            ("CONV_2D", 6.1, 11),
            ("FULLY_CONNECTED", 3.2, 6),
            ("SOFTMAX", 1.1, 4),
            ("ADD", 0.2, 12),
            ("MEAN", 0.3, 2),
        ]
    operators = []
    for kind, each_ms, count in rows:
        for _ in range(count):
            position = len(operators)
            operators.append(
                OperatorRecord("runs", position, kind, f"[{kind.lower()}]", position, each_ms, each_ms, None, None, 1.0)
            )
    return replace(record, operators=tuple(operators), vm_hwm_kb=240_000, pss_peak_kb=221_000, peak_memory_mb=230.1)


def stored(path: Path, *views: RunView) -> str:
    """A new store with these runs; its path."""
    with Store(str(path)) as store:
        for view in views:
            store.add_run(view)
    return str(path)


def later(view: RunView) -> RunView:
    """The same run, a night later."""
    day = timedelta(days=1)
    jobs = tuple(
        replace(
            item,
            job=replace(item.job, run_id=OTHER),
            repetitions=tuple(replace(r, run_id=OTHER, raw_path=r.raw_path + "-b") for r in item.repetitions),
        )
        for item in view.jobs
    )
    return replace(view, run=replace(view.run, run_id=OTHER, started_utc=START + day), jobs=jobs)
