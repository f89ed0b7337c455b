"""Small networks, each as float and quantised in every way of the converter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from benchmarks.gpu_corpus.common import I32, Case


def networks() -> Iterator[Case]:
    def cnn() -> Any:
        return tf.keras.Sequential(
            [
                tf.keras.layers.Input((16, 16, 3), batch_size=1),
                tf.keras.layers.Conv2D(8, 3, activation="relu"),
                tf.keras.layers.DepthwiseConv2D(3, activation="relu6"),
                tf.keras.layers.MaxPooling2D(),
                tf.keras.layers.Conv2D(16, 3),
                tf.keras.layers.BatchNormalization(),
                tf.keras.layers.ReLU(),
                tf.keras.layers.GlobalAveragePooling2D(),
                tf.keras.layers.Dense(10, activation="softmax"),
            ]
        )

    def deconv() -> Any:
        return tf.keras.Sequential(
            [
                tf.keras.layers.Input((8, 8, 3), batch_size=1),
                tf.keras.layers.Conv2D(8, 3, padding="same", activation="relu"),
                tf.keras.layers.Conv2DTranspose(8, 4, 2, "same"),
                tf.keras.layers.LeakyReLU(),
                tf.keras.layers.UpSampling2D(),
                tf.keras.layers.Conv2D(3, 1, activation="tanh"),
            ]
        )

    def mlp() -> Any:
        return tf.keras.Sequential(
            [
                tf.keras.layers.Input((16,), batch_size=1),
                tf.keras.layers.Dense(32, activation="relu"),
                tf.keras.layers.Dense(32, activation="sigmoid"),
                tf.keras.layers.Dense(4),
            ]
        )

    def residual() -> Any:
        given = tf.keras.layers.Input((16, 16, 4), batch_size=1)
        x = tf.keras.layers.Conv2D(8, 3, padding="same")(given)
        y = tf.keras.layers.Conv2D(8, 3, padding="same")(tf.keras.layers.ReLU()(x))
        z = tf.keras.layers.Add()([x, y])
        z = tf.keras.layers.Concatenate()([z, x])
        z = tf.keras.layers.Multiply()(
            [
                z,
                tf.keras.layers.Conv2D(16, 1, activation="sigmoid")(
                    tf.keras.layers.GlobalAveragePooling2D(keepdims=True)(z)
                ),
            ]
        )
        return tf.keras.Model(given, [tf.keras.layers.Flatten()(z), tf.keras.layers.AveragePooling2D()(z)])

    def text() -> Any:
        given = tf.keras.layers.Input((6,), batch_size=1, dtype=I32)
        x = tf.keras.layers.Embedding(50, 8)(given)
        x = tf.keras.layers.Conv1D(8, 3, activation="relu")(x)
        return tf.keras.Model(given, tf.keras.layers.Dense(2)(tf.keras.layers.GlobalAveragePooling1D()(x)))

    def mask() -> Any:
        given = tf.keras.layers.Input((6, 8), batch_size=1)
        x = tf.keras.layers.Dense(8)(given)
        kept = tf.keras.layers.Lambda(lambda v: tf.where(v > 0.1, v, tf.zeros_like(v)))(x)
        return tf.keras.Model(given, tf.keras.layers.Dense(2)(kept))

    for make in (cnn, deconv, mlp, residual, text, mask):
        for mode in ("float", "dynamic", "full", "fp16", "int16", "int16w", "full_tensor", "open", "sparse"):
            if make is text and mode in ("full", "int16", "int16w", "full_tensor"):
                continue
            yield f"net_{make.__name__}_{mode}", make, (), {"net": True, "mode": mode}
