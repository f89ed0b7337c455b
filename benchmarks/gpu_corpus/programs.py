"""Models with loops, branches, variables, tables, several signatures, open shapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from benchmarks.gpu_corpus.common import I32, X2, X3, X4, Case, const, spec


def programs() -> Iterator[Case]:
    def loop(x: Any) -> Any:
        return tf.while_loop(lambda i, v: i < 3, lambda i, v: (i + 1, tf.nn.relu(v * 2.0)), [0, x])[1]

    def loop_conv(x: Any) -> Any:
        kernel = const(3, 3, 4, 4)
        y = tf.while_loop(
            lambda i, v: i < 2, lambda i, v: (i + 1, tf.nn.relu(tf.nn.conv2d(v, kernel, 1, "SAME"))), [0, tf.exp(x)]
        )[1]
        return tf.sigmoid(y)

    def loop_float(x: Any) -> Any:
        return tf.while_loop(lambda v: tf.reduce_sum(v) < 100.0, lambda v: (v + 1.0,), [x])[0]

    def branch(x: Any) -> Any:
        return tf.cond(tf.reduce_sum(x) > 0, lambda: x * 2.0, lambda: tf.exp(x))

    def branch_bool(c: Any, x: Any) -> Any:
        return tf.cond(c, lambda: tf.nn.conv2d(x, const(3, 3, 4, 4), 1, "SAME"), lambda: tf.floor(x))

    def branch_shape(c: Any, x: Any) -> Any:
        return tf.cond(c, lambda: x[:, :2], lambda: x[:, :3])

    yield "while_relu", loop, [X4], {}
    yield "while_relu_2", loop, [X2], {}
    yield "while_conv", loop_conv, [X4], {}
    yield "while_float", loop_float, [X2], {}
    yield "if_sum", branch, [X4], {}
    yield "if_bool", branch_bool, [spec(dtype=tf.bool), X4], {}
    yield "if_shape", branch_shape, [spec(dtype=tf.bool), X2], {}
    for name in ("count", "state", "conv", "two", "late", "first"):
        yield f"variable_{name}", stateful, [], {"state": name}
    yield "signatures", several, [], {"several": True}
    yield "table", lookup_table, [], {"table": True}
    for name, shape in (
        ("batch", (None, 8, 8, 4)),
        ("all", (None, None, None, 4)),
        ("seq", (1, None, 8)),
        ("vec", (None, 8)),
    ):
        matrix = const(shape[-1], 6)
        yield f"open_{name}_relu", lambda x: tf.nn.relu(x) * 2.0, [spec(*shape)], {}
        yield (
            f"open_{name}_dense",
            lambda x, c=matrix: tf.nn.relu(tf.tensordot(x, c, 1)),
            [spec(*shape)],
            {},
        )
        yield f"open_{name}_mean", lambda x: tf.reduce_mean(x, -1, keepdims=True) - x, [spec(*shape)], {}
        yield f"open_{name}_flat", lambda x: tf.reshape(x, [tf.shape(x)[0], -1]), [spec(*shape)], {}
    yield "unused_input", lambda x, y: x * 2.0, [X4, X4], {}
    yield "passthrough", lambda x: (x, x * 2.0), [X4], {}
    yield "constant_out", lambda x: (const(1, 4), x * 2.0), [X4], {}
    yield "only_constant", lambda x: const(1, 4), [X4], {}
    yield "empty_tensor", lambda x: tf.concat([x, tf.zeros([1, 0, 8])], 1), [X3], {}
    yield "zero_size", lambda x: x * 2.0, [spec(0, 4)], {}
    yield "same_out", lambda x: [tf.exp(x)] * 2, [X4], {}
    yield "mixed_cut", lambda x: tf.exp(tf.floor(tf.exp(x)) * 2) + 1, [X4], {}
    yield "mixed_reverse", lambda x: tf.nn.relu(tf.reverse(tf.nn.relu(x * 2), [1])) * tf.sigmoid(x), [X4], {}
    yield (
        "mixed_branches",
        lambda x: tf.concat([tf.exp(x) * 2, tf.math.ceil(x), tf.sigmoid(tf.math.ceil(x))], 3),
        [X4],
        {},
    )
    yield "fp16_in", lambda x: x * 2, [spec(1, 8, dtype=tf.float16)], {}
    yield "f64", lambda x: x * 2, [spec(1, 8, dtype=tf.float64)], {}
    yield "int_math", lambda x: x * 2 + 1, [spec(1, 8, dtype=I32)], {}
    yield "int_mix", lambda x, i: x * tf.cast(i + 1, tf.float32), [X2, spec(1, 8, dtype=I32)], {}
    yield (
        "uint8_image",
        lambda x: tf.nn.relu(tf.cast(x, tf.float32) / 127.5 - 1),
        [spec(1, 8, 8, 3, dtype=tf.uint8)],
        {},
    )


class _State(tf.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.kept, self.other = kind, tf.Variable(tf.zeros([1, 8])), tf.Variable(tf.ones([1, 8]))
        self.kernel = const(8, 8)

    @tf.function(input_signature=[X2])
    def step(self, x: Any) -> Any:
        if self.kind == "count":
            self.kept.assign_add(x)
            return self.kept.read_value()
        if self.kind == "state":
            y = tf.tanh(tf.matmul(x, self.kernel) + self.kept)
            self.kept.assign(y)
            return y * 2.0
        if self.kind == "two":
            y = tf.sigmoid(x * self.kept + self.other)
            self.kept.assign(y)
            self.other.assign(tf.exp(y))
            return y + self.other
        if self.kind == "late":
            y = tf.exp(x) * 2.0
            self.kept.assign(y)
            return tf.nn.relu(tf.sigmoid(y) + 1.0) * self.kept
        if self.kind == "first":
            y = self.kept * x
            z = tf.floor(y)
            self.kept.assign(z)
            return tf.exp(z) * 2.0 + y
        y = tf.nn.relu(tf.matmul(tf.exp(x), self.kernel))
        before = self.kept.read_value()
        self.kept.assign(y * 0.5 + before)
        return tf.nn.softmax(y + before)


def stateful(kind: str) -> bytes:
    module = _State(kind)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.step.get_concrete_function()], module)
    converter.experimental_enable_resource_variables = True
    return converter.convert()


def several() -> bytes:
    class Two(tf.Module):
        @tf.function(input_signature=[X4])
        def one(self, x: Any) -> Any:
            return {"y": tf.nn.relu(x * 2)}

        @tf.function(input_signature=[X4])
        def other(self, x: Any) -> Any:
            return {"y": tf.floor(tf.exp(x)) * 3}

    module = Two()
    functions = [module.one.get_concrete_function(), module.other.get_concrete_function()]
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"one": functions[0], "other": functions[1]})
        return tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["one", "other"]).convert()


def lookup_table() -> bytes:
    class Table(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            keys, values = tf.constant([1, 2, 3], tf.int64), tf.constant(["a", "b", "c"])
            self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), "?")

        @tf.function(input_signature=[spec(3, dtype=tf.int64)])
        def find(self, x: Any) -> Any:
            return self.table.lookup(x)

    module = Table()
    return tf.lite.TFLiteConverter.from_concrete_functions([module.find.get_concrete_function()], module).convert()
