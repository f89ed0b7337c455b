"""Device profiles: what is known about a kind of device beyond its own facts. Data files, no code per device.

A profile is one TOML file: those that devbench ships are in `device_profiles/`, a user's own in the folder
`device_profiles` of devbench's data folder (a file of the same name replaces the shipped one). A profile names the
devices that it is for by patterns on their facts; knows no connection, no model and no run.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devbench.device.cores import cluster_masks
from devbench.device.facts import READ_PROPERTIES, DeviceFacts
from devbench.device.limits import ThermalLimits
from devbench.errors import InputError
from devbench.paths import data_dir, shipped
from devbench.tomlfile import read_toml

_FACTS = (
    "manufacturer", "model", "device", "soc_manufacturer", "soc_model", "board", "android", "fingerprint", "key",
    "hardware_serial",
)  # fmt: skip
_KEYS = (
    "name", "title", "virtual", "match", "soc", "gpu", "clusters", "masks", "limits", "sensors", "fails", "quirks",
    "notes", "sources", "gpu_limits", "current_unit", "current_positive",
)  # fmt: skip
_GPU_LIMIT_KEYS = ("texture_side", "weight_mib")
_MAX_GPU_LIMIT = 1_000_000
_LIMIT_KEYS = ("thermal_status", "battery_c", "sensors")
_MASK = re.compile(r"[0-9a-f]{1,32}", re.IGNORECASE)
_MASK_NAME = re.compile(r"[a-z][a-z0-9_+-]{0,30}")
_CLUSTER_KEYS = {"core", "count"}
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class ProfileCluster:
    """A cluster as its maker describes it: a number of cores of one kind."""

    core: str
    count: int


@dataclass(frozen=True, slots=True)
class GpuLimits:
    """What a device's GPU delegate takes at most; `None` where it is not known.

    Attributes:
        texture_side: the largest width and height of a 2-D texture, in texels.
        weight_bytes: the most float32 weights of one operator.
    """

    texture_side: int | None = None
    weight_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """What is known about a kind of device.

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
        current_unit: the unit of its fuel gauge's current, `uA` or `mA`; empty where it is to be found out.
        current_positive: what a positive current means, `charging` or `discharging`; empty where it is not known.
        sensors: patterns of the temperature sensors that mean something; empty for all.
        fails: delegates that are known to fail there, each with the reason.
        quirks: what differs from other devices, a sentence each.
        notes: what a reader of its numbers should know, a sentence each.
        sources: where soc, gpu, clusters, masks and known failures are from.
        origin: the file.
    """

    name: str
    title: str
    match: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    virtual: bool = False
    soc: str = ""
    gpu: str = ""
    clusters: tuple[ProfileCluster, ...] = ()
    masks: Mapping[str, str] = field(default_factory=dict)
    limits: ThermalLimits = field(default_factory=ThermalLimits)
    gpu_limits: GpuLimits = field(default_factory=GpuLimits)
    current_unit: str = ""
    current_positive: str = ""
    sensors: tuple[re.Pattern[str], ...] = ()
    fails: Mapping[str, str] = field(default_factory=dict)
    quirks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    origin: Path = Path()


GENERIC = DeviceProfile(name="generic-phone", title="Any Android device")


def load_profiles(extra_dirs: Sequence[Path] = ()) -> tuple[DeviceProfile, ...]:
    """All profiles: the shipped ones, the user's, then those of `extra_dirs`; a later one replaces one of its name.

    Raises:
        InputError: a file cannot be read, or is not a profile; names the file and the key.
    """
    profiles: dict[str, DeviceProfile] = {}
    for folder in (shipped("device_profiles"), data_dir() / "device_profiles", *extra_dirs):
        for path in sorted(folder.glob("*.toml")):
            profile = read_profile(path)
            # Taken out first, so that the order is that of being known and ties go to the user's.
            profiles.pop(profile.name, None)
            profiles[profile.name] = profile
    return tuple(profiles.values())


def find_profile(name: str) -> DeviceProfile:
    """The profile of a name.

    Raises:
        InputError: there is none.
    """
    known = {profile.name: profile for profile in load_profiles()}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise InputError(f"no device profile {name!r}", hint=hint)
    return known[name]


def match_profile(facts: DeviceFacts, profiles: Iterable[DeviceProfile]) -> DeviceProfile:
    """The most specific profile of the device: most patterns, the last of equals; the generic one if none fits.

    A virtual device never gets a phone's profile, whatever its name is.
    """
    fitting = [profile for profile in profiles if (profile.virtual or not facts.virtual) and _fits(profile, facts)]
    best = GENERIC
    for profile in fitting:
        if len(profile.match) >= len(best.match):
            best = profile
    return best


def read_profile(path: Path) -> DeviceProfile:
    """The profile in a TOML file.

    Raises:
        InputError: names the file and the key.
    """
    values = read_toml(path, f"device profile {path}", "docs/devices.md shows a profile")
    return _Reader(path, values).profile()


def draft(facts: DeviceFacts) -> str:
    """A profile for a device as TOML text for a person to complete: what it says itself, matched narrowly."""

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
    return all(pattern.fullmatch(_fact(facts, key)) for key, pattern in profile.match.items())


def _fact(facts: DeviceFacts, key: str) -> str:
    return str(getattr(facts, key)) if key in _FACTS else facts.props.get(key, "")


class _Reader:
    """Takes typed values out of one file's table; every complaint names the file and the key."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        self._path = path
        self._values = values

    def profile(self) -> DeviceProfile:
        for key in self._values:
            if key not in _KEYS:
                near = difflib.get_close_matches(key, _KEYS, n=1)
                hint = f"did you mean {near[0]}?" if near else f"keys are {', '.join(sorted(_KEYS))}"
                raise self._wrong(key, "is not a key of a profile", hint)
        name = self._text("name", self._path.stem)
        if not _NAME.fullmatch(name) or name != self._path.stem:
            raise self._wrong("name", f"is {name!r}", "use the file's name without .toml: small letters, digits, . _ -")
        virtual = self._values.get("virtual", False)
        if not isinstance(virtual, bool):
            raise self._wrong("virtual", "is not true or false")
        return DeviceProfile(
            name=name,
            title=self._text("title", name),
            match=self._match(),
            virtual=virtual,
            soc=self._text("soc"),
            gpu=self._text("gpu"),
            clusters=self._clusters(),
            masks=self._masks(),
            limits=self._limits(),
            gpu_limits=self._gpu_limits(),
            current_unit=self._one_of("current_unit", ("uA", "mA")),
            current_positive=self._one_of("current_positive", ("charging", "discharging")),
            sensors=tuple(self._pattern("sensors", text) for text in self._texts("sensors")),
            fails=self._named_texts("fails", 'nnapi = "crashes on …"'),
            quirks=self._texts("quirks"),
            notes=self._texts("notes"),
            sources=self._texts("sources"),
            origin=self._path,
        )

    def _match(self) -> dict[str, re.Pattern[str]]:
        table = self._values.get("match", {})
        if not isinstance(table, dict):
            raise self._wrong("match", "is not a table", '[match], then lines such as model = "Pixel 8"')
        patterns = {}
        for key, text in table.items():
            if key not in _FACTS and not re.fullmatch(READ_PROPERTIES, key):
                raise self._wrong(
                    f"match.{key}", "is not a fact that devbench reads", f'use {", ".join(_FACTS)} or "ro.product.…"'
                )
            if not isinstance(text, str):
                raise self._wrong(f"match.{key}", "is not a text")
            patterns[key] = self._pattern(f"match.{key}", text)
        return patterns

    def _pattern(self, key: str, text: str) -> re.Pattern[str]:
        try:
            return re.compile(text, re.IGNORECASE)
        except (re.error, ValueError, RecursionError, OverflowError) as error:
            raise self._wrong(key, f"is not a regular expression: {error}") from None

    def _named_texts(self, key: str, example: str) -> dict[str, str]:
        table = self._values.get(key, {})
        if not isinstance(table, dict) or not all(isinstance(text, str) for text in table.values()):
            raise self._wrong(key, "is not a table of texts", f"[{key}], then lines such as {example}")
        return table

    def _masks(self) -> dict[str, str]:
        masks = self._named_texts("masks", 'big = "80"')
        for name, mask in masks.items():
            if not _MASK_NAME.fullmatch(name) or not _MASK.fullmatch(mask) or not int(mask, 16):
                raise self._wrong(f"masks.{name}", f"is {mask!r}", 'a name, and CPUs in hexadecimal, as big = "80"')
        return {name: mask.lower() for name, mask in masks.items()}

    def _limits(self) -> ThermalLimits:
        table = self._values.get("limits", {})
        if not isinstance(table, dict) or not set(table) <= set(_LIMIT_KEYS):
            raise self._wrong("limits", f"is not a table of {', '.join(_LIMIT_KEYS)}")
        status = table.get("thermal_status", 0)
        if not isinstance(status, int) or isinstance(status, bool) or not 0 <= status <= 6:
            raise self._wrong("limits.thermal_status", "is not a whole number from 0 to 6")
        sensors = table.get("sensors", {})
        if not isinstance(sensors, dict):
            raise self._wrong("limits.sensors", "is not a table", "[limits.sensors], then lines such as skin = 41")
        return ThermalLimits(
            thermal_status=status,
            battery_c=self._degrees("limits.battery_c", table["battery_c"]) if "battery_c" in table else None,
            sensors_c=tuple(
                (self._pattern(f"limits.sensors.{name}", name), self._degrees(f"limits.sensors.{name}", value))
                for name, value in sensors.items()
            ),
        )

    def _gpu_limits(self) -> GpuLimits:
        table = self._values.get("gpu_limits", {})
        if not isinstance(table, dict) or not set(table) <= set(_GPU_LIMIT_KEYS):
            raise self._wrong("gpu_limits", f"is not a table of {', '.join(_GPU_LIMIT_KEYS)}")
        side, weights = table.get("texture_side"), table.get("weight_mib")
        for key, value in (("texture_side", side), ("weight_mib", weights)):
            if value is not None and (
                not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value <= _MAX_GPU_LIMIT
            ):
                raise self._wrong(f"gpu_limits.{key}", f"is not a number above 0 and up to {_MAX_GPU_LIMIT:,}")
        return GpuLimits(None if side is None else int(side), None if weights is None else int(weights * 2**20))

    def _degrees(self, key: str, value: Any) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < 200:
            raise self._wrong(key, "is not a temperature in °C")
        return float(value)

    def _clusters(self) -> tuple[ProfileCluster, ...]:
        rows = self._values.get("clusters", [])
        if not isinstance(rows, list):
            raise self._wrong("clusters", "is not a list", '[[clusters]], then core = "Cortex-X3" and count = 1')
        clusters = []
        for position, row in enumerate(rows):
            key = f"clusters[{position}]"
            if not isinstance(row, dict) or set(row) != _CLUSTER_KEYS:
                raise self._wrong(key, "does not have the keys core and count, and no others")
            core, count = row["core"], row["count"]
            if not isinstance(core, str) or not core:
                raise self._wrong(f"{key}.core", "is not a text")
            if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 256:
                raise self._wrong(f"{key}.count", "is not a whole number from 1 to 256")
            clusters.append(ProfileCluster(core, count))
        return tuple(clusters)

    def _text(self, key: str, default: str = "") -> str:
        value = self._values.get(key, default)
        if not isinstance(value, str):
            raise self._wrong(key, "is not a text")
        return value

    def _one_of(self, key: str, known: Sequence[str]) -> str:
        value = self._text(key)
        if value and value not in known:
            raise self._wrong(key, f"is {value!r}", f"use {' or '.join(known)}")
        return value

    def _texts(self, key: str) -> tuple[str, ...]:
        value = self._values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise self._wrong(key, "is not a list of texts")
        return tuple(value)

    def _wrong(self, key: str, what: str, hint: str = "") -> InputError:
        return InputError(f"device profile {self._path}: {key} {what}", hint=hint or "docs/devices.md shows a profile")
