"""How `quantised.tflite` in this folder was made (TensorFlow 2.21): a fully quantised convolution, uint8 in, int8 out.

python tests/data/make_quantised.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf


def main() -> None:
    weights = tf.constant(np.random.default_rng(1).normal(size=(3, 3, 3, 8)).astype(np.float32))
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec((1, 16, 16, 3), tf.float32, "image")])
    def run(image: Any) -> Any:
        return {"features": tf.nn.relu(tf.nn.conv2d(image, weights, 1, "SAME"))}

    module.run = run
    converter = tf.lite.TFLiteConverter.from_concrete_functions([run.get_concrete_function()], module)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    draw = np.random.default_rng(2)
    converter.representative_dataset = lambda: (
        [draw.uniform(0, 1, (1, 16, 16, 3)).astype(np.float32)] for _ in range(8)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.int8
    Path(__file__).with_name("quantised.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    main()
