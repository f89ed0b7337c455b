"""Facts of more kinds of device: Samsung, emulator, bench phone, 32-bit phones, and texts that tempt the parser."""

from __future__ import annotations

import json

import pytest

from devbench import numbers
from devbench.device.cores import Core, clusters
from devbench.device.facts import DeviceFacts, parse_facts, to_json
from devbench.device.sections import MAX_CHARACTERS, clean, split_sections
from tests.device.transcripts import BENCH_PHONE, SAMSUNG, WORD, transcript


def props_of(*lines: str) -> DeviceFacts:
    return parse_facts(transcript(properties="\n".join(lines)), "adb-serial")


def test_a_samsung_is_described() -> None:
    facts = parse_facts(SAMSUNG, "R5CW1234ABC")
    assert (facts.title, facts.soc, facts.gpu) == (
        "Samsung SM-S911B (R5CW1234ABC-build87edef)",
        "Qualcomm SM8550",
        "Adreno740v2",
    )
    assert facts.clusters == (
        "1x Cortex-X3 @ 3.36 GHz + 2x Cortex-A710 @ 2.80 GHz + 2x Cortex-A715 @ 2.80 GHz + 3x Cortex-A510 @ 2.02 GHz"
    )
    assert [cluster.cpus for cluster in facts.cpus] == [(7,), (5, 6), (3, 4), (0, 1, 2)]
    assert (facts.cpu_count, facts.root, facts.virtual) == (8, False, False)
    assert (facts.memory_total_bytes, facts.storage_free_bytes) == (7425328 * 1024, 174549824 * 1024)
    assert facts.fingerprint.endswith("user/release-keys")


def test_the_bench_phone_is_no_virtual_device_and_names_its_computer_s_cpu() -> None:
    facts = parse_facts(BENCH_PHONE, "127.0.0.1:7001")
    assert facts.title == "Bench Phone (127.0.0.1:7001)"
    assert facts.clusters == "2x AMD EPYC 7763 64-Core Processor"
    assert (facts.abis, facts.root, facts.virtual) == (("x86_64",), True, False)


@pytest.mark.parametrize("prop", ["ro.kernel.qemu", "ro.boot.qemu", "ro.devbench.virtual"])
def test_an_emulator_and_the_virtual_device_are_virtual_and_say_so(prop: str) -> None:
    facts = props_of(f"[{prop}]: [1]", "[ro.product.model]: [Pixel 8]")
    assert facts.virtual
    assert facts.title.endswith(" (virtual)")


def test_emulators_are_told_apart_by_their_adb_serial() -> None:
    facts = props_of("[ro.boot.qemu]: [1]", "[ro.serialno]: [EMULATOR35X4X10X0]")
    assert facts.key == "adb-serial"


@pytest.mark.parametrize("serial", ["", "unknown", "0123456789ABCDEF", "null", "None"])
def test_a_serial_that_names_nobody_is_no_key(serial: str) -> None:
    assert props_of(f"[ro.serialno]: [{serial}]", "[ro.boot.serialno]: []").key == "adb-serial"


def test_the_key_is_the_same_over_usb_and_network() -> None:
    assert parse_facts(SAMSUNG, "R5CW1234ABC").key == parse_facts(SAMSUNG, "192.168.1.20:5555").key


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        (["[ro.product.marketname]: [Xiaomi 13]", "[ro.product.model]: [2211133G]"], "Xiaomi 13"),
        (["[ro.config.marketing_name]: [HUAWEI P40]", "[ro.product.model]: [ANA-NX9]"], "HUAWEI P40"),
        (["[ro.product.manufacturer]: [OnePlus]", "[ro.product.model]: [CPH2449]"], "OnePlus CPH2449"),
        (["[ro.product.manufacturer]: [motorola]", "[ro.product.model]: [moto g54 5G]"], "moto g54 5G"),
        (["[ro.product.device]: [shiba]"], "shiba"),
        (["[ro.product.model]: [unknown]"], "unknown device"),
        ([], "unknown device"),
    ],
)
def test_a_device_is_called_what_people_call_it(lines: list[str], name: str) -> None:
    assert props_of(*lines).name == name


@pytest.mark.parametrize("nothing", ["", "unknown", "null"])
def test_a_marketing_name_that_says_nothing_is_passed_over(nothing: str) -> None:
    facts = props_of(f"[ro.product.marketname]: [{nothing}]", "[ro.product.vendor.marketname]: [Redmi Note 12]")
    assert facts.name == "Redmi Note 12"


