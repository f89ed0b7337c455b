"""Results on this host that are measured but not delivered yet, as files: one folder per attempt.

If a worker is killed, the database is unreachable or the store's disk is full, these files are delivered later. Files
are written under another name and then renamed. Results that the farm refuses, for example because their attempt is
over, are moved to the folder `superseded`. This module does not depend on devices.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from devbench.farm.database import Farm, FarmProblem
from devbench.host.paths import data_dir
from devbench.host.whole_files import write_whole_bytes

_RESULT = re.compile(r"([0-9]{1,6})-([a-z]+)-([0-9]{1,6})\.result")
_END = "end.json"
# Classes of SQL states that a retry cannot fix: the table refuses a value, or the attempt does not exist.
_REFUSED = ("22", "23", "42", "54")


@dataclass(frozen=True, slots=True)
class End:
    """How an attempt ended.

    Attributes:
        end: `done`, `failed` (the job has failed), `again` (try the job again), `back` (return the job to the queue;
            the attempt does not count against it).
        outcome: the outcome in one line.
        delay_s: seconds until the job may begin again.
    """

    end: str
    outcome: str
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """The folder of one attempt, named `JOB-ATTEMPT-TOKEN`."""

    folder: Path

    @property
    def token(self) -> str:
        return self.folder.name.rpartition("-")[2]

    def add(self, number: int, purpose: str, index: int, payload: bytes, raw_sha256: str = "") -> None:
        """Save a result. `number` is the number of its job in the run; `raw_sha256` is the hash of its raw output."""
        file = self.folder / f"{number:04d}-{purpose}-{index:04d}.result"
        write_whole_bytes(file, raw_sha256.encode("ascii") + b"\n" + payload)

    def finish(self, end: End) -> None:
        """Write down how the attempt ended."""
        write_whole_bytes(self.folder / _END, json.dumps(asdict(end)).encode("ascii"))

    def end(self) -> End | None:
        """Return how the attempt ended; `None` if its process has not written that."""
        try:
            return End(**json.loads((self.folder / _END).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def results(self) -> Iterator[tuple[Path, int, str, int]]:
        """Yield the undelivered results, oldest first: file, number, purpose and index."""
        for file in sorted(self.folder.glob("*.result"), key=lambda file: file.stat().st_mtime_ns):
            if found := _RESULT.fullmatch(file.name):
                yield file, int(found[1]), found[2], int(found[3])


def spool_dir() -> Path:
    return data_dir() / "farm" / "spool"


def superseded_dir() -> Path:
    return data_dir() / "farm" / "superseded"


def new_attempt(job: int, number: int, token: str) -> Attempt:
    """Make the folder of a new attempt."""
    folder = spool_dir() / f"{job}-{number}-{token}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Attempt(folder)


def attempts() -> list[Attempt]:
    """Return all attempts in the spool of this host, the oldest first."""
    return [Attempt(folder) for folder in sorted(spool_dir().glob("*-*-*"), key=lambda one: one.stat().st_mtime_ns)]


def deliver(farm: Farm, attempt: Attempt, tell: Callable[[str], None]) -> None:
    """Deliver the results of an attempt; move refused results to `superseded_dir()`.

    Raises:
        FarmProblem: the database cannot be reached; undelivered results stay in the folder.
    """
    for file, number, purpose, index in list(attempt.results()):
        raw_sha256, _, payload = file.read_bytes().partition(b"\n")
        try:
            answer = farm.call("deliver", attempt.token, number, purpose, index, payload, raw_sha256.decode("ascii"))
        except FarmProblem as error:
            if error.sqlstate[:2] not in _REFUSED:
                raise
            answer = f"refused: {error.what}"
        if answer == "stored":
            file.unlink()
            continue
        tell(f"{attempt.folder.name}: {file.name} is {answer}; it is kept in {superseded_dir()}")
        aside = superseded_dir() / attempt.folder.name
        aside.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.rename(aside / file.name)


def close(farm: Farm, attempt: Attempt, end: End) -> None:
    """Report the end of an attempt after its results are delivered, and remove its folder.

    Raises:
        FarmProblem: the database cannot be reached.
    """
    try:
        farm.call("finish", attempt.token, end.end, end.outcome, end.delay_s)
    except FarmProblem as error:
        if error.sqlstate[:2] not in _REFUSED:
            raise
    shutil.rmtree(attempt.folder, ignore_errors=True)
