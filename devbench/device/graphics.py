"""A device's GPU drivers, NNAPI devices, and whether it is an emulator or container, from what it prints.

Sources of the formats: the line `GLES: vendor, renderer, version` is SurfaceFlinger's dump, `cmd gpu vkjson` is
GpuService's JSON of Vulkan's VkPhysicalDeviceProperties (versions packed as the specification's VK_MAKE_API_VERSION),
the names of NNAPI devices are those of their services (AIDL `android.hardware.neuralnetworks.IDevice/NAME` in
`service list`, HIDL `android.hardware.neuralnetworks@1.3::IDevice/NAME` in `lshal`). Emulators and containers are
recognized by the properties that their images set (AOSP's goldfish and Cuttlefish, Waydroid, redroid, Anbox,
Genymotion, Android-x86, Windows Subsystem for Android, ChromeOS's ARC++ and ARCVM), and by the renderer of their guest
drivers; an image that imitates a phone's properties and uses a real GPU is not recognized. Knows no connection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from devbench import numbers
from devbench.device.sections import clean
from devbench.frozen import dataclass

# Properties that only emulators and containers have.
EMULATION_PROPERTIES = (
    r"ro\.(kernel|boot)\.qemu(\.[A-Za-z0-9_.-]+)?|ro\.boot\.(redroid|hardware_?egl|arc)[A-Za-z0-9_.-]*"
    r"|ro\.(genymotion|waydroid|anbox|redroid|bst)[A-Za-z0-9_.-]*"
)
_IDENTITY = re.compile(
    r"ro\.product(\.(vendor|system|odm|product))?\.(name|device|model|brand|manufacturer|board)"
    r"|ro\.(boot\.)?hardware|ro\.build\.fingerprint"
)
# The most specific one first; each is searched for in the properties that name the device.
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
        renderer: the renderer of its OpenGL ES, as the driver reports it.
    """
    named = "\n".join(value for name, value in props.items() if _IDENTITY.fullmatch(name))
    marks = "\n".join(name for name in props if re.match(r"ro\.(boot\.)?(genymotion|waydroid|anbox|redroid|bst)", name))
    for name, pattern in _PATTERNS:
        if pattern.search(named) or (marks and pattern.search(marks)):
            return name
    if props.get("ro.kernel.qemu") == "1" or props.get("ro.boot.qemu") == "1":
        return "Android Emulator"
    return "virtual machine" if _GUEST_GPU.search(renderer) else ""


_MAX_NNAPI = 16
_SERVICE = r"[A-Za-z0-9_.-]{1,64}"
# Each service has three seconds: if one hangs, only its own fact is missing. A missing tool takes no time.
GRAPHICS_SCRIPT = f"""
timeout 3 dumpsys SurfaceFlinger | grep -m 1 -E '^ *GLES: '
timeout 3 cmd gpu vkjson | grep -m 3 -oE '"(deviceName|apiVersion|driverVersion)" ?: ?("[^"]{{1,100}}"|[0-9]+)'
_dbf_value=$(timeout 3 service list | grep -oE 'neuralnetworks\\.IDevice/{_SERVICE}')
[ -n "$_dbf_value" ] || _dbf_value=$(timeout 3 lshal | grep -oE 'neuralnetworks@[0-9.]+::IDevice/{_SERVICE}')
echo "$_dbf_value"
"""

_COMPANY = re.compile(r"(Ltd|Inc|LLC|Corp|Corporation|Co|Limited|GmbH|S\.?A)\.?( \(.*\))?", re.IGNORECASE)
_TRANSLATOR = re.compile(r"Android Emulator OpenGL ES Translator \((.+)\)")
_ANGLE = re.compile(r"ANGLE \(")
_NNAPI = re.compile(rf"neuralnetworks(?:\.|@[0-9.]{{1,8}}::)IDevice/({_SERVICE})")
_VULKAN = re.compile(r'"(deviceName|apiVersion|driverVersion)" ?: ?"?([^"]{1,100})"?')