@pytest.mark.parametrize(
    ("maker", "model", "board", "soc"),
    [
        ("Google", "Tensor G3", "zuma", "Google Tensor G3"),
        ("Qualcomm Technologies, Inc", "SM8450", "taro", "Qualcomm SM8450"),
        ("Mediatek", "MT6985", "mt6985", "MediaTek MT6985"),
        ("Samsung", "s5e9925", "universal9925", "Samsung s5e9925"),
        ("Samsung", "Samsung Exynos 990", "", "Samsung Exynos 990"),
        ("", "", "msm8998", "msm8998"),
        ("unknown", "unknown", "unknown", ""),
    ],
)
def test_a_soc_has_its_maker_once_and_else_the_board_s_name(maker: str, model: str, board: str, soc: str) -> None:
    facts = props_of(
        f"[ro.soc.manufacturer]: [{maker}]", f"[ro.soc.model]: [{model}]", f"[ro.board.platform]: [{board}]"
    )
    assert facts.soc == soc


@pytest.mark.parametrize(
    ("lines", "abis"),
    [
        (["[ro.product.cpu.abilist]: [arm64-v8a,armeabi-v7a,armeabi]"], ("arm64-v8a", "armeabi-v7a", "armeabi")),
        (["[ro.product.cpu.abi]: [armeabi-v7a]", "[ro.product.cpu.abi2]: [armeabi]"], ("armeabi-v7a", "armeabi")),
        (["[ro.product.cpu.abilist]: []", "[ro.product.cpu.abi]: [x86]"], ("x86",)),
        (["[ro.product.cpu.abilist]: [arm64-v8a, arm64-v8a,$(reboot),../x,]"], ("arm64-v8a",)),
        ([], ()),
    ],
)
def test_abis_come_best_first_and_only_where_they_are_names(lines: list[str], abis: tuple[str, ...]) -> None:
    assert props_of(*lines).abis == abis


@pytest.mark.parametrize(
    ("text", "free"),
    [
        ("Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/fuse 9 5 4 55% /data", 4096),
        ("Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/fuse 9 5 4 55% /data", 4096),
        ("Filesystem 1K-blocks Used Avail Use% Mounted on\n/dev/block/very-long-name\n 9 5 4 55% /data", 4096),
        ("Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/fuse 9 9 0 100% /data", 0),
        ("Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/fuse 9 9 -4 100% /data", None),
        ("Dateisystem 1K-Blöcke Benutzt Verfügbar Verw% Eingehängt auf\n/dev/fuse 9 5 4 55% /data", None),
        ("Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/fuse 9", None),
        ("Filesystem 1K-blocks Used Available Use% Mounted on", None),
        ("df: /data/local/tmp: Permission denied", None),
    ],
)
def test_free_storage_is_found_by_its_heading(text: str, free: int | None) -> None:
    assert parse_facts(transcript(storage=text), "s").storage_free_bytes == free


@pytest.mark.parametrize(
    ("possible", "count"),
    [("0-7", 8), ("0", 1), ("0-3,6-7", 6), ("7-0", None), ("0-255", 256), ("0-256", None), ("0-", None), ("x", None)],
)
def test_the_number_of_cpus_is_read_from_the_kernel_s_list(possible: str, count: int | None) -> None:
    assert parse_facts(transcript(sys=f"possible {possible}"), "s").cpu_count == count


def test_without_the_kernel_s_list_the_cpus_that_describe_themselves_are_counted() -> None:
    assert parse_facts(transcript(sys="khz 0 1000000\nkhz 1 1000000"), "s").cpu_count == 2


def test_an_offline_cpu_is_counted_but_describes_nothing() -> None:
    facts = parse_facts(transcript(sys="possible 0-3\nkhz 0 1800000\nkhz 1 1800000"), "s")
    assert (facts.cpu_count, facts.clusters) == (4, "2x CPU @ 1.80 GHz")


def test_a_core_that_is_not_known_is_given_by_its_numbers() -> None:
    assert Core(0x41, 0xFFF).name == "implementer 0x41 part 0xfff"
    assert Core(0x41, 0xD03, "ARMv8 Processor").name == "Cortex-A53"
    assert Core(None, None, "Some CPU").name == "Some CPU"
    assert Core().name == ""


def test_clusters_without_clocks_come_last_cpus_first() -> None:
    cores = {0: Core(0x41, 0xD05), 1: Core(0x41, 0xD05), 2: Core(0x41, 0xD0B)}
    assert [cluster.title for cluster in clusters(cores)] == ["1x Cortex-A76", "2x Cortex-A55"]


@pytest.mark.parametrize("uids", ["", "x y z", "2000", "-1 -1 -1 -1"])
def test_root_is_not_guessed(uids: str) -> None:
    assert parse_facts(transcript(proc=f"Uid:\t{uids}"), "s").root is None


