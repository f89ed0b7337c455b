"""Emulators and containers by what they say of themselves: Android that runs on a computer and on no phone.

Sources: the properties that their images set (AOSP's goldfish and Cuttlefish, Waydroid, redroid, Anbox, Genymotion,
Android-x86, Windows Subsystem for Android, ChromeOS's ARC++ and ARCVM), and the renderer of their guest drivers.
Knows no connection. An image that imitates a phone's properties and uses a real GPU cannot be told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# Properties that only these have.
EMULATION_PROPERTIES = (
    r"ro\.(kernel|boot)\.qemu(\.[A-Za-z0-9_.-]+)?|ro\.boot\.(redroid|hardware_?egl|arc)[A-Za-z0-9_.-]*"
    r"|ro\.(genymotion|waydroid|anbox|redroid|bst)[A-Za-z0-9_.-]*"
)
_IDENTITY = re.compile(
    r"ro\.product(\.(vendor|system|odm|product))?\.(name|device|model|brand|manufacturer|board)"
    r"|ro\.(boot\.)?hardware|ro\.build\.fingerprint"
)
# The more special one first: each is searched for in the properties that name the device.
_BY_IDENTITY = (
    ("Waydroid", r"waydroid"),
    ("redroid", r"redroid"),
    ("Anbox", r"anbox"),
    ("Cuttlefish", r"\bcuttlefish\b|\bcutf(_cvm|_ivsh)?\b|\b(aosp_)?cf_(x86|arm|riscv)|\bvsoc_(x86|arm|riscv)"),
    ("Genymotion", r"genymo(bile|tion)|\bvbox86p?\b"),
    ("Windows Subsystem for Android", r"subsystem for android|\bwindows_(x86_64|arm64)\b"),
    ("ARC on ChromeOS", r"_cheets\b|\bcheets\b|\bbertha\b"),
    ("BlueStacks", r"bluestacks|\bbst[ak]?_?(x86|arm)"),
    ("LDPlayer", r"\bttvm(_|\b)|ldplayer"),
    ("Nox", r"\bnox\b"),
    ("MEmu", r"\bmemu\b|microvirt"),
    ("Android-x86", r"android[_-]x86|\bbliss_x86"),
    ("Android Emulator", r"\bgoldfish\b|\branchu\b|\bemulator(64|_)|\bemu64|sdk_g?phone|\bgeneric_x86"),
    ("virtual machine", r"\bvirtio(_|\b)|\bqemu\b|android sdk built for|\bvmware\b"),
)
_PATTERNS = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in _BY_IDENTITY)
_GUEST_GPU = re.compile(r"android emulator|gfxstream|\bvirgl\b|virtio-gpu", re.IGNORECASE)


def emulation(props: Mapping[str, str], renderer: str = "") -> str:
    """The name of the emulator or container that a device is; empty for a real device.

    Args:
        props: its properties.
        renderer: the renderer of its OpenGL ES, in the driver's words.
    """
    named = "\n".join(value for name, value in props.items() if _IDENTITY.fullmatch(name))
    marks = "\n".join(name for name in props if re.match(r"ro\.(boot\.)?(genymotion|waydroid|anbox|redroid|bst)", name))
    for name, pattern in _PATTERNS:
        if pattern.search(named) or (marks and pattern.search(marks)):
            return name
    if props.get("ro.kernel.qemu") == "1" or props.get("ro.boot.qemu") == "1":
        return "Android Emulator"
    return "virtual machine" if _GUEST_GPU.search(renderer) else ""
