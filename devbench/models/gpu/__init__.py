"""Will the stock GPU delegate of TensorFlow Lite take a model: rules as data, held against a graph.

    check(graph) → the operators that it refuses, each with the reason and the rewrite that cures it
    estimate(graph, refusals) → how the rest would be cut in parts, and how much of it would run on the GPU

Both take a `GraphView`, of a file (`graph_file.read_model`) or of a graph in memory.
"""

from __future__ import annotations

from devbench.models.gpu.check import check
from devbench.models.gpu.partition import Estimate, estimate
from devbench.models.gpu.refusal import Effect, Refusal, Rule

__all__ = ["Effect", "Estimate", "Refusal", "Rule", "check", "estimate"]
