"""The rules as data: the operators that the delegate knows, to which version, and each thing it was seen to refuse.

Every line was seen on `SEEN_ON`, by a model of one or a few operators that the tool was given.
"""

from __future__ import annotations

from devbench.models.gpu.refusal import Effect, Rule

# Operator → the highest version that the delegate takes, the highest that the 2.14 runtime loads.
KNOWN: dict[str, tuple[int, int]] = {
    "ABS": (2, 5), "ADD": (2, 5), "ADD_N": (1, 1), "AVERAGE_POOL_2D": (2, 3), "BATCH_MATMUL": (4, 4), "CAST": (5, 5),
    "CONCATENATION": (2, 4), "CONV_2D": (6, 7), "COS": (1, 1), "CUMSUM": (1, 1), "DEPTHWISE_CONV_2D": (6, 7),
    "DEPTH_TO_SPACE": (2, 2), "DEQUANTIZE": (3, 5), "DIV": (2, 2), "ELU": (1, 1), "EQUAL": (2, 4), "EXP": (2, 2),
    "FLOOR": (1, 1), "FLOOR_DIV": (2, 3), "FLOOR_MOD": (2, 2), "FULLY_CONNECTED": (9, 10), "GATHER": (1, 6),
    "GELU": (2, 2), "GREATER": (2, 2), "GREATER_EQUAL": (2, 3), "HARD_SWISH": (1, 1), "LEAKY_RELU": (2, 2),
    "LESS": (2, 3), "LESS_EQUAL": (2, 2), "LOG": (1, 1), "LOGICAL_AND": (1, 1), "LOGISTIC": (2, 3), "LSTM": (4, 4),
    "MAXIMUM": (2, 4), "MAX_POOL_2D": (2, 3), "MEAN": (3, 3), "MINIMUM": (2, 4), "MIRROR_PAD": (2, 3), "MUL": (3, 7),
    "NEG": (1, 1), "NOT_EQUAL": (2, 3), "ONE_HOT": (1, 1), "PACK": (4, 4), "PAD": (2, 4), "PADV2": (2, 4),
    "POW": (1, 1), "PRELU": (1, 1), "QUANTIZE": (2, 3), "REDUCE_MAX": (3, 3), "REDUCE_MIN": (3, 3),
    "REDUCE_PROD": (2, 2), "RELU": (2, 3), "RELU6": (2, 3), "RELU_N1_TO_1": (1, 1), "RESHAPE": (1, 1),
    "RESIZE_BILINEAR": (3, 4), "RESIZE_NEAREST_NEIGHBOR": (3, 4), "RSQRT": (2, 2), "SELECT": (1, 4),
    "SELECT_V2": (1, 2), "SIGN": (2, 2), "SIN": (1, 1), "SLICE": (2, 6), "SOFTMAX": (2, 3), "SPACE_TO_DEPTH": (2, 2),
    "SPLIT": (4, 4), "SPLIT_V": (2, 2), "SQRT": (1, 1), "SQUARE": (1, 1), "SQUARED_DIFFERENCE": (2, 2),
    "STRIDED_SLICE": (4, 8), "SUB": (2, 5), "SUM": (2, 2), "TANH": (2, 3), "TILE": (3, 3), "TRANSPOSE": (4, 6),
    "TRANSPOSE_CONV": (3, 4), "UNPACK": (4, 4),
}  # fmt: skip

_MISFIT = "OP is supported, but tensor type/shape isn't compatible."
_SILENT = "nothing: its outputs differ from the CPU's"
_NOT_BUILT = "Failed to build program executable"

