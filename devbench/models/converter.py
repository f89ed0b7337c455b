"""TensorFlow and its converter: imported late, and quiet."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from devbench.errors import EnvironmentProblem, install_hint


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
    """TensorFlow writes to the process's own standard output and error, below Python; this keeps them quiet."""
    saved = os.dup(1), os.dup(2)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            for target, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, target)
                os.close(copy)
