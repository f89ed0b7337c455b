"""What all kinds of models share: specifications of inputs, constants, and what a case is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

# A name, a function of tensors, the specifications of its inputs, and how it is converted.
Case = tuple[str, Callable[..., Any], Sequence[Any], dict[str, Any]]
RNG = np.random.default_rng(5)
I32 = tf.int32


def spec(*shape: int | None, dtype: Any = tf.float32) -> Any:
    """An input."""
    return tf.TensorSpec(shape, dtype)


def const(*shape: int, dtype: Any = np.float32) -> Any:
    """A constant of random numbers."""
    return tf.constant(RNG.normal(size=shape).astype(dtype))


X4, X3, X2, X1 = spec(1, 8, 8, 4), spec(1, 6, 8), spec(1, 8), spec(8)
RANKS = {4: X4, 3: X3, 2: X2, 1: X1, 5: spec(1, 2, 2, 3, 4)}
