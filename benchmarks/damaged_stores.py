"""Stores damaged at random places: every command that reads has to answer, and only the damaged place may be lost.

    python benchmarks/damaged_stores.py [--count 200] [--seed 1]

Each try damages one thing of a good store with two runs: a value of any row, bytes of any page of the database, or a
raw output. Then `runs`, `show`, `report`, `compare`, `detect`, `export` and `serve` are called. All have to answer
without a traceback. If the damage is of one run, the other one has to be shown to the letter as before; if it is of a
raw output, both. Of the damage of a page, which may have rows of both runs, the figure is how many repetitions remain.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from devbench.results.exchange.rows import TABLES
from devbench.results.store import Store
from tests.made.samples import FILES, RUN, SESSION, add_run, repetition

SECOND = "20261124-120000-aaaa"
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("runs", "--json"), ("show", RUN), ("show", SECOND),
    ("report", RUN, "--format", "html,md,csv,json", "--out", "report"),
    ("compare", RUN, SECOND), ("detect",), ("export", "out", "--raw"),
)  # fmt: skip
_REPETITIONS = 28
_VALUES: tuple[Any, ...] = (b"\xff\xfe\x00", "text", -1, 2**62, 1e300, "", b"", -7.5, "\u00b2")


@dataclass(slots=True)
class Figures:
    """What came of all tries. `remaining`: repetitions after the damage of a page."""

    kinds: Counter[str] = field(default_factory=Counter)
    answers: int = 0
    problems: list[str] = field(default_factory=list)
    remaining: list[int] = field(default_factory=list)


def made(folder: Path) -> None:

    with Store(str(folder / "results.db")) as store:
        for night in (0, 1):
            run_id = add_run(store, night, files=FILES)
            for index in range(10, 20):
                raw = store.artifacts.write(run_id, f"job0001-{index}", b"what the device said\n" * 200)
                store.add_repetition(repetition(run_id, index=index, raw_path=raw))
        store.add_pipeline_session(SESSION)
    with closing(sqlite3.connect(folder / "results.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


_RUN_OF = {
    "job_id": "SELECT run_id FROM jobs WHERE id = ?",
    "repetition_id": "SELECT run_id FROM jobs JOIN repetitions ON jobs.id = job_id WHERE repetitions.id = ?",
    "session_id": "SELECT run_id FROM pipeline_sessions WHERE id = ?",
}


def damage(folder: Path, kind: str, words: random.Random) -> tuple[str, str]:
    """Damage one place; gives it in words, and the run that it belongs to, empty if it is not known."""
    file = folder / "results.db"
    if kind == "value":
        with closing(sqlite3.connect(file)) as connection, connection:
            table = words.choice([t for t in TABLES if connection.execute(f"SELECT 1 FROM {t.name}").fetchone()])
            name, value = words.choice(list(table.columns)).name, words.choice(_VALUES)
            key = "run_id" if "run_id" in table.c else next(iter(table.columns)).name
            row = words.choice(connection.execute(f'SELECT "{key}" FROM {table.name}').fetchall())
            run = row[0] if key == "run_id" else ""
            if key in _RUN_OF:
                run = connection.execute(_RUN_OF[key], row).fetchone()[0]
            update = f'UPDATE OR IGNORE {table.name} SET "{name}" = ? WHERE "{key}" = ?'
            try:
                connection.execute(update, (value, *row))
            except sqlite3.IntegrityError:
                value = 2**61  # the number of a row takes numbers only
                connection.execute(update, (value, *row))
            return f"{table.name}.{name} = {value!r}", run
    path = file if kind == "page" else words.choice(sorted(folder.rglob("*.gz")))
    data = bytearray(path.read_bytes())
    first = words.randrange(len(data))
    for place in range(first, min(len(data), first + words.choice([1, 2, 16, 200, 4096]))):
        data[place] = words.randrange(256)
    path.write_bytes(data)
    return f"{path.name} at {first} of {len(data)}", ""


def command(folder: Path, words: tuple[str, ...]) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "devbench", *words, "--store", str(folder / "results.db")],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def served(folder: Path) -> list[str]:
    """What goes wrong with the pages of `serve`."""
    from devbench.errors import DevbenchError
    from devbench.serve.server import Server

    try:
        server = Server(str(folder / "results.db"), 0)
    except DevbenchError as error:
        return [f"serve: {error}"]
    found = []
    with server:
        thread = threading.Thread(target=server.run)
        thread.start()
        for page in ("", f"run/{SECOND}", "history"):
            try:
                urllib.request.urlopen(server.url + page, timeout=60).read()
            except OSError as error:
                found.append(f"serve /{page}: {error}")
        server.stop()
        thread.join()
    return found


def attempt(base: Path, before: dict[str, str], number: int, seed: int, figures: Figures) -> None:
    words = random.Random(f"{seed} {number}")
    kind = ("value", "page", "raw output")[number % 3]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "store"
        shutil.copytree(base, folder)
        what, run = damage(folder, kind, words)
        where = f"{number} {kind}: {what}"
        figures.kinds[kind] += 1
        for call in COMMANDS:
            title = " ".join(call[:2])
            code, text, errors = command(folder, call)
            if "Traceback" in errors:
                figures.problems.append(f"{where}: {title}: {errors.strip().splitlines()[-1][:200]}")
                continue
            # A damaged row of a run or a job may leave a command without anything to show.
            if code not in (0, 1) and not (code == 2 and kind != "raw output"):
                figures.problems.append(f"{where}: {title}: {code} {errors.strip()[-200:]}")
                continue
            figures.answers += 1
            same = kind == "raw output" or (run in before and run != call[-1])
            if call[0] == "show" and same and text != before[call[1]]:
                figures.problems.append(f"{where}: {title}: not shown as before")
            if call[0] == "runs" and kind == "page":
                figures.remaining.append(sum(one["repetitions"] for one in json.loads(text)))
        found = served(folder)
        figures.problems += [f"{where}: {one}" for one in found]
        figures.answers += not found


def tried(count: int, seed: int) -> Figures:
    """That many tries, of all kinds in turn."""
    figures = Figures()
    with tempfile.TemporaryDirectory() as name:
        made(Path(name))
        before = {run: command(Path(name), ("show", run))[1] for run in (RUN, SECOND)}
        for number in range(count):
            attempt(Path(name), before, number, seed, figures)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    figures = tried(arguments.count, arguments.seed)
    print(", ".join(f"{kind}: {count}" for kind, count in figures.kinds.items()))
    if figures.remaining:
        lost = sum(count < _REPETITIONS for count in figures.remaining)
        mean = statistics.fmean(figures.remaining)
        print(f"after a page: {mean:.1f} of {_REPETITIONS} repetitions remain on average; {lost} times fewer than all")
    print(f"{figures.answers} answers, {len(figures.problems)} problems")
    for problem in figures.problems:
        print(f"  {problem}")
    if figures.problems:
        sys.exit(1)


if __name__ == "__main__":
    main()
