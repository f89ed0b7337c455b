"""The operator profiles: tables in text and CSV, with and without headings; one object per run of the tool.

The tables are those of `tensorflow/core/util/stats_calculator.cc` (text) and `tensorflow/lite/profiling/
profile_summary_formatter.cc` (CSV). Sections stand under a heading for initialisation or for the runs; the oldest tools
and LiteRT 2 print the runs' without one. Newer tools print a delegate's own operators in a section of their own, others
in the main table as `Delegate/…`.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import Literal

from devbench.numbers import whole as whole_number
from devbench.tool.measurement import OpRow, OpTypeRow, Profile
from devbench.tool.parse.lines import LogLine
from devbench.tool.parse.numbers import COUNT, NUMBER, number, whole

Phase = Literal["init", "runs"]

# A word of each heading, in lower case.
_ANY_HEADING = re.compile("profiling info|===|delegate internal|primary graph|subgraph|node type")
_PHASE_INIT = re.compile(r"Profiling Info for Benchmark Initialization", re.IGNORECASE)
_PHASE_RUNS = re.compile(r"Profiling Info for Regular Benchmark Runs", re.IGNORECASE)
_SECTION = re.compile(
    r"(?<!=)={3,400} ?(Run Order|Top by [A-Za-z ]{1,40}|Summary by node type|Delegate Statistics) ?==="
)
_DELEGATE_PART = re.compile(r"^\s*Delegate internal", re.IGNORECASE)
_GRAPH_PART = re.compile(r"^\s*(?:Primary graph|Subgraph)\b.*:\s*$", re.IGNORECASE)
_NODES = re.compile(rf"Number of nodes executed: ({COUNT})\s*$")
_END = re.compile(rf"^\s*{COUNT} nodes observed")
_START_COLUMN = re.compile(r"\[start\]|node type, start,", re.IGNORECASE)
_COUNT_COLUMN = re.compile(r"\[count\]|node type, count,", re.IGNORECASE)
_COLUMNS = re.compile(r"\[node type\]|^\s*node type, ", re.IGNORECASE)
_CSV_COLUMNS = re.compile(r"^\s*node type, ", re.IGNORECASE)

_N = rf"(?:{NUMBER}|[+-]?(?:nan|inf))"
_NUMBER = re.compile(_N)
_PERCENT = re.compile(rf"({_N}) ?%")
# Types may contain spaces and commas, so columns are found by their numbers. Longer lines are not rows.
_MAX_ROW_CHARACTERS = 4000


# Compiled only when a profile is read: most outputs have none, and compiling takes as long as importing this file.
@functools.cache
def _row(csv: bool, start: bool) -> re.Pattern[str]:
    gap = _COMMA if csv else _SPACES
    columns = f"(?P<start>{_N}){gap}" if start else ""
    return re.compile(
        rf"^\s*(?P<type>\S.*?){gap}{columns}(?P<first>{_N}){gap}(?P<avg>{_N}){gap}(?P<pct>{_N}) ?%{gap}"
        rf"(?P<cdf>{_N}) ?%{gap}(?P<mem>{_N}){gap}(?P<times>{_N}){gap}(?P<name>\S.*?)?\s*$"
    )


@functools.cache
def _type_row(csv: bool) -> re.Pattern[str]:
    gap = _COMMA if csv else _SPACES
    return re.compile(
        rf"^\s*(?P<type>\S.*?){gap}(?P<count>[0-9]{{1,9}}){gap}(?P<avg>{_N}){gap}(?P<pct>{_N}) ?%{gap}(?P<cdf>{_N}) ?%{gap}"
        rf"(?P<mem>{_N}){gap}(?P<times>{_N})\s*$"
    )


_SPACES, _COMMA = r" +", r", ?"
# The forms of a row: with commas or not, with a start column or not.
_FORMS = ((True, True), (True, False), (False, True), (False, False))
_COLUMN_NAMES = ("first", "avg", "pct", "cdf", "mem", "times")
_NODE = re.compile(r"^(.*):([0-9]{1,9})$", re.DOTALL)
# Rows of a delegate's own operators in the main table.
_INSIDE = ("Delegate/", "[Delegate]")
_INIT_TYPES = ("AllocateTensors", "ModifyGraphWithDelegate")
_MAX_ROWS = 50_000
_MAX_CHARACTERS = 16 << 20
# The shares of a table's rows are printed with three digits.
_SAME_SHARE = 0.0015


@dataclass(slots=True)
class _Part:
    ops: list[OpRow] = field(default_factory=list)
    by_type: list[OpTypeRow] = field(default_factory=list)
    nodes: int | None = None
    delegate_ops: list[OpRow] = field(default_factory=list)
    characters: int = 0

    def has_room(self, text: str) -> bool:
        """Whether one more row is kept. The limit protects the memory from a hostile table."""
        self.characters += len(text)
        rows = len(self.ops) + len(self.delegate_ops) + len(self.by_type)
        return rows < _MAX_ROWS and self.characters < _MAX_CHARACTERS

    def profile(self) -> Profile | None:
        if not (self.ops or self.by_type or self.delegate_ops or self.nodes is not None):
            return None
        return Profile(tuple(self.ops), tuple(self.by_type), self.nodes, tuple(self.delegate_ops))


@dataclass(slots=True)
class ProfileReader:
    """The profiles in one run of the tool, read line by line."""

    ended: bool = False
    _headed: bool = False
    _parts: dict[Phase, _Part] = field(default_factory=lambda: {"init": _Part(), "runs": _Part()})
    _phase: Phase = "runs"
    _section: str = ""
    _delegate: bool = False
    _csv: bool = False
    _start: bool = False
    # `_fresh`: the columns of the last heading follow next. `_reached`: the sum of shares up to the last row.
    _fresh: bool = False
    _reached: float = 0.0
    # The table has neither heading nor columns.
    _bare: bool = False

    def take(self, line: LogLine) -> bool:
        """Read a line; whether it belonged to a profile."""
        text = line.text
        if self._heading(text):
            return True
        if "nodes executed" in text and (nodes := _NODES.search(text)):
            if line.whole and not self._delegate:
                part = self._parts[self._phase]
                part.nodes = (part.nodes or 0) + (whole(nodes.group(1)) or 0)
            return True
        if "observed" in text and _END.match(text):
            was_in_table = bool(self._section)
            self._section, self.ended = "", self.ended or was_in_table
            return was_in_table
        if not self._section and not self._begins_without_heading(text):
            return False
        return self._table(line)

    def is_another(self, line: LogLine) -> bool:
        """Whether a line begins another run's profile: initialisation after complete profiles of the runs."""
        done = self.ended and self._phase == "runs" and self._headed and "rofiling" in line.text
        return done and _PHASE_INIT.search(line.text) is not None

    @property
    def init(self) -> Profile | None:
        """The profile of initialisation, if there is one."""
        return self._parts["init"].profile()

    @property
    def runs(self) -> Profile | None:
        """The profile of the regular runs, if there is one."""
        return self._parts["runs"].profile()

    def _heading(self, text: str) -> bool:
        if _ANY_HEADING.search(text.lower()) is None:
            return False
        phase: Phase | None = "init" if _PHASE_INIT.search(text) else "runs" if _PHASE_RUNS.search(text) else None
        if phase is not None:
            if phase == "runs" and not self._headed and self._parts["init"].profile() is None:
                # The text begins after the first heading: the rows so far belong to initialisation.
                self._parts["init"], self._parts["runs"] = self._parts["runs"], _Part()
            self._phase, self._section, self._delegate = phase, "", False
            self._headed, self.ended = True, False
            return True
        if section := _SECTION.search(text):
            self._section, self._fresh, self._bare = section.group(1), True, False
            return True
        if _DELEGATE_PART.match(text):
            self._delegate = True
            return True
        if _GRAPH_PART.match(text):
            self._delegate = False
            return True
        if _COLUMNS.search(text):
            if not self._fresh:
                self._bare = False
                self._section = "Summary by node type" if _COUNT_COLUMN.search(text) else self._next_section()
            self._fresh = False
            self._start = _START_COLUMN.search(text) is not None
            self._csv = _CSV_COLUMNS.match(text) is not None
            return True
        return False

    def _next_section(self) -> str:
        """The section of a table without a heading: operators are printed in order, then again by time."""
        part = self._parts[self._phase]
        return "Top by Computation Time" if part.ops or part.delegate_ops else "Run Order"

    def _begins_without_heading(self, text: str) -> bool:
        """Whether a line is the first row of a table without heading and columns: its two shares are equal."""
        if "%" not in text or len(text) > _MAX_ROW_CHARACTERS:
            return False
        for self._csv, self._start in _FORMS if "\t" not in text else ((False, False),):
            values = self._values(text)
            if values is not None and values["name"] and self._is_first(values):
                self._section, self._fresh, self._bare = self._next_section(), False, True
                self._reached = 0.0
                return True
        return False

    @staticmethod
    def _is_first(values: dict[str, str]) -> bool:
        share, reached = number(values["pct"]), number(values["cdf"])
        return share is not None and reached is not None and abs(share - reached) <= _SAME_SHARE

    def _table(self, line: LogLine) -> bool:
        """Read a row; a row that was cut is left out, since its name may be incomplete."""
        if len(line.text) > _MAX_ROW_CHARACTERS or self._section == "Delegate Statistics":
            return False
        part = self._parts[self._phase]
        if self._section == "Summary by node type":
            values = self._type_values(line.text)
            part = self._part(values["type"]) if values else part
            if values and line.whole and not self._delegate and part.has_room(line.text):
                part.by_type.append(_type(values))
            return values is not None
        values = self._values(line.text)
        if values is None or self._section.startswith("Top by"):
            return values is not None
        reached, self._reached = self._reached, number(values["cdf"]) or 0.0
        if self._bare and reached >= 100 - _SAME_SHARE and self._is_first(values):
            # The same operators again, by time.
            self._section = self._next_section()
            return True
        part = self._part(values["type"])
        if line.whole and part.has_room(line.text):
            row = _operator(values)
            inside = self._delegate or row.name.startswith(_INSIDE) or row.type.startswith(_INSIDE[0])
            if not self._delegate:
                part.ops.append(row)
            if inside:
                part.delegate_ops.append(row)
        return True

    def _part(self, kind: str) -> _Part:
        """The current phase's rows; without a heading, rows of initialisation are recognised by their names."""
        if not self._headed:
            self._phase = "init" if kind.strip() in _INIT_TYPES else "runs"
        return self._parts[self._phase]

    def _values(self, text: str) -> dict[str, str] | None:
        """The columns of an operator's row."""
        if "\t" in text and not self._csv:
            fields = _fields(text)
            share = next((n for n, field in enumerate(fields) if _PERCENT.fullmatch(field)), 0)
            # After the type: start (not in newer tools), first and average.
            if share not in (3, 4) or len(fields) < share + 5:
                return None
            names = (("start",) if share == 4 else ()) + _COLUMN_NAMES
            values = _named(names, fields[1 : share + 4])
            return None if values is None else {**values, "type": fields[0], "name": "\t".join(fields[share + 4 :])}
        match = _row(self._csv, self._start).match(text)
        return None if match is None else {key: value or "" for key, value in match.groupdict().items()}

    def _type_values(self, text: str) -> dict[str, str] | None:
        """The columns of a row of the summary by type."""
        if "\t" in text and not self._csv:
            fields = _fields(text)
            if len(fields) != 7 or whole_number(fields[1], maximum=10**9) is None:
                return None
            values = _named(("avg", "pct", "cdf", "mem", "times"), fields[2:])
            return None if values is None else {**values, "type": fields[0], "count": fields[1]}
        match = _type_row(self._csv).match(text)
        return None if match is None else {key: value or "" for key, value in match.groupdict().items()}


