"""Turns a case into a .tflite with TensorFlow's converter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.gpu_corpus.common import RNG
from benchmarks.gpu_corpus.programs import stateful


def convert(op: Callable[..., Any], inputs: Sequence[Any], how: dict[str, Any]) -> bytes:
    if how.get("state"):
        return stateful(how["state"])
    if how.get("several") or how.get("table"):
        return op()
    if how.get("net"):
        return convert_net(op(), how["mode"])
    function = tf.function(lambda *given: op(*given), input_signature=list(inputs)).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    if how.get("flex"):
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    converter.allow_custom_ops = bool(how.get("custom"))
    return converter.convert()


def convert_net(model: Any, mode: str) -> bytes:
    if mode == "sparse":
        for layer in model.layers:
            weights = layer.get_weights()
            if weights and weights[0].ndim > 1:
                weights[0][np.abs(weights[0]) < np.quantile(np.abs(weights[0]), 0.8)] = 0
                layer.set_weights(weights)
    if mode == "open":
        model = type(model).from_config(_opened(model.get_config()))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    sets = tf.lite.OpsSet
    if mode not in ("float", "open"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "sparse":
        converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    if mode == "fp16":
        converter.target_spec.supported_types = [tf.float16]
    if mode in ("full", "int16", "int16w", "full_tensor"):
        shape = model.inputs[0].shape
        converter.representative_dataset = lambda: (
            [RNG.normal(size=[d or 1 for d in shape]).astype(np.float32)] for _ in range(4)
        )
        wanted = (
            sets.TFLITE_BUILTINS_INT8
            if mode.startswith("full")
            else sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        )
        converter.target_spec.supported_ops = [wanted]
        if mode in ("full", "int16w"):
            converter.inference_input_type = converter.inference_output_type = tf.int8 if mode == "full" else tf.int16
        if mode == "full_tensor":
            converter._experimental_disable_per_channel = True
    return converter.convert()


def _opened(config: Any) -> Any:
    for layer in config["layers"]:
        inner = layer["config"]
        for key in ("batch_shape", "batch_input_shape"):
            if inner.get(key):
                inner[key] = (None, *inner[key][1:])
    return config
