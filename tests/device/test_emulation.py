"""Emulators and containers are identified; phones are not taken for one."""

from __future__ import annotations

import pytest

from devbench.device.facts import DeviceFacts, parse_facts
from tests.device.transcripts import transcript


def facts_of(properties: str, gles: str = "") -> DeviceFacts:
    lines = "\n".join(f"[{name}]: [{value}]" for name, _, value in (p.partition("=") for p in properties.split(";")))
    return parse_facts(transcript(properties=lines, graphics=f"GLES: {gles}" if gles else ""), "s")


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        ("ro.hardware=ranchu;ro.product.model=sdk_gphone64_x86_64;ro.product.device=emu64xa", "Android Emulator"),
        ("ro.kernel.qemu=1;ro.product.model=Pixel 8", "Android Emulator"),
        ("ro.hardware=cutf_cvm;ro.product.device=vsoc_x86_64;ro.product.model=Cuttlefish x86_64 phone", "Cuttlefish"),
        ("ro.product.name=aosp_cf_arm64_phone;ro.product.device=vsoc_arm64_only;ro.boot.qemu=1", "Cuttlefish"),
        ("ro.product.device=waydroid_x86_64;ro.product.name=lineage_waydroid_x86_64;ro.product.brand=waydroid", "Waydroid"),
        ("ro.hardware=redroid;ro.product.model=redroid13_x86_64", "redroid"),
        ("ro.boot.redroid_gpu_mode=guest;ro.product.model=SM-S911B", "redroid"),
        ("ro.product.manufacturer=Genymobile;ro.hardware=vbox86", "Genymotion"),
        ("ro.product.manufacturer=Microsoft Corporation;ro.product.model=Subsystem for Android(TM);"
         "ro.product.device=windows_x86_64", "Windows Subsystem for Android"),
        ("ro.product.device=eve_cheets;ro.product.model=Google Pixelbook", "ARC on ChromeOS"),
        ("ro.hardware=bertha;ro.product.brand=google", "ARC on ChromeOS"),
        ("ro.hardware=android_x86_64;ro.product.model=Standard PC", "Android-x86"),
    ],
)  # fmt: skip
def test_a_container_or_emulator_is_identified_as_one(properties: str, name: str) -> None:
    facts = facts_of(properties)
    assert (facts.emulation, facts.virtual) == (name, True)
    assert facts.title.endswith(" (virtual)")


@pytest.mark.parametrize(
    "renderer",
    ["Google (Apple), Android Emulator OpenGL ES Translator (Apple M2 Pro), OpenGL ES 3.0 (4.1 Metal)",
     "Mesa, virgl (Apple M1), OpenGL ES 3.2"],
)  # fmt: skip
def test_a_guest_s_gpu_tells_a_virtual_machine_that_imitates_a_phone(renderer: str) -> None:
    assert facts_of("ro.product.model=SM-S911B", renderer).emulation == "virtual machine"


@pytest.mark.parametrize(
    "properties",
    ["ro.product.manufacturer=samsung;ro.product.model=SM-S901B;ro.hardware=s5e9925;ro.boot.hardware=s5e9925",
     "ro.product.manufacturer=Google;ro.product.model=Pixel 9;ro.hardware=caiman;ro.product.device=caiman",
     "ro.product.manufacturer=Microsoft;ro.product.model=Surface Duo;ro.product.device=duo;ro.hardware=surfaceduo",
     "ro.product.manufacturer=Nothing;ro.product.model=A063;ro.product.device=Spacewar;ro.boot.hardware=qcom",
     "ro.product.manufacturer=Amazon;ro.product.model=KFONWI;ro.hardware=mt8168"],
)  # fmt: skip
def test_a_phone_is_no_emulator(properties: str) -> None:
    facts = facts_of(properties, "ARM, Mali-G715, OpenGL ES 3.2 v1.r38p1")
    assert (facts.emulation, facts.virtual) == ("", False)
