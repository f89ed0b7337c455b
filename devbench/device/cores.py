"""Names of CPU cores and the clusters they form; knows no device connection.

The numbers are the implementer and part fields of the MIDR register as /proc/cpuinfo shows them; their names are as in
the Linux kernel's arch/arm64/include/asm/cputype.h, Arm's technical reference manuals (section "MIDR_EL1") and, for
makers that publish none, util-linux's table of `lscpu`. Qualcomm's newer Kryo cores carry Arm's own numbers there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace

from devbench import numbers
from devbench.device.sections import clean
from devbench.frozen import dataclass

MAX_CPUS = 256

_NAMES = {
    (0x41, 0xC05): "Cortex-A5",
    (0x41, 0xC07): "Cortex-A7",
    (0x41, 0xC08): "Cortex-A8",
    (0x41, 0xC09): "Cortex-A9",
    (0x41, 0xC0D): "Cortex-A12",
    (0x41, 0xC0E): "Cortex-A17",
    (0x41, 0xC0F): "Cortex-A15",
    (0x41, 0xD01): "Cortex-A32",
    (0x41, 0xD02): "Cortex-A34",
    (0x41, 0xD03): "Cortex-A53",
    (0x41, 0xD04): "Cortex-A35",
    (0x41, 0xD05): "Cortex-A55",
    (0x41, 0xD06): "Cortex-A65",
    (0x41, 0xD07): "Cortex-A57",
    (0x41, 0xD08): "Cortex-A72",
    (0x41, 0xD09): "Cortex-A73",
    (0x41, 0xD0A): "Cortex-A75",
    (0x41, 0xD0B): "Cortex-A76",
    (0x41, 0xD0C): "Neoverse-N1",
    (0x41, 0xD0D): "Cortex-A77",
    (0x41, 0xD0E): "Cortex-A76AE",
    (0x41, 0xD40): "Neoverse-V1",
    (0x41, 0xD41): "Cortex-A78",
    (0x41, 0xD42): "Cortex-A78AE",
    (0x41, 0xD43): "Cortex-A65AE",
    (0x41, 0xD44): "Cortex-X1",
    (0x41, 0xD46): "Cortex-A510",
    (0x41, 0xD47): "Cortex-A710",
    (0x41, 0xD48): "Cortex-X2",
    (0x41, 0xD49): "Neoverse-N2",
    (0x41, 0xD4A): "Neoverse-E1",
    (0x41, 0xD4B): "Cortex-A78C",
    (0x41, 0xD4C): "Cortex-X1C",
    (0x41, 0xD4D): "Cortex-A715",
    (0x41, 0xD4E): "Cortex-X3",
    (0x41, 0xD4F): "Neoverse-V2",
    (0x41, 0xD80): "Cortex-A520",
    (0x41, 0xD81): "Cortex-A720",
    (0x41, 0xD82): "Cortex-X4",
    (0x41, 0xD83): "Neoverse-V3AE",
    (0x41, 0xD84): "Neoverse-V3",
    (0x41, 0xD85): "Cortex-X925",
    (0x41, 0xD87): "Cortex-A725",
    (0x41, 0xD88): "Cortex-A520AE",
    (0x41, 0xD89): "Cortex-A720AE",
    (0x41, 0xD8A): "C1-Nano",
    (0x41, 0xD8B): "C1-Pro",
    (0x41, 0xD8C): "C1-Ultra",
    (0x41, 0xD8E): "Neoverse-N3",
    (0x41, 0xD8F): "Cortex-A320",
    (0x41, 0xD90): "C1-Premium",
    # HiSilicon's numbers for Arm's cores (Kirin 980 to 9000) and for its own.
    (0x48, 0xD01): "TaiShan v110",
    (0x48, 0xD02): "TaiShan v120",
    (0x48, 0xD40): "Cortex-A76",
    (0x48, 0xD41): "Cortex-A77",
    (0x4E, 0x000): "Denver",
    (0x4E, 0x003): "Denver 2",
    (0x4E, 0x004): "Carmel",
    (0x51, 0x001): "Oryon",
    (0x51, 0x002): "Oryon",
    (0x51, 0x00F): "Scorpion",
    (0x51, 0x02D): "Scorpion",
    (0x51, 0x04D): "Krait",
    (0x51, 0x06F): "Krait",
    (0x51, 0x200): "Kryo",
    (0x51, 0x201): "Kryo Silver",
    (0x51, 0x205): "Kryo Gold",
    (0x51, 0x211): "Kryo Silver",
    (0x51, 0x800): "Kryo 2xx Gold",
    (0x51, 0x801): "Kryo 2xx Silver",
    (0x51, 0x802): "Kryo 3xx Gold",
    (0x51, 0x803): "Kryo 3xx Silver",
    (0x51, 0x804): "Kryo 4xx Gold",
    (0x51, 0x805): "Kryo 4xx Silver",
    (0x53, 0x001): "Exynos M1",
    (0x53, 0x002): "Exynos M3",
    (0x53, 0x003): "Exynos M4",
    (0x53, 0x004): "Exynos M5",
}
# The second generation of Samsung's core kept the number of the first; the variant field of MIDR tells them apart.
_NAMES_BY_VARIANT = {(0x53, 0x001, 4): "Exynos M2"}
# A text that the kernel has for every core is not the name of a core.
_NO_NAME = re.compile(r"(ARMv\d|AArch64|ARM64)\b.*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Core:
    """One CPU as it describes itself; fields are `None` or empty if it does not."""

    implementer: int | None = None
    part: int | None = None
    model_name: str = ""
    max_khz: int | None = None
    variant: int | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """The core's name, its numbers if the name is not known, or nothing."""
        said = "" if _NO_NAME.fullmatch(self.model_name) else self.model_name
        if self.implementer is None or self.part is None:
            return said
        if self.variant is not None and (self.implementer, self.part, self.variant) in _NAMES_BY_VARIANT:
            return _NAMES_BY_VARIANT[self.implementer, self.part, self.variant]
        numbers = f"implementer 0x{self.implementer:02x} part 0x{self.part:03x}"
        return _NAMES.get((self.implementer, self.part), said or numbers)


