"""How long `devbench compare` and `detect` take on a store of years of nights, and what they find of what was put in.

    python benchmarks/big_store.py BIG.db
    python benchmarks/history_speed.py BIG.db [--seconds 5] [--mib 1024]

Each command is a process of its own: wall time and the largest memory of the whole process. Bars: 5 s, 1 GiB, every
change found, and none reported on the hot nights. What is reported besides what was put in is false.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

# Changes are told from noise by some nights; a missing night is one more.
_NEAR = timedelta(days=3, hours=12)
_METRICS = {"latency": ("latency", "first_inference"), "operator": ("latency", "first_inference", "operator_time")}


@dataclass(frozen=True)
class Ran:
    seconds: float
    mib: float
    code: int
    text: str


def run(words: Sequence[str], store: Path) -> Ran:
    """A devbench command as a process: what it took, and what it printed."""
    with tempfile.TemporaryFile("w+") as out:
        began = time.perf_counter()
        command = [sys.executable, "-m", "devbench.cli.app", *words, "--store", str(store)]
        child = os.posix_spawn(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, out.fileno(), 1)])
        _, status, usage = os.wait4(child, 0)
        took = time.perf_counter() - began
        out.seek(0)
        return Ran(took, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status), out.read())


def night(moment: datetime, days: int = 0) -> str:
    return f"{moment + timedelta(days=days):%Y-%m-%d}"


def speed(store: Path, last: datetime, given: argparse.Namespace) -> bool:
    commands = {
        "the last two nights": ["compare"],
        "a week, last night": ["compare", f"{night(last, -7)}..{night(last, -1)}", night(last)],
        "100 nights, 100 nights": ["compare", f"..{night(last, -100)}", f"{night(last, -99)}.."],
        "all series": ["detect"],
        "times of operator types": ["detect", "--metric", "operator_time"],
        "one device, last change": ["detect", "--device", "BIG0000", "--changed-since", night(last, -30)],
    }
    good = True
    for title, words in commands.items():
        ran = run(words, store)
        fine = ran.seconds <= given.seconds and ran.mib <= given.mib and ran.code in (0, 1)
        good &= fine
        print(
            f"{words[0]:8} {title:26} {ran.seconds:6.2f} s {ran.mib:6.0f} MiB  {'ok' if fine else 'MISSED'}", flush=True
        )
    return good


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def is_of(entry: dict[str, Any], change: dict[str, Any]) -> bool:
    """Whether something that was reported is that change."""
    if abs(at(entry["at_utc"]) - at(change["started_utc"])) > _NEAR:
        return False
    if change["kind"] == "update":
        return entry.get("device_key") in change["devices"] or {m["device_key"] for m in entry["members"]} <= set(
            change["devices"]
        )
    return entry.get("model") in change["models"] or {m["model"] for m in entry["members"]} <= set(change["models"])


def truth(store: Path) -> bool:
    """What `detect` finds of what was put in, by change and by series."""
    changes = json.loads(store.with_suffix(".truth.json").read_text("utf-8"))["changes"]
    found = json.loads(run(["detect", "--json"], store).text)
    lasting = [one for one in changes if one["kind"] in ("update", "model", "operator", "size", "delegation")]
    drifting = {device for one in changes if one["kind"] == "drift" for device in one["devices"]}
    entries = [*found["events"], *found["models"]]
    members = [(entry, member) for entry in entries for member in entry["members"]]
    print(f"\n{'put in':34} {'told as':>12} {'series':>9}  nights off")
    all_found = True
    for change in lasting:
        own = [entry for entry in entries if is_of(entry, change)]
        as_one = [entry for entry in own if ("effects" in entry) == (change["kind"] == "update")]
        metrics = _METRICS.get(change["metric"], (change["metric"],))
        series = {
            (m["device_key"], m["case"], m["metric"])
            for entry in as_one
            for m in entry["members"]
            if m["metric"] in metrics
        }
        off = min((abs((at(one["at_utc"]) - at(change["started_utc"])).days) for one in as_one), default=None)
        all_found &= bool(as_one)
        what = ", ".join(change["models"] or change["devices"])
        title = f"{change['kind']} ×{change['factor']} {what}"
        print(f"{title:34} {len(as_one):9} of 1 {len(series):9}  {'missed' if off is None else off}")
    false = [entry for entry in entries if not any(is_of(entry, change) for change in lasting)]
    drift = [one for one in false if {m["device_key"] for m in one["members"]} <= drifting]
    hot = [change for change in changes if change["kind"] == "hot"]
    on_hot = [
        one for one in false for change in hot
        if at(one["at_utc"]).date() == at(change["started_utc"]).date()
        and {m["device_key"] for m in one["members"]} <= set(change["devices"])
    ]  # fmt: skip
    wrong = sum(not any(is_of(entry, change) for change in lasting) for entry, _ in members)
    slow = sum(len(one["members"]) for one in drift)
    print(f"\nreported {len(entries)}: {len(found['events'])} of devices, {len(found['models'])} of models")
    print(f"false {len(false)}: {len(drift)} on the device that drifts, {len(on_hot)} on hot nights (bar: 0)")
    print(f"false series {wrong} of {found['series']}: {slow} of the device that drifts")
    return all_found and not on_hot


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--mib", type=float, default=1024.0)
    given = parser.parse_args()
    last = at(json.loads(run(["detect", "--json", "--metric", "model_size"], given.store).text)["last_utc"])
    fast = speed(given.store, last, given)
    right = truth(given.store)
    sys.exit(0 if fast and right else 1)


if __name__ == "__main__":
    main()
