"""Names of CPU cores and the clusters they form; knows no device connection.

The numbers are the implementer and part fields of the MIDR register as /proc/cpuinfo shows them; their names are as in
the Linux kernel's arch/arm64/include/asm/cputype.h. Qualcomm's newer Kryo cores carry Arm's own numbers there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_NAMES = {
    (0x41, 0xD03): "Cortex-A53",
    (0x41, 0xD04): "Cortex-A35",
    (0x41, 0xD05): "Cortex-A55",
    (0x41, 0xD07): "Cortex-A57",
    (0x41, 0xD08): "Cortex-A72",
    (0x41, 0xD09): "Cortex-A73",
    (0x41, 0xD0A): "Cortex-A75",
    (0x41, 0xD0B): "Cortex-A76",
    (0x41, 0xD0C): "Neoverse-N1",
    (0x41, 0xD0D): "Cortex-A77",
    (0x41, 0xD41): "Cortex-A78",
    (0x41, 0xD44): "Cortex-X1",
    (0x41, 0xD46): "Cortex-A510",
    (0x41, 0xD47): "Cortex-A710",
    (0x41, 0xD48): "Cortex-X2",
    (0x41, 0xD4B): "Cortex-A78C",
    (0x41, 0xD4C): "Cortex-X1C",
    (0x41, 0xD4D): "Cortex-A715",
    (0x41, 0xD4E): "Cortex-X3",
    (0x41, 0xD80): "Cortex-A520",
    (0x41, 0xD81): "Cortex-A720",
    (0x41, 0xD82): "Cortex-X4",
    (0x41, 0xD85): "Cortex-X925",
    (0x41, 0xD87): "Cortex-A725",
    (0x51, 0x001): "Oryon",
    (0x51, 0x200): "Kryo",
    (0x51, 0x800): "Kryo 2xx Gold",
    (0x51, 0x801): "Kryo 2xx Silver",
    (0x51, 0x802): "Kryo 3xx Gold",
    (0x51, 0x803): "Kryo 3xx Silver",
    (0x51, 0x804): "Kryo 4xx Gold",
    (0x51, 0x805): "Kryo 4xx Silver",
}


@dataclass(frozen=True, slots=True)
class Core:
    """One CPU as it describes itself; fields are `None` or empty where it does not."""

    implementer: int | None = None
    part: int | None = None
    model_name: str = ""
    max_khz: int | None = None

    @property
    def name(self) -> str:
        """The core's name, its numbers where the name is not known, or nothing."""
        if self.implementer is None or self.part is None:
            return self.model_name
        numbers = f"implementer 0x{self.implementer:02x} part 0x{self.part:03x}"
        return _NAMES.get((self.implementer, self.part), self.model_name or numbers)


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


def clusters(cores: Mapping[int, Core]) -> tuple[Cluster, ...]:
    """CPUs of the same kind together, fastest first; where no clock is known, the last CPUs first, as they are faster.

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
