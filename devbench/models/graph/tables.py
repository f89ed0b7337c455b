"""A walk over the tables of a .tflite: the one place that knows its bytes; knows no operator, imports nothing heavy.

The format is the flatbuffer of TensorFlow Lite's schema (version 3): bytes 4 to 7 are the identifier `TFL3`. The file
is mapped and never read whole: of a model of gigabytes only its tables are touched. A damaged or hostile file can name
lengths and places that do not exist. Every vector is checked against the file's size, and the tables that are read are
counted: the work is bounded by `_MAX_TABLES` and the file's size.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devbench.errors import DevbenchError, InputError

IDENTIFIER = b"TFL3"
# The largest models in the field have some ten thousand operators; beyond this a file is not a model.
_MAX_TABLES = 300_000

# The schema's fields in their order. A number has the letter of `struct` for its type. A table, and a vector of tables
# in brackets, has the kind of table. "*" is a vector of numbers, of bytes or a text, "" is a field that is not used.
_SCHEMA: Mapping[str, Mapping[str, str]] = {
    "Model": {
        "version": "I", "codes": "[OperatorCode]", "graphs": "[SubGraph]", "description": "*", "buffers": "[Buffer]",
        "metadata_buffer": "", "metadata": "[Metadata]", "signatures": "[SignatureDef]",
    },
    "OperatorCode": {"old_code": "b", "custom_code": "*", "version": "i", "code": "i"},
    "SubGraph": {"tensors": "[Tensor]", "inputs": "*", "outputs": "*", "operators": "[Operator]", "name": "*"},
    "Tensor": {
        "shape": "*", "type": "b", "buffer": "I", "name": "*", "quantization": "Quantization", "is_variable": "?",
        "sparsity": "Sparsity", "shape_signature": "*",
    },
    "Buffer": {"data": "*", "offset": "Q", "size": "Q"},
    "Operator": {
        "code": "I", "inputs": "*", "outputs": "*", "options_type": "B", "options": "Options", "custom_options": "*",
    },
    "Quantization": {"min": "", "max": "", "scale": "*", "zero_point": "", "details_type": "B"},
    "Metadata": {"name": "*", "buffer": "I"},
    "SignatureDef": {
        "inputs": "[TensorMap]", "outputs": "[TensorMap]", "key": "*", "deprecated_tag": "", "graph": "I",
    },
    "TensorMap": {"name": "*", "tensor": "I"},
}  # fmt: skip
_SLOTS = {
    (kind, name): (4 + 2 * place, form)
    for kind, fields in _SCHEMA.items()
    for place, (name, form) in enumerate(fields.items())
}


class DamagedModel(Exception):
    """What is wrong with a model's file: the text completes "model PATH is damaged: …"."""


@contextmanager
def open_tables(path: Path) -> Iterator[FlatTable]:
    """The model's root table, while its file is mapped.

    Raises:
        InputError: the file cannot be opened; or what the caller reads of it cannot be followed.
    """
    with as_input_error(path), path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield root_table(data)


@contextmanager
def as_input_error(path: Path) -> Iterator[None]:
    """Turns any error while the model at `path` is read into an InputError."""
    try:
        yield
    except DevbenchError:
        raise
    except FileNotFoundError:
        raise InputError(f"model {path} does not exist", hint="check the path") from None
    except OSError as error:
        raise InputError(f"model {path} cannot be read: {error.strerror or error}", hint="check the path") from None
    except Exception as error:
        # With a damaged file, the schema's generated classes can raise anything.
        said = str(error) if isinstance(error, DamagedModel) else "its flatbuffer cannot be followed"
        raise InputError(f"model {path} is damaged: {said}", hint="is the file whole? copy it again") from None


def root_table(data: mmap.mmap) -> FlatTable:
    """The `Model` table of a mapped file."""
    if len(data) < 8 or data[4:8] != IDENTIFIER:
        raise DamagedModel("it has no TFL3 identifier")
    return FlatTable(_Bytes(data), struct.unpack_from("<I", data)[0], "Model")


