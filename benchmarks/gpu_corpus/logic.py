"""Models of comparisons, choices, and casts."""

from __future__ import annotations

from collections.abc import Iterator

import tensorflow as tf

from benchmarks.gpu_corpus.common import I32, RANKS, X2, X3, X4, Case, const, spec


def logic() -> Iterator[Case]:
    compare = {
        "eq": tf.equal,
        "ne": tf.not_equal,
        "gt": tf.greater,
        "ge": tf.greater_equal,
        "lt": tf.less,
        "le": tf.less_equal,
    }
    for name, op in compare.items():
        for rank in (4, 3, 2, 1):
            x = RANKS[rank]
            yield f"cmp_{name}_{rank}_select", lambda a, b, op=op: tf.where(op(a, b), a, b), [x, x], {}
            yield f"cmp_{name}_{rank}_const", lambda a, op=op: tf.where(op(a, 0.5), a, a * 2), [x], {}
            yield f"cmp_{name}_{rank}_cast", lambda a, b, op=op: tf.cast(op(a, b), tf.float32) * a, [x, x], {}
        yield f"cmp_{name}_castout", lambda a, b, op=op: tf.cast(op(a, b), tf.float32), [X4, X4], {}
        yield f"cmp_{name}_out", op, [X4, X4], {}
        yield f"cmp_{name}_int", lambda a, b, op=op: tf.cast(op(a, b), tf.float32) + 1, [spec(1, 4, dtype=I32)] * 2, {}
        yield f"cmp_{name}_two", lambda a, b, op=op: (tf.where(op(a, b), a, b), tf.where(op(a, b), b, a)), [X4, X4], {}
        yield f"cmp_{name}_bcast", lambda a, b, op=op: tf.where(op(a, b), a, a * 2), [X4, spec(4)], {}
    yield "and_cast", lambda a, b: tf.cast(tf.logical_and(a > 0, b > 0), tf.float32) * a, [X4, X4], {}
    yield "and_select", lambda a, b: tf.where(tf.logical_and(a > 0, b > 0), a, b), [X4, X4], {}
    yield "or_select", lambda a, b: tf.where(tf.logical_or(a > 0, b > 0), a, b), [X4, X4], {}
    yield "not_select", lambda a, b: tf.where(tf.logical_not(a > 0), a, b), [X4, X4], {}
    yield "and_bool", tf.logical_and, [spec(1, 4, dtype=tf.bool)] * 2, {}
    yield "select_bool_in", tf.where, [spec(1, 8, 8, 4, dtype=tf.bool), X4, X4], {}
    yield "select_scalar_cond", lambda c, a, b: tf.where(c, a, b), [spec(dtype=tf.bool), X4, X4], {}
    yield "select_vector_cond", lambda c, a, b: tf.where(c, a, b), [spec(1, dtype=tf.bool), X4, X4], {}
    yield "select_const_if", lambda a: tf.where(a > 0, const(1, 8, 8, 4), a), [X4], {}
    yield "select_const_else", lambda a: tf.where(a > 0, a, const(1, 8, 8, 4)), [X4], {}
    yield "select_const_else3", lambda a: tf.where(a > 0, a, const(1, 6, 8)), [X3], {}
    yield "select_const_else2", lambda a: tf.where(a > 0, a, const(1, 8)), [X2], {}
    yield "select_scalars", lambda a: tf.where(a > 0, 1.0, 0.0) * a, [X4], {}
    yield "select_scalar_if", lambda a: tf.where(a > 0, 1.0, a), [X4], {}
    yield "select_scalar_else", lambda a: tf.where(a > 0, a, 0.0), [X4], {}
    yield "select_row", lambda a: tf.where(a > 0, a, const(4)), [X4], {}
    yield "select_int", lambda a, b: tf.where(a > b, a, b), [spec(1, 4, dtype=I32)] * 2, {}
    yield "where", lambda a: tf.where(a > 0), [X2], {}
    yield "any", lambda a: tf.reduce_any(a > 0, -1), [X4], {}
    yield "all", lambda a: tf.cast(tf.reduce_all(a > 0, -1), tf.float32), [X4], {}
    for a, b in (
        ("float32", "int32"),
        ("int32", "float32"),
        ("float32", "bool"),
        ("float32", "int64"),
        ("uint8", "float32"),
        ("float32", "float16"),
        ("int64", "int32"),
        ("bool", "float32"),
        ("int8", "float32"),
        ("float32", "uint8"),
    ):
        yield f"cast_{a}_{b}", lambda x, b=b: tf.cast(x, b), [spec(1, 4, 4, 3, dtype=a)], {}
        yield f"cast_{a}_{b}_back", lambda x, a=a, b=b: tf.cast(tf.cast(x, b), a), [spec(1, 4, 4, 3, dtype=a)], {}
    yield "cast_relu_int", lambda x: tf.nn.relu(tf.cast(x, tf.float32)) * 2, [spec(1, 4, dtype=I32)], {}
