"""Models of lookups, of operators that few models have, and of some that the stock tool lacks."""

from __future__ import annotations

from collections.abc import Iterator

import tensorflow as tf

from benchmarks.gpu_corpus.common import I32, X2, X3, X4, Case, const, spec


def lookups() -> Iterator[Case]:
    ids = spec(3, dtype=I32)
    yield "gather_table", lambda i: tf.gather(const(10, 4), i), [ids], {}
    yield "gather_table_2d", lambda i: tf.gather(const(10, 4), i), [spec(1, 5, dtype=I32)], {}
    yield "gather_int64", lambda i: tf.gather(const(10, 4), i), [spec(3, dtype=tf.int64)], {}
    yield "gather_const_ids", lambda x: tf.gather(x, [0, 2], axis=1) * 2.0, [X3], {}
    yield "gather_const_ids4", lambda x: tf.gather(x, [0, 2, 1], axis=3) * 2.0, [X4], {}
    yield "gather_scalar", lambda x: tf.gather(x, 1, axis=1) * 2.0, [X3], {}
    yield "gather_run", lambda x, i: tf.gather(x, i, axis=1), [X4, ids], {}
    yield "gather_run0", lambda x, i: tf.gather(x, i), [spec(10, 4), ids], {}
    yield "gather_run0_wide", lambda x, i: tf.gather(x, i), [spec(10, 12), ids], {}
    yield "gather_batch", lambda x, i: tf.gather(x, i, batch_dims=1), [spec(1, 5, 4), spec(1, 3, dtype=I32)], {}
    yield "gather_nd", lambda x, i: tf.gather_nd(x, i), [spec(5, 4), spec(3, 1, dtype=I32)], {}
    yield "onehot", lambda i: tf.one_hot(i, 10) * 2.0, [spec(1, dtype=I32)], {}
    yield "onehot_many", lambda i: tf.one_hot(i, 10) * 2.0, [spec(1, 7, dtype=I32)], {}
    yield "onehot_out", lambda i: tf.one_hot(i, 10), [spec(4, dtype=I32)], {}
    yield "onehot_rank3", lambda i: tf.one_hot(i, 6) * 2.0, [spec(1, 1, 3, dtype=I32)], {}
    yield "argmax", lambda x: tf.argmax(x, -1), [X2], {}
    yield "argmax_i32", lambda x: tf.argmax(tf.exp(x), -1, output_type=I32), [X4], {}
    yield "argmin", lambda x: tf.argmin(x, 1), [X4], {}
    yield "topk", lambda x: tf.math.top_k(tf.nn.softmax(x), 3), [X2], {}
    yield "scatter", lambda i, u: tf.scatter_nd(i, u, [8, 4]), [spec(3, 1, dtype=I32), spec(3, 4)], {}
    yield "segment", lambda x: tf.math.segment_sum(x, [0, 0, 1]), [spec(3, 4)], {}
    yield "unique", lambda x: tf.unique(x), [spec(6, dtype=I32)], {}
    yield (
        "nms",
        lambda b, s: tf.image.non_max_suppression_padded(b, s, 5, pad_to_max_output_size=True)[0],
        [spec(10, 4), spec(10)],
        {},
    )
    yield "matrix_diag", lambda x: tf.linalg.diag(x), [X2], {}
    yield "set_diag", lambda x, d: tf.linalg.set_diag(x, d), [spec(1, 4, 4), spec(1, 4)], {}
    yield "band_part", lambda x: tf.linalg.band_part(x, -1, 0), [spec(1, 4, 4)], {}
    yield "embedding_sum", lambda i: tf.reduce_sum(tf.gather(const(10, 4), i), 0), [ids], {}
    yield "random", lambda x: x + tf.random.uniform([1, 8]), [X2], {}
    yield "fake_quant", lambda x: tf.quantization.fake_quant_with_min_max_args(x, -1, 1), [X4], {}
    yield "rfft", lambda x: tf.abs(tf.signal.rfft2d(x)), [spec(1, 8, 8)], {}
    yield "string", lambda x: tf.strings.length(x), [spec(1, dtype=tf.string)], {"flex": True}
    yield "flex_erf", lambda x: tf.math.lgamma(x) + 1, [X2], {"flex": True}
    yield "custom", lambda x: tf.math.lgamma(x) + 1, [X2], {"custom": True}
    yield "complex", lambda x: tf.math.real(tf.complex(x, x)), [X2], {"flex": True}
