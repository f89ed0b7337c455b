"""TensorFlow and its converter, imported late and quiet, and models that devbench builds with them; knows no device.

TensorFlow comes with the extra `models`. It is imported only here and only when a model is built. Weights are
random from a fixed seed: latency does not depend on them.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from devbench.errors import EnvironmentProblem, InputError, install_hint
from devbench.host.whole_files import writing

_SEED = 1
_GROUPS = 8


def tensorflow() -> Any:
    """The module, imported now.

    Raises:
        EnvironmentProblem: it is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with silent():
            import tensorflow as tf
    except ImportError:
        raise EnvironmentProblem("building a model needs TensorFlow", hint=install_hint("models")) from None
    return tf


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Discards what libraries write to standard output and error, in Python or below it."""
    _flush()
    saved = os.dup(1), os.dup(2)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            # Write Python's buffered output now, while it is still discarded; otherwise it would appear after the
            # block.
            _flush()
            for target, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, target)
                os.close(copy)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def build(name: str, out: Path) -> int:
    """Build the model called `name` and write it to `out`; gives its size in bytes.

    Raises:
        InputError: there is no such model, or `out` cannot be written.
        EnvironmentProblem: TensorFlow is not installed.
    """
    make = BUILDERS.get(name)
    if make is None:
        raise InputError(f"unknown model {name!r}", hint=f"known: {', '.join(BUILDERS)}")
    tf = tensorflow()
    tf.keras.utils.set_random_seed(_SEED)
    with silent():
        data: bytes = tf.lite.TFLiteConverter.from_keras_model(make(tf.keras)).convert()
    with writing(out):
        out.write_bytes(data)
    return len(data)


def _small_unet(keras: Any) -> Any:
    """A denoising U-Net of the kind of Stable Diffusion's, at test size: 252,772 parameters, latent 1×32×32×4.

    Residual blocks with group normalisation as frameworks write it (5-D tensors, which GPU delegates refuse), SiLU,
    3×3 convolutions, self-attention at half resolution, nearest up-sampling, a skip connection.
    """
    layers = keras.layers

    def norm_act(x: Any) -> Any:
        return layers.Activation("silu")(layers.GroupNormalization(groups=_GROUPS)(x))

    def block(x: Any, channels: int) -> Any:
        h = layers.Conv2D(channels, 3, padding="same")(norm_act(x))
        h = layers.Conv2D(channels, 3, padding="same")(norm_act(h))
        if x.shape[-1] != channels:
            x = layers.Conv2D(channels, 1)(x)
        return layers.Add()([x, h])

    latent = keras.Input((32, 32, 4), batch_size=1, name="latent")
    x = layers.Conv2D(32, 3, padding="same")(latent)
    skip = block(x, 32)
    x = layers.Conv2D(64, 3, strides=2, padding="same")(skip)
    x = block(x, 64)
    tokens = layers.Reshape((256, 64))(layers.GroupNormalization(groups=_GROUPS)(x))
    query, key, value = (layers.Dense(64, use_bias=False)(tokens) for _ in range(3))
    attended = layers.Attention(use_scale=False)([query, value, key])
    x = layers.Add()([x, layers.Reshape((16, 16, 64))(layers.Dense(64)(attended))])
    x = block(x, 64)
    x = layers.Conv2D(32, 3, padding="same")(layers.UpSampling2D(interpolation="nearest")(x))
    x = block(layers.Concatenate()([x, skip]), 32)
    return keras.Model(latent, layers.Conv2D(4, 3, padding="same")(norm_act(x)))


def _small_cnn(keras: Any) -> Any:
    """A small classifier of operators that every delegate supports: convolutions, pooling, softmax."""
    layers = keras.layers
    image = keras.Input((32, 32, 3), batch_size=1, name="image")
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(image)
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(32, 3, padding="same", activation="relu")(x)
    x = layers.Conv2D(32, 3, strides=2, padding="same", activation="relu6")(x)
    x = layers.Conv2D(10, 1)(x)
    x = layers.AveragePooling2D(8)(x)
    return keras.Model(image, layers.Softmax()(layers.Reshape((10,))(x)))


BUILDERS: Mapping[str, Callable[[Any], Any]] = {"small-unet": _small_unet, "small-cnn": _small_cnn}
