"""Timings and memory: the `count=` lines, the summaries of both tools, footprints; one object per run of the tool.

Formats: TensorFlow 1.12 to 2.x (`tensorflow/lite/tools/benchmark/benchmark_model.cc`, microseconds) and LiteRT 2
(`litert/tools/benchmark_litert_model.h`, milliseconds, converted to microseconds).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from devbench.tool.measurement import Memory, RunStats, ToolName
from devbench.tool.parse.lines import Line
from devbench.tool.parse.numbers import COUNT, END, NUMBER, milliseconds_to_us, number, whole

# At the start of its line: tables of other runs and foreign logs have such words in the middle.
_STATS = re.compile(rf"\s*count=({NUMBER}){END}")
_PAIR = re.compile(rf"\b(first|curr|min|max|avg|std|p5|median|p95)=({NUMBER}){END}")
# The same words stand under a profile, for its operators together.
_NOT_STATS = ("Timings (microseconds)", "Memory (bytes)")

_SUMMARY = re.compile(r"(?:Inference|Average inference) timings in us:")
_SUMMARY_VALUE = re.compile(
    rf"(Init|First inference|Warmup(?: \(avg\))?|Inference(?: \(avg\))?|no stats): ({NUMBER}){END}", re.IGNORECASE
)
_SUMMARY_FIELDS = {
    "init": "init_us",
    "first inference": "first_inference_us",
    "warmup": "warmup_avg_us",
    "warmup (avg)": "warmup_avg_us",
    "inference": "inference_avg_us",
    "inference (avg)": "inference_avg_us",
    "no stats": "inference_avg_us",
}

_LITERT_TIME = re.compile(
    rf"\s*(Model initialization|Warmup \(first\)|Warmup \(avg\)|Inference \((?:avg|min|max|std)\)):\s{{1,40}}({NUMBER})"
    rf"(?: ?ms\b(?:\s*\(({COUNT}) runs\))?|(?<=\d){END})"
)
_LITERT_MEMORY = re.compile(rf"\s*(Init footprint|Overall footprint|Peak memory(?: usage)?):\s+({NUMBER}) MB\b")
_LITERT_SOURCE = re.compile(r"benchmark_litert_model|(?<!=)={5,40} BENCHMARK RESULTS =====")

_FOOTPRINT = re.compile(r"footprint.{0,60}\(MB\)", re.IGNORECASE)
_FOOTPRINT_VALUE = re.compile(rf"\b(init|overall)=({NUMBER}){END}")
_PEAK = re.compile(rf"peak memory footprint \(MB\) via periodic monitoring: ({NUMBER}){END}", re.IGNORECASE)

_GRAPH = re.compile(r"Graph: \[(.*)\](?:[\s\"',;\\]|<br>)*$")
_LOADED = re.compile(r"Loaded model (\S.*)$")
_HEAD = re.compile(r"^(?:STARTING!|Running benchmark for|Initialized session in|Loaded model )")


@dataclass(slots=True)
class Summary:
    """What the timings and memory lines of one run of the tool said; takes lines one by one."""

    tool: ToolName = "tflite"
    graph: str | None = None
    loaded: str | None = None
    stats: list[RunStats] = field(default_factory=list)
    has_head: bool = False
    finished: bool = False
    values: dict[str, float] = field(default_factory=dict)
    litert_warmup: dict[str, float] = field(default_factory=dict)
    litert_runs: dict[str, float] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)

    def take(self, line: Line) -> bool:
        """Take a line in; whether it was one of these."""
        text = line.text
        if _HEAD.match(text.lstrip()):
            self.has_head = True
        return self._names(line) or self._stats(text) or self._summary(text) or self._litert(text) or self._memory(text)

    @property
    def warmup(self) -> RunStats | None:
        """The first of two `count=` lines; a single one before the summary is the runs', where the head is lost."""
        if len(self.stats) >= 2:
            return self._with_litert(self.stats[0], self.litert_warmup)
        alone = self.stats[0] if self.stats and self.has_head and not self.finished else None
        return self._with_litert(alone, self.litert_warmup)

    @property
    def runs(self) -> RunStats | None:
        """The last `count=` line of at least two, or the only one where it cannot be the warm-up's."""
        if len(self.stats) >= 2:
            return self._with_litert(self.stats[-1], self.litert_runs)
        alone = self.stats[0] if self.stats and (self.finished or not self.has_head) else None
        return self._with_litert(alone, self.litert_runs)

    def _names(self, line: Line) -> bool:
        """Paths: whatever they hold is theirs."""
        graph = _GRAPH.match(line.text.lstrip())
        loaded = None if graph else _LOADED.match(line.text.lstrip())
        if graph and line.whole and self.graph is None:
            self.graph = graph.group(1)
        elif loaded and line.whole and self.loaded is None:
            self.loaded = loaded.group(1).strip()
        return bool(graph or loaded)

    def _stats(self, text: str) -> bool:
        if any(words in text for words in _NOT_STATS):
            return True
        match = None if self.finished else _STATS.match(text)
        if match is None:
            return False
        pairs: dict[str, float | None] = {}
        for key, token in _PAIR.findall(text, match.end()):
            pairs.setdefault(f"{key}_us", number(token))
        self.stats.append(RunStats(count=whole(match.group(1)), **pairs))
        return True

    def _summary(self, text: str) -> bool:
        match = _SUMMARY.search(text)
        if match is None:
            return False
        for name, token in _SUMMARY_VALUE.findall(text, match.end()):
            self._keep(_SUMMARY_FIELDS[name.lower()], number(token))
        if "inference_avg_us" in self.values:
            self.finished = True
        return True

    def _keep(self, name: str, value: float | None) -> None:
        if value is not None:
            self.values.setdefault(name, value)

    def _litert(self, text: str) -> bool:
        time, size = _LITERT_TIME.match(text), _LITERT_MEMORY.match(text)
        # Only the deviation stands without its unit; anything else without one is another tool's.
        if time and "ms" not in time.group(0) and not time.group(1).endswith("(std)"):
            time = None
        if _LITERT_SOURCE.search(text) or time or size:
            self.tool = "litert"
        if time:
            self._litert_time(time.group(1), milliseconds_to_us(time.group(2)), whole(time.group(3)))
        elif size:
            key = {"I": "init_mb", "O": "overall_mb", "P": "peak_mb"}[size.group(1)[0]]
            self._keep_memory(key, number(size.group(2)))
        return bool(time or size)

    def _litert_time(self, name: str, value: float | None, count: int | None) -> None:
        if value is None:
            return
        if name == "Model initialization":
            self._keep("init_us", value)
        elif name.startswith("Warmup"):
            first = name == "Warmup (first)"
            self._keep("first_inference_us" if first else "warmup_avg_us", value)
            self.litert_warmup["first_us" if first else "avg_us"] = value
            if count is not None:
                self.litert_warmup["count"] = count
        else:
            statistic = name[11:14]
            self.litert_runs[f"{statistic}_us"] = value
            if count is not None:
                self.litert_runs["count"] = count
            if statistic == "avg":
                self._keep("inference_avg_us", value)
                self.finished = True

    def _memory(self, text: str) -> bool:
        peak = _PEAK.search(text)
        if peak:
            self._keep_memory("peak_mb", number(peak.group(1)))
            return True
        label = _FOOTPRINT.search(text)
        if label is None:
            return False
        for name, token in _FOOTPRINT_VALUE.findall(text, label.end()):
            self._keep_memory(f"{name}_mb", number(token))
        return True

    def _keep_memory(self, key: str, value: float | None) -> None:
        if value is not None and getattr(self.memory, key) is None:
            self.memory = replace(self.memory, **{key: value})

    @staticmethod
    def _with_litert(stats: RunStats | None, values: dict[str, float]) -> RunStats | None:
        """LiteRT's summary repeats what its `count=` lines say with fewer digits: it fills only what those lack."""
        if not values:
            return stats
        have = stats or RunStats()
        missing = {key: value for key, value in values.items() if getattr(have, key) is None}
        if "count" in missing:
            missing["count"] = int(missing["count"])
        return replace(have, **missing)  # type: ignore[arg-type]
