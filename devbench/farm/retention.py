"""Remove files from the farm's storage that no result, stored run, or waiting or running job refers to."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from devbench.errors import InputError
from devbench.farm.storage import Removed, Storage
from devbench.host.paths import cache_dir

if TYPE_CHECKING:
    from devbench.farm.database import Farm

# If a finished job has stored results, the results store refers to its files.
_NEEDED = """
SELECT raw_sha256 AS sha256 FROM farm.results WHERE raw_sha256 <> ''
UNION SELECT sha256 FROM public.models UNION SELECT sha256 FROM public.binaries UNION SELECT sha256 FROM public.files
UNION SELECT file #>> '{}' FROM farm.submissions s, jsonb_path_query(s.job, '$.*[*].sha256') AS file
  WHERE s.due_utc IS NOT NULL
    OR EXISTS (SELECT FROM farm.jobs_now j WHERE j.submission = s.id AND j.state IN ('todo', 'doing'))
"""


def prune_storage(farm: Farm, older_than: timedelta, *, storage: str = "", dry_run: bool = False) -> Removed:
    """Remove files that are older than `older_than` and that nothing refers to.

    Args:
        farm: a connection as an admin or a keeper.
        older_than: the age, at least two days.
        storage: the storage's address; empty to use the one configured in the farm.
        dry_run: only count what would be removed.

    Raises:
        InputError: the farm has no storage, the age is too short, or the storage cannot list its files.
        FarmProblem, StorageFailed: the farm or the storage failed.
    """
    farm.check_schema()
    found = farm.rows("SELECT value FROM farm.settings WHERE name = 'storage'")
    url = storage or (found[0]["value"] if found else "")
    if not url:
        raise InputError("the farm has no storage", hint="devbench farm init --storage URL")
    keep = {str(row["sha256"]) for row in farm.rows(_NEEDED)}
    return Storage(url, cache_dir() / "farm", 1 << 30).prune(older_than, keep, dry_run=dry_run)
