"""CPUs of kernels that describe all of them in one block, of big.LITTLE with CPUs offline, and of every maker."""

from __future__ import annotations

import pytest

from devbench.device.cores import Core, cluster_masks, cpu_list
from devbench.device.facts import DeviceFacts, parse_facts
from tests.device.transcripts import transcript


def facts_of(proc: str, sys: str) -> DeviceFacts:
    return parse_facts(transcript(proc=proc, sys=sys), "s")


def common_block(count: int, part: str, name: str = "") -> str:
    """As arm64 kernels before 4.4 and arm32 kernels print it: the CPUs, then one block for all."""
    cpus = [f"processor\t: {n}" + (f"\nmodel name\t: {name}" if name else "") for n in range(count)]
    return "\n".join([*cpus, "CPU implementer\t: 0x41", "CPU variant\t: 0x0", f"CPU part\t: {part}"])


def clocks(*khz: int) -> str:
    return "\n".join([f"possible 0-{len(khz) - 1}", *(f"khz {cpu} {clock}" for cpu, clock in enumerate(khz))])


@pytest.mark.parametrize("part", ["0xd03", "0xd07"])
def test_a_common_block_names_no_core_where_clocks_differ_and_the_mask_has_the_whole_cluster(part: str) -> None:
    facts = facts_of(common_block(6, part), clocks(*[1440000] * 4, *[1824000] * 2))
    assert facts.clusters == "2x CPU @ 1.82 GHz + 4x CPU @ 1.44 GHz"
    assert cluster_masks(facts.cpus) == {"big": "30", "little": "f", "fast": "30"}


def test_a_common_block_names_all_cores_of_a_phone_with_one_clock() -> None:
    assert facts_of(common_block(4, "0xd03"), clocks(*[1200000] * 4)).clusters == "4x Cortex-A53 @ 1.20 GHz"


def test_a_common_block_names_none_where_some_cpus_are_offline() -> None:
    facts = facts_of(common_block(4, "0xd03"), "possible 0-7\n" + "\n".join(f"khz {n} 1200000" for n in range(4)))
    assert (facts.clusters, facts.cpu_count) == ("4x CPU @ 1.20 GHz", 8)


def test_a_common_block_names_none_where_no_clock_is_known() -> None:
    assert facts_of(common_block(8, "0xd03"), "possible 0-7").clusters == "8x CPU"


def test_a_kernel_s_general_name_is_no_core_s_name() -> None:
    facts = facts_of(
        common_block(4, "0xc07", "ARMv7 Processor rev 5 (v7l)"), clocks(1500000, 1500000, 1000000, 1000000)
    )
    assert facts.clusters == "2x CPU @ 1.50 GHz + 2x CPU @ 1.00 GHz"


def test_a_single_cpu_keeps_its_own_block() -> None:
    assert facts_of(common_block(1, "0xd03"), clocks(1200000)).clusters == "1x Cortex-A53 @ 1.20 GHz"


def test_cpus_that_are_offline_belong_to_the_cluster_that_shares_their_clock() -> None:
    proc = "\n".join(f"processor\t: {n}\nCPU implementer\t: 0x41\nCPU part\t: {part}" for n, part in
                     [*((n, "0xd05") for n in range(4)), (4, "0xd0b")])  # fmt: skip
    system = clocks(*[1800000] * 4, 2600000, 2600000, 2600000, 2600000).replace("khz 7 2600000", "")
    facts = facts_of(proc, system + "\nrelated 0 0 1 2 3\nrelated 4 4 5 6 7")
    assert facts.clusters == "4x Cortex-A76 @ 2.60 GHz + 4x Cortex-A55 @ 1.80 GHz"
    assert cluster_masks(facts.cpus)["big"] == "f0"


@pytest.mark.parametrize(
    ("implementer", "part", "variant", "name"),
    [
        (0x41, 0xD8A, None, "C1-Nano"), (0x41, 0xD8B, None, "C1-Pro"), (0x41, 0xD8C, None, "C1-Ultra"),
        (0x41, 0xD90, None, "C1-Premium"), (0x41, 0xD87, None, "Cortex-A725"), (0x51, 0x001, None, "Oryon"),
        (0x51, 0x205, None, "Kryo Gold"), (0x48, 0xD40, None, "Cortex-A76"), (0x48, 0xD02, None, "TaiShan v120"),
        (0x53, 0x001, 1, "Exynos M1"), (0x53, 0x001, 4, "Exynos M2"), (0x53, 0x002, 1, "Exynos M3"),
        (0x53, 0x003, 1, "Exynos M4"), (0x53, 0x004, 1, "Exynos M5"), (0x41, 0xC07, None, "Cortex-A7"),
    ],
)  # fmt: skip
def test_cores_of_every_maker_have_their_names(implementer: int, part: int, variant: int | None, name: str) -> None:
    assert Core(implementer, part, variant=variant).name == name


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("0-3,6-7", (0, 1, 2, 3, 6, 7)), ("4 5 6 7", (4, 5, 6, 7)), ("0", (0,)), ("", ()), ("7-0", ()), ("x", ()), ("0-999", ())],
)  # fmt: skip
def test_lists_of_cpus_are_read_in_both_spellings(text: str, cpus: tuple[int, ...]) -> None:
    assert cpu_list(text) == cpus


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        ("[ro.vivo.market.name]: [vivo X100 Pro]", "vivo X100 Pro"),
        ("[ro.vendor.oplus.market.name]: [realme GT 7 Pro]", "realme GT 7 Pro"),
        ("[ro.vendor.oplus.market.name]: [一加 13]\n[ro.vendor.oplus.market.enname]: [OnePlus 13]", "OnePlus 13"),
        ("[ro.oppo.market.name]: [OPPO Reno4]", "OPPO Reno4"),
        ("[ro.display.series]: [OnePlus 6T]", "OnePlus 6T"),
        ("[ro.vendor.product.ztename]: [nubia Z50 Ultra]", "nubia Z50 Ultra"),
        (
            "[ro.product.display]: [\u62ef\u6551\u8005]\n[ro.product.en.display]: [Legion Phone2 Pro]",
            "Legion Phone2 Pro",
        ),
        ("[ro.vivo.product.release.name]: [PD2303]\n[ro.vivo.internet.name]: [iQOO Neo 855]", "iQOO Neo 855"),
        ("[msc.config.marketing_name]: [HONOR Magic5 Pro]", "HONOR Magic5 Pro"),
        ("[ro.product.odm.marketname]: [Redmi Note 13]", "Redmi Note 13"),
        ("[ro.asus.product.mkt_name]: [Zenfone 10]", "Asus Zenfone 10"),
        ("[ro.config.marketing_name]: [HONOR Magic6 Pro]", "HONOR Magic6 Pro"),
        ("[ro.semc.product.name]: [Xperia 1 V]", "Xperia 1 V"),
        ("[ro.vendor.product.display]: [motorola edge 40]", "motorola edge 40"),
    ],
)
def test_makers_spell_the_market_name_each_in_their_way(properties: str, name: str) -> None:
    lines = f"[ro.product.manufacturer]: [asus]\n[ro.product.model]: [CODE-1]\n{properties}"
    assert parse_facts(transcript(properties=lines), "s").name.removeprefix("Asus ") == name.removeprefix("Asus ")
