"""Keeps the state of a history's series (`following.py`) in a file, which can be deleted at any time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from devbench import __version__
from devbench.analysis.changes import ChangePoint, ChangeSettings
from devbench.analysis.following import Floats, Remembered, follow, remembered
from devbench.errors import EnvironmentProblem
from devbench.host.whole_files import write_whole

if TYPE_CHECKING:
    from devbench.findings.changes import MeasuredSeries

_MAX_BYTES = 1 << 30


def follow_in(
    file: Path, series: Sequence[MeasuredSeries], values: Sequence[Floats], settings: ChangeSettings
) -> list[tuple[ChangePoint, ...]]:
    """Return the changes of each series (`following.follow`), with the state that the file has from the last call.

    A file that cannot be read, or was made with other settings or by another version, is ignored.
    """
    head = f"{__version__} {settings!r}"
    keys = ["\n".join((one.device_key, one.case, one.metric, one.operator_type)) for one in series]
    known = _read(file, head)
    followed = follow(values, [known.get(key) for key in keys], settings)
    if followed.evaluated or len(known) != len(keys):
        kept = {key: one.plain() for key, one in zip(keys, followed.memories, strict=True)}
        with suppress(EnvironmentProblem):
            # Much faster than `json.dump`.
            text = json.dumps({"of": head, "series": kept}, separators=(",", ":"))
            write_whole(file, lambda part: part.write(text))
    return followed.changes


def _read(file: Path, head: str) -> dict[str, Remembered]:
    try:
        with file.open("rb") as opened:
            found = json.loads(opened.read(_MAX_BYTES))
        return {key: remembered(one) for key, one in found["series"].items()} if found["of"] == head else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
