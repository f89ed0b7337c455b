"""Models of one operator on each element, and of two tensors of every way to broadcast."""

from __future__ import annotations

from collections.abc import Iterator

import tensorflow as tf

from benchmarks.gpu_corpus.common import I32, RANKS, X4, Case, const, spec


def elementwise() -> Iterator[Case]:
    unary = {
        "abs": tf.abs,
        "cos": tf.cos,
        "elu": tf.nn.elu,
        "exp": tf.exp,
        "log": lambda x: tf.math.log(tf.abs(x) + 1),
        "sigmoid": tf.sigmoid,
        "neg": tf.negative,
        "rsqrt": lambda x: tf.math.rsqrt(tf.abs(x) + 1),
        "sin": tf.sin,
        "sqrt": lambda x: tf.sqrt(tf.abs(x) + 1),
        "square": tf.square,
        "tanh": tf.tanh,
        "floor": tf.floor,
        "ceil": tf.math.ceil,
        "round": tf.round,
        "sign": tf.sign,
        "gelu": lambda x: tf.nn.gelu(x, approximate=True),
        "gelu_erf": tf.nn.gelu,
        "relu": tf.nn.relu,
        "relu6": tf.nn.relu6,
        "leaky": tf.nn.leaky_relu,
        "hardswish": lambda x: x * tf.nn.relu6(x + 3) / 6,
        "clip": lambda x: tf.clip_by_value(x, -1.0, 1.0),
        "softmax": tf.nn.softmax,
        "logsoftmax": tf.nn.log_softmax,
        "softplus": tf.math.softplus,
        "swish": tf.nn.silu,
        "l2norm": lambda x: tf.nn.l2_normalize(x, -1),
        "mish": lambda x: x * tf.tanh(tf.math.softplus(x)),
        "softsign": tf.nn.softsign,
        "selu": tf.nn.selu,
        "cumsum": lambda x: tf.cumsum(x, -1),
        "cumsum0": lambda x: tf.cumsum(x, 0),
        "reverse": lambda x: tf.reverse(x, [0]),
        "atan2": lambda x: tf.atan2(x, x + 1),
        "zeros": lambda x: x + tf.zeros_like(x),
        "rank": lambda x: x * tf.cast(tf.rank(x), tf.float32),
        "addself": lambda x: x + x,
        "mulself": lambda x: x * x,
        "subself": lambda x: tf.exp(x) - tf.exp(x) * 2,
        "maxself": lambda x: tf.maximum(x, -x),
        "identity": lambda x: tf.identity(x) * 1.5,
    }
    for name, op in unary.items():
        for rank in (4, 3, 2, 1, 5) if name in ("abs", "softmax", "sigmoid", "cumsum", "relu", "leaky") else (4, 2):
            yield f"unary_{name}_{rank}", op, [RANKS[rank]], {}
    binary = {
        "add": tf.add,
        "sub": tf.subtract,
        "mul": tf.multiply,
        "div": tf.divide,
        "pow": lambda a, b: tf.pow(tf.abs(a), b),
        "max": tf.maximum,
        "min": tf.minimum,
        "sqdiff": tf.math.squared_difference,
        "floordiv": tf.math.floordiv,
        "floormod": tf.math.floormod,
    }
    shapes = (
        ((1, 8, 8, 4), (1, 8, 8, 4)),
        ((1, 8, 8, 4), (4,)),
        ((1, 8, 8, 4), (1,)),
        ((1, 8, 8, 4), (1, 1, 1, 4)),
        ((1, 8, 8, 4), (1, 8, 8, 1)),
        ((1, 8, 8, 1), (1, 8, 8, 4)),
        ((1, 8, 1, 4), (1, 1, 8, 4)),
        ((2, 4, 4), (2, 4, 1)),
        ((3, 5), (5,)),
        ((3, 5), (3, 1)),
        ((1, 3, 5), (3, 1)),
        ((2, 8, 8, 4), (1, 8, 8, 4)),
        ((7,), (1,)),
        ((8, 8, 4), (1, 8, 8, 4)),
        ((1, 5), (1, 1, 5)),
        ((1, 2, 2, 2, 3), (3,)),
        ((4, 1, 1, 3), (1, 1, 1, 3)),
        ((1, 6, 8), (6, 8)),
    )
    for name, op in binary.items():
        wide = name in ("add", "mul", "sub", "max")
        for number, (a, b) in enumerate(shapes if wide else shapes[:6]):
            yield f"binary_{name}_{number}_run", op, [spec(*a), spec(*b)], {}
            fixed = const(*b)
            yield f"binary_{name}_{number}_const", lambda x, op=op, c=fixed: op(x, c), [spec(*a)], {}
            if number < 8:
                yield f"binary_{name}_{number}_first", lambda x, op=op, c=fixed: op(c, x), [spec(*a)], {}
        yield f"binary_{name}_scalar", lambda x, op=op: op(x, 2.5), [X4], {}
        yield f"binary_{name}_int", lambda a, b, op=op: op(a, b), [spec(1, 4, dtype=I32), spec(1, 4, dtype=I32)], {}
    for name in ("relu", "relu6", "tanh", "sigmoid"):
        act = getattr(tf.nn, name)
        for kind, op in (("add", tf.add), ("mul", tf.multiply), ("sub", tf.subtract), ("div", tf.divide)):
            yield f"fused_{kind}_{name}", lambda a, b, op=op, act=act: act(op(a, b)), [X4, X4], {}
    yield "add_n2", lambda a, b: tf.add_n([a, b]), [X4, X4], {}
    yield "add_n3", lambda a, b, c: tf.add_n([a, b, c]), [X4, X4, X4], {}
