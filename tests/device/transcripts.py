"""What the scripts of facts and conditions print on devices of several kinds, and makers of such text."""

from __future__ import annotations

from datetime import datetime, timezone

WORD = "0b1c2d3e-1111-2222-3333-444455556666"


def transcript(**sections: str) -> str:
    """What the facts' script prints, with these sections."""
    parts = [f"@@devbench:{WORD}\n"] + [f"\n@@{WORD}:{name}\n{text}\n" for name, text in sections.items()]
    return "".join([*parts, f"\n@@{WORD}:end\n"])


PIXEL = transcript(
    properties="""[ro.product.manufacturer]: [Google]
[ro.product.model]: [Pixel 8]
[ro.product.device]: [shiba]
[ro.soc.manufacturer]: [Google]
[ro.soc.model]: [Tensor G3]
[ro.board.platform]: [zuma]
[ro.build.version.release]: [15]
[ro.build.version.sdk]: [35]
[ro.product.cpu.abilist]: [arm64-v8a,armeabi-v7a,armeabi]
[ro.serialno]: [38071FDJH00ABC]
[gsm.sim.operator.alpha]: [Somebody]""",
    proc="""processor	: 0
CPU implementer	: 0x41
CPU part	: 0xd46
processor	: 1
CPU implementer	: 0x41
CPU part	: 0xd4e
MemTotal:        7731000 kB
Uid:	2000	2000	2000	2000""",
    sys="possible 0-8\nkhz 0 1704000\nkhz 1 2914000",
    kernel="Linux 5.15.137-android14",
    storage="Filesystem     1K-blocks     Used Available Use% Mounted on\n/dev/fuse      113000000 60000000 53000000  54% /data",
)
S23_PARTS = [0xD46, 0xD46, 0xD46, 0xD4D, 0xD4D, 0xD47, 0xD47, 0xD4E]
S23_KHZ = [2016000, 2016000, 2016000, 2803200, 2803200, 2803200, 2803200, 3360000]
SAMSUNG = transcript(
    properties="""[ro.board.platform]: [kalama]
[ro.boot.hardware]: [qcom]
[ro.build.fingerprint]: [samsung/dm1qxxx/dm1q:14/UP1A.231005.007/S911BXXU3BWL3:user/release-keys]
[ro.build.id]: [UP1A.231005.007]
[ro.build.version.release]: [14]
[ro.build.version.sdk]: [34]
[ro.product.cpu.abilist]: [arm64-v8a]
[ro.product.device]: [dm1q]
[ro.product.manufacturer]: [samsung]
[ro.product.model]: [SM-S911B]
[ro.serialno]: [R5CW1234ABC]
[ro.soc.manufacturer]: [QTI]
[ro.soc.model]: [SM8550]""",
    proc="\n".join(f"processor\t: {n}\nCPU implementer\t: 0x41\nCPU part\t: {part:#x}" for n, part in enumerate(S23_PARTS))
    + "\nMemTotal:        7425328 kB\nUid:\t2000\t2000\t2000\t2000",
    sys="possible 0-7\n" + "\n".join(f"khz {n} {khz}" for n, khz in enumerate(S23_KHZ)) + "\ngpu Adreno740v2",
    kernel="Linux 5.15.78-android13-8-26913237-abS911BXXU3BWL3",
    storage="Filesystem       1K-blocks     Used Available Use% Mounted on\n"
    "/dev/block/dm-53 236120896 61440000 174549824  27% /data/user/0",
)  # fmt: skip
BENCH_PHONE = transcript(
    properties="[ro.product.manufacturer]: [Debian]\n[ro.product.model]: [Bench Phone]\n"
    "[ro.product.device]: [benchphone]\n[ro.build.version.release]: [14]\n[ro.product.cpu.abilist]: [x86_64]\n"
    "[ro.serialno]: [unknown]",
    proc="processor\t: 0\nmodel name\t: AMD EPYC 7763 64-Core Processor\nprocessor\t: 1\n"
    "model name\t: AMD EPYC 7763 64-Core Processor\nMemTotal:       16384000 kB\nUid:\t0\t0\t0\t0",
    sys="possible 0-1",
    kernel="Linux 6.1.0-28-amd64",
    storage="Filesystem     1K-blocks     Used Available Use% Mounted on\noverlay        103081248 51000000  47123456  52% /",
)
NOW = datetime(2026, 11, 23, tzinfo=timezone.utc)
BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: true
  status: 2
  present: true
  level: 83
  scale: 100
  voltage: 4213
  temperature: 274
"""
THERMAL = """IsStatusOverride: false
ThermalEventListeners:
	callbacks: 2
Thermal Status: 1
Cached temperatures:
	Temperature{mValue=99.0, mType=3, mName=old, mStatus=0}
HAL Ready: true
Current temperatures from HAL:
	Temperature{mValue=36.5, mType=3, mName=VIRTUAL-SKIN, mStatus=1}
	Temperature{mValue=55.25, mType=0, mName=CPU0, mStatus=0}
	Temperature{mValue=0.0, mType=0, mName=CPU9, mStatus=0}
	Temperature{mValue=4200.0, mType=6, mName=BCL_VOLTAGE, mStatus=0}
Current cooling devices from HAL:
"""


def conditions_transcript(kernel: str = "", battery: str = "", thermal: str = "") -> str:
    return (
        f"@@devbench:{WORD}\n{kernel}\n@@{WORD}:battery\n{battery}\n@@{WORD}:thermal\n{thermal}\n@@{WORD}:end\n"
    )  # fmt: skip
