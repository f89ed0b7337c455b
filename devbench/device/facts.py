"""What a device is: maker, SoC, cores, Android, ABIs, memory. Read once per run; knows no model and no run.

`FACTS_COMMAND` is one shell round trip. Every part is optional: what a device does not have or does not allow to be
read is a missing fact (`None` or empty), never a failure. Only named properties are kept: a phone's full list contains
private data of its owner.

Sources: Android's system properties (ro.product.*, ro.build.*, ro.soc.* from Android 12), /proc/cpuinfo,
/sys/devices/system/cpu as in the kernel's documentation, POSIX `df -k`; for the GPU see `device/graphics.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from devbench import numbers
from devbench.device.cores import MAX_CPUS, Cluster, Core, clusters, complete, cpu_list, parse_cpuinfo
from devbench.device.graphics import EMULATION_PROPERTIES, GRAPHICS_SCRIPT, Graphics, emulation, parse_graphics
from devbench.device.identity import IDENTITY_SCRIPT, Identity, parse_identity, short_hash
from devbench.device.sections import clean, free_bytes, open_script, section_script, split_sections
from devbench.frozen import dataclass

if TYPE_CHECKING:
    from devbench.adb.device import Device

# The properties that are read. A profile can match no others.
READ_PROPERTIES = (
    r"ro\.(product|soc|devbench)\.[A-Za-z0-9_.-]+"
    r"|ro\.build\.(id|type|tags|fingerprint|characteristics|version\.(release|sdk|security_patch|incremental))"
    r"|ro\.(board\.platform|arch|chipname|hardware(\.[A-Za-z0-9_.-]+)?|serialno|opengles\.version)"
    r"|ro\.boot\.(serialno|hardware(\.[A-Za-z0-9_.-]+)?)"
    r"|ro\.[A-Za-z0-9_.-]*(market(ing)?[_.]?(en)?name|mkt_?name)"
    r"|ro\.(semc\.product\.name|vendor\.product\.(display|ztename)|config\.devicename|lge\.petname|display\.series)"
    r"|ro\.(vivo\.(product\.release|internet)\.name|zuk\.product\.market|qiku\.product\.devicename)|msc\.config\.marketing_name"
    rf"|{EMULATION_PROPERTIES}"
)
_MAX_PROPERTIES = 200
_MAX_ABIS = 8
_MAX_STEPS = 100

FACTS_COMMAND = f"""{{
{open_script("_dbf_word")}
{section_script("_dbf_word", "properties")}
getprop | grep -E '^\\[({READ_PROPERTIES})\\]: \\['
{section_script("_dbf_word", "identity")}
{IDENTITY_SCRIPT}
{section_script("_dbf_word", "proc")}
grep -hE '^(processor|CPU implementer|CPU part|CPU variant|model name|MemTotal|Uid)[[:space:]]*:' \
/proc/cpuinfo /proc/meminfo /proc/self/status
{section_script("_dbf_word", "sys")}
read -r _dbf_value < /sys/devices/system/cpu/possible && echo "possible $_dbf_value"
for _dbf_path in /sys/devices/system/cpu/cpu[0-9]*; do
  read -r _dbf_value < "$_dbf_path/cpufreq/cpuinfo_max_freq" && echo "khz ${{_dbf_path##*cpu}} $_dbf_value"
  read -r _dbf_value < "$_dbf_path/cpufreq/related_cpus" && echo "related ${{_dbf_path##*cpu}} $_dbf_value"
done
for _dbf_path in /sys/devices/system/cpu/cpufreq/policy[0-9]*; do
  _dbf_cpu=${{_dbf_path##*policy}}
  read -r _dbf_value < "$_dbf_path/related_cpus" && echo "related $_dbf_cpu $_dbf_value"
  read -r _dbf_value < "$_dbf_path/scaling_governor" && echo "governor $_dbf_cpu $_dbf_value"
  _dbf_value=
  read -r _dbf_value < "$_dbf_path/scaling_available_frequencies" ||
    while read -r _dbf_step _dbf_rest; do _dbf_value="$_dbf_value $_dbf_step"; done < "$_dbf_path/stats/time_in_state"
  [ -n "$_dbf_value" ] && echo "steps $_dbf_cpu $_dbf_value"
done
read -r _dbf_value < /sys/class/kgsl/kgsl-3d0/gpu_model && echo "gpu $_dbf_value"
read -r _dbf_value < /sys/class/misc/mali0/device/gpuinfo && echo "gpu $_dbf_value"
{section_script("_dbf_word", "graphics")}
{GRAPHICS_SCRIPT.strip()}
{section_script("_dbf_word", "kernel")}
uname -sr
{section_script("_dbf_word", "storage")}
df -k /data/local/tmp
{section_script("_dbf_word", "end")}
}} 2>/dev/null </dev/null"""

# What a device is called, and which one it is: the facts that its title and its key need.
NAME_COMMAND = f"""{{
{open_script("_dbf_word")}
{section_script("_dbf_word", "properties")}
getprop | grep -E '^\\[({READ_PROPERTIES})\\]: \\['
{section_script("_dbf_word", "identity")}
{IDENTITY_SCRIPT}
{section_script("_dbf_word", "end")}
}} 2>/dev/null </dev/null"""

_PROPERTY = re.compile(rf"\[({READ_PROPERTIES})\]: \[(.*?)\]?")
# Serial numbers that whole batches of cheap boards share: without an id of devbench's they name no board.
_SHARED_SERIALS = frozenset({"0123456789abcdef", "0123456789"})
_NO_VALUE = frozenset({"", "unknown", "null", "none"})
# Names of devices that are not called market names: Sony, Motorola, ZTE and nubia, Huawei and Asus, LG, OnePlus,
# Lenovo, LeEco, 360, vivo.
_OTHER_NAMES = (
    "ro.semc.product.name", "ro.vendor.product.display", "ro.vendor.product.ztename", "ro.config.devicename",
    "ro.lge.petname", "ro.display.series", "ro.product.en.display", "ro.product.display", "ro.zuk.product.market",
    "ro.product.letv_name", "ro.qiku.product.devicename", "ro.vivo.internet.name", "ro.vivo.product.release.name",
)  # fmt: skip
_SOC_MAKERS = {"QTI": "Qualcomm", "Qualcomm Technologies, Inc": "Qualcomm", "Mediatek": "MediaTek"}


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What a device is. Text fields are empty, other fields `None` or empty if the device did not report them.

    Attributes:
        key: names the board, the same over USB and network: its hardware serial and the digits of its id; without a
            writable folder, hardware serial and a hash of the build's fingerprint. Of a virtual device its own name.
        serial: the adb serial it was reached by.
        abis: best first, as Android lists them.
        kernel: name and release.
        cpus: its clusters, fastest first; only CPUs that are online describe themselves.
        cpu_steps_khz: the clocks that CPUs sharing one can have, ascending, by the first CPU's number.
        governors: who chooses among them, by the same number.
        graphics: the GPU's drivers, and NNAPI devices.
        storage_free_bytes: free for the shell user in the file system of /data/local/tmp.
        root: whether the shell runs as root; `None` if it cannot be told.
        virtual: not a phone: devbench's own virtual device, an emulator, or Android in a container.
        emulation: which emulator or container, such as `Waydroid`.
        props: the properties that were read, bounded.
    """

    key: str
    serial: str
    manufacturer: str = ""
    model: str = ""
    market_name: str = ""
    device: str = ""
    soc_manufacturer: str = ""
    soc_model: str = ""
    board: str = ""
    gpu: str = ""
    android: str = ""
    sdk: int | None = None
    build_id: str = ""
    fingerprint: str = ""
    abis: tuple[str, ...] = ()
    kernel: str = ""
    cpu_count: int | None = None
    cpus: tuple[Cluster, ...] = ()
    cpu_steps_khz: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    governors: Mapping[int, str] = field(default_factory=dict)
    graphics: Graphics = field(default_factory=Graphics)
    memory_total_bytes: int | None = None
    storage_free_bytes: int | None = None
    root: bool | None = None
    virtual: bool = False
    emulation: str = ""
    hardware_serial: str = ""
    identity: Identity = field(default_factory=Identity)
    props: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What people call the device, without its serial number: `Pixel 8`, `Samsung SM-S911B`."""
        name = self.market_name or self.model or self.device
        if name and " " not in name and self.manufacturer and self.manufacturer.lower() not in name.lower():
            # A bare model code means little without its maker.
            return f"{self.manufacturer[:1].upper()}{self.manufacturer[1:]} {name}"
        return name or "unknown device"

    @property
    def title(self) -> str:
        """Name and key, with a note at the end if the device is not a phone and its name does not show it."""
        note = " (virtual)" if self.virtual and "virtual" not in self.name.casefold() else ""
        return f"{self.name} ({self.key}){note}"

    @property
    def soc(self) -> str:
        """The SoC in one string, or the board's platform if the SoC is not named."""
        maker = _SOC_MAKERS.get(self.soc_manufacturer, self.soc_manufacturer)
        if not self.soc_model:
            return self.board
        return self.soc_model if maker.lower() in self.soc_model.lower() else f"{maker} {self.soc_model}"

    @property
    def clusters(self) -> str:
        """The clusters in one string: `1x Cortex-X3 @ 3.36 GHz + 4x Cortex-A715 @ 2.80 GHz`."""
        return " + ".join(cluster.title for cluster in self.cpus)


def read_facts(device: Device, timeout_s: float = 10) -> DeviceFacts:
    """Ask `device` for its facts in one round trip.

    Raises:
        DeviceLost, ShellTimeout: the connection ended, or there was no answer in time.
    """
    result = device.shell(FACTS_COMMAND, timeout_s=timeout_s, doing="reading its facts")
    return parse_facts(result.stdout.decode("utf-8", "replace"), device.adb_serial)


def parse_facts(text: str, serial: str) -> DeviceFacts:
    """What `FACTS_COMMAND` printed, as facts; never raises: what is missing or makes no sense is a missing fact."""
    sections = split_sections(text)
    props = _properties(sections.get("properties", []))
    proc, system = sections.get("proc", []), sections.get("sys", [])
    cores = _cores(proc, system)
    emulator = props.get("ro.kernel.qemu") == "1" or props.get("ro.boot.qemu") == "1"
    graphics = parse_graphics(sections.get("graphics", []))
    emulated = emulation(props, graphics.renderer)
    identity = parse_identity(sections.get("identity", []))
    kernel = sections.get("kernel", [])
    total_kb = numbers.whole(_after(proc, "MemTotal:").removesuffix("kB"), minimum=1, maximum=1 << 50)
    return DeviceFacts(
        key=_key(props, serial, emulator, identity),
        serial=serial,
        manufacturer=_first(props, "ro.product.manufacturer", "ro.product.vendor.manufacturer", "ro.product.brand"),
        model=_first(props, "ro.product.model", "ro.product.vendor.model", "ro.product.name"),
        market_name=_market_name(props),
        device=_first(props, "ro.product.device", "ro.product.vendor.device"),
        soc_manufacturer=_first(props, "ro.soc.manufacturer"),
        soc_model=_first(props, "ro.soc.model", "ro.chipname", "ro.hardware.chipname"),
        board=_first(props, "ro.board.platform", "ro.hardware", "ro.boot.hardware"),
        gpu=clean(_after(system, "gpu ")) or graphics.gpu,
        android=_first(props, "ro.build.version.release"),
        sdk=numbers.whole(props.get("ro.build.version.sdk", ""), minimum=1, maximum=10_000),
        build_id=_first(props, "ro.build.id"),
        fingerprint=_first(props, "ro.build.fingerprint"),
        abis=_abis(props),
        kernel=clean(kernel[0]) if kernel else "",
        cpu_count=len(cpu_list(_after(system, "possible "))) or len(cores) or None,
        cpus=clusters(cores),
        cpu_steps_khz={cpu: steps for cpu, words in _of_cpus(system, "steps") if (steps := _steps(words))},
        governors={cpu: clean(words, 40) for cpu, words in _of_cpus(system, "governor")},
        graphics=graphics,
        memory_total_bytes=None if total_kb is None else total_kb * 1024,
        storage_free_bytes=free_bytes(sections.get("storage", [])),
        root=_root(_after(proc, "Uid:")),
        virtual=bool(emulated) or props.get("ro.devbench.virtual") == "1",
        emulation=emulated,
        hardware_serial=_hardware_serial(props),
        identity=identity,
        props=props,
    )


def to_json(facts: DeviceFacts) -> dict[str, Any]:
    """A JSON-ready mapping with the field names as keys, missing text as `None`, and the properties spelt out.

    `soc`, `name`, `title` are there too, so that a reader needs no rule of this module.
    """
    text = [
        "manufacturer",
        "model",
        "market_name",
        "device",
        "soc_manufacturer",
        "soc_model",
        "board",
        "gpu",
        "android",
        "build_id",
        "fingerprint",
        "kernel",
    ]
    return {
        "key": facts.key,
        "serial": facts.serial,
        "hardware_serial": facts.hardware_serial or None,
        "title": facts.title,
        "name": facts.name,
        "soc": facts.soc or None,
        **{name: getattr(facts, name) or None for name in text},
        "sdk": facts.sdk,
        "abis": list(facts.abis),
        "cpu_count": facts.cpu_count,
        "cpus": [
            {
                "cpus": list(cluster.cpus),
                "core": cluster.core.name or None,
                "implementer": cluster.core.implementer,
                "part": cluster.core.part,
                "max_khz": cluster.core.max_khz,
                "steps_khz": next((list(facts.cpu_steps_khz[n]) for n in cluster.cpus if n in facts.cpu_steps_khz), []),
                "governor": next((facts.governors[n] for n in cluster.cpus if n in facts.governors), None),
            }
            for cluster in facts.cpus
        ],
        "gles": facts.graphics.gles or None,
        "vulkan": facts.graphics.vulkan or None,
        "vulkan_driver": facts.graphics.vulkan_driver or None,
        "nnapi_devices": list(facts.graphics.nnapi_devices),
        "memory_total_bytes": facts.memory_total_bytes,
        "storage_free_bytes": facts.storage_free_bytes,
        "root": facts.root,
        "virtual": facts.virtual,
        "emulation": facts.emulation or None,
        "props": dict(facts.props),
    }


def _properties(lines: Sequence[str]) -> dict[str, str]:
    props: dict[str, str] = {}
    for line in lines:
        match = _PROPERTY.fullmatch(line[:1000].rstrip())
        if match and len(props) < _MAX_PROPERTIES and len(match.group(1)) <= 100:
            props.setdefault(match.group(1), clean(match.groups()[-1], 200))
    return props


def _first(props: Mapping[str, str], *names: str) -> str:
    """The first of these properties that is not empty."""
    return next((props[name] for name in names if props.get(name, "").lower() not in _NO_VALUE), "")


def _market_name(props: Mapping[str, str]) -> str:
    """The name under which the maker sells it, from the maker's own property; an English name is preferred."""
    names = [name for name in props if re.search(r"(market(ing)?[_.]?(en)?name|mkt_?name)$", name)]
    names.sort(key=lambda name: not name.endswith("enname"))
    return _first(props, *names, *_OTHER_NAMES)


def _hardware_serial(props: Mapping[str, str]) -> str:
    return _first(props, "ro.serialno", "ro.boot.serialno")[:64]


def _key(props: Mapping[str, str], serial: str, emulator: bool, identity: Identity) -> str:
    own = _hardware_serial(props)
    if emulator:
        # All emulators of one release carry the same serial number.
        return serial
    if props.get("ro.devbench.virtual") == "1":
        # Its folder is removed after each run, so an id in it would not last.
        return own or serial
    if identity.digits:
        return f"{own or 'noserial'}-{identity.digits}"
    if not own or own.lower() in _SHARED_SERIALS:
        own = serial
    fingerprint = _first(props, "ro.build.fingerprint")
    return f"{own}-build{short_hash(fingerprint)}" if fingerprint else own


def _abis(props: Mapping[str, str]) -> tuple[str, ...]:
    listed = _first(props, "ro.product.cpu.abilist", "ro.product.system.cpu.abilist").split(",")
    single = [props.get("ro.product.cpu.abi", ""), props.get("ro.product.cpu.abi2", "")]
    names = [name.strip() for name in (listed if any(listed) else single)]
    return tuple(dict.fromkeys(name for name in names if re.fullmatch(r"[A-Za-z0-9_.-]{1,32}", name)))[:_MAX_ABIS]


def _after(lines: Sequence[str], start: str) -> str:
    """The rest of the first line that begins with `start`, or nothing."""
    return next((line[len(start) : 400].strip() for line in lines if line.startswith(start)), "")


def _cores(proc: Sequence[str], system: Sequence[str]) -> dict[int, Core]:
    """CPUs by number, from /proc/cpuinfo, the highest clocks of cpufreq and which CPUs share a clock."""
    pairs = [
        (key.strip(), value.strip()) for line in proc for key, colon, value in [line[:400].partition(":")] if colon
    ]
    described, common = parse_cpuinfo(pairs)
    clocks = {
        cpu: khz for cpu, words in _of_cpus(system, "khz") if (khz := numbers.whole(words, minimum=1, maximum=10**9))
    }
    cores = {
        cpu: replace(described.get(cpu, Core()), max_khz=clocks.get(cpu))
        for cpu in sorted(described.keys() | clocks.keys())
    }
    groups = dict.fromkeys(group for _, words in _of_cpus(system, "related") if (group := cpu_list(words)))
    return complete(cores, common, groups, cpu_list(_after(system, "possible ")))


def _of_cpus(system: Sequence[str], key: str) -> list[tuple[int, str]]:
    """Of lines `KEY CPU REST` the CPU and the rest."""
    found = []
    for line in system[: MAX_CPUS * 4]:
        words = line[:4000].split(None, 2)
        cpu = numbers.whole(words[1], maximum=MAX_CPUS - 1) if len(words) == 3 and words[0] == key else None
        if cpu is not None:
            found.append((cpu, words[2]))
    return found


def _steps(words: str) -> tuple[int, ...]:
    known = {numbers.whole(word, minimum=1, maximum=10**9) for word in words.split()[:_MAX_STEPS]}
    return tuple(sorted(step for step in known if step is not None))


def _root(uids: str) -> bool | None:
    words = uids.split()
    uid = numbers.whole(words[1]) if len(words) > 1 else None
    return None if uid is None else uid == 0
