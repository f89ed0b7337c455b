"""What a device says of its GPU's drivers and of its NNAPI devices; knows no connection.

Sources of the formats: the line `GLES: vendor, renderer, version` is SurfaceFlinger's dump, `cmd gpu vkjson` is
GpuService's JSON of Vulkan's VkPhysicalDeviceProperties (versions packed as the specification's VK_MAKE_API_VERSION),
the names of NNAPI devices are those of their services (AIDL `android.hardware.neuralnetworks.IDevice/NAME` in
`service list`, HIDL `android.hardware.neuralnetworks@1.3::IDevice/NAME` in `lshal`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from devbench.device.sections import clean, whole_number

_MOST_NNAPI = 16
_SERVICE = r"[A-Za-z0-9_.-]{1,64}"
# Each service has three seconds: one that hangs costs its own fact. A tool that is not there costs nothing.
GRAPHICS_SCRIPT = f"""
timeout 3 dumpsys SurfaceFlinger | grep -m 1 -E '^ *GLES: '
timeout 3 cmd gpu vkjson | grep -m 3 -oE '"(deviceName|apiVersion|driverVersion)" ?: ?("[^"]{{1,100}}"|[0-9]+)'
_dbf_value=$(timeout 3 service list | grep -oE 'neuralnetworks\\.IDevice/{_SERVICE}')
[ -n "$_dbf_value" ] || _dbf_value=$(timeout 3 lshal | grep -oE 'neuralnetworks@[0-9.]+::IDevice/{_SERVICE}')
echo "$_dbf_value"
"""

_NNAPI = re.compile(rf"neuralnetworks(?:\.|@[0-9.]{{1,8}}::)IDevice/({_SERVICE})")
_VULKAN = re.compile(r'"(deviceName|apiVersion|driverVersion)" ?: ?"?([^"]{1,100})"?')


@dataclass(frozen=True, slots=True)
class Graphics:
    """Empty where the device does not say it.

    Attributes:
        gpu: the GPU's own name.
        gles: version and driver of OpenGL ES in the driver's words.
        vulkan: version of Vulkan that the driver offers, as 1.3.128.
        vulkan_driver: the driver's version, read as Vulkan packs its own; makers may pack theirs otherwise.
        nnapi_devices: names for `--delegate nnapi:NAME`.
    """

    gpu: str = ""
    gles: str = ""
    vulkan: str = ""
    vulkan_driver: str = ""
    nnapi_devices: tuple[str, ...] = ()


def parse_graphics(lines: Sequence[str]) -> Graphics:
    """What `GRAPHICS_SCRIPT` printed; never raises."""
    vendor_renderer_version: list[str] = []
    vulkan: dict[str, str] = {}
    devices: dict[str, None] = {}
    for line in lines:
        line = line[:1000].strip()
        if line.startswith("GLES: ") and not vendor_renderer_version:
            vendor_renderer_version = [clean(part) for part in line.removeprefix("GLES: ").split(", ", 2)]
        elif match := _VULKAN.fullmatch(line):
            vulkan.setdefault(match.group(1), match.group(2))
        elif (match := _NNAPI.fullmatch(line)) and len(devices) < _MOST_NNAPI:
            devices[match.group(1)] = None
    renderer = vendor_renderer_version[1] if len(vendor_renderer_version) == 3 else ""
    return Graphics(
        gpu=renderer or clean(vulkan.get("deviceName", "")),
        gles=vendor_renderer_version[2] if len(vendor_renderer_version) == 3 else "",
        vulkan=_version(vulkan.get("apiVersion", "")),
        vulkan_driver=_version(vulkan.get("driverVersion", "")),
        nnapi_devices=tuple(devices),
    )


def _version(packed: str) -> str:
    """Ten bits of major, ten of minor, twelve of patch; the variant above an API's version is nought on every phone."""
    value = whole_number(packed, least=1, most=(1 << 32) - 1)
    return "" if value is None else f"{value >> 22}.{value >> 12 & 0x3FF}.{value & 0xFFF}"
