"""Device profiles: what is known about a kind of device beyond its own facts. Data files, no code per device.

A profile is one TOML file: those that devbench ships are in `device_profiles/`, a user's own in the folder
`device_profiles` of devbench's data folder (a file of the same name replaces the shipped one). A profile names the
devices that it is for by patterns on their facts; knows no connection, no model and no run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from devbench.device.conditions import ThermalLimits, above_zero
from devbench.device.cores import cluster_masks
from devbench.device.facts import READ_PROPERTIES, DeviceFacts
from devbench.errors import InputError
from devbench.frozen import dataclass
from devbench.host.paths import data_dir, shipped
from devbench.host.toml_types import Added, Pattern, ReadBy, Text, Texts, Truth, made, refuse, shown, within
from devbench.host.tomlfile import check, read_toml, wrong
from devbench.text import near

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_MAX_GPU_LIMIT = 1_000_000
_MASK = re.compile(r"[0-9a-f]{1,32}", re.IGNORECASE)
_MASK_HINT = 'a name, and CPUs in hexadecimal, as big = "80"'
_MASK_NAME = re.compile(r"[a-z][a-z0-9_+-]{0,30}")
# Names of facts that a profile may match, in addition to properties.
FACTS = (
    "manufacturer", "model", "device", "soc_manufacturer", "soc_model", "board", "android", "fingerprint", "key",
    "hardware_serial",
)  # fmt: skip


def _fact_name(name: str) -> str:
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
    return value.lower()


_GpuLimit = Annotated[float | None, above_zero(_MAX_GPU_LIMIT, f"is not a number above 0 and up to {_MAX_GPU_LIMIT:,}")]


@dataclass(frozen=True, slots=True)
class ProfileCluster:
    """A cluster as its maker describes it: a number of cores of one kind."""

    core: Text
    count: Annotated[int, within(1, 256, whole=True)]


@dataclass(frozen=True, slots=True)
class GpuLimits:
    """What a device's GPU delegate takes at most; `None` if it is not known.

    Attributes:
        texture_side: the largest width and height of a 2-D texture, in texels.
        weight_mib: the most float32 weights of one operator, in MiB.
    """

    texture_side: _GpuLimit = None
    weight_mib: _GpuLimit = None


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """What is known about a kind of device; a file of it has these keys (docs/devices.md).

    Attributes:
        name: one word, the file's name without `.toml`.
        match: patterns that must each match the whole of a fact or property, upper and lower case alike; none matches
            any device.
        virtual: the device is not a phone; its numbers are marked wherever they are shown.
        soc, gpu: names that people know, such as `Snapdragon 8 Gen 2 for Galaxy`; may be empty.
        clusters: fastest first; may be empty.
        masks: CPUs by name, hexadecimal as `taskset` takes them; in addition to those of the live clusters.
        limits: the highest readings at which it may measure.
        gpu_limits: what its GPU delegate takes, for rewriting models.
        current_unit: the unit of its fuel gauge's current, `uA` or `mA`; empty if it is to be found out.
        current_positive: what a positive current means, `charging` or `discharging`; empty if it is not known.
        sensors: patterns of the temperature sensors that mean something; empty for all.
        fails: delegates that are known to fail there, each with the reason.
        quirks: what differs from other devices, a sentence each.
        notes: what a reader of its numbers should know, a sentence each.
        sources: where soc, gpu, clusters, masks and known failures are from.
        origin: the file.
    """

    name: Text = ""
    title: str = ""
    virtual: Truth = False
    match: Mapping[Annotated[str, ReadBy(_fact_name)], Pattern] = field(default_factory=dict)
    soc: str = ""
    gpu: str = ""
    clusters: tuple[ProfileCluster, ...] = ()
    masks: Mapping[Annotated[str, ReadBy(_mask_name)], Annotated[str, ReadBy(_mask)]] = field(default_factory=dict)
    limits: ThermalLimits = field(default_factory=ThermalLimits)
    gpu_limits: GpuLimits = field(default_factory=GpuLimits)
    sensors: tuple[Pattern, ...] = ()
    current_unit: Literal["uA", "mA", ""] = ""
    current_positive: Literal["charging", "discharging", ""] = ""
    fails: Mapping[str, str] = field(default_factory=dict)
    quirks: Texts = ()
    notes: Texts = ()
    sources: Texts = ()
    origin: Added[Path] = Path()


GENERIC = DeviceProfile(name="generic-phone", title="Any Android device")


def load_profiles() -> tuple[DeviceProfile, ...]:
    """All profiles: the shipped ones, then the user's; a later one replaces one of its name.

    Raises:
        InputError: a file cannot be read, or is not a profile; names the file and the key.
    """
    profiles: dict[str, DeviceProfile] = {}
    for folder, checked in ((shipped("device_profiles"), False), (data_dir() / "device_profiles", True)):
        for path in sorted(folder.glob("*.toml")):
            # Shipped files are checked by a test, since checking takes longer than reading.
            profile = read_profile(path, checked=checked)
            # Removed first, so that of two equally specific profiles the user's is the later one.
            profiles.pop(profile.name, None)
            profiles[profile.name] = profile
    return tuple(profiles.values())


def find_profile(name: str) -> DeviceProfile:
    """The profile of a name.

    Raises:
        InputError: there is no such profile.
    """
    known = {profile.name: profile for profile in load_profiles()}
    if name not in known:
        raise InputError(f"no device profile {name!r}", hint=near(name, known, f"there are {', '.join(known)}"))
    return known[name]


def match_profile(facts: DeviceFacts, profiles: Iterable[DeviceProfile]) -> DeviceProfile:
    """The matching profile with the most patterns, the last of several; the generic one if none matches.

    A virtual device never gets a phone's profile, whatever its name is.
    """
    fitting = [profile for profile in profiles if (profile.virtual or not facts.virtual) and _fits(profile, facts)]
    best = GENERIC
    for profile in fitting:
        if len(profile.match) >= len(best.match):
            best = profile
    return best


def read_profile(path: Path, *, checked: bool = True) -> DeviceProfile:
    """The profile in a TOML file; one that is not checked must be right.

    Raises:
        InputError: names the file, the line and the key.
    """
    kind, hint = "device profile", "docs/devices.md shows a profile"
    values = read_toml(path, f"{kind} {path}", hint)
    if checked:
        check(kind, path, values, DeviceProfile, hint=hint)
        name = values.get("name", path.stem)
        if not _NAME.fullmatch(name) or name != path.stem:
            hint = "use the file's name without .toml: small letters, digits, . _ -"
            raise wrong(kind, path, ("name",), f"is {name!r}", hint)
    found: DeviceProfile = made(DeviceProfile, values)
    return replace(found, name=path.stem, title=found.title or path.stem, origin=path)


def draft(facts: DeviceFacts) -> str:
    """A draft of a device profile as TOML text: the device's own facts, and patterns that match only this model."""

    def text(value: str) -> str:
        # JSON's strings are TOML's.
        return json.dumps(value, ensure_ascii=False)

    lines = [
        "# A draft from what the device says itself. Check each line; add what it cannot say: the names of its SoC and",
        "# GPU as people know them, where that is from, and what a reader of its numbers should know.",
        f"title = {text(facts.name)}",
        f"soc = {text(facts.soc)}",
        f"gpu = {text(facts.gpu)}",
        "notes = []",
        "sources = []",
        *(["virtual = true"] if facts.virtual else []),
        "",
        "[match]",
    ]
    wanted = (("manufacturer", facts.manufacturer), ("model", facts.model), ("device", facts.device))
    lines += [f"{name} = {text(re.escape(value))}" for name, value in wanted if value]
    for cluster in facts.cpus:
        lines += ["", "[[clusters]]", f"core = {text(cluster.core.name or 'unknown')}", f"count = {len(cluster.cpus)}"]
    masks = cluster_masks(facts.cpus)
    if masks:
        lines += ["", "[masks]", *(f"{name} = {text(mask)}" for name, mask in masks.items())]
    return "\n".join([*lines, *_DRAFT_HINTS]) + "\n"


_DRAFT_HINTS = (
    "",
    "# Further keys, all of them optional (docs/devices.md); those without a table stand above [match].",
    '# sensors = ["skin", "cpu"]           # which temperatures mean something',
    '# current_unit = "mA"                # of its fuel gauge: uA or mA',
    '# current_positive = "charging"      # what a positive current means: charging or discharging',
    '# quirks = ["…"]                      # what differs from other devices',
    "# [limits]",
    "# thermal_status = 0                  # the highest at which it may measure",
    "# battery_c = 42",
    "# [limits.sensors]",
    "# skin = 41                           # a pattern of the sensor's name, and degrees",
    "# [gpu_limits]",
    "# texture_side = 16384               # for `devbench models rewrite`: the largest texture of its GPU",
    "# [fails]",
    '# nnapi = "…"                         # a delegate that is known to fail, and why',
)


def _fits(profile: DeviceProfile, facts: DeviceFacts) -> bool:
    return all(re.fullmatch(text, _fact(facts, key), re.IGNORECASE) for key, text in profile.match.items())


def _fact(facts: DeviceFacts, key: str) -> str:
    return facts.props.get(key, "") if "." in key else str(getattr(facts, key))
