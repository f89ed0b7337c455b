"""`devbench compare` from the store to the exit code: identical runs give no regression, 3 % more is found.

    python benchmarks/compare_store.py [--pairs 1000] [--repetitions 10]

Runs are put into stores as records whose latencies, init and first inferences are those of recorded processes
(`tests/data/process_noise.json.gz`, none left out): each device has the 12 recorded cases, of which the baseline gets
some processes and the candidate others, drawn at random. Compared are two identical runs, a candidate that is 3 %
slower throughout, and a week of nights, each on another level by some tenths of a percent, with one more such night
(a quarter of the pairs).

Bars: at most 1 % false regressions of 1,000 pairs of a metric; of latencies that are 3 %
slower at ten repetitions a side at least 90 % are found, with exit code 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from devbench.results.counting import JobView, RunView
from devbench.results.records import (
    BinaryRecord,
    DeviceRecord,
    JobRecord,
    ModelRecord,
    RepetitionRecord,
    RunRecord,
)
from devbench.results.store import Store
from tests.analysis.labelled import traces

_START = datetime(2026, 11, 1, 21, 0, tzinfo=timezone.utc)
_NIGHTS = 7
# Between nights, as standard deviation: a device is a little warmer, a little slower.
_NIGHT = 0.003
_BINARY = BinaryRecord("b" * 64, "virtual", "1", "virtual", "default", "tflite")
_CASES = tuple(dict.fromkeys(name.rsplit(" ", 1)[0] for name in traces()))


def write_run(store: Store, number: int, drawn: list[dict[str, np.ndarray]], factor: float, levels: np.ndarray) -> str:
    """A run of all cases on as many devices as it takes; gives its id."""
    at = _START + timedelta(days=number)
    run_id = f"{at:%Y%m%d-%H%M%S}-{number:04x}"
    run = RunRecord(run_id, at, "devbench run", "0", "host")
    jobs = [_job(run_id, k, at, of, factor * levels[k]) for k, of in enumerate(drawn)]
    store.add_run(RunView(run, "done", at + timedelta(hours=1), tuple(jobs)))
    return run_id


def _job(run_id: str, k: int, at: datetime, drawn: dict[str, np.ndarray], factor: float) -> JobView:
    model, delegate, threads = _CASES[k % len(_CASES)].split(" ")
    key = f"D{k // len(_CASES):03d}"
    device = DeviceRecord(key, key, f"Recorded ({key}) (virtual)", True, "virtual", {"key": key})
    job = JobRecord(
        run_id, k + 1, device, ModelRecord(f"{k:064x}", model, 1000), _BINARY, delegate, delegate, int(threads), "any"
    )
    values = (drawn[f"{metric}_us"] * factor for metric in ("latency", "init", "first"))
    repetitions = [
        RepetitionRecord(
            run_id, k + 1, index, "latency", at, at, 1.0, (), "ok", None, None, 0, "-", {}, verdict="valid",
            latency_avg_us=latency, init_us=init, first_inference_us=first, file_cache="warm",
        )
        for index, (latency, init, first) in enumerate(zip(*(of.tolist() for of in values), strict=True))
    ]  # fmt: skip
    return JobView(job, tuple(repetitions))


def draw(rng: np.random.Generator, pairs: int, sides: int, n: int) -> list[list[dict[str, np.ndarray]]]:
    """For each side and pair as many processes of the pair's case as there are repetitions, none of them twice."""
    found: list[list[dict[str, np.ndarray]]] = [[] for _ in range(sides)]
    for k in range(pairs):
        case = _CASES[k % len(_CASES)]
        length = len(traces()[f"{case} latency_us"])
        places = rng.permutation(length)[: sides * n].reshape(sides, n)
        for side, at in zip(found, places, strict=True):
            side.append({name: traces()[f"{case} {name}"][at] for name in ("latency_us", "init_us", "first_us")})
    return found


def compare(store: Path, baseline: str, candidate: str) -> tuple[int, dict[str, dict[str, int]]]:
    """The exit code, and of each metric how many rows have each verdict."""
    command = [
        sys.executable,
        "-m",
        "devbench.cli.app",
        "compare",
        baseline,
        candidate,
        "--store",
        str(store),
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode not in (0, 1):
        sys.exit(done.stderr)
    found: dict[str, dict[str, int]] = {}
    rows: list[dict[str, Any]] = json.loads(done.stdout)["rows"]
    for row in rows:
        counts = found.setdefault(row["metric"], {})
        counts[row["verdict"]] = counts.get(row["verdict"], 0) + 1
    return done.returncode, found


def tell(title: str, code: int, found: dict[str, dict[str, int]], metric: str) -> None:
    words = ", ".join(f"{count} {verdict}" for verdict, count in sorted(found[metric].items()))
    print(f"{title:34} {metric:16} exit {code}: {words}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--seed", type=int, default=5)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    began = time.perf_counter()
    flat = np.ones(given.pairs)
    good = True
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.db"
        with Store(str(path)) as store:
            baseline, candidate = draw(rng, given.pairs, 2, given.repetitions)
            write_run(store, 0, baseline, 1.0, flat)
            same = write_run(store, 1, candidate, 1.0, flat)
            slower = write_run(store, 2, candidate, 1.03, flat)
        code, found = compare(path, f"{_START:%Y-%m-%d}", same)
        for metric in ("latency", "init", "first_inference"):
            tell("identical runs", code, found, metric)
            false = found[metric].get("regressed", 0)
            good &= false <= 0.01 * given.pairs
        code, found = compare(path, f"{_START:%Y-%m-%d}", slower)
        tell("3 % slower", code, found, "latency")
        good &= code == 1 and found["latency"].get("regressed", 0) >= 0.9 * given.pairs

        path, pairs = Path(folder) / "nights.db", given.pairs // 4
        # All cases of a device have the level of its night.
        devices = -(-pairs // len(_CASES))
        with Store(str(path)) as store:
            for number, of in enumerate(draw(rng, pairs, _NIGHTS + 1, 5)):
                levels = np.repeat(np.exp(rng.normal(0, _NIGHT, devices)), len(_CASES))[:pairs]
                last = write_run(store, number, of, 1.0, levels)
        week = f"{_START:%Y-%m-%d}..{_START + timedelta(days=_NIGHTS - 1):%Y-%m-%d}"
        code, found = compare(path, week, last)
        for metric in ("latency", "init", "first_inference"):
            tell("a week and one more night", code, found, metric)
            good &= found[metric].get("regressed", 0) <= 0.01 * pairs
    print(f"took {time.perf_counter() - began:.0f} s")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