_RULES = [
    Rule("unknown", Effect.CPU, "Operation is not supported."),
    Rule("version", Effect.CPU, "Max version supported: 2. Requested version 3.", "downgrade-versions"),
    Rule("runtime-version", Effect.UNLOADABLE, "Didn't find op for builtin opcode", "downgrade-versions",
         "a newer benchmark_model may load it"),
    Rule("custom", Effect.UNLOADABLE, "Encountered unresolved custom op", hint="convert without custom operators"),
    Rule("rank", Effect.CPU, _MISFIT),
    Rule("type", Effect.CPU, _MISFIT),
    Rule("scalar", Effect.STOPS, "has bad input dims size: 0.", hint="keep the reduced axes, or reshape to [1]"),
    Rule("empty", Effect.STOPS, "Failed to allocate device memory (clCreateBuffer): Invalid buffer size"),
    Rule("not-quantised", Effect.STOPS, "Tensor not quantized"),
    Rule("dynamic", Effect.STOPS_ALWAYS, "Failed to apply GPU delegate.", "fixed-shapes"),
    Rule("index-type", Effect.STOPS_ALWAYS, "the tool aborts (134)", hint="give the sizes as int32"),
    Rule("fp16-input", Effect.STOPS_ALWAYS, "the tool aborts (134)", hint="give the model float32 inputs"),
    Rule("no-kernel", Effect.STOPS, "No selector for floor"),
    Rule("same-inputs", Effect.STOPS, "No support of few identical inputs in the same operation."),
    Rule("constant-input", Effect.CPU, "Expected 1 runtime input tensor(s), but node has 0 runtime input(s).",
         hint="fold the constant when converting"),
    Rule("constant-data", Effect.STOPS, "ReadNonConstantTensor: value is a constant tensor",
         hint="leave it on the CPU, or fold the constant when converting"),
    Rule("constant-batch", Effect.STOPS, "Batch size is not equal to 1."),
    Rule("constant-4d", Effect.STOPS, "Expected a 4D tensor of shape BxHxWxC but got 10x4",
         hint="give the constant four dimensions"),
    Rule("broadcast-batch", Effect.STOPS, _NOT_BUILT, hint="reshape the smaller input to the larger one's rank"),
    Rule("broadcast-cross", Effect.CPU, "MUL requires one tensor that not less than second in all dimensions."),
    Rule("activation", Effect.CPU, "TfLiteFusedActivation.kTfLiteActSignBit"),
    Rule("add-activation", Effect.STOPS, "Unsupported fused activation: 5"),
    Rule("inputs", Effect.CPU, "Expected 1 or 2 input tensor(s), but node has 3 runtime inputs."),
    Rule("runtime-bias", Effect.STOPS, "the tool crashes (139)", hint="add the bias in an ADD of its own"),
    Rule("fc-channels", Effect.STOPS, "Amount of input channels should match weights width", "fc-to-conv"),
    Rule("fc-rows", Effect.STOPS, "Unrecognized Write selector", "fc-to-conv"),
    Rule("program", Effect.DRIVER, _NOT_BUILT, "fc-one-row", hint="two rows or pixels in place of one are taken"),
    Rule("depthwise-bias", Effect.STOPS, "Failed to allocate device memory (clCreateBuffer): Invalid buffer size",
         hint="give it a bias"),
    Rule("depth-multiplier", Effect.CPU, "depth_multiplier != 1 && input.c != 1"),
    Rule("matmul-constant", Effect.STOPS, "Not supported batched mat mul case",
         hint="a constant second input of two dimensions is taken"),
    Rule("softmax-beta", Effect.CPU, "Softmax.beta != 1 is not supported."),
    Rule("pad-rank", Effect.CPU, "Invalid paddings tensor shape: expected 4x2 or 3x2, got 2x2"),
    Rule("pad-mode", Effect.CPU, "Only Reflective padding is supported for Mirror Pad operation."),
    Rule("slice-rank", Effect.CPU, "SLICE supports for 3 or 4 dimensional tensors only"),
    Rule("slice-mask", Effect.CPU, "Slice does not support shrink_axis_mask parameter."),
    Rule("slice-reverse", Effect.STOPS, "Reverse slices are not supported."),
    Rule("slice-extent", Effect.STOPS, "Output height doesn't match",
         hint="give an end within the tensor for each axis"),
    Rule("slice-batch", Effect.STOPS, "Output batch don't match", hint="slice it with four dimensions, or with SLICE"),
    Rule("gather-indices", Effect.CPU, "Only support 1D indices", "gather-to-conv"),
    Rule("gather-type", Effect.CPU, "Only accept INT32 indices"),
    Rule("transpose-rank", Effect.STOPS, "Permutation for transpose is invalid."),
    Rule("cast-types", Effect.CPU, "Not supported Cast case."),
    Rule("bool-cast", Effect.CPU, "Not supported cast case"),
    Rule("bool-result", Effect.CPU, "Not supported logical op case"),
    Rule("select-shapes", Effect.CPU, "Cond must be float or bool type, if, else tensors must be float and either"),
    Rule("one-hot", Effect.CPU, "Indices must be int32 type, on/off tensors must be constant, scalar"),
    Rule("cumsum-axis", Effect.CPU, "Input/output must be float type and indices must be constant int32 type"),
    Rule("block-size", Effect.CPU, "DEPTH_TO_SPACE block_size = 1 is a no-op."),
    Rule("add-n", Effect.CPU, "ADD_N only supports 2 inputs."),
    Rule("single-concat", Effect.STOPS, _NOT_BUILT),
    Rule("prelu-alpha", Effect.STOPS, "Linear alpha shape does not match the number of input channels."),
    Rule("dequantise-type", Effect.CPU, "Unsupported dequantization type."),
    Rule("wrong-matmul-flag", Effect.WRONG, _SILENT, "attention-4d"),
    Rule("wrong-matmul-rows", Effect.WRONG, _SILENT, "attention-4d"),
    Rule("wrong-widening", Effect.WRONG, _SILENT, "layernorm-4d"),
    Rule("wrong-gather", Effect.WRONG, _SILENT, "gather-to-conv"),
    Rule("broadcast-to", Effect.CPU, "Operation is not supported.", "drop-broadcast-to"),
]  # fmt: skip

RULES: dict[str, Rule] = {rule.name: rule for rule in _RULES}
