"""A model and its figures as JSON: the object that `devbench models inspect --json` prints (docs/models.md)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from devbench.models.compiled import Compiled
from devbench.models.graph.view import ModelView, TensorView
from devbench.models.model_facts import ModelFacts
from devbench.text import clean

_SCHEMA = "devbench.inspect/1"
_MAX_NAME = 200


def to_json(model: ModelView, facts: ModelFacts, name: str, compiled: Compiled | None = None) -> dict[str, Any]:
    """A model for programs. Keys stay; new ones may come."""
    graph, quantisation = model.main, facts.quantisation
    return {
        "schema": _SCHEMA,
        "model": name,
        "file_bytes": model.size_bytes,
        "schema_version": model.schema_version,
        "description": clean(model.description, _MAX_NAME),
        "buffers": {
            "count": len(model.buffers),
            "outside_flatbuffer": len(model.outside),
            "outside_flatbuffer_bytes": sum(model.outside),
        },
        "compiled": None if compiled is None else asdict(compiled),
        "metadata": [{"name": clean(one, _MAX_NAME), "bytes": size} for one, size in model.metadata],
        "signatures": [
            {
                "key": clean(one.key, _MAX_NAME),
                "subgraph": one.graph,
                "inputs": {clean(label, _MAX_NAME): number for label, number in one.inputs},
                "outputs": {clean(label, _MAX_NAME): number for label, number in one.outputs},
            }
            for one in model.signatures
        ],
        "subgraphs": [
            {
                "name": clean(one.name, _MAX_NAME),
                "operators": len(one.operators),
                "tensors": len(one.tensors),
                "inputs": len(one.inputs),
                "outputs": len(one.outputs),
            }
            for one in model.graphs
        ],
        "inputs": [_tensor(graph.tensors[number]) for number in graph.inputs],
        "outputs": [_tensor(graph.tensors[number]) for number in graph.outputs],
        "operators": [
            {
                "type": clean(row.type, _MAX_NAME),
                "version": row.version,
                "count": row.count,
                "largest_rank": row.largest_rank,
                "macs": row.macs,
                "custom": row.custom,
            }
            for row in facts.operators
        ],
        "operator_count": len(graph.operators),
        "parameters": facts.parameters,
        "integer_constants_left_out": facts.left_out,
        "macs": facts.macs,
        "macs_leave_out": list(facts.uncounted),
        "weight_bytes": facts.weight_bytes,
        "activation_bytes": facts.activation_bytes,
        "peak_activation_bytes": facts.peak_bytes,
        "peak_operator": facts.peak_operator,
        "quantisation": {
            "kind": quantisation.kind,
            "per_tensor": quantisation.per_tensor,
            "per_channel": quantisation.per_channel,
            "blockwise": quantisation.blockwise,
            "quantised_activations": quantisation.activations,
        },
        "largest_weights": [_tensor(tensor) for tensor in facts.largest_weights],
        "largest_activations": [_tensor(tensor) for tensor in facts.largest_activations],
    }


def _tensor(tensor: TensorView) -> dict[str, Any]:
    return {
        "tensor": tensor.index,
        "name": clean(tensor.name, _MAX_NAME),
        "type": tensor.dtype,
        "shape": list(tensor.shape),
        "dynamic": tensor.dynamic,
        "bytes": tensor.stored_bytes or tensor.size_bytes,
    }
