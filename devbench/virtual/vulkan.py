"""Whether this machine has a Vulkan driver for the virtual device's `gpu`; knows no model.

The wheel `ai_edge_litert` has a GPU accelerator that runs on any Vulkan driver, including software ones. SwiftShader
comes with Chromium; it is used from Chromium's folder, without an installation for the whole machine.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
from pathlib import Path

_ICD_VARIABLES = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")
_ICD_FOLDERS = ("/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d")
_SWIFTSHADER = (
    "/usr/lib/chromium/vk_swiftshader_icd.json",
    "/opt/google/chrome/vk_swiftshader_icd.json",
    "/usr/lib/chromium-browser/vk_swiftshader_icd.json",
)
_ACCELERATOR = "libLiteRtWebGpuAccelerator.so"
OFF_VARIABLE = "DEVBENCH_VIRTUAL_GPU"


@functools.lru_cache(maxsize=1)
def vulkan_available() -> bool:
    """Whether a Vulkan loader, a driver and the accelerator are installed; `DEVBENCH_VIRTUAL_GPU=0` turns it off."""
    return os.environ.get(OFF_VARIABLE) != "0" and _accelerator() and load_vulkan() and driver_files() is not None


def driver_files() -> dict[str, str] | None:
    """Environment variables for finding a driver: none if the loader finds one itself, `None` if there is no driver."""
    if any(os.environ.get(name) for name in _ICD_VARIABLES):
        return {}
    if any(list(Path(folder).glob("*.json")) for folder in _ICD_FOLDERS if Path(folder).is_dir()):
        return {}
    found = next((path for path in _SWIFTSHADER if Path(path).is_file()), None)
    return None if found is None else {_ICD_VARIABLES[1]: found}


def load_vulkan() -> bool:
    """Load the Vulkan loader into this process: the machine's, or the one next to SwiftShader."""
    others = [str(Path(path).with_name("libvulkan.so.1")) for path in _SWIFTSHADER]
    for name in ("libvulkan.so.1", *others):
        try:
            ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return True
    return False


def _accelerator() -> bool:
    spec = importlib.util.find_spec("ai_edge_litert")
    folders = (spec.submodule_search_locations or []) if spec else []
    return any((Path(folder) / _ACCELERATOR).is_file() for folder in folders)
