"""The server's list is read by its state words: serials with blanks, serials that several devices have, all states."""

from __future__ import annotations

import pytest

from devbench.adb import server
from devbench.adb.server import parse_device_list

STATES = [
    "device", "offline", "bootloader", "host", "recovery", "rescue", "sideload", "unauthorized", "authorizing",
    "connecting", "detached", "unknown",
]  # fmt: skip
SERIALS = [
    "R5CT1234ABC",
    "adb-EXAMPLE-abc (2)._adb-tls-connect._tcp",
    "(no serial number)",
    "127.0.0.1:5555",
    "my device",
    "offline device 3",
    "a  b",
]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("serial", SERIALS)
@pytest.mark.parametrize("rest", ["", " usb:1-4.2 product:o1s model:SM_G991B device:o1s transport_id:7"])
def test_every_serial_is_read_in_every_state(serial: str, state: str, rest: str) -> None:
    (entry,) = parse_device_list(f"{serial:<22} {state}{rest}\n")
    assert (entry.serial, entry.state, entry.detail) == (serial, state, "")
    if rest:
        assert (entry.usb, entry.model, entry.transport_id) == (
            "1-4.2", "SM G991B", 7,
        )  # fmt: skip


def test_the_short_list_is_read() -> None:
    (entry,) = parse_device_list("adb-X (2)._adb-tls-connect._tcp\tunauthorized\n")
    assert (entry.serial, entry.state) == ("adb-X (2)._adb-tls-connect._tcp", "unauthorized")


@pytest.mark.parametrize("serial", ["0A091FDD4000XY", "(no serial number)", "????????????"])
@pytest.mark.parametrize(
    "words",
    [
        " (missing udev rules? user is in the plugdev group); see [http://developer.android.com/tools/device.html]",
        " (user in plugdev group; are your udev rules wrong?); see [http://developer.android.com/tools/device.html]",
        "; see [http://developer.android.com/tools/device.html]",
        " (verify udev rules); see [http://x]",
        "",
    ],
)
@pytest.mark.parametrize("rest", ["", " usb:1-4 transport_id:3"])
def test_no_permissions_is_one_state_with_an_explanation(serial: str, words: str, rest: str) -> None:
    (entry,) = parse_device_list(f"{serial:<22} no permissions{words}{rest}\n")
    assert (entry.serial, entry.state, entry.detail) == (serial, "no permissions", words.strip())
    assert (entry.usb, entry.transport_id) == (("1-4", 3) if rest else ("", None))


def test_a_product_with_a_state_word_does_not_become_a_serial() -> None:
    (entry,) = parse_device_list("R5 device product:my device model:x device model:Pixel_8 transport_id:2\n")
    assert (entry.serial, entry.state, entry.transport_id) == ("R5", "device", 2)


def test_a_state_of_a_newer_adb_is_kept_as_it_is() -> None:
    (entry,) = parse_device_list("R5CT1 hibernating usb:1-1 transport_id:2\n")
    assert (entry.serial, entry.state, entry.transport_id) == ("R5CT1", "hibernating", 2)


def test_a_serial_that_is_not_unique_is_told_apart_by_the_transport_id() -> None:
    entries = parse_device_list(
        "0123456789ABCDEF device transport_id:4\n0123456789ABCDEF offline transport_id:9\n"
        "R5CT1 device transport_id:5\n(no serial number) device transport_id:6\n"
    )
    assert [entry.name for entry in entries] == [
        "0123456789ABCDEF#4", "0123456789ABCDEF#9", "R5CT1", "(no serial number)#6",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "\n\n", "nonsense", "   ", "x" * 5000])
def test_lines_that_are_none_are_skipped(text: str) -> None:
    assert parse_device_list(text) == []


@pytest.mark.parametrize(
    "text", ["a" + " " * 60_000, "a b " * 15_000, "a no permissions " * 4000, ("x " + "k:v " * 9) * 900]
)
@pytest.mark.timeout(30)
def test_of_a_hostile_line_only_the_start_is_looked_at(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    entry = server._entry
    monkeypatch.setattr(server, "_entry", lambda line: lengths.append(len(line)) or entry(line))
    parse_device_list(text)
    assert lengths and max(lengths) <= 1000
