"""Makes the text of a case, which is the same in each run; knows no database.

A case is a model by its key under a delegate, with the threads and the options that make it another task for the
device. The model's bytes, the binary and the device are not part of it: they may change.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from devbench.text import clean

_LONGEST = 1000


def case_text(model: str, delegate: str, threads: int | None, options: Mapping[str, Any]) -> str:
    """Return a case in words: `unet · gpu`, `unet · cpu · 4 threads · apk`.

    Args:
        model: its key.
        delegate: its name.
        threads: the requested number, `None` for the tool's default.
        options: of the job (`JobRecord.options`).
    """
    words = [model, delegate]
    if threads is not None:
        words.append(f"{threads} thread{'' if threads == 1 else 's'}")
    if options.get("via", "shell") != "shell":
        words.append(str(options["via"]))
    words += input_texts(options)
    flags = options.get("extra_flags") or ()
    words += ["=".join(map(str, flag)) if isinstance(flag, (list, tuple)) else str(flag) for flag in flags]
    text = " · ".join(words)
    if len(text) <= _LONGEST:
        return text
    # A cut text would be the same for two cases, so a hash is added.
    return f"{text[: _LONGEST - 12]}… {sha256(text.encode('utf-8', 'replace')).hexdigest()[:10]}"


def input_texts(options: Mapping[str, Any]) -> list[str]:
    """Return the signature and the shapes of inputs with which a model is called, if the options contain them.

    Args:
        options: of the job, also as they come out of a file.
    """
    signature = options.get("signature")
    words = [f"signature {_plain(str(signature))}"] if signature else []
    shapes = [(str(name), "x".join(map(str, sizes))) for name, sizes in options.get("input_shapes") or ()]
    if len(shapes) == 1 and "," not in str(options.get("input_layer")):
        words.append(f"shape {shapes[0][1]}")
    elif shapes:
        words.append("shapes " + ", ".join(f"{_plain(name)}={sizes}" for name, sizes in shapes))
    return words


def subject_text(model: str, options: Mapping[str, Any]) -> str:
    """Return a model with its signature and shapes, as text; delegates can be compared if this text is the same."""
    return " · ".join([model, *input_texts(options)])


_INPUTS = ("signature ", "shape ", "shapes ")


def without_inputs(case: str) -> str:
    """Return the text of a case without the words of `input_texts`: how a model ran, whatever it was called with."""
    return " · ".join(part for part in case.split(" · ") if not part.startswith(_INPUTS))


def subject_of(model: str, case: str) -> str:
    """Return the text of `subject_text` from the text of a case."""
    return " · ".join([model, *(part for part in case.split(" · ") if part.startswith(_INPUTS))])


def _plain(text: str) -> str:
    return clean(text, 80).replace(" · ", " - ")
