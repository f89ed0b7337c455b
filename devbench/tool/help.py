"""Which flags a benchmark_model takes, from its own help; knows no device."""

from __future__ import annotations

import re
from collections.abc import Collection

from devbench.tool.case import Delegate
from devbench.tool.measurement import ToolName

# "\t--num_runs=50      \tint32\toptional\texpected number of runs"
_HELP_LINE = re.compile(r"^\s+--([A-Za-z][\w-]{0,80})=", re.MULTILINE)


def flags_of_help(text: str) -> frozenset[str]:
    """The names of the flags that a help text lists; empty where it is none."""
    return frozenset(_HELP_LINE.findall(text[: 1 << 20]))


def missing_flags(delegate: Delegate, tool: ToolName, known: Collection[str]) -> list[str]:
    """The delegate's flags that the binary does not take: it would warn, go on on the CPU, and exit 0.

    Empty where nothing is known of the binary's flags.
    """
    wanted = delegate.litert_flags if tool == "litert" else delegate.flags
    return [name for name, _ in wanted if known and name not in known]
