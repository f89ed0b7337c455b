"""Mobile Stable Diffusion on devices: what the GPU delegate takes of each submodel, and the pipeline in each residency.

    python benchmarks/mobile_sd_on_devices.py FOLDER --scale full --gpu SERIAL --pipeline virtual

FOLDER gets `baseline/` and `mobile/`, built where they are not there yet. `--gpu` runs every submodel of both under the
GPU delegate there (`--dry` only prepares them, which takes less memory) and compares the mobile ones' outputs with this
machine's. `--pipeline` runs the mobile pipeline there with XNNPACK in all three residencies. At full scale that is
10 GB of disk, 16 GB of memory and an hour on two cores.

Bars: each baseline partly delegated with the delegate's reasons; each mobile submodel completely on the delegate, its
outputs within 1e-3 of the host's; pipelined at least 10 % under resident in peak memory; the composed estimate within
10 % of what was measured; peaks of one residency within 1 %. `--images 3` makes three images in pipelined sessions.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from devbench.models.mobile_sd import SUBMODELS

VARIANTS = ("baseline", "mobile")
MOST_ERROR = 1e-3
LEAST_SAVED = 0.10
MOST_OFF = 0.10
MOST_SPREAD = 0.01


def devbench(*words: object, fails: bool = False) -> None:
    """A command as a person types it; `fails`: a job of it may fail."""
    done = subprocess.run([sys.executable, "-m", "devbench.cli.app", *map(str, words)], check=False)
    if done.returncode > (1 if fails else 0):
        sys.exit(f"devbench {words[0]} ended with {done.returncode}")


def on_gpu(folder: Path, serial: str, dry: bool) -> bool:
    right = True
    print("| submodel | variant | delegated | whole | outputs differ by | refused, in the delegate's words |")
    print("|---|---|---|---|---|---|")
    for submodel in SUBMODELS:
        for variant in VARIANTS:
            found = _gpu_job(
                folder / variant / f"{submodel}.tflite", serial, dry, check=variant == "mobile" and not dry
            )
            measurement = found["measurement"]
            gpu: dict[str, object] = next((one for one in measurement.get("delegates", []) if one["name"] == "GPU"), {})
            refused = {f"{one['op']}: {one['reason']}" for one in measurement.get("unsupported_ops", [])}
            errors = [row["max_rel"] for row in found["outputs"] if row.get("against") == "host"]
            whole = gpu.get("applied") == "full"
            nodes = f"{gpu.get('nodes_delegated', '?')} of {gpu.get('nodes_total', '?')}"
            told = "; ".join(sorted(refused)) or found["failure"] or ""
            print(f"| {submodel} | {variant} | {nodes} | {whole} | {errors or ''} | {told} |", flush=True)
            if variant == "mobile":
                right &= whole and (dry or bool(errors and max(errors) <= MOST_ERROR))
            else:
                right &= not whole and bool(refused)
    return right


def _gpu_job(model: Path, serial: str, dry: bool, check: bool) -> dict[str, Any]:
    """What the tool said of one model, all its processes together."""
    with tempfile.TemporaryDirectory() as name:
        result = Path(name, "run.json")
        more = ["--tool-flag", "dry_run=true"] if dry else []
        more += ["--require", "full", "--check-outputs"] if check else []
        devbench(
            "run", model, "-d", serial, "-D", "gpu", "-r", "1", "--no-profile", "--cold-starts", "0", "--no-report",
            "--num-runs", "1", "--min-secs", "0", "--warmup-runs", "0", "--warmup-min-secs", "0", "--timeout", "3000",
            "--unreliable-retries", "0", "--json", result, "-q", *more, fails=True,
        )  # fmt: skip
        [job] = json.loads(result.read_text("utf-8"))["jobs"]
    measurement: dict[str, Any] = {}
    for repetition in job["repetitions"]:
        measurement |= repetition["measurement"]
    return {
        "measurement": measurement,
        "outputs": [row for repetition in job["repetitions"] for row in repetition.get("outputs") or ()],
        "failure": next((r["failure_message"] for r in job["repetitions"] if r.get("failure_message")), ""),
    }


def as_pipeline(folder: Path, device: str, steps: int, rounds: int, images: int) -> bool:
    right = True
    with tempfile.TemporaryDirectory() as name:
        result = Path(name, "run.json")
        devbench(
            "run", "--pipeline", folder / "mobile" / "mobile-sd.toml", "-d", device, "-D", "xnnpack", "-r", rounds,
            "--steps", steps, "--images", images, "--threads", "2", "--num-runs", "5", "--max-secs", "30",
            "--out", name, "--json", result, "-q",
        )  # fmt: skip
        found = json.loads(result.read_text("utf-8"))
    [pipeline] = found["pipelines"]
    for row in pipeline["residencies"]:
        saved = row["peak_under_resident"]
        peaks = [one["peak_kb"] for one in found["sessions"] if one["residency"] == row["residency"]]
        spread = max(peaks) / min(peaks) - 1
        right &= spread <= MOST_SPREAD
        print(
            f"{row['residency']}: {row['latency_ms'] / 1000:.1f} s, estimate {row['estimate_ms'] / 1000:.1f} s "
            f"({row['estimate_off']:+.1%}), peak {row['peak_kb'] / 1e6:.2f} GB of {row['memory_kind']}"
            + (f", {saved:.1%} under resident" if saved else "")
            + (f", peaks of {len(peaks)} sessions within {spread:.2%}" if len(peaks) > 1 else "")
        )
        right &= abs(row["estimate_off"]) <= MOST_OFF
        right &= not row["residency"].startswith("pipelined") or saved >= LEAST_SAVED
    return right


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scale", default="small", choices=("full", "small", "tiny"))
    parser.add_argument("--gpu", metavar="SERIAL", help="a device with a GPU delegate")
    parser.add_argument("--dry", action="store_true", help="prepare on the GPU only, run nothing")
    parser.add_argument("--pipeline", metavar="DEVICE", help="a device for the whole pipeline, such as virtual")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--images", type=int, default=1)
    given = parser.parse_args()
    for variant in VARIANTS:
        if not (given.folder / variant / "mobile-sd.toml").exists():
            devbench(
                "models", "build", "mobile-sd", "--scale", given.scale, "--variant", variant,
                "--out", given.folder / variant,
            )  # fmt: skip
    right = True
    if given.gpu:
        right &= on_gpu(given.folder, given.gpu, given.dry)
    if given.pipeline:
        right &= as_pipeline(given.folder, given.pipeline, given.steps, given.rounds, given.images)
    print("all bars met" if right else "a bar is missed")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
