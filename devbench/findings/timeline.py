"""The timeline of a device during a run: its processes, temperatures, clocks, battery, load and memory. Types only.

Times are seconds from the start of the run.
"""

from __future__ import annotations

from devbench.frozen import dataclass
from devbench.results.records import DeviceRecord


@dataclass(frozen=True, slots=True)
class Trace:
    """Values over time, equally many; `None` is a gap."""

    label: str
    times_s: tuple[float, ...]
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Clock:
    """A current clock and the highest clock allowed at the time."""

    now: Trace | None
    cap: Trace | None


@dataclass(frozen=True, slots=True)
class TimedProcess:
    """A timed process: from when to when it ran, its latency in ms, and whether it is reliable."""

    start_s: float
    end_s: float
    latency_ms: float
    model: str
    title: str
    unreliable: bool
    outlier: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """Everything that a chart of a device shows.

    Attributes:
        spans: from when to when each process ran, untimed ones too.
        throttled: stretches with a thermal status above none: from, to, status.
        temperatures: °C; the hottest sensors, the battery and the skin among them. `sensors` is how many there are.
        cpu: GHz, one for each cluster: the fastest CPU of it.
        gpu: MHz.
        battery_level: percent. battery_ma: mA. load: runnable processes. memory_gb: GB free.
    """

    device: DeviceRecord
    dots: tuple[TimedProcess, ...]
    spans: tuple[tuple[float, float], ...]
    throttled: tuple[tuple[float, float, int], ...]
    temperatures: tuple[Trace, ...]
    sensors: int
    cpu: tuple[Clock, ...]
    gpu: Clock
    battery_level: Trace | None
    battery_ma: Trace | None
    load: Trace | None
    memory_gb: Trace | None

    @property
    def has_conditions(self) -> bool:
        """Whether there are readings of the device, not only latencies."""
        lines = (self.gpu.now, self.gpu.cap, self.battery_level, self.battery_ma, self.load, self.memory_gb)
        return bool(self.temperatures or self.cpu or self.throttled or any(line is not None for line in lines))
