"""Whatever a device says, its readers give a value or a `DevbenchError`, in bounded time: no other error comes out."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from devbench.adb.server import parse_device_list
from devbench.adb.services import ShellResult
from devbench.bench.script import split_output
from devbench.device import conditions as conditions_
from devbench.device import facts as facts_
from devbench.device.cores import cpu_list
from devbench.device.depot import Depot
from devbench.device.gauge import Gauge
from devbench.device.health import parse_health
from devbench.device.lease import Lease, Request, read_holder, renew, take, this_process
from devbench.device.overview import _halves
from devbench.device.sampler import parse_samples, samples_to_json
from devbench.device.sections import free_bytes
from devbench.errors import DevbenchError

NOW = datetime(2026, 11, 1, tzinfo=timezone.utc)
# Words that the readers look for, so that chance gets past the first of them.
WORDS = (
    "@@devbench:w", "@@w:properties", "@@w:proc", "@@w:sys", "@@w:graphics", "@@w:identity", "@@w:kernel", "@@w:storage",
    "@@w:thermal", "@@w:battery", "@@w:loadavg", "@@w:folder", "@@w:depot", "@@w:hash", "@@w:end", "@@w:screen",
    "@@w:cpu", "@@w:memory", "[ro.product.cpu.abilist]: [", "[ro.serialno]: [", "[ro.build.version.sdk]: [", "]",
    "MemTotal:", "Uid:", "processor", "CPU part", "CPU implementer", ": 0x", "possible ", "khz ", "related ", "steps ",
    "governor ", "gpu ", "zone ", "Thermal Status: ", "Temperature{mValue=", ", mType=", ", mName=", "}", "level: ",
    "temperature: ", "status: ", "current now: ", "current_now ", "charge_counter ", "load ", "available_kb ",
    "@sample ", "@thermal", "@battery", "@screen", "@end", "folder ", "said ", "writable", "executed", "taken ",
    "now b ", "lease ", "until t b ", "1,t,h,u,b,s,1,1,,0,1", "held", "there ", "unsure", "missing", "moved ", "file ",
    "used ", "m:tool", "m:exit ", "m:memory", "m:before", "m:after", "m:during", "m:lost", "m:end", "true", "false",
)  # fmt: skip
NUMBERS = (
    "0", "1", "-1", "7", "100", "37.5", "-0.0", "1e999", "-1e999", "nan", "inf", "9" * 20, "9" * 5000, "-" + "9" * 400,
    "18446744073709551616", "9223372036854775808", "²", "٣", "１", "0x", "0xffffffffffffffffffff", "1_000", "1.", ".5",
    "1e308", "--1", "+1", "1-2-3", "0-4294967295", "",
)  # fmt: skip
PIECES = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(NUMBERS),
    st.sampled_from(["\n", "\n", "\n", " ", "\r\n", ":", "=", "\0", "\x1b[2J", "\ufffd", "\u2028", "\x85"]),
    st.text(max_size=20),
)
TEXTS = st.one_of(
    st.lists(PIECES, max_size=60).map("".join), st.lists(PIECES, max_size=60).map("\n".join), st.text(max_size=200)
)


class Says:
    """A device that answers every command with the same text."""

    serial = adb_serial = "hostile"

    def __init__(self, text: str, exit_code: int = 0) -> None:
        self._result = ShellResult(text.encode("utf-8", "replace"), text[:50].encode("utf-8", "replace"), exit_code)

    def shell(self, command: str, **options: Any) -> ShellResult:
        return self._result

    def push(self, *args: Any, **options: Any) -> None:
        return

    def stat(self, remote: str) -> None:
        return


def _facts(text: str) -> object:
    return json.dumps(facts_.to_json(facts_.parse_facts(text, "serial")), allow_nan=False)


def _conditions(text: str) -> object:
    read = conditions_.parse_conditions(text, NOW)
    (settled,) = Gauge().settle([read])
    return json.dumps(conditions_.to_json(settled), allow_nan=False)


def _samples(text: str) -> object:
    return json.dumps(samples_to_json(parse_samples(text, NOW)), allow_nan=False)


def _script(text: str) -> object:
    data = text.encode("utf-8", "replace")
    found = split_output(io.BytesIO(data), "m")
    assert 0 <= found.tool[0] <= found.tool[1] <= len(data)
    return found


def _depot(text: str) -> object:
    free_bytes(text.splitlines())
    for code in (0, 1, 255):
        depot = Depot(Says(text, code))  # type: ignore[arg-type]
        for do in (depot.entries, depot.free_bytes, lambda depot=depot: depot.evict(1 << 40), depot.changed_in_use):
            _only_ours(do)
        _only_ours(lambda depot=depot: depot.ensure(FILE, sha256="0" * 64))
    return None


def _lease(text: str) -> object:
    device: Any = Says(text)
    _only_ours(lambda: take(device, "/x", Request("t", this_process())))
    _only_ours(lambda: read_holder(device, "/x"))
    _only_ours(lambda: renew(device, Lease("/x/lease", 1, "t")))
    return None


def _only_ours(do: Callable[[], object]) -> None:
    try:
        do()
    except DevbenchError as error:
        assert "\n" not in str(error)


FILE: Any = SimpleNamespace(
    stat=lambda: SimpleNamespace(st_size=10, st_ino=1, st_mtime_ns=1), name="file", open=lambda mode: io.BytesIO(b"x")
)
READERS: dict[str, Callable[[str], object]] = {
    "facts": _facts,
    "conditions": _conditions,
    "samples": _samples,
    "script": _script,
    "depot": _depot,
    "lease": _lease,
    "health": parse_health,
    "overview": _halves,
    "cpu lists": cpu_list,
    "device list": parse_device_list,
}


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(text="moved ")
@given(text=TEXTS)
def test_no_text_of_a_device_ends_in_an_unexpected_error(name: str, text: str) -> None:
    READERS[name](text)
    READERS[name](f"@@devbench:w\n{text}\n@@w:end\n")


@pytest.mark.parametrize("number", NUMBERS)
def test_no_number_of_a_device_ends_in_an_unexpected_error(number: str) -> None:
    """Each number behind each word that the readers look for."""
    text = "@@devbench:w\n" + "\n".join(f"{word}{number}\n{word} {number} {number} {number}" for word in WORDS)
    for read in READERS.values():
        read(text)
