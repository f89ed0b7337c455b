"""What is the same from run to run: a case as a text; knows no database.

A case is a model by its key under a delegate, with the threads and the options that make it another task for the
device. The model's bytes, the binary and the device are no part of it: they are what changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

# Options that change what is computed, with their words.
_OPTIONS = {"input_layer_shape": "shape", "signature": "signature"}
_LONGEST = 1000


def case_text(model: str, delegate: str, threads: int | None, options: Mapping[str, Any]) -> str:
    """A case in words: `unet · gpu`, `unet · cpu · 4 threads · apk`.

    Args:
        model: its key.
        delegate: its name.
        threads: as asked for, `None` for the tool's own number.
        options: of the job (`JobRecord.options`).
    """
    words = [model, delegate]
    if threads is not None:
        words.append(f"{threads} thread{'' if threads == 1 else 's'}")
    if options.get("via", "shell") != "shell":
        words.append(str(options["via"]))
    words += [f"{word} {options[name]}" for name, word in _OPTIONS.items() if options.get(name)]
    words += [_flag(flag) for flag in options.get("extra_flags") or ()]
    text = " · ".join(words)
    if len(text) <= _LONGEST:
        return text
    # What is cut off must not make two cases one.
    return f"{text[: _LONGEST - 12]}… {sha256(text.encode('utf-8', 'replace')).hexdigest()[:10]}"


def _flag(flag: Any) -> str:
    return "=".join(map(str, flag)) if isinstance(flag, (list, tuple)) else str(flag)
