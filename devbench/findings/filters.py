"""Devices and models as people name them, found in the store; one clear error each."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from devbench.errors import InputError
from devbench.results.history import History
from devbench.text import parts_of

# Of names in a hint.
_MAX_SHOWN = 10


def device_keys(histories: Sequence[History], texts: Sequence[str]) -> tuple[str, ...]:
    """The keys of the devices whose key is one of the texts, or whose title contains it.

    Raises:
        InputError: there is no such device in the store.
    """
    if not texts:
        return ()
    titles = {key: title for history in histories for key, title in history.device_titles().items()}
    found: dict[str, None] = {}
    for text in texts:
        exact = [key for key in titles if key == text]
        hits = exact or [key for key, title in titles.items() if text.casefold() in title.casefold()]
        if not hits:
            raise InputError(f"no device {text!r} in the store", hint=f"there are {', '.join(titles.values())}")
        found |= dict.fromkeys(hits)
    return tuple(found)


def model_names(histories: Sequence[History], texts: Sequence[str]) -> tuple[str, ...]:
    """The keys of the models that are called one of the texts, or whose key ends in one: `model` takes `unet/model`.

    Raises:
        InputError: there is no such model in the store.
    """
    if not texts:
        return ()
    known = sorted({name for history in histories for name in history.model_names()})
    found: dict[str, None] = {}
    # A key may contain a comma.
    for text in (part for one in texts for part in ([one] if one in known else parts_of([one]))):
        hits = [name for name in known if name == text] or [name for name in known if name.endswith(f"/{text}")]
        if not hits:
            near = difflib.get_close_matches(text, known, n=1)
            shown = ", ".join(known[:_MAX_SHOWN]) + (", …" if len(known) > _MAX_SHOWN else "")
            raise InputError(
                f"no model {text!r} in the store", hint=f"did you mean {near[0]}?" if near else f"there are {shown}"
            )
        found |= dict.fromkeys(hits)
    return tuple(found)