@dataclass(frozen=True, slots=True)
class Graphics:
    """The graphics of a device; a field is empty if the device does not report it.

    Attributes:
        gpu: the GPU's own name.
        gles: version and driver of OpenGL ES, as the driver reports them.
        vulkan: version of Vulkan that the driver offers, as 1.3.128.
        vulkan_driver: the driver's version, read as Vulkan packs its own; makers may pack theirs otherwise.
        nnapi_devices: names for `--delegate nnapi:NAME`.
        renderer: the renderer of OpenGL ES, as the driver reports it.
    """

    gpu: str = ""
    gles: str = ""
    vulkan: str = ""
    vulkan_driver: str = ""
    nnapi_devices: tuple[str, ...] = ()
    renderer: str = ""


def parse_graphics(lines: Sequence[str]) -> Graphics:
    """What `GRAPHICS_SCRIPT` printed; never raises."""
    line_of_gles = ""
    vulkan: dict[str, str] = {}
    devices: dict[str, None] = {}
    for line in lines:
        line = line[:1000].strip()
        if line.startswith("GLES: ") and not line_of_gles:
            line_of_gles = line.removeprefix("GLES: ")
        elif match := _VULKAN.fullmatch(line):
            vulkan.setdefault(match.group(1), match.group(2))
        elif (match := _NNAPI.fullmatch(line)) and len(devices) < _MAX_NNAPI:
            devices[match.group(1)] = None
    _, renderer, version = split_gles(line_of_gles)
    return Graphics(
        gpu=clean(gpu_name(renderer)) or clean(vulkan.get("deviceName", "")),
        renderer=clean(renderer),
        gles=clean(version),
        vulkan=_version(vulkan.get("apiVersion", "")),
        vulkan_driver=_version(vulkan.get("driverVersion", "")),
        nnapi_devices=tuple(devices),
    )


def split_gles(line: str) -> tuple[str, str, str]:
    """Vendor, renderer and version of `vendor, renderer, version`, each of which may contain commas.

    The version begins with "OpenGL ES" outside of parentheses: ANGLE has its driver's version inside. Of what is
    before it, a company's ending (Ltd., Inc.) belongs to the vendor and everything else to the renderer. Renderer and
    version are empty if the line is no list.
    """
    parts = _outer_parts(line)
    starts = [n for n, part in enumerate(parts) if n and part.startswith("OpenGL ES")]
    start = starts[0] if starts else len(parts)
    vendor = _vendor_parts(parts[:start])
    return ", ".join(parts[:vendor]), ", ".join(parts[vendor:start]), ", ".join(parts[start:])


def _vendor_parts(parts: Sequence[str]) -> int:
    """How many parts are the maker's name; at least one is left for the GPU."""
    count = 1
    while count < len(parts) - 1 and _COMPANY.fullmatch(parts[count]):
        count += 1
    return count


def gpu_name(renderer: str) -> str:
    """The GPU that a renderer uses: ANGLE and the emulator's translator have its name inside theirs."""
    if match := _TRANSLATOR.fullmatch(renderer):
        return f"{gpu_name(match.group(1))} (Android Emulator)"
    if not (match := _ANGLE.match(renderer)):
        return renderer
    inner = _inside(renderer[match.end() - 1 :])
    parts = _outer_parts(inner)
    # Newer ones: maker, GPU, driver; over Vulkan the GPU is in parentheses behind Vulkan's version, with its number.
    name = parts[_vendor_parts(parts)] if len(parts) > 1 else inner
    if match := re.match(r"Vulkan [0-9.]+ \(", name):
        name = _inside(name[match.end() - 1 :])
    return re.sub(r" \(0x[0-9A-Fa-f]+\)$", "", name) or renderer


def _outer_parts(text: str) -> list[str]:
    """The parts between ", " that are outside of parentheses; all of them if parentheses do not close."""
    found, start, depth = [], 0, 0
    for at, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if not depth and text.startswith(", ", at):
            found.append(text[start:at].strip())
            start = at + 2
    if depth:
        return [part.strip() for part in text.split(", ")]
    return [*found, text[start:].strip()]


def _inside(text: str) -> str:
    """The content of the parentheses at the start of `text`."""
    depth = 0
    for at, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if not depth:
            return text[1:at]
    return text[1:]


def _version(packed: str) -> str:
    """Ten bits of major, ten of minor, twelve of patch; the variant above an API's version is nought on every phone."""
    value = numbers.whole(packed, minimum=1, maximum=(1 << 32) - 1)
    return "" if value is None else f"{value >> 22}.{value >> 12 & 0x3FF}.{value & 0xFFF}"
