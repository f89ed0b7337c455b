"""`unused-codes`: operator codes that no operator uses are left out.

The runtime looks at every operator code of a model when it loads it. One that it does not know keeps the model from
loading, whether or not an operator uses it.
"""

from __future__ import annotations

from devbench.models.graph.edit import Graph, drop_codes, kind_of, unused_codes


def drop_unused_codes(graph: Graph) -> list[str]:
    """Leave out every operator code that no graph of the model uses; a line for each."""
    if not graph.is_main:
        return []
    codes = [graph.model.operatorCodes[index] for index in unused_codes(graph.model)]
    drop_codes(graph.model)
    return [f"{kind_of(code)} version {code.version}" for code in codes]


def unused_code_match(graph: Graph) -> list[int]:
    """[-1] if there is such a code."""
    return [-1] if graph.is_main and unused_codes(graph.model) else []
