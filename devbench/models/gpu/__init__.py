"""Will the stock GPU delegate of TensorFlow Lite take a model: rules as data, held against its graphs.

    check(model) → for each graph the operators that it refuses, each with the reason
    estimate_model(checked) → how the rest would be cut in parts, and how much of it would run on the GPU

Both work on views, of a file (`graph.read.read_model`) or of a graph in memory.
"""

from __future__ import annotations

from devbench.models.gpu.check import check
from devbench.models.gpu.partition import Estimate, estimate_model
from devbench.models.gpu.refusal import Effect, Refusal, Rule

__all__ = ["Effect", "Estimate", "Refusal", "Rule", "check", "estimate_model"]
