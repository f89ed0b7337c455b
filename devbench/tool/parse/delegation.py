"""What the text says about delegates: how much each took, what it refused and why; one object per run of the tool."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from devbench.tool.measurement import Applied, DelegateUse, UnsupportedOp
from devbench.tool.parse.lines import Line
from devbench.tool.parse.numbers import whole

# "Explicitly applied GPU delegate, and the model graph will be partially executed by the delegate w/ 1 delegate
# kernels."; without "Explicitly" in 2.0 to 2.3, a bare "Applied GPU delegate." before.
_APPLIED = re.compile(
    r"(?:Explicitly applied|Applied) (\S.{0,60}?) delegate"
    r"(?:, and the model graph will be (completely|partially) executed (?:by|w/) the delegate"
    r"(?: w/ (\d+) delegate kernels)?|(?=\.))"
)
_NOT_EXECUTED = re.compile(
    r"Though (\S.{0,60}?) delegate is (?:explicitly )?applied, the model graph will not be executed"
)
_NOT_APPLIED = re.compile(r"Failed to apply (?:the )?(\S.{0,60}?) delegate")
_REPLACING = re.compile(
    r"Replacing (\d+) out of (\d+) node\(s\) with delegate \(([^)]{1,80})\) node, yielding \d+ partitions"
)
_GPU_COUNTS = re.compile(
    r"(?:First )?(No|\d+) operations will run on the GPU, and (?:the remaining|all) (\d+)(?: operations will run)? on the CPU"
)
_REFUSED_LIST = re.compile(r"(?:Following|Next) operations are not supported by (\S.{0,40}?) delegate:")
# Delegates name builtin operators in capitals, a user's own as `CUSTOM name`.
_REFUSED_ROW = re.compile(r"^([A-Z][A-Z0-9_]{1,60}(?: [\w.:+/-]{1,100})?): (\S.*)$")
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
    "litert_gpu": "GPU",
}
_MOST_REFUSED = 2000


@dataclass(slots=True)
class Delegation:
    """What the lines of one run of the tool said about delegates; takes lines one by one."""

    uses: dict[str, DelegateUse] = field(default_factory=dict)
    refused: dict[UnsupportedOp, None] = field(default_factory=dict)
    _replaced: dict[str, tuple[int, int]] = field(default_factory=dict)
    _explicit: set[str] = field(default_factory=set)
    _gpu_counts: tuple[int, int] | None = None
    _in_list: bool = False

    def take(self, line: Line) -> bool:
        """Take a line in; whether it was about delegates and is wholly understood."""
        text = line.text
        return self._list(line) or self._use(text) or self._counts(text)

    @property
    def delegates(self) -> tuple[DelegateUse, ...]:
        """Every delegate of which something was said, in the order of appearance."""
        return tuple(self._with_counts(use) for use in self.uses.values())

    @property
    def unsupported(self) -> tuple[UnsupportedOp, ...]:
        return tuple(self.refused)

    def not_applied(self) -> Iterable[DelegateUse]:
        return (use for use in self.delegates if use.applied == "none")

    def _list(self, line: Line) -> bool:
        """The operators that a delegate refuses: a heading, then a line each until the counts."""
        if heading := _REFUSED_LIST.search(line.text):
            self._in_list = True
            self._know(heading.group(1))
            return True
        if single := _REFUSED_SINGLE.search(line.text):
            if line.whole:
                self._refuse(single.group(1), single.group(2))
            return True
        if not self._in_list or line.named_level:
            return False
        text = line.text.strip()
        if _GPU_COUNTS.search(text):
            self._in_list = False
            return False
        row = _REFUSED_ROW.match(text)
        if row and line.whole:
            self._refuse(row.group(1), row.group(2))
        bare = None if row else _REFUSED_BARE.match(text)
        if bare and line.whole:
            self._refuse(bare.group(1), "")
        return bool(row or bare)

    def _refuse(self, op: str, reason: str) -> None:
        if len(self.refused) < _MOST_REFUSED:
            self.refused[UnsupportedOp(op, reason.strip()[:500])] = None

    def _use(self, text: str) -> bool:
        if match := _APPLIED.search(text):
            name, extent, kernels = match.groups()
            applied: Applied | None = {"completely": "full", "partially": "partial"}.get(extent)  # type: ignore[assignment]
            use = self._know(name)
            self._explicit.add(use.name)
            self.uses[use.name] = replace(use, applied=applied or use.applied, kernels=whole(kernels))
        elif match := _NOT_EXECUTED.search(text) or _NOT_APPLIED.search(text):
            use = self._know(match.group(1))
            self._explicit.add(use.name)
            self.uses[use.name] = replace(use, applied="none")
        elif match := _REPLACING.search(text):
            use = self._know(match.group(3))
            taken, of = self._replaced.get(use.name, (0, 0))
            # One line per subgraph.
            self._replaced[use.name] = (taken + int(match.group(1)), of + int(match.group(2)))
        else:
            return False
        # A delegate that was not applied is a warning too, where the run goes on.
        return not (_NOT_EXECUTED.search(text) or _NOT_APPLIED.search(text))

    def _counts(self, text: str) -> bool:
        match = _GPU_COUNTS.search(text)
        if match is None:
            return False
        self._know("GPU")
        taken = 0 if match.group(1) == "No" else int(match.group(1))
        self._gpu_counts = (taken, taken + int(match.group(2)))
        return True

    def _know(self, name: str) -> DelegateUse:
        name = _NAMES.get(name.lower(), name)
        same = next((known for known in self.uses if known.casefold() == name.casefold()), name)
        return self.uses.setdefault(same, DelegateUse(same, None))

    def _with_counts(self, use: DelegateUse) -> DelegateUse:
        counts = self._replaced.get(use.name)
        if counts is None and use.name.casefold() == "gpu":
            counts = self._gpu_counts
        if counts is None:
            return use
        taken, of = counts
        use = replace(use, nodes_delegated=taken, nodes_total=of)
        if use.applied is None:
            extent: Applied = "none" if taken == 0 else "full" if taken == of else "partial"
            use = replace(use, applied=extent)
        return use
