"""Timings and memory: the `count=` lines, the summaries of both tools, footprints; one object per run of the tool.

Formats: TensorFlow 1.12 to 2.x (`tensorflow/lite/tools/benchmark/benchmark_model.cc`, microseconds) and LiteRT 2
(`litert/tools/benchmark_litert_model.h`, milliseconds, converted to microseconds).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from devbench.tool.measurement import Memory, RunStats, ToolName
from devbench.tool.parse.lines import LogLine
from devbench.tool.parse.numbers import (
    COUNT,
    END,
    NUMBER,
    duration,
    is_impossible,
    megabytes,
    milliseconds_to_us,
    sample,
    whole,
)

# At the start of a line: tables of other runs and foreign logs have such words in the middle.
_STATS = re.compile(rf"\s*count=({NUMBER}){END}")
_PAIR = re.compile(rf"\b(first|curr|min|max|avg|std|p5|median|p95)=({NUMBER}){END}")
# The same words follow a profile, for all of its operators.
_NOT_STATS = ("Timings (microseconds)", "Memory (bytes)")

_SUMMARY = re.compile(r"(?:Inference|Average inference) timings in us:")
# The benchmark APK of 1.13 and 1.14 prints "Overall max resident set size = …" directly after the last number, and the
# first tools print the latency directly after the heading.
_SUMMARY_VALUE = re.compile(
    rf"(Init|First inference|Warmup(?: \(avg\))?|Inference(?: \(avg\))?|no stats): ({NUMBER})(?:{END}|(?=Overall ))",
    re.IGNORECASE,
)
_FURTHER = re.compile(rf"\s*(?:{NUMBER},|Init:|First inference:|Warmup(?: \(avg\))?:|Inference(?: \(avg\))?:)\s")
_MAX_OPEN_LINES = 6
_FIRST_VALUE = re.compile(rf"\s*({NUMBER})\s*,")
_RESIDENT = re.compile(rf"Overall max resident set size = ({NUMBER}) MB")
_SUMMARY_FIELDS = {
    "init": "init_us",
    "first inference": "first_inference_us",
    "warmup": "warmup_avg_us",
    "warmup (avg)": "warmup_avg_us",
    "inference": "inference_avg_us",
    "inference (avg)": "inference_avg_us",
    "no stats": "inference_avg_us",
}
_LITERT_FIELDS = {
    "Model initialization": "init_us",
    "Warmup (first)": "first_inference_us",
    "Warmup (avg)": "warmup_avg_us",
    "Inference (avg)": "inference_avg_us",
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
_LOADED = re.compile(r"(?:Loaded model|Loading model from:) (\S.*)$")
# The tool with performance options lists all its runs, fastest first.
_OPTIONS = re.compile(r"Summary of All Runs w/ Different Performance Options")
_OPTION = re.compile(rf"\s*(\S.{{0,200}}?): count=({NUMBER}){END}")
_HEAD = re.compile(r"^(?:STARTING!|Running benchmark for|Initialized session in|Loaded model )")


@dataclass(slots=True)
class Summary:
    """The timings and memory of one run of the tool, read line by line."""

    tool: ToolName = "tflite"
    graph: str | None = None
    loaded: str | None = None
    first_stats: RunStats | None = None
    last_stats: RunStats | None = None
    counted: int = 0
    has_head: bool = False
    finished: bool = False
    values: dict[str, float] = field(default_factory=dict)
    litert_warmup: dict[str, float] = field(default_factory=dict)
    litert_runs: dict[str, float] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    impossible: str = ""
    notes: tuple[str, ...] = ()
    # How many more lines may belong to a summary with line breaks.
    open_lines: int = 0
    _of_options: bool = False

    def take(self, line: LogLine) -> bool:
        """Read a line; whether it was about timings or memory."""
        text = line.text
        if _HEAD.match(text.lstrip()):
            self.has_head = True
        return (
            self._names(line)
            or (("count=" in text or "Summary" in text) and (self._options(text) or self._stats(text)))
            or ("timings in us" in text and self._summary(text))
            or (self.open_lines > 0 and self._further(text))
            or self._litert(text)
            or ("ootprint" in text and self._memory(text))
        )

    def is_another(self, text: str) -> bool:
        """Whether this run's summary is complete and a line has another value for part of it."""
        if not self.finished:
            return False
        if "timings in us" in text:
            said = [(_SUMMARY_FIELDS[name.lower()], duration(token)) for name, token in _SUMMARY_VALUE.findall(text)]
        elif time := _LITERT_TIME.match(text):
            said = [(_LITERT_FIELDS.get(time.group(1), ""), milliseconds_to_us(time.group(2)))]
        else:
            return False
        return any(value is not None and self.values.get(key, value) != value for key, value in said)

    @property
    def inference_avg_us(self) -> float | None:
        """From the summary; if LiteRT rounded it to 0.00 ms, from its `count=` line, which has more digits."""
        value = self.values.get("inference_avg_us")
        if value is None and self.finished and not self.impossible and self.runs is not None:
            return self.runs.avg_us or None
        return value

    @property
    def warmup(self) -> RunStats | None:
        """The first of two `count=` lines; a single one is the runs' if the head is lost or the summary follows."""
        if self.counted >= 2:
            return self._with_litert(self.first_stats, self.litert_warmup)
        alone = self.first_stats if self.has_head and not self.finished else None
        return self._with_litert(alone, self.litert_warmup)

    @property
    def runs(self) -> RunStats | None:
        """The last of several `count=` lines, or the only one if it cannot be the warm-up's."""
        if self.counted >= 2:
            return self._with_litert(self.last_stats, self.litert_runs)
        alone = self.first_stats if self.finished or not self.has_head else None
        return self._with_litert(alone, self.litert_runs)

    def _names(self, line: LogLine) -> bool:
        """Whether a line is a path, whatever words it contains."""
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
        self.last_stats = _run_stats(match.group(1), text[match.end() :])
        self.first_stats = self.first_stats or self.last_stats
        self.counted += 1
        return True

    def _options(self, text: str) -> bool:
        """The table of all runs with other options. Where the runs themselves are not in the text, its first row counts."""
        if _OPTIONS.search(text):
            self._of_options = True
            return True
        match = _OPTION.match(text) if self._of_options else None
        if match is None:
            return False
        if not self.counted and not self.finished:
            stats = _run_stats(match.group(2), text[match.end() :])
            self.first_stats = self.last_stats = stats
            self.notes = (f"a summary of several runs: this is the first, {match.group(1)!r}",)
            self.counted, self.finished = 1, stats.avg_us is not None
        return True

    def _summary(self, text: str) -> bool:
        match = _SUMMARY.search(text)
        if match is None:
            return False
        if bare := _FIRST_VALUE.match(text, match.end()):
            self._keep("inference_avg_us", duration(bare.group(1)))
            self._end(bare.group(1), text)
        if resident := _RESIDENT.search(text, match.end()):
            self._keep_memory("overall_mb", megabytes(resident.group(1)))
        self._values(text, match.end())
        self.open_lines = 0 if self.finished else _MAX_OPEN_LINES
        return True

    def _further(self, text: str) -> bool:
        """A line of a summary that somebody broke into several: a value's name, or the value of the last line's."""
        self.open_lines -= 1
        if not _FURTHER.match(text) or " ms" in text:
            return False
        self._values(text, 0)
        self.open_lines = 0 if self.finished else self.open_lines
        return True

    def _values(self, text: str, start: int) -> None:
        for name, token in _SUMMARY_VALUE.findall(text, start):
            key = _SUMMARY_FIELDS[name.lower()]
            self._keep(key, duration(token))
            if key == "inference_avg_us":
                self._end(token, text)

    def _end(self, token: str, text: str) -> None:
        """The summary has the latency: the run has ended. An impossible duration is no measurement."""
        self.finished = True
        if is_impossible(token):
            self.impossible = self.impossible or text.strip()

    def _keep(self, name: str, value: float | None) -> None:
        if value is not None:
            self.values.setdefault(name, value)

    def _litert(self, text: str) -> bool:
        time, size = _LITERT_TIME.match(text), _LITERT_MEMORY.match(text)
        # Only the deviation has no unit; other times without a unit are another tool's.
        if time and "ms" not in time.group(0) and not time.group(1).endswith("(std)"):
            time = None
        if time or size or ("BENCH" in text.upper() and _LITERT_SOURCE.search(text)):
            self.tool = "litert"
        if time:
            self._litert_time(time.group(1), time.group(2), whole(time.group(3)))
            if time.group(1) == "Inference (avg)":
                self._end(time.group(2), text)
        elif size:
            key = {"I": "init_mb", "O": "overall_mb", "P": "peak_mb"}[size.group(1)[0]]
            self._keep_memory(key, megabytes(size.group(2)))
        return bool(time or size)

    def _litert_time(self, name: str, token: str, count: int | None) -> None:
        value = milliseconds_to_us(token)
        if name == "Model initialization":
            self._keep("init_us", value)
        elif name.startswith("Warmup"):
            first = name == "Warmup (first)"
            self._keep("first_inference_us" if first else "warmup_avg_us", value)
            self._keep_litert(self.litert_warmup, "first_us" if first else "avg_us", value, count)
        else:
            statistic = name[11:14]
            value = value if statistic == "avg" else milliseconds_to_us(token, positive=False)
            self._keep_litert(self.litert_runs, f"{statistic}_us", value, count)
            if statistic == "avg":
                self._keep("inference_avg_us", value)

    @staticmethod
    def _keep_litert(values: dict[str, float], name: str, value: float | None, count: int | None) -> None:
        if value is not None:
            values[name] = value
        if count is not None:
            values["count"] = count

    def _memory(self, text: str) -> bool:
        peak = _PEAK.search(text)
        if peak:
            self._keep_memory("peak_mb", megabytes(peak.group(1)))
            return True
        label = _FOOTPRINT.search(text)
        if label is None:
            return False
        for name, token in _FOOTPRINT_VALUE.findall(text, label.end()):
            self._keep_memory(f"{name}_mb", megabytes(token))
        return True

    def _keep_memory(self, key: str, value: float | None) -> None:
        if value is not None and getattr(self.memory, key) is None:
            self.memory = replace(self.memory, **{key: value})

    @staticmethod
    def _with_litert(stats: RunStats | None, values: dict[str, float]) -> RunStats | None:
        """`stats` and, for missing values, LiteRT's summary, which has fewer digits than its `count=` lines."""
        if not values:
            return stats
        have = stats or RunStats()
        missing = {key: value for key, value in values.items() if getattr(have, key) is None}
        if "count" in missing:
            missing["count"] = int(missing["count"])
        return replace(have, **missing)  # type: ignore[arg-type]


def _run_stats(count: str, text: str) -> RunStats:
    pairs: dict[str, float | None] = {}
    for key, token in _PAIR.findall(text):
        pairs.setdefault(f"{key}_us", sample(token))
    return RunStats(count=whole(count), **pairs)
