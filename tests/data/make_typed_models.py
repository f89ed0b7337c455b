"""How the models with several typed inputs and outputs in this folder were made (TensorFlow 2.21).

    python tests/data/make_typed_models.py

`two_inputs.tflite`: `b` stands before `a` in the graph, outputs are a - b (float32) and the larger of n and 3 (int32).
`quantised.tflite`: a fully quantised convolution with uint8 image, int8 output.
`tokens.tflite`: int32 tokens into a table of floats, and a bool mask that picks rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent


def save(name: str, function: Any, specs: list[tf.TensorSpec], configure: Any = None) -> None:
    module = tf.Module()
    module.run = tf.function(function, input_signature=specs)
    # With the module the model gets a signature, which lists inputs and outputs in an order of its own.
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.run.get_concrete_function()], module)
    if configure is not None:
        configure(converter)
    (HERE / name).write_bytes(converter.convert())


def two_inputs() -> None:
    def run(b: Any, n: Any, a: Any) -> Any:
        return {"difference": a - b, "larger": tf.maximum(n, 3)}

    specs = [
        tf.TensorSpec((1, 8), tf.float32, "b"),
        tf.TensorSpec((1, 4), tf.int32, "n"),
        tf.TensorSpec((1, 8), tf.float32, "a"),
    ]
    save("two_inputs.tflite", run, specs)


def quantised() -> None:
    weights = tf.constant(np.random.default_rng(1).normal(size=(3, 3, 3, 8)).astype(np.float32))

    def configure(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        draw = np.random.default_rng(2)
        converter.representative_dataset = lambda: (
            [draw.uniform(0, 1, (1, 16, 16, 3)).astype(np.float32)] for _ in range(8)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.int8

    def run(image: Any) -> Any:
        return {"features": tf.nn.relu(tf.nn.conv2d(image, weights, 1, "SAME"))}

    save("quantised.tflite", run, [tf.TensorSpec((1, 16, 16, 3), tf.float32, "image")], configure)


def tokens() -> None:
    table = tf.constant(np.random.default_rng(3).normal(size=(10, 8)).astype(np.float32))

    def run(tokens: Any, mask: Any) -> Any:
        rows = tf.gather(table, tokens)
        return {"rows": tf.where(mask[:, tf.newaxis], rows, tf.zeros_like(rows)), "next": tokens + 1}

    save("tokens.tflite", run, [tf.TensorSpec((6,), tf.int32, "tokens"), tf.TensorSpec((6,), tf.bool, "mask")])


if __name__ == "__main__":
    two_inputs()
    quantised()
    tokens()
