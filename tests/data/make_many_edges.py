"""Writes many_edges.tflite: `python -m tests.data.make_many_edges` from the top of the repository.

Seven inputs and seven outputs of many types. The graph lists its inputs in another order than the signature does, which
sorts them by name, and two inputs of one type and shape have roles that must not be swapped: difference = minuend −
subtrahend. One input is a scalar. Made with the schema's own classes, so that the order is ours and not a converter's.
"""

from __future__ import annotations

from pathlib import Path

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

OUT = Path(__file__).parent / "many_edges.tflite"
_WIDTH = 6
_TYPES = schema.TensorType
_OPERATORS = schema.BuiltinOperator
INPUTS = {
    "subtrahend": _TYPES.FLOAT32,
    "tokens": _TYPES.INT32,
    "mask": _TYPES.BOOL,
    "minuend": _TYPES.FLOAT32,
    "levels": _TYPES.INT8,
    "pixels": _TYPES.UINT8,
    "ids": _TYPES.INT64,
}
# Each output with its type, its operator and that operator's inputs.
OUTPUTS = {
    "twice": (_TYPES.INT32, _OPERATORS.ADD, ("tokens", "tokens")),
    "difference": (_TYPES.FLOAT32, _OPERATORS.SUB, ("minuend", "subtrahend")),
    "flipped": (_TYPES.BOOL, _OPERATORS.LOGICAL_NOT, ("mask",)),
    "level_numbers": (_TYPES.INT32, _OPERATORS.CAST, ("levels",)),
    "brightness": (_TYPES.UINT8, _OPERATORS.MAXIMUM, ("pixels", "pixels")),
    "same_levels": (_TYPES.INT8, _OPERATORS.MINIMUM, ("levels", "levels")),
    "id_sums": (_TYPES.INT64, _OPERATORS.ADD, ("ids", "ids")),
}
SCALARS = {"ids", "id_sums"}
_OPTIONS = {
    _OPERATORS.ADD: (schema.BuiltinOptions.AddOptions, schema.AddOptionsT),
    _OPERATORS.SUB: (schema.BuiltinOptions.SubOptions, schema.SubOptionsT),
    _OPERATORS.LOGICAL_NOT: (schema.BuiltinOptions.LogicalNotOptions, schema.LogicalNotOptionsT),
    _OPERATORS.CAST: (schema.BuiltinOptions.CastOptions, schema.CastOptionsT),
    _OPERATORS.MAXIMUM: (schema.BuiltinOptions.MaximumMinimumOptions, schema.MaximumMinimumOptionsT),
    _OPERATORS.MINIMUM: (schema.BuiltinOptions.MaximumMinimumOptions, schema.MaximumMinimumOptionsT),
}


def model() -> bytes:
    """The file's bytes."""
    names = [*INPUTS, *OUTPUTS]
    kinds = [*INPUTS.values(), *(kind for kind, _, _ in OUTPUTS.values())]
    codes = list(dict.fromkeys(operator for _, operator, _ in OUTPUTS.values()))
    whole = schema.ModelT()
    whole.version = 3
    whole.buffers = [schema.BufferT()]
    whole.operatorCodes = [_code(operator) for operator in codes]
    graph = schema.SubGraphT()
    graph.name = "main"
    graph.tensors = [_tensor(name, kind) for name, kind in zip(names, kinds, strict=True)]
    graph.inputs = [names.index(name) for name in INPUTS]
    graph.outputs = [names.index(name) for name in OUTPUTS]
    graph.operators = []
    for name, (_, operator, inputs) in OUTPUTS.items():
        made = schema.OperatorT()
        made.opcodeIndex = codes.index(operator)
        made.inputs, made.outputs = [names.index(each) for each in inputs], [names.index(name)]
        made.builtinOptionsType, options = _OPTIONS[operator]
        made.builtinOptions = options()
        graph.operators.append(made)
    whole.subgraphs = [graph]
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    signature.inputs = [_mapped(name, names.index(name)) for name in sorted(INPUTS)]
    signature.outputs = [_mapped(name, names.index(name)) for name in sorted(OUTPUTS)]
    whole.signatureDefs = [signature]
    builder = flatbuffers.Builder(4096)
    builder.Finish(whole.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _code(operator: int) -> schema.OperatorCodeT:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = operator
    # The version that knows the types used here.
    code.version = {_OPERATORS.MAXIMUM: 2, _OPERATORS.MINIMUM: 2, _OPERATORS.ADD: 4}.get(operator, 1)
    return code


def _tensor(name: str, kind: int) -> schema.TensorT:
    tensor = schema.TensorT()
    shape = [] if name in SCALARS else [1, _WIDTH]
    tensor.name, tensor.type, tensor.shape, tensor.buffer = name, kind, shape, 0
    return tensor


def _mapped(name: str, index: int) -> schema.TensorMapT:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, index
    return entry


if __name__ == "__main__":
    OUT.write_bytes(model())
