"""A small run with hostile text where it is asked for: a job with a profile, and a job that failed."""

from __future__ import annotations

from dataclasses import replace

from devbench.results.counting import JobView, RunView
from devbench.results.records import DeviceRecord, ModelRecord, OperatorRecord
from tests.made.samples import job_record, repetition, run_record

EVIL = "<script>alert(1)</script>\x1b[31m$\\frac{1}{2}$ \u202e|`*[x](javascript:1) {{7*7}}"


def op(position: int, kind: str, avg_ms: float, *, calls: float = 1, inside: bool = False) -> OperatorRecord:
    return OperatorRecord("runs", position, kind, f"[{kind}]", position, avg_ms, avg_ms, None, None, calls, inside)


def view(*, virtual: bool = False, name: str = "model", title: str = "Phone (KEY)") -> RunView:
    device = DeviceRecord("KEY", "127.0.0.1:1", title, virtual, "p", {"abis": ["arm64-v8a"], "soc": name})
    job = job_record(
        device=device, model=ModelRecord("a" * 64, name, 1_000_000), delegate_title=name if name != "model" else "GPU"
    )
    refused = {"status": "ok", "unsupported_ops": [{"op": "TILE", "reason": name}]}
    repetitions = [
        repetition(index=n, latency_avg_us=us, operators=()) for n, us in enumerate((5000.0, 5100.0, 4900.0))
    ]
    profile = repetition(
        purpose="profile", latency_avg_us=None, measurement=refused, peak_memory_mb=12.5, delegate_applied="partial",
        nodes_delegated=9, nodes_total=180, partitions=1, operators=(op(0, "CONV_2D", 2.0), op(1, "ADD", 0.5, calls=2)),
    )  # fmt: skip
    failed = replace(job, number=2, delegate="cpu", delegate_title="CPU")
    bad = repetition(
        number=2, status="failed", failure_kind="crash", failure_message=name, latency_avg_us=None, operators=()
    )
    return RunView(run_record(), "done", None, (JobView(job, (*repetitions, profile)), JobView(failed, (bad,))))
