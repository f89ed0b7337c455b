"""The database calls of hosts, users and keepers of a farm, without their processes."""

from __future__ import annotations

import json
from typing import Any

from devbench.farm import job as jobs
from devbench.farm.database import SCHEMA, Farm
from devbench.farm.keeper import Keeper
from devbench.results.column_types import pack
from devbench.results.run_files import run_to_json
from devbench.results.store import Store
from tests.farm.made import MadeFarm
from tests.made.phones import phone_view

JOB = {
    "format": jobs.FORMAT, "suite": "camera", "options": {}, "labels": {"branch": "main"}, "inputs": [], "limits": None,
    "binary": None, "delegates": {},
    "models": [{"name": "mobile_unet_128", "sha256": "a" * 64, "size_bytes": 42_300_000, "operators": None}],
}  # fmt: skip


def begin(farm: MadeFarm, host: str, device: str) -> tuple[Farm, int]:
    lab = farm.open(host)
    worker = lab.call("hello", SCHEMA, "0", "now", 0)
    lab.call("offer", worker, json.dumps({device: {"soc": "SM8650"}}))
    return lab, worker


def submit(farm: MadeFarm, user: str = "ana", suite: str = "camera", **wanted: str) -> int:
    values = (suite, json.dumps(JOB), json.dumps(wanted), None, 0, None, "", "")
    row = farm.open(user).rows("SELECT * FROM farm.submit(%s, %s, %s, %s, %s, %s, %s, %s)", *values)[0]
    return int(row["submission"])


def take(lab: Farm, worker: int, device: str) -> dict[str, Any]:
    return lab.rows("SELECT * FROM farm.take(%s, %s)", worker, [device])[0]


def payload(**changes: Any) -> bytes:
    values = run_to_json(phone_view(rounds=1))
    values["jobs"] = values["jobs"][:1]
    return pack({**values, **changes})


def keep(farm: MadeFarm) -> None:
    with Farm(farm.urls["keep"]) as connection, Store(farm.store_of("keep"), farm.folder / "artifacts") as store:
        Keeper(farm.urls["keep"], 10.0, print).turn(connection, store)
