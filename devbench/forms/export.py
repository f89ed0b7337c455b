"""A run as files for other programs: JSON with everything, CSV with a row per repetition; knows no form for people."""

from __future__ import annotations

import csv
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import IO, Any

from devbench.errors import EnvironmentProblem
from devbench.findings.run import VIRTUAL_NOTE
from devbench.results.run_json import FORMAT
from devbench.results.run_rows import REPETITION_COLUMNS, repetition_rows
from devbench.results.store import RunView


def run_to_json(view: RunView) -> dict[str, Any]:
    """Everything stored about a run, JSON-ready; times are ISO 8601 in UTC, units are in the names."""
    devices = {item.job.device.key: item.job.device for item in view.jobs}
    virtual = any(device.virtual for device in devices.values())
    return {
        "format": FORMAT,
        "virtual": virtual,
        **({"note": VIRTUAL_NOTE} if virtual else {}),
        "run": run_end(view),
        "notices": [plain(asdict(notice)) for notice in view.notices],
        "devices": [plain(asdict(device)) for device in devices.values()],
        "jobs": [_job(item) for item in view.jobs],
    }


def run_end(view: RunView) -> dict[str, Any]:
    """A run without its jobs, JSON-ready, with how and why it ended."""
    end = {"status": view.status, "end_reason": view.end_reason, "finished_utc": plain(view.finished_utc)}
    return {**plain(asdict(view.run)), **end}


def _job(item: Any) -> dict[str, Any]:
    job = plain(asdict(item.job))
    job["device"] = {"key": item.job.device.key, "title": item.job.device.title, "virtual": item.job.device.virtual}
    del job["run_id"]
    repetitions = []
    for repetition in item.repetitions:
        values = plain(asdict(repetition))
        for repeated in ("run_id", "job_number"):
            del values[repeated]
        repetitions.append(values)
    return {**job, "repetitions": repetitions}


def plain(value: Any) -> Any:
    """The value with tuples as lists and times as ISO 8601."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return value.isoformat() if isinstance(value, datetime) else value


def write_json(view: RunView, path: Path) -> None:
    """Write `run_to_json` to a file.

    Raises:
        EnvironmentProblem: it cannot be written.
    """
    values = run_to_json(view)
    write_whole(path, lambda file: json.dump(values, file, indent=1, ensure_ascii=False))


def write_csv(view: RunView, path: Path) -> None:
    """Write a row per repetition to a file; a text that a spreadsheet would run as a formula is quoted.

    Raises:
        EnvironmentProblem: it cannot be written.
    """

    def rows(file: IO[str]) -> None:
        writer = csv.DictWriter(file, REPETITION_COLUMNS)
        writer.writeheader()
        for row in repetition_rows(view):
            writer.writerow({name: _harmless(value) for name, value in row.items()})

    write_whole(path, rows, newline="")


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """What goes wrong within, told as one line with the way out.

    Raises:
        EnvironmentProblem: the folder cannot be written to.
    """
    try:
        yield
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write the report to {folder}: {error.strerror or error}", hint="choose another folder with --out"
        ) from None


def write_whole(path: Path, write: Callable[[IO[str]], object], newline: str | None = None) -> None:
    """Write a text file aside and move it into place, so that one that exists is whole.

    Raises:
        EnvironmentProblem: it cannot be written.
    """
    with _aside(path) as part, part.open("w", encoding="utf-8", newline=newline) as file:
        write(file)


def write_whole_bytes(path: Path, data: bytes) -> None:
    """As `write_whole`, of bytes that are there already."""
    with _aside(path) as part:
        part.write_bytes(data)


def _mode(path: Path) -> int:
    """The rights of a file that takes the place of `path`: those that it has, else what the user's umask leaves."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        umask = os.umask(0o077)
        os.umask(umask)
        return 0o666 & ~umask


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """A file beside `path` that takes its place where the block ends well."""
    try:
        handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
        os.close(handle)
        part = Path(name)
        try:
            yield part
            part.chmod(_mode(path))
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise EnvironmentProblem(f"cannot write {path}: {error.strerror or error}", hint="is there room?") from None