def count_operators(path: Path) -> int | None:
    """Number of operators of the main graph, or `None` if the file cannot be followed."""
    try:
        with open_tables(path) as model:
            return model.item("graphs", 0).count("operators")
    except InputError:
        return None


class _Bytes:
    """A mapped file, and how many tables were read of it."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.size = data, len(data)
        self._tables = 0

    def number(self, form: str, at: int) -> Any:
        if at < 0:
            raise DamagedModel("it names a place before its beginning")
        return struct.unpack_from(f"<{form}", self.data, at)[0]

    def allow(self, length: int, tables: int) -> None:
        """Raises DamagedModel if a vector of `length` entries of 4 bytes is longer than the file, or one too many."""
        self._tables += tables
        if 4 * length > self.size or self._tables > _MAX_TABLES:
            raise DamagedModel("it claims more tables and longer lists than there can be")


class FlatTable:
    """A table of the schema's `kind` at the place `at` of a file; fields go by their names in `_SCHEMA`.

    A field that the file leaves out is 0, empty or `None`.
    """

    __slots__ = ("_kind", "_of", "at")

    def __init__(self, of: _Bytes, at: int, kind: str) -> None:
        self._of, self.at, self._kind = of, at, kind

    @property
    def data(self) -> mmap.mmap:
        """The whole file."""
        return self._of.data

    def number(self, field: str, default: int = 0) -> int:
        """A number; a Boolean as 0 or 1."""
        at, form = self._place(field)
        return int(self._of.number(form, at)) if at else default

    def numbers(self, field: str) -> tuple[int, ...]:
        """A vector of 32-bit integers."""
        start, length = self.span(field)
        self._of.allow(length, length // 64)
        return struct.unpack_from(f"<{length}i", self.data, start) if length else ()

    def text(self, field: str, max_bytes: int | None = None) -> str:
        """A text, cut after `max_bytes`: it may be as long as the file."""
        start, length = self.span(field)
        end = start + (length if max_bytes is None else min(length, max_bytes))
        return self.data[start:end].decode("utf-8", "replace")

    def table(self, field: str) -> FlatTable | None:
        """A table of its own."""
        at, kind = self._place(field)
        return self._at(at, kind) if at else None

    def count(self, field: str) -> int:
        """How many entries a vector has."""
        length = self.span(field)[1]
        self._of.allow(length, 0)
        return length

    def item(self, field: str, number: int) -> FlatTable:
        """One table of a vector."""
        if not 0 <= number < self.count(field):
            raise DamagedModel(f"it has no {field} {number}")
        return self._entry(field, self.span(field)[0] + 4 * number)

    def each(self, field: str) -> list[FlatTable]:
        """The tables of a vector."""
        start, length = self.span(field)
        self._of.allow(length, length)
        return [self._entry(field, start + 4 * number) for number in range(length)]

    def span(self, field: str) -> tuple[int, int]:
        """Where the entries of a vector or text begin in the file, and how many there are; 0 and 0 without one."""
        at = self._place(field)[0]
        if not at:
            return 0, 0
        start = at + self._of.number("I", at)
        return start + 4, self._of.number("I", start)

    def _entry(self, field: str, at: int) -> FlatTable:
        return self._at(at, _SLOTS[self._kind, field][1].strip("[]"))

    def _at(self, at: int, kind: str) -> FlatTable:
        return FlatTable(self._of, at + self._of.number("I", at), kind)

    def _place(self, field: str) -> tuple[int, str]:
        """Where a field is in the file, 0 if it is left out, and its form."""
        slot, form = _SLOTS[self._kind, field]
        table = self.at - self._of.number("i", self.at)
        place = self._of.number("H", table + slot) if slot < self._of.number("H", table) else 0
        return self.at + place if place else 0, form
