"""The schema's names of operators and element types by their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

# Element types in the schema's order, as NumPy writes those that it has.
TYPES = (
    "float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8", "float64",
    "complex128", "uint64", "resource", "variant", "uint32", "uint16", "int4", "bfloat16", "int2", "uint4",
    "float8_e4m3fn", "float8_e5m2",
)  # fmt: skip


def type_name(number: int) -> str:
    """`float32`; `unknown` for a number that the schema does not have."""
    return TYPES[number] if 0 <= number < len(TYPES) else "unknown"


@cache
def operator_names() -> Mapping[int, str]:
    """The names of the built-in operators."""
    from ai_edge_litert import schema_py_generated as schema

    return numbered_names(schema.BuiltinOperator)


def numbered_names(enum: type) -> dict[int, str]:
    """The names of a generated enumeration by their numbers."""
    return {number: name for name, number in vars(enum).items() if isinstance(number, int)}
