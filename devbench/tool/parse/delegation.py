"""What a text contains about delegates: how much each runs, what it refuses and why; one object per run of the tool."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from devbench.tool.measurement import Applied, DelegateUse, UnsupportedOp
from devbench.tool.parse.lines import LogLine
from devbench.tool.parse.numbers import COUNT, whole

# "Explicitly applied GPU delegate, and the model graph will be partially executed by the delegate w/ 1 delegate
# kernels."; without "Explicitly" in 2.0 to 2.3, a bare "Applied GPU delegate." before.
_APPLIED = re.compile(
    r"(?:Explicitly applied|Applied) (\S.{0,60}?) delegate"
    r"(?:, and the model graph will be (completely|partially) executed (?:by|w/) the delegate"
    r"(?: w/ (\d+) delegate kernels)?|(?=\.|\s*$))"
)
_NOT_EXECUTED = re.compile(
    r"Though (\S.{0,60}?) delegate is (?:explicitly )?applied, the model graph will not be executed"
)
_NOT_APPLIED = re.compile(r"Failed to apply (?!the default\b)(?:the )?(\S.{0,60}?) delegate")
# One line per subgraph; before 2.4 without the number of all nodes. Some programs shorten it.
_REPLACING = re.compile(
    rf"Replacing ({COUNT})(?: out of ({COUNT}))? node\(s\) with delegate \(([^)]{{1,80}})\)"
    r"(?: node, yielding \d+ partitions)?(?: for subgraph (\d{1,6}))?"
)
# The runtime removes a delegate that could not be prepared or whose kernel could not be created.
_TAKEN_BACK = re.compile(
    r"Restored (?:original|previous) execution plan|Failed to create .{0,80}(?:delegate kernel|DelegateKernel)"
)
# Flex, Hexagon, CoreML and external delegates print their own counts. A name may contain spaces ("Vx Delegate delegate: "), and
# some are called a delegate only once ("NeutronDelegate: ").
_COUNTED = re.compile(
    r"(?:^|[\]:] )\s*([^\s:\[\]][^:\[\]]{0,79}?)(?: delegate|(?<=Delegate)): "
    rf"({COUNT}) nodes delegated out of ({COUNT}) nodes\b"
)
_GPU_COUNTS = re.compile(
    rf"(?:First )?(No|{COUNT}) operations will run on the GPU, and (?:the remaining|all) ({COUNT})"
    r"(?: operations will run)? on the CPU"
)
_REFUSED_LIST = re.compile(r"(?:Following|Next) operations are not supported by (\S.{0,40}?) delegate:")
# Delegates name builtin operators in capitals, a user's own as `CUSTOM name`.
_REFUSED_ROW = re.compile(r"^([A-Z][A-Z0-9_]{1,60}(?:[ ,][\w.:+/() -]{1,100}?)?):(?: +(.*))?$")
_LIST_ENDS = re.compile(
    r"^\s*(?:count=|Running benchmark for|Initialized session in|Inference timings|Explicitly applied)"
)
_REFUSED_BARE = re.compile(r"^([A-Z][A-Z0-9_]{1,60})$")
_REFUSED_SINGLE = re.compile(r"Operator (\S{1,100}) \(v\d+\) refused by (?:\S+) delegate: (\S.*)$")

_NAMES = {
    "tflitexnnpackdelegate": "XNNPACK",
    "tflitegpudelegatev2": "GPU",
    "tflitegpudelegate": "GPU",
    "tflitenniapidelegate": "NNAPI",
    "tflitennapidelegate": "NNAPI",
    "tflitehexagondelegate": "HEXAGON",
    "tfliteflexdelegate": "Flex",
    "tflitecoremldelegate": "COREML",
}
_MAX_DELEGATES = 64
_MAX_REFUSED = 2000
_MAX_GRAPHS = 10_000
# A list ends after this number of lines that are not rows of it.
_MAX_OTHERS = 100


@dataclass(slots=True)
class DelegateReader:
    """The delegates in one run of the tool, read line by line."""

    uses: dict[str, DelegateUse] = field(default_factory=dict)
    refused: dict[UnsupportedOp, None] = field(default_factory=dict)
    # For each delegate: the delegated nodes and all nodes (if known) of each subgraph, and the delegate's own counts.
    _replaced: dict[str, dict[str, tuple[int, int | None]]] = field(default_factory=dict)
    _counted: dict[str, tuple[int, int]] = field(default_factory=dict)
    _last: str = ""
    in_list: bool = False
    _others: int = 0

    def take(self, line: LogLine) -> bool:
        """Read a line; whether it was about delegates and completely understood."""
        is_relevant = "elegate" in line.text or "will run on" in line.text
        if not is_relevant and not self.in_list:
            return False
        return self._list(line) or self._use(line.text) or self._counts(line.text)

    @property
    def delegates(self) -> tuple[DelegateUse, ...]:
        """Every delegate in the text, in the order of appearance."""
        return tuple(self._with_counts(key, use) for key, use in self.uses.items())

    @property
    def unsupported(self) -> tuple[UnsupportedOp, ...]:
        return tuple(self.refused)

    def _list(self, line: LogLine) -> bool:
        """The operators that a delegate refuses: a heading, then one line each until the counts."""
        if heading := _REFUSED_LIST.search(line.text):
            self.in_list, self._others = True, 0
            self._know(heading.group(1))
            return True
        if single := _REFUSED_SINGLE.search(line.text):
            if line.whole:
                self._refuse(single.group(1), single.group(2))
            return True
        if not self.in_list:
            return False
        text = line.text.strip()
        if _GPU_COUNTS.search(text) or _LIST_ENDS.match(text):
            self.in_list = False
            return False
        if line.named_level:
            self.other()
            return False
        row = _REFUSED_ROW.match(text)
        bare = None if row else _REFUSED_BARE.match(text)
        if row and line.whole:
            # Several operators may share a reason.
            for op in row.group(1).split(", "):
                self._refuse(op, row.group(2) or "")
        elif bare and line.whole:
            self._refuse(bare.group(1), "")
        if row or bare:
            self._others = 0
        else:
            self.other()
        return bool(row or bare)

    def other(self) -> None:
        """Count a line that is not a row of the list; the list ends after many of them."""
        self._others += 1
        self.in_list = self.in_list and self._others < _MAX_OTHERS

    def _refuse(self, op: str, reason: str) -> None:
        if len(self.refused) < _MAX_REFUSED:
            self.refused[UnsupportedOp(op, reason.strip()[:500])] = None

    def _use(self, text: str) -> bool:
        if match := _APPLIED.search(text):
            name, extent, kernels = match.groups()
            applied: Applied | None = {"completely": "full", "partially": "partial"}.get(extent)  # type: ignore[assignment]
            key = self._know(name)
            known = self.uses[key]
            self.uses[key] = replace(known, applied=applied or known.applied, kernels=whole(kernels))
            return True
        if match := _NOT_EXECUTED.search(text) or _NOT_APPLIED.search(text):
            key = self._know(match.group(1))
            self.uses[key] = replace(self.uses[key], applied="none")
            # Not completely understood: if the run continues, it is a warning, too.
        elif self._last and _TAKEN_BACK.search(text) and self.uses[self._last].applied is None:
            self.uses[self._last] = replace(self.uses[self._last], applied="none")
        return False

    def _counts(self, text: str) -> bool:
        if match := _REPLACING.search(text):
            taken, of, name, graph = match.groups()
            self._last = self._know(name)
            graphs = self._replaced.setdefault(self._last, {})
            if len(graphs) < _MAX_GRAPHS or graph in graphs:
                graphs[graph or ""] = (whole(taken) or 0, whole(of))
        elif match := _COUNTED.search(text):
            self._counted[self._know(match.group(1))] = (whole(match.group(2)) or 0, whole(match.group(3)) or 0)
        elif match := _GPU_COUNTS.search(text):
            taken_by_gpu = whole(match.group(1)) or 0
            self._counted[self._know("GPU")] = (taken_by_gpu, taken_by_gpu + (whole(match.group(2)) or 0))
        else:
            return False
        return True

    def _know(self, name: str) -> str:
        """The key of a delegate, which is added if it is new."""
        title = _NAMES.get(name.casefold(), name)
        key = title.casefold()
        if key not in self.uses and len(self.uses) >= _MAX_DELEGATES:
            key = next(reversed(self.uses))
        self.uses.setdefault(key, DelegateUse(title, None))
        return key

    def _with_counts(self, key: str, use: DelegateUse) -> DelegateUse:
        if use.applied == "none":
            # The runtime removed the delegate, so its nodes run on the CPU again.
            return use
        graphs = self._replaced.get(key)
        taken, of = self._counted.get(key, (None, None)) if graphs is None else _summed(graphs.values())
        if taken is None:
            return use
        if of is None:
            return replace(use, nodes_delegated=taken)
        extent: Applied = "none" if taken == 0 else "full" if taken == of else "partial"
        return replace(use, nodes_delegated=taken, nodes_total=of, applied=use.applied or extent)


def _summed(graphs: Iterable[tuple[int, int | None]]) -> tuple[int, int | None]:
    """The delegated nodes of all subgraphs, and all nodes if every line has that number."""
    pairs = list(graphs)
    totals = [of for _, of in pairs if of is not None]
    return sum(taken for taken, _ in pairs), sum(totals) if len(totals) == len(pairs) else None
