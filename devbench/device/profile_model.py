"""What a device profile may contain (docs/devices.md); knows no file and no device."""

from __future__ import annotations

import re
from typing import Annotated, Any

from devbench.device.facts import READ_PROPERTIES
from devbench.host.toml_types import (
    AnyText,
    Pattern,
    ReadBy,
    Text,
    Texts,
    TextTable,
    TomlTable,
    Truth,
    choice,
    number,
    refuse,
    shown,
)

_MAX_GPU_LIMIT = 1_000_000
_MASK = re.compile(r"[0-9a-f]{1,32}", re.IGNORECASE)
_MASK_HINT = 'a name, and CPUs in hexadecimal, as big = "80"'
_MASK_NAME = re.compile(r"[a-z][a-z0-9_+-]{0,30}")
# Names of facts that a profile may match, in addition to properties.
FACTS = (
    "manufacturer", "model", "device", "soc_manufacturer", "soc_model", "board", "android", "fingerprint", "key",
    "hardware_serial",
)  # fmt: skip


def _above_zero(maximum: float, what: str) -> ReadBy:
    def validate(value: Any) -> Any:
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value <= maximum:
            raise refuse(what)
        return value

    return ReadBy(validate, {"type": "number", "exclusiveMinimum": 0, "maximum": maximum})


def _fact(name: str) -> str:
    if name not in FACTS and not re.fullmatch(READ_PROPERTIES, name):
        raise refuse("is not a fact that devbench reads", f'use {", ".join(FACTS)} or "ro.product.…"')
    return name


def _mask_name(name: str) -> str:
    if not _MASK_NAME.fullmatch(name):
        raise refuse("is not a name for CPUs", _MASK_HINT)
    return name


def _mask(value: Any) -> Any:
    if not isinstance(value, str):
        raise refuse("is not a text", _MASK_HINT)
    if not _MASK.fullmatch(value) or not int(value, 16):
        raise refuse(f"is {shown(value)}", _MASK_HINT)
    return value


_Degrees = Annotated[float, _above_zero(199.99, "is not a temperature in °C")]
_GpuLimit = Annotated[float, _above_zero(_MAX_GPU_LIMIT, f"is not a number above 0 and up to {_MAX_GPU_LIMIT:,}")]


class ClusterTable(TomlTable):
    """Cores of one kind."""

    core: Text
    count: Annotated[int, number(1, 256, whole=True)]


class LimitsTable(TomlTable):
    """The highest readings at which the device may measure."""

    thermal_status: Annotated[int, number(0, 6, whole=True)] = 0
    battery_c: _Degrees = 0
    sensors: dict[Pattern, _Degrees] = {}


class GpuLimitsTable(TomlTable):
    """What its GPU delegate takes."""

    texture_side: _GpuLimit = 0
    weight_mib: _GpuLimit = 0


class ProfileTable(TomlTable):
    """The whole file."""

    name: Text = ""
    title: AnyText = ""
    virtual: Truth = False
    match: dict[Annotated[str, ReadBy(_fact)], Pattern] = {}
    soc: AnyText = ""
    gpu: AnyText = ""
    clusters: list[ClusterTable] = []
    masks: dict[Annotated[str, ReadBy(_mask_name)], Annotated[str, ReadBy(_mask)]] = {}
    limits: LimitsTable = LimitsTable()
    gpu_limits: GpuLimitsTable = GpuLimitsTable()
    sensors: list[Pattern] = []
    current_unit: Annotated[str, choice(("uA", "mA"))] = "uA"
    current_positive: Annotated[str, choice(("charging", "discharging"))] = "charging"
    fails: TextTable = {}
    quirks: Texts = []
    notes: Texts = []
    sources: Texts = []