def _fields(text: str) -> list[str]:
    """The fields of a row that is separated by tabs, without those before the first tab and an indentation by tabs."""
    return [field.strip() for field in text.lstrip().split("\t")]


def _named(names: tuple[str, ...], fields: list[str]) -> dict[str, str] | None:
    """Numbers by column, without percent signs; `None` if one is not a number."""
    values = {}
    for name, cell in zip(names, fields, strict=False):
        number_text = cell.removesuffix("%").strip() if name in ("pct", "cdf") else cell
        if not _NUMBER.fullmatch(number_text):
            return None
        values[name] = number_text
    return values if len(values) == len(names) else None


def _operator(values: dict[str, str]) -> OpRow:
    name, node = values["name"].strip(), None
    if numbered := _NODE.match(name):
        name, node = numbered.group(1), whole(numbered.group(2))
    return OpRow(
        type=values["type"].strip(),
        name=name,
        node=node,
        start_ms=number(values.get("start")),
        first_ms=number(values["first"]),
        avg_ms=number(values["avg"]),
        pct=number(values["pct"]),
        cdf_pct=number(values["cdf"]),
        mem_kb=number(values["mem"]),
        times_called=number(values["times"]),
    )


def _type(values: dict[str, str]) -> OpTypeRow:
    return OpTypeRow(
        type=values["type"].strip(),
        count=whole(values["count"]),
        avg_ms=number(values["avg"]),
        pct=number(values["pct"]),
        cdf_pct=number(values["cdf"]),
        mem_kb=number(values["mem"]),
        times_called=number(values["times"]),
    )
