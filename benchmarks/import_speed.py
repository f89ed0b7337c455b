"""How long a million operator rows take to import, from both formats; the bar is 20 seconds.

    python benchmarks/import_speed.py [--rows 1000000]

Makes a store of nights (`big_store.py`) with that many operator rows, exports it, and imports each export into an empty
SQLite store with `devbench import`, all tables included: besides the operators about a tenth as many repetitions with
their conditions, and what their jobs come to. Importing once more has to add nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BAR_S = 20.0
# Operators of the forty cases, on nine or ten devices a night.
_ROWS_A_NIGHT = 22_000


def devbench(*words: object) -> dict[str, object]:
    """A command that prints JSON."""
    command = [sys.executable, "-m", "devbench.cli.app", *map(str, words), "--json"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert isinstance(found, dict)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    nights = -(-arguments.rows // _ROWS_A_NIGHT)
    worst = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = folder / "big.db"
        maker = Path(__file__).with_name("big_store.py")
        subprocess.run([sys.executable, maker, store, "--nights", str(nights)], check=True)
        for file_format in ("jsonl", "parquet"):
            out, target = folder / file_format, folder / f"{file_format}.db"
            devbench("export", out, "--store", store, "--format", file_format)
            began = time.monotonic()
            added = devbench("import", out, "--store", target)["added"]
            took_s = time.monotonic() - began
            assert isinstance(added, dict) and added["operators"] >= arguments.rows, added
            again = devbench("import", out, "--store", target)["added"]
            assert isinstance(again, dict) and set(again.values()) == {0}, again
            share = f"{arguments.rows / added['operators'] * took_s:.1f} s a million"
            rows = f"{added['operators']} operators, {added['repetitions']} repetitions"
            print(f"{file_format}: {rows}: {took_s:.1f} s ({share})")
            worst = max(worst, took_s * arguments.rows / added["operators"])
    if worst > BAR_S:
        sys.exit(f"slower than {BAR_S:.0f} s")


if __name__ == "__main__":
    main()
