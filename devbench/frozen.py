"""Creates frozen dataclasses quickly: with the standard library, 200 classes take a sixth of the time of a short run.

Type checkers see the standard library's `dataclass` and report an assignment to a frozen object. At run time, such an
assignment is not prevented. All classes share the code of the methods that compare, hash and show an object.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, frozen: bool, slots: bool) -> Callable[[type], type]:
        """Replace `dataclasses.dataclass` for frozen classes with slots."""
        return _made


def _made(cls: type) -> type:
    made: Any = dataclasses.dataclass(slots=True, eq=False, repr=False)(cls)
    fields = dataclasses.fields(made)
    compared = [field.name for field in fields if field.compare]
    values = attrgetter(*compared) if compared else type
    made.__eq__ = lambda one, other: values(one) == values(other) if type(one) is type(other) else NotImplemented
    made.__hash__ = lambda one: hash(values(one))
    made.__repr__ = _shown
    return made  # type: ignore[no-any-return]


def _shown(one: Any) -> str:
    values = (f"{field.name}={getattr(one, field.name)!r}" for field in dataclasses.fields(one))
    return f"{type(one).__qualname__}({', '.join(values)})"
