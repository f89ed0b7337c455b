"""The rules as data: which operators the delegate knows, up to which version, and each thing it was seen to refuse.

Every line was seen on `SEEN_ON`, by a model of one or a few operators that the tool was given.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from devbench.models.graph.view import OperatorView

# The tool on which every rule was observed.
SEEN_ON = "benchmark_model of TensorFlow 2.14.1, OpenCL on the bench phone"


class GpuEffect(str, Enum):
    """The effect of an operator that the delegate refuses, from harmless to fatal."""

    DRIVER = "driver"  # taken; its program did not build with one of two PoCL versions of bench phones
    WRONG = "wrong"  # taken; gave wrong numbers on the bench phone, not tried on phones
    CPU = "cpu"  # it stays on the CPU and may cut the graph in parts
    STOPS = "stops"  # taken, then the delegate fails at start, if the operator is in the delegated part
    STOPS_ALWAYS = "stops-always"  # the delegate refuses the whole model, wherever the operator is
    UNLOADABLE = "unloadable"  # the tool cannot load the model at all


# Effects that do not keep an operator from the GPU.
HARMLESS = frozenset({GpuEffect.DRIVER, GpuEffect.WRONG})


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that the delegate refused when it was tried.

    Attributes:
        says: what the tool printed, shortened.
        fixes: the rewrites of devbench that can remove the cause; `gpu.report` tries which of them applies.
        hint: another way to fix it.
    """

    name: str
    effect: GpuEffect
    says: str
    fixes: tuple[str, ...] = ()
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An operator that breaks a rule.

    Attributes:
        detail: what breaks the rule, with figures.
        graph: the number of its graph in the model, 0 for the main one.
        fix: the rewrite that changes this operator, empty without one.
    """

    operator: OperatorView
    rule: Rule
    detail: str
    graph: int = 0
    fix: str = ""

    @property
    def effect(self) -> GpuEffect:
        return self.rule.effect


# Operator → the highest version that the delegate takes.
KNOWN: dict[str, int] = {
    "ABS": 2, "ADD": 2, "ADD_N": 1, "AVERAGE_POOL_2D": 2, "BATCH_MATMUL": 4, "CAST": 5, "CONCATENATION": 2,
    "CONV_2D": 6, "COS": 1, "CUMSUM": 1, "DENSIFY": 1, "DEPTHWISE_CONV_2D": 6, "DEPTH_TO_SPACE": 2, "DEQUANTIZE": 3,
    "DIV": 2, "ELU": 1, "EQUAL": 2, "EXP": 2, "FLOOR": 1, "FLOOR_DIV": 2, "FLOOR_MOD": 2, "FULLY_CONNECTED": 9,
    "GATHER": 1, "GELU": 2, "GREATER": 2, "GREATER_EQUAL": 2, "HARD_SWISH": 1, "LEAKY_RELU": 2, "LESS": 2,
    "LESS_EQUAL": 2, "LOG": 1, "LOGICAL_AND": 1, "LOGISTIC": 2, "LSTM": 4, "MAXIMUM": 2, "MAX_POOL_2D": 2, "MEAN": 3,
    "MINIMUM": 2, "MIRROR_PAD": 2, "MUL": 3, "NEG": 1, "NOT_EQUAL": 2, "ONE_HOT": 1, "PACK": 4, "PAD": 2, "PADV2": 2,
    "POW": 1, "PRELU": 1, "QUANTIZE": 2, "REDUCE_MAX": 3, "REDUCE_MIN": 3, "REDUCE_PROD": 2, "RELU": 2, "RELU6": 2,
    "RELU_N1_TO_1": 1, "RESHAPE": 1, "RESIZE_BILINEAR": 3, "RESIZE_NEAREST_NEIGHBOR": 3, "RSQRT": 2, "SELECT": 1,
    "SELECT_V2": 1, "SIGN": 2, "SIN": 1, "SLICE": 2, "SOFTMAX": 2, "SPACE_TO_DEPTH": 2, "SPLIT": 4, "SPLIT_V": 2,
    "SQRT": 1, "SQUARE": 1, "SQUARED_DIFFERENCE": 2, "STRIDED_SLICE": 4, "SUB": 2, "SUM": 2, "TANH": 2, "TILE": 3,
    "TRANSPOSE": 4, "TRANSPOSE_CONV": 3, "UNPACK": 4,
}  # fmt: skip

_MISFIT = "OP is supported, but tensor type/shape isn't compatible."
_SILENT = "nothing: its outputs differ from the CPU's"
_NOT_BUILT = "Failed to build program executable"

_LAYERS = ("groupnorm-4d", "attention-4d", "resize-upsample", "drop-broadcast-to", "layernorm-4d")
_DENSE = ("fc-one-row", "fc-to-conv")

_RULES = [
    Rule("unknown", GpuEffect.CPU, "Operation is not supported."),
    Rule("version", GpuEffect.CPU,
         "Max version supported: 2. Requested version 3.", (*_LAYERS, *_DENSE, "downgrade-versions")),
    Rule("runtime-version", GpuEffect.UNLOADABLE, "Didn't find op for builtin opcode", (*_DENSE, "downgrade-versions"),
         "a newer benchmark_model may load it"),
    Rule("runtime-operator", GpuEffect.UNLOADABLE, "Didn't find op for builtin opcode",
         hint="a newer benchmark_model may load it"),
    Rule("unused-code", GpuEffect.UNLOADABLE, "Didn't find op for builtin opcode", ("unused-codes",)),
    Rule("runtime-type", GpuEffect.UNLOADABLE, "Unsupported data type in tensor",
         hint="a newer benchmark_model may load it"),
    Rule("custom", GpuEffect.UNLOADABLE, "Encountered unresolved custom op", hint="convert without custom operators"),
    Rule("rank", GpuEffect.CPU, _MISFIT, _LAYERS),
    Rule("type", GpuEffect.CPU, _MISFIT),
    Rule("scalar", GpuEffect.STOPS, "has bad input dims size: 0.", hint="keep the reduced axes, or reshape to [1]"),
    Rule("empty", GpuEffect.STOPS, "Failed to allocate device memory (clCreateBuffer): Invalid buffer size"),
    Rule("not-quantised", GpuEffect.STOPS, "Tensor not quantized"),
    Rule("dynamic", GpuEffect.STOPS_ALWAYS, "Failed to apply GPU delegate.", ("fixed-shapes",)),
    Rule("cpu-types", GpuEffect.STOPS_ALWAYS, "weights->type != input->type (INT8 != FLOAT32)",
         hint="leave this operator out when quantising"),
    Rule("index-type", GpuEffect.STOPS_ALWAYS, "the tool aborts (134)", hint="give the sizes as int32"),
    Rule("index-type-part", GpuEffect.STOPS, "the tool aborts (134)", hint="give the sizes as int32"),
    Rule("runtime-sizes", GpuEffect.STOPS, "the tool crashes (139)", hint="give the sizes as constants"),
    Rule("runtime-scalar", GpuEffect.STOPS, "the tool crashes (139)", hint="give it the shape of the output"),
    Rule("strides", GpuEffect.CPU, "Incorrect stride values"),
    Rule("fp16-input", GpuEffect.STOPS, "the tool aborts (134)", hint="give the model float32 inputs"),
    Rule("no-kernel", GpuEffect.STOPS, "No selector for floor"),
    Rule("same-inputs", GpuEffect.STOPS, "No support of few identical inputs in the same operation."),
    Rule("sized-by-shape", GpuEffect.CPU, "Expected 1 runtime input tensor(s), but node has 2 runtime input(s).",
         ("fixed-shapes",)),
    Rule("constant-input", GpuEffect.CPU, "Expected 1 runtime input tensor(s), but node has 0 runtime input(s).",
         hint="fold the constant when converting"),
    Rule("constant-data", GpuEffect.STOPS, "ReadNonConstantTensor: value is a constant tensor", ("gather-to-conv",),
         hint="leave it on the CPU, or fold the constant when converting"),
    Rule("constant-type", GpuEffect.STOPS, "Unsupported data type for float32 tensor",
         hint="store the constant as float32"),
    Rule("constant-batch", GpuEffect.STOPS, "Batch size is not equal to 1."),
    Rule("constant-4d", GpuEffect.STOPS, "Expected a 4D tensor of shape BxHxWxC but got 10x4",
         hint="give the constant four dimensions"),
    Rule("broadcast-batch", GpuEffect.STOPS, _NOT_BUILT, hint="reshape the smaller input to the larger one's rank"),
    Rule("broadcast-cross", GpuEffect.CPU, "MUL requires one tensor that not less than second in all dimensions."),
    Rule("activation", GpuEffect.CPU, "TfLiteFusedActivation.kTfLiteActSignBit"),
    Rule("add-activation", GpuEffect.STOPS, "Unsupported fused activation: 5"),
    Rule("inputs", GpuEffect.CPU, "Expected 1 or 2 input tensor(s), but node has 3 runtime inputs."),
    Rule("runtime-bias", GpuEffect.STOPS, "the tool crashes (139)", hint="add the bias in an ADD of its own"),
    Rule("fc-channels", GpuEffect.STOPS, "Amount of input channels should match weights width", ("fc-to-conv",)),
    Rule("fc-rows", GpuEffect.STOPS, "Unrecognized Write selector", ("fc-to-conv",)),
    Rule("program", GpuEffect.DRIVER, _NOT_BUILT, ("fc-one-row",), hint="two rows or pixels in place of one are taken"),
    Rule("depthwise-run", GpuEffect.STOPS, "the tool crashes (139)",
         hint="use constant weights, or a depth multiplier of 1"),
    Rule("depthwise-bias", GpuEffect.STOPS, "Failed to allocate device memory (clCreateBuffer): Invalid buffer size",
         hint="give it a bias"),
    Rule("depthwise-shapes", GpuEffect.CPU, "filter.i != output.c"),
    Rule("grouped-weights", GpuEffect.STOPS, "No support of CONVOLUTION_2D with runtime grouped weights."),
    Rule("weights-format", GpuEffect.CPU, "Unsupported FullyConnected weights format"),
    Rule("keep-dims", GpuEffect.CPU,
         "Input and output dimensions different and FullyConnected doesn't support keep_num_dims."),
    Rule("densify", GpuEffect.STOPS, "No selector for densify"),
    Rule("axis", GpuEffect.STOPS, "Index for axis out of range"),
    Rule("axes-type", GpuEffect.CPU, "supports int32 tensor for axes"),
    Rule("resize-centres", GpuEffect.CPU, "If half_pixel_centers is True, align_corners must be False."),
    Rule("lstm", GpuEffect.CPU, "Expected 20 or 24 input tensors"),
    Rule("mirror-batch", GpuEffect.STOPS, _NOT_BUILT, hint="pad each element of the batch on its own"),
    Rule("gather-batch", GpuEffect.STOPS, _NOT_BUILT),
    Rule("comparison-fused", GpuEffect.STOPS, _NOT_BUILT, hint="give both tensors the shape of the result"),
    Rule("cumsum-sign", GpuEffect.STOPS, _NOT_BUILT, hint="give the axis counted from the first one"),
    Rule("depth-multiplier", GpuEffect.CPU, "depth_multiplier != 1 && input.c != 1"),
    Rule("matmul-constant", GpuEffect.STOPS, "Not supported batched mat mul case",
         hint="a constant second input of two dimensions is taken"),
    Rule("softmax-beta", GpuEffect.CPU, "Softmax.beta != 1 is not supported."),
    Rule("pad-rank", GpuEffect.CPU, "Invalid paddings tensor shape: expected 4x2 or 3x2, got 2x2"),
    Rule("pad-mode", GpuEffect.CPU, "Only Reflective padding is supported for Mirror Pad operation."),
    Rule("slice-rank", GpuEffect.CPU, "SLICE supports for 3 or 4 dimensional tensors only"),
    Rule("slice-mask", GpuEffect.CPU, "Slice does not support shrink_axis_mask parameter."),
    Rule("slice-reverse", GpuEffect.STOPS, "Reverse slices are not supported."),
    Rule("slice-extent", GpuEffect.STOPS, "Output height doesn't match",
         hint="give an end within the tensor for each axis"),
    Rule("slice-batch", GpuEffect.STOPS, "Output batch don't match",
         hint="slice it with four dimensions, or with SLICE"),
    Rule("gather-indices", GpuEffect.CPU, "Only support 1D indices", ("gather-to-conv",)),
    Rule("gather-type", GpuEffect.CPU, "Only accept INT32 indices"),
    Rule("transpose-rank", GpuEffect.STOPS, "Permutation for transpose is invalid."),
    Rule("cast-types", GpuEffect.CPU, "Not supported Cast case."),
    Rule("bool-cast", GpuEffect.CPU, "Not supported cast case"),
    Rule("bool-result", GpuEffect.CPU, "Not supported logical op case"),
    Rule("select-shapes", GpuEffect.CPU, "Cond must be float or bool type, if, else tensors must be float and either"),
    Rule("one-hot", GpuEffect.CPU, "Indices must be int32 type, on/off tensors must be constant, scalar"),
    Rule("cumsum-axis", GpuEffect.CPU, "Input/output must be float type and indices must be constant int32 type"),
    Rule("block-size", GpuEffect.CPU, "DEPTH_TO_SPACE block_size = 1 is a no-op."),
    Rule("add-n", GpuEffect.CPU, "ADD_N only supports 2 inputs."),
    Rule("single-concat", GpuEffect.STOPS, _NOT_BUILT),
    Rule("prelu-alpha", GpuEffect.STOPS, "Linear alpha shape does not match the number of input channels."),
    Rule("dequantise-type", GpuEffect.CPU, "Unsupported dequantization type."),
    Rule("wrong-matmul-flag", GpuEffect.WRONG, _SILENT, ("attention-4d",)),
    Rule("wrong-matmul-rows", GpuEffect.WRONG, _SILENT, ("attention-4d",)),
    Rule("wrong-widening", GpuEffect.WRONG, _SILENT, ("layernorm-4d",)),
    Rule("wrong-select", GpuEffect.WRONG, _SILENT, hint="compute the choice from arithmetic (MAXIMUM, MUL)"),
    Rule("wrong-matmul-batch", GpuEffect.WRONG, _SILENT, ("attention-4d",)),
    Rule("wrong-cumsum", GpuEffect.WRONG, _SILENT,
         hint="give it four dimensions and the axis counted from the first one"),
    Rule("wrong-softmax", GpuEffect.WRONG, _SILENT, hint="give it two dimensions"),
    Rule("wrong-rows", GpuEffect.WRONG, _SILENT, ("fc-to-conv",)),
    Rule("wrong-blocks", GpuEffect.WRONG, _SILENT, hint="quantise by channel"),
    Rule("wrong-gather", GpuEffect.WRONG, _SILENT, ("gather-to-conv",)),
    Rule("broadcast-to", GpuEffect.CPU, "Operation is not supported.", ("drop-broadcast-to",)),
]  # fmt: skip

RULES: dict[str, Rule] = {rule.name: rule for rule in _RULES}
