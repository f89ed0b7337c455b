"""Hostile exports and stores given to `import` and `merge`: no traceback, no unreadable row, no foreign file.

    python benchmarks/hostile_imports.py [--count 400] [--seed 1]

Each try changes one thing of a good export or store: a value of any column (also within its JSON), lines, bytes, the
manifest, links and FIFOs in place of files, triggers, views, computed columns, recursion, other tables, pages of the
file. What is refused has to leave the store as it was, in one line; after what is taken over every command that reads
has to answer. A file outside the export must never be found in the store or in what is exported of it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from typer.testing import CliRunner

from devbench.cli.app import application
from devbench.errors import DevbenchError
from devbench.results.column_types import Packed
from devbench.results.exchange.folder import export_store
from devbench.results.exchange.rows import TABLES, columns_of
from devbench.results.selection import Selection
from devbench.results.store import Store
from tests.made.samples import FILES, RUN, SESSION, add_run, repetition

SECRET = b"a file of this machine"
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, -0.5, 1.5, 2**31, 2**63 - 1, 2**70, -(2**63), 1e308, float("nan"), float("inf"), "", "x",
    "\u00b2", "9" * 400, "\ud800", "\0", "<b>", "../../etc/passwd", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+00:00",
    [], {},
    [1], [{}], ["x"], [[[]]], {"x": 1}, {"temperatures_c": 5}, {"notes": 7}, {"unsupported_ops": 5}, {"": {"": []}},
    {"temperatures_c": {"a": "hot"}}, {"sensors": "x"}, {"reported_as": 3}, {"taken_utc": 5}, [{"against": 1}],
    [{"against": "host", "max_rel": "much"}], {"via": []}, {"key": {}}, {"abis": 1},
)  # fmt: skip
READING: tuple[tuple[str, ...], ...] = (
    ("runs",), ("runs", "--json"), ("show", RUN), ("show", RUN, "--json"),
    ("report", RUN, "--format", "html,md,csv,json"),
    ("compare", RUN, "latest"), ("detect",), ("export", "again", "--raw"),
)  # fmt: skip


@dataclass(slots=True)
class Figures:
    """What came of all tries; `problems` are those that must not be."""

    kinds: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    taken: int = 0
    problems: list[str] = field(default_factory=list)


def made(folder: Path) -> None:
    """A good store and its exports."""
    from devbench.notices import Notice, NoticeKind

    with Store(str(folder / "good" / "results.db")) as store:
        add_run(store, files=FILES)
        add_run(store, 1, (1500.0, 1600.0), files=FILES)
        store.add_repetition(repetition(index=8, outputs=({"against": "host", "max_rel": 0.1},)))
        raw = store.artifacts.write(RUN, "job0001-0", b"what the device said")
        store.add_repetition(repetition(index=9, raw_path=raw))
        store.add_pipeline_session(SESSION)
        store.add_notices(RUN, [Notice(NoticeKind.OPEN_SHAPES, "model", "measured at 1x1x1x3")])
        export_store(store, folder / "jsonl", Selection(), raw=True)
        export_store(store, folder / "parquet", Selection(), file_format="parquet", raw=True)
    (folder / "secret" / RUN).mkdir(parents=True)
    for name in ("secret.txt", f"{RUN}/job0001-0.txt.gz"):
        (folder / "secret" / name).write_bytes(SECRET)


# -- exports ----------------------------------------------------------------------------------------------------------


def sign(folder: Path) -> None:
    """Make the manifest say what the files are."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, entry in manifest["tables"].items():
        file = folder / f"{name}.{manifest['files']}"
        if file.is_file() and not file.is_symlink():
            entry["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text("utf-8").splitlines()]


def write_rows(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def a_value(folder: Path, words: random.Random) -> None:
    table = words.choice([t for t in TABLES if rows_of(folder, t.name)])
    rows = rows_of(folder, table.name)
    words.choice(rows)[words.choice(columns_of(table)).name] = words.choice(VALUES)
    write_rows(folder, table.name, rows)


def a_value_within_json(folder: Path, words: random.Random) -> None:
    names = [(t, c.name) for t in TABLES for c in columns_of(t) if isinstance(c.type, Packed)]
    table, name = words.choice([(t, n) for t, n in names if rows_of(folder, t.name)])
    rows = rows_of(folder, table.name)
    row = words.choice(rows)
    inner = row[name] if isinstance(row[name], dict) else {}
    key = words.choice(["temperatures_c", "notes", "sensors", "abis", "reported_as", "via", "key", "unsupported_ops",
                        "cpu_khz", "clusters", "load_1min", "taken_utc", "t_s", "props", "signature", "subject",
                        "shapes", "files", *inner])  # fmt: skip
    changed = {**inner, key: words.choice(VALUES)}
    row[name] = changed if isinstance(row[name], dict) or row[name] is None else [changed]
    write_rows(folder, table.name, rows)


def lines(folder: Path, words: random.Random) -> None:
    name = words.choice([t.name for t in TABLES if rows_of(folder, t.name)])
    rows = rows_of(folder, name)
    action = words.randrange(4)
    if action == 0:
        rows.pop(words.randrange(len(rows)))
    elif action == 1:
        rows.append(words.choice(rows))
    elif action == 2:
        words.choice(rows)["more"] = 1
    else:
        row = words.choice(rows)
        row.pop(words.choice(list(row)))
    write_rows(folder, name, rows)


def bytes_of_a_file(folder: Path, words: random.Random) -> None:
    file = words.choice([path for path in sorted(folder.glob("*.*")) if path.stat().st_size])
    data = bytearray(file.read_bytes())
    for _ in range(words.randint(1, 20)):
        data[words.randrange(len(data))] = words.randrange(256)
    file.write_bytes(data[: words.randrange(len(data))] if words.random() < 0.3 else data)


def deep_and_long(folder: Path, words: random.Random) -> None:
    name = words.choice(["details", "documents", "runs"])
    text = words.choice(
        ["[" * 100_000, '{"a":' * 50_000, "9" * 6000, '"' + "x" * 2_000_000 + '"', "\0\0", "[1]", "NaN"]
    )
    with (folder / f"{name}.jsonl").open("a") as file:
        file.write(text + "\n")


def manifest(folder: Path, words: random.Random) -> None:
    path = folder / "manifest.json"
    found = json.loads(path.read_text())
    key = words.choice([*found, "tables.runs"])
    if key == "tables.runs":
        found["tables"]["runs"] = words.choice([*VALUES, {"rows": 1}, {"rows": "x", "sha256": 1}])
    else:
        found[key] = words.choice(VALUES)
    path.write_text(json.dumps(found))


def a_link(folder: Path, words: random.Random) -> None:
    name = words.choice(["artifacts", f"artifacts/{RUN}", f"artifacts/{RUN}/job0001-0.txt.gz", "manifest.json",
                         "runs.jsonl", "details.jsonl"])  # fmt: skip
    place = folder / name
    there = folder.parent / "secret"
    target = {"artifacts": there, f"artifacts/{RUN}": there / RUN}.get(name, there / "secret.txt")
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    if words.random() < 0.3 and place.suffix != "":
        os.mkfifo(place)
    else:
        place.symlink_to(words.choice([str(target), "/dev/zero", "/dev/stdin"]) if place.suffix else target)


def a_raw_path(folder: Path, words: random.Random) -> None:
    rows = rows_of(folder, "repetitions")
    up = "../" * words.randint(1, 5)
    row = words.choice(rows)
    inside = [RUN, ".", "", f"{RUN}/../../../secret/secret.txt", f"{RUN}//x", "a\0b", f"{RUN}/{up}x"]
    outside = [f"{up}secret/secret.txt", str(folder.parent / "secret" / "secret.txt")]
    row["raw_path"] = words.choice([*inside, *outside])
    write_rows(folder, "repetitions", rows)


# -- stores -----------------------------------------------------------------------------------------------------------


def statements(*several: str) -> Callable[[Path, random.Random], None]:
    def change(file: Path, words: random.Random) -> None:
        with sqlite3.connect(file) as connection:
            connection.executescript(words.choice(several))
        connection.close()

    return change


@lru_cache
def bomb() -> bytes:
    """JSON of 80 MB in 80 kB."""
    return zlib.compress(b"[" + b"0," * 40_000_000 + b"0]")


def a_stored_value(file: Path, words: random.Random) -> None:
    packed = [zlib.compress(data) for data in (b"5", b"{}", b"[[]]", b"[" * 5000)]
    texts = ["text", "\u00b2", b"\xff\xfe", b"", b"x" * 50]
    values: list[Any] = [None, *texts, -1, 2**62, 1e300, -5.0, *packed, packed[1] + b"x", bomb()]
    with sqlite3.connect(file) as connection:
        table = words.choice([t for t in TABLES if connection.execute(f"SELECT 1 FROM {t.name}").fetchone()])
        name = words.choice(list(table.columns)).name
        connection.execute("PRAGMA foreign_keys=OFF")
        try:
            connection.execute(f'UPDATE OR IGNORE {table.name} SET "{name}" = ?', (words.choice(values),))
        except sqlite3.IntegrityError:
            # The number of a row takes numbers only.
            connection.execute(f'UPDATE OR IGNORE {table.name} SET "{name}" = ?', (2**62,))
    connection.close()


def pages(file: Path, words: random.Random) -> None:
    data = bytearray(file.read_bytes())
    for _ in range(words.randint(1, 30)):
        data[words.randrange(len(data))] ^= words.randrange(1, 256)
    file.write_bytes(data[: words.randrange(len(data))] if words.random() < 0.2 else data)


_RECURSION = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT"
EXPORTS: dict[str, Callable[[Path, random.Random], None]] = {
    "value": a_value, "value within JSON": a_value_within_json, "lines": lines, "bytes": bytes_of_a_file,
    "deep or long": deep_and_long, "manifest": manifest, "link or FIFO": a_link, "raw path": a_raw_path,
}  # fmt: skip
STORES: dict[str, Callable[[Path, random.Random], None]] = {
    "stored value": a_stored_value,
    "pages": pages,
    "trigger": statements(
        "CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM jobs; END",
        "CREATE TRIGGER t AFTER UPDATE ON jobs BEGIN SELECT load_extension('x'); END",
    ),
    "view": statements(
        f"DROP TABLE labels; CREATE VIEW labels AS {_RECURSION} 'r' AS run_id, x AS key, x AS value FROM c",
        "DROP TABLE notices; CREATE VIEW notices AS SELECT * FROM runs",
        f"DROP TABLE alembic_version; CREATE VIEW alembic_version AS {_RECURSION} 'baseline-2' AS version_num FROM c",
    ),
    "computed": statements(
        "DROP TABLE labels; CREATE TABLE labels(run_id, key, value AS (hex(zeroblob(100000000))))",
        "DROP TABLE labels; CREATE TABLE labels(run_id, key, value GENERATED ALWAYS AS (abs(key)) VIRTUAL)",
    ),
    "virtual table": statements("DROP TABLE labels; CREATE VIRTUAL TABLE labels USING fts5(run_id, key, value)"),
    "other schema": statements(
        "ALTER TABLE runs DROP COLUMN host",
        "ALTER TABLE runs ADD COLUMN more TEXT",
        "DROP TABLE operators",
        "UPDATE alembic_version SET version_num = 'baseline-9'",
        "UPDATE alembic_version SET version_num = x'00ff'",
        "DELETE FROM alembic_version",
        "PRAGMA writable_schema=ON; UPDATE sqlite_master SET sql = 'CREATE TABLE runs(' WHERE name = 'runs'",
    ),
    "index": statements("CREATE INDEX evil ON runs(hex(zeroblob(1000)))"),
    "link": lambda file, words: _linked(file),
}


def _linked(file: Path) -> None:
    shutil.rmtree(file.parent / "artifacts")
    (file.parent / "artifacts").symlink_to(file.parents[1] / "secret")


# -- tries ------------------------------------------------------------------------------------------------------------


def command(*words: object) -> tuple[int, str, BaseException | None]:
    """Exit code, output and what came instead of an end."""
    result = CliRunner().invoke(application(), [str(word) for word in words])
    error = result.exception
    if isinstance(error, DevbenchError):
        return error.exit_code, str(error), None
    return result.exit_code, result.output, None if isinstance(error, SystemExit) else error


def contents(file: Path) -> list[str]:
    with sqlite3.connect(file) as connection:
        found = list(connection.iterdump())
    connection.close()
    return found


def read_back(work: Path, store: Path) -> list[str]:
    """What goes wrong with the commands that read."""
    found = []
    for words in READING:
        place = ["--out", work / "report"] if words[0] == "report" else []
        given = [work / "again" if word == "again" else word for word in words]
        code, text, error = command(*given, *place, "--store", store)
        if error is not None:
            found.append(f"{' '.join(words[:2])}: {error!r}")
        elif code not in (0, 1, 2) or "damaged" in text:
            found.append(f"{' '.join(words[:2])}: {code} {text[-200:]}")
    for root in (store.parent, work / "again"):
        found += [f"foreign file {path}" for path in root.rglob("*") if path.is_file() and SECRET in path.read_bytes()]
    return found


def attempt(base: Path, number: int, kind: str, seed: int, figures: Figures) -> None:
    words = random.Random(f"{seed} {number}")
    with tempfile.TemporaryDirectory(dir=base) as name:
        work = Path(name)
        shutil.copytree(base / "secret", work / "secret")
        store = work / "own" / "results.db"
        with Store(str(store)) as own:
            add_run(own, 2)
        before = contents(store)
        if kind in EXPORTS:
            file_format = "parquet" if kind == "bytes" and words.random() < 0.5 else "jsonl"
            given = work / "given"
            shutil.copytree(base / file_format, given)
            EXPORTS[kind](given, words)
            if kind not in ("manifest", "link or FIFO"):
                # Unless the manifest is what was changed.
                with suppress(ValueError, KeyError, TypeError, AttributeError, OSError):
                    sign(given)
            call = ("import", given)
        else:
            shutil.copytree(base / "good", work / "given")
            given = work / "given" / "results.db"
            STORES[kind](given, words)
            call = ("merge", given)
        code, text, error = command(*call, "--store", store)
        figures.kinds[kind] += 1
        where = f"{kind} {number}"
        if error is not None:
            figures.problems.append(f"{where}: {error!r}")
        elif code in (0, 1):
            figures.taken += 1
        else:
            figures.refused += 1
            if contents(store) != before:
                figures.problems.append(f"{where}: refused, but the store changed")
            if len(text.strip().splitlines()) != 1:
                figures.problems.append(f"{where}: not one line: {text[:300]}")
        if code != 0:
            call_words = [path for path in store.parent.rglob("*") if path.is_file() and SECRET in path.read_bytes()]
            figures.problems += [f"{where}: foreign file {path}" for path in call_words]
        if code in (0, 1):
            figures.problems += [f"{where}: {problem}" for problem in read_back(work, store)]


def tried(count: int, seed: int) -> Figures:
    """That many tries, of all kinds in turn."""
    figures = Figures()
    kinds = [*EXPORTS, *STORES, "value", "value within JSON", "stored value", "value", "stored value"]
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        made(base)
        for number in range(count):
            attempt(base, number, kinds[number % len(kinds)], seed, figures)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    figures = tried(arguments.count, arguments.seed)
    print(", ".join(f"{kind}: {count}" for kind, count in figures.kinds.items()))
    print(f"{figures.refused} refused in one line, {figures.taken} taken over and read back by every command")
    print(f"{len(figures.problems)} problems")
    for problem in figures.problems:
        print(f"  {problem}")
    if figures.problems:
        sys.exit(1)


if __name__ == "__main__":
    main()