@dataclass(frozen=True, slots=True)
class Cluster:
    """CPUs of one kind and one highest clock. `cpus` are their numbers, as `taskset` takes them."""

    cpus: tuple[int, ...]
    core: Core

    @property
    def title(self) -> str:
        """As people write it: `4x Cortex-A510 @ 2.02 GHz`."""
        clock = "" if self.core.max_khz is None else f" @ {self.core.max_khz / 1e6:.2f} GHz"
        return f"{len(self.cpus)}x {self.core.name or 'CPU'}{clock}"


def complete(
    cores: Mapping[int, Core], common: Core | None, groups: Iterable[Sequence[int]], possible: Iterable[int]
) -> dict[int, Core]:
    """All CPUs that can be identified.

    Args:
        cores: the description of each CPU.
        common: what /proc/cpuinfo has once for all CPUs (arm64 kernels before 4.4, arm32 kernels before 3.8). It
            describes the CPU that happened to read the file, so it counts only if all CPUs have one clock.
        groups: CPUs that share a clock, and so are of one kind; a CPU that is offline is known by its group alone.
        possible: all CPUs that the kernel knows.
    """
    found = dict(cores)
    for group in groups:
        known = [found[cpu] for cpu in group if cpu in found]
        best = max(known, key=lambda core: (core.part is not None, core.max_khz or 0), default=None)
        if best is None:
            continue
        for cpu in group:
            core = found.get(cpu, best)
            filled = best if core.part is None else core
            found[cpu] = replace(filled, max_khz=core.max_khz or best.max_khz)
    if common is None:
        return found
    clocks = {core.max_khz for core in found.values()}
    if len(clocks) == 1 and None not in clocks and found.keys() >= set(possible):
        return {cpu: replace(common, max_khz=core.max_khz) for cpu, core in found.items()}
    return found


def parse_cpuinfo(lines: Iterable[tuple[str, str]]) -> tuple[dict[int, Core], Core | None]:
    """The blocks of /proc/cpuinfo, from its keys and values in order: CPUs by number, and the block for all of them.

    A kernel describes either each CPU in its block or all of them in one block at the end.
    """
    said: dict[int, dict[str, str]] = {}
    current: dict[str, str] = {}
    for key, value in lines:
        if key == "processor":
            cpu = numbers.whole(value, maximum=MAX_CPUS - 1)
            current = {} if cpu is None else said.setdefault(cpu, {})
        else:
            current.setdefault(key, value)
    described = Counter("CPU part" in block for block in said.values())
    common = None
    if described[True] == 1 and described[False]:
        block = next(block for block in said.values() if "CPU part" in block)
        common = _core(block)
        for key in ("CPU implementer", "CPU part", "CPU variant"):
            block.pop(key, None)
    return {cpu: _core(block) for cpu, block in said.items()}, common


def _core(block: Mapping[str, str]) -> Core:
    return Core(
        implementer=_hex(block.get("CPU implementer", "")),
        part=_hex(block.get("CPU part", "")),
        model_name=clean(block.get("model name", ""), 60),
        variant=_hex(block.get("CPU variant", "")),
    )


def _hex(text: str) -> int | None:
    return int(text, 16) if re.fullmatch(r"0x[0-9a-fA-F]{1,4}", text) else None


def cpu_list(text: str) -> tuple[int, ...]:
    """The CPUs of a kernel list such as `0-3,6-7` or `0 1 2 3`; empty if it makes no sense."""
    found: list[int] = []
    for part in re.split(r"[,\s]+", text[:2000].strip()):
        match = re.fullmatch(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", part)
        first, last = (int(match.group(1)), int(match.group(2) or match.group(1))) if match else (0, -1)
        if not 0 <= first <= last < MAX_CPUS:
            return ()
        found += range(first, last + 1)
    return tuple(dict.fromkeys(found))


def clusters(cores: Mapping[int, Core]) -> tuple[Cluster, ...]:
    """CPUs of the same kind together, fastest first; without clocks the last CPUs first, which are faster.

    Two clusters of the same kind and clock cannot be told apart and become one.
    """
    kinds: dict[Core, list[int]] = {}
    for cpu in sorted(cores):
        kinds.setdefault(cores[cpu], []).append(cpu)
    found = [Cluster(tuple(cpus), core) for core, cpus in kinds.items()]
    return tuple(sorted(found, key=lambda cluster: (cluster.core.max_khz or 0, cluster.cpus), reverse=True))


def cluster_masks(found: Sequence[Cluster]) -> dict[str, str]:
    """Masks of CPUs for `taskset` by the names that people use, from clusters as `clusters` gives them, fastest first.

    `big` is the fastest cluster, `little` the slowest, `mid` what lies between, `fast` all but the slowest. Empty where
    the CPUs are all alike.
    """
    if len(found) < 2:
        return {}
    named = {"big": found[:1], "little": found[-1:], "fast": found[:-1], "mid": found[1:-1]}
    return {name: _mask(part) for name, part in named.items() if part}


def _mask(part: Sequence[Cluster]) -> str:
    return format(sum(1 << cpu for cluster in part for cpu in cluster.cpus), "x")
