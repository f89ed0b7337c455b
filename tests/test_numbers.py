"""Numbers from outside: whatever a device, a tool, a header or a file says, a value in range comes out or nothing."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pytest

from devbench import numbers
from devbench.bench.script import split_output
from devbench.device.sections import free_bytes
from devbench.tool.parse import parse_text
from devbench.tool.parse.pipeline_log import parse_session

HOSTILE = [
    "²", "٣", "１２", "9" * 20, "9" * 5000, "-1", "1e999", "nan", "inf", "-inf", "0x10", "1_000", "", " ", "1 2", "½",
    "1e-5000", "+", "-", "1.2.3", "\x00", "12\u200b", ".5", "5.",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_plain_number_is_none(text: str) -> None:
    assert numbers.whole(text) is None
    assert numbers.whole(text.encode()) is None
    value = numbers.real(text, minimum=0)
    assert value is None or (math.isfinite(value) and 0 <= value <= numbers.MAX_REAL)


def test_plain_numbers_are_read_and_bounded() -> None:
    assert numbers.whole(" 12\r\n") == 12
    assert numbers.whole(b"-3", minimum=-5) == -3
    assert numbers.whole("9223372036854775807") == numbers.MAX_WHOLE
    assert numbers.whole("9223372036854775808") is None
    assert numbers.whole("256", maximum=255) is None
    assert numbers.real("1.0293e+07") == 10293000.0
    assert numbers.real("0", above=0) is None
    assert numbers.real("-22.8", minimum=0) is None
    assert numbers.real(None) is None


@pytest.mark.parametrize("text", HOSTILE)
def test_no_reader_of_a_device_s_words_raises(text: str) -> None:
    marker = "m" * 16
    stdout = f"{marker}:tool\nx\n{marker}:exit {text} {text} {text}\n{marker}:memory\n{text} {text}\n{marker}:end\n"
    found = split_output(io.BytesIO(stdout.encode()), marker)
    assert found.exit_code is None or 0 <= found.exit_code <= 255
    assert found.on_device_ms is None or found.on_device_ms >= 0
    assert found.vm_hwm_kb is None or 0 < found.vm_hwm_kb <= 1 << 40
    assert free_bytes(["Filesystem 1K-blocks Used Available Use% Mounted", f"/dev/x 1 1 {text or 'x'} 1% /data"]) in (
        None,
        0,
        1024,
    )
    log = f"w {text} 1 ready\nw 1.5 {text} gone {text}\nw 1.5 - memory {text}:{text}:{text}:{text}\n"
    parse_session(log.split("\n"), "w")
    parse_text(
        f"STARTING!\ncount={text} first={text}\nInference timings in us: Init: {text}, Inference (avg): {text}\n"
    )


def test_an_exit_code_and_times_are_taken_where_they_can_be() -> None:
    def read(words: str) -> tuple[int | None, float | None]:
        found = split_output(io.BytesIO(f"m:tool\nx\nm:exit {words}\nm:end\n".encode()), "m")
        return found.exit_code, found.on_device_ms

    assert read("139 10.5 12.0") == (139, 1500.0)
    assert read("300 1 2") == (None, 1000.0)
    assert read("0 20 10") == (0, None), "the clock was set back"
    assert read("0 1e300 1e301") == (0, None)


def test_python_s_own_readers_are_not_used_for_words_of_a_device() -> None:
    """`isdigit` takes `²`, on which `int` then fails."""
    package = Path(numbers.__file__).parent
    rooms = [path for room in ("adb", "device", "nightly") for path in (package / room).rglob("*.py")]
    rooms += [
        package / "bench" / "script.py",
        package / "host" / "download.py",
        *(package / "tool" / "parse").rglob("*.py"),
    ]
    assert [path.name for path in rooms if "isdigit()" in path.read_text("utf-8")] == []