@pytest.mark.parametrize(
    "sections",
    [
        {"properties": "[ro.build.version.sdk]: [99999999999999999999999]"},
        {"properties": "[ro.build.version.sdk]: [34.5]"},
        {"properties": "[ro.build.version.sdk]: [-1]"},
        {"proc": "MemTotal: 0 kB"},
        {"proc": "MemTotal: " + "9" * 30 + " kB"},
        {"proc": "MemTotal: 7 731 000 kB"},
        {"proc": "MemTotal: 7.731.000 kB"},
        {"proc": "processor : 99999\nprocessor : -1\nprocessor : x"},
        {"sys": "khz 256 1000000\nkhz 0 0\nkhz 0 99999999999\nkhz 0 1 2"},
        {"sys": "khz"},
    ],
)
def test_numbers_that_make_no_sense_are_missing_facts(sections: dict[str, str]) -> None:
    facts = parse_facts(transcript(**sections), "s")
    assert (facts.sdk, facts.memory_total_bytes, facts.cpu_count, facts.cpus) == (None, None, None, ())


@pytest.mark.parametrize("missing", ["properties", "proc", "sys", "kernel", "storage"])
def test_a_section_that_is_missing_costs_only_its_own_facts(missing: str) -> None:
    begin = SAMSUNG.index(f"\n@@{WORD}:{missing}")
    facts = parse_facts(SAMSUNG[:begin] + SAMSUNG[SAMSUNG.index("\n@@", begin + 1) :], "s")
    assert bool(facts.model) is (missing != "properties")
    assert (facts.memory_total_bytes is not None) is (missing != "proc")
    assert bool(facts.gpu) is (missing != "sys")
    assert bool(facts.kernel) is (missing != "kernel")
    assert (facts.storage_free_bytes is not None) is (missing != "storage")


def test_text_of_a_hostile_device_is_one_short_line_without_control_characters() -> None:
    facts = parse_facts(
        transcript(
            properties="[ro.product.model]: [\x1b[2J\x1b]0;pwned\x07Pixel\u202e 8\r\u200b]",
            sys="gpu \x1b[31m" + "A" * 5000,
            kernel="Linux\x00\x9b31m " + "B" * 5000,
        ),
        "s",
    )
    said = [facts.model, facts.gpu, facts.kernel, *facts.props.values()]
    assert all(text.isprintable() and len(text) <= 200 for text in said), said


def test_no_direction_character_is_kept() -> None:
    assert clean("a\u061cb") == "ab"


def test_the_first_of_a_property_that_comes_twice_counts() -> None:
    assert props_of("[ro.product.model]: [Pixel 8]", "[ro.product.model]: [Other]").model == "Pixel 8"


def test_a_section_that_comes_twice_counts_as_it_came_first() -> None:
    text = SAMSUNG + f"\n@@{WORD}:properties\n[ro.product.model]: [Other]\n"
    assert parse_facts(text, "s").model == "SM-S911B"


def test_what_comes_before_the_opening_and_what_comes_after_a_mebibyte_is_not_looked_at() -> None:
    assert parse_facts("WARNING: linker: blah\n@@other:properties\n" + SAMSUNG, "s").model == "SM-S911B"
    assert parse_facts(transcript(kernel="\n" * MAX_CHARACTERS, storage="x"), "s").kernel == ""
    assert "late" not in split_sections(transcript(kernel="x" * MAX_CHARACTERS, late="y"))


def test_lines_that_end_as_on_a_terminal_are_read_the_same() -> None:
    assert parse_facts(SAMSUNG.replace("\n", "\r\n"), "s") == parse_facts(SAMSUNG, "s")


def test_cut_text_never_invents_a_fact() -> None:
    whole = to_json(parse_facts(SAMSUNG, "s"))
    for end in range(0, len(SAMSUNG), 5):
        facts = parse_facts(SAMSUNG[:end], "s")
        assert whole["model"].startswith(facts.model)
        assert (facts.virtual, facts.root) in {(False, None), (False, False)}
        json.dumps(to_json(facts))


def test_as_json_missing_text_is_null_and_names_need_no_rule() -> None:
    empty = json.loads(json.dumps(to_json(parse_facts("", "s"))))
    assert (empty["title"], empty["soc"], empty["model"], empty["abis"], empty["props"]) == (
        "unknown device (s)", None, None, [], {},
    )  # fmt: skip
    whole = json.loads(json.dumps(to_json(parse_facts(SAMSUNG, "s"))))
    assert (whole["name"], whole["soc"]) == ("Samsung SM-S911B", "Qualcomm SM8550")
    assert whole["cpus"][0] == {
        "cpus": [7],
        "core": "Cortex-X3",
        "implementer": 0x41,
        "part": 0xD4E,
        "max_khz": 3360000,
        "steps_khz": [],
        "governor": None,
    }


@pytest.mark.parametrize("text", ["", "1.5", "0x10", "1e3", "1_000", "\u0661", "9" * 20, "--1", "nan"])
def test_only_plain_whole_numbers_are_whole_numbers(text: str) -> None:
    assert numbers.whole(text) is None


@pytest.mark.parametrize("text", ["", "nan", "inf", "-inf", "1e999", "36,5", "1_0.0", ".5", "\u0661.\u0661", "9" * 400])
def test_only_plain_finite_numbers_are_decimals(text: str) -> None:
    assert numbers.real(text, minimum=-1e6, maximum=1e6) is None
