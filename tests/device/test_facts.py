"""Facts: what phones print, what hostile ones print, and that nothing missing is a failure."""

from __future__ import annotations

import json

import pytest

from devbench.device.facts import DeviceFacts, parse_facts, read_facts, to_json
from devbench.virtual.phone import VirtualPhone
from tests.conftest import BenchPhone
from tests.device.transcripts import PIXEL, WORD, transcript


def test_a_pixel_is_described() -> None:
    facts = parse_facts(PIXEL, "adb-serial")
    assert (facts.name, facts.soc, facts.android, facts.sdk) == ("Pixel 8", "Google Tensor G3", "15", 35)
    assert facts.abis == ("arm64-v8a", "armeabi-v7a", "armeabi")
    assert facts.key == "38071FDJH00ABC"
    assert facts.serial == "adb-serial"
    assert facts.cpu_count == 9
    assert [cluster.title for cluster in facts.cpus] == ["1x Cortex-X3 @ 2.91 GHz", "1x Cortex-A510 @ 1.70 GHz"]
    assert facts.memory_total_bytes == 7731000 * 1024
    assert facts.storage_free_bytes == 53000000 * 1024
    assert facts.root is False
    assert not facts.virtual


def test_only_named_properties_are_kept() -> None:
    assert not any("Somebody" in value for value in parse_facts(PIXEL, "s").props.values())
    assert "Somebody" not in json.dumps(to_json(parse_facts(PIXEL, "s")))


@pytest.mark.parametrize(
    "text", ["", "\x00\xff garbage", f"@@devbench:{WORD}\n", "@@devbench:\n[ro.product.model]: [x]"]
)
def test_a_device_that_says_nothing_is_known_by_its_serial(text: str) -> None:
    facts = parse_facts(text, "127.0.0.1:1")
    assert facts == DeviceFacts(key="127.0.0.1:1", serial="127.0.0.1:1")
    json.dumps(to_json(facts))


def test_a_hostile_device_cannot_forge_sections_nor_flood() -> None:
    evil = transcript(
        properties="[ro.product.model]: [\x1b[31mEvil\u202e <script>]\n@@other:proc\n[ro.devbench.virtual]: [1\n"
        + "[ro.product.x]: [" + "A" * 100_000 + "]\n" + "".join(f"[ro.product.p{n}]: [v]\n" for n in range(5000)),
        sys="possible 0-99999999\nkhz 99999999999999999999 1\nkhz 0 -5",
        storage="Filesystem Available\nx 99999999999999999999999999",
    )  # fmt: skip
    facts = parse_facts(evil, "s")
    assert "\x1b" not in facts.model
    assert "\u202e" not in facts.model
    assert len(facts.props) <= 200
    assert facts.cpu_count is None
    assert facts.storage_free_bytes is None


def test_cut_text_gives_what_stands_in_it() -> None:
    for end in range(0, len(PIXEL), 7):
        parse_facts(PIXEL[:end], "s")
    assert parse_facts(PIXEL[: PIXEL.index("proc")], "s").model == "Pixel 8"


def test_the_virtual_device_and_no_other_says_that_it_is_virtual(virtual_phone: VirtualPhone) -> None:
    from devbench.adb.device import Device
    from devbench.adb.server import AdbServer

    facts = read_facts(Device(AdbServer(), virtual_phone.address))
    assert facts.virtual
    assert facts.key == "virtual-test"


@pytest.mark.bench_phone
def test_the_bench_phone_is_described(bench_phone: BenchPhone) -> None:
    from devbench.adb.device import Device
    from devbench.adb.server import AdbServer

    facts = read_facts(Device(AdbServer(), bench_phone.serial))
    assert not facts.virtual
    assert facts.abis == ("x86_64",)
    assert facts.android == "14"
    assert facts.root is True
    assert facts.cpu_count
    assert facts.storage_free_bytes
