"""Constants as the delegate reads them: of which types and ranks, and what it says of others."""

from __future__ import annotations

from collections.abc import Iterator

from devbench.models.gpu.context import Context, Finding
from devbench.models.gpu.layout import words
from devbench.models.graph.view import TensorView

_READABLE = frozenset({"float32", "float16", "int8", "uint8", "int32"})
_SPARSE = frozenset({"float32", "float16"})


def constant_findings(tensor: TensorView, context: Context, ranks: tuple[int, ...]) -> Iterator[Finding]:
    """Why a constant cannot be read as float32 of one of these ranks; with three and four the batch must be 1."""
    dtype = context.stored_type(tensor)
    if dtype not in (_SPARSE if tensor.sparse else _READABLE):
        yield Finding("constant-type", f"a constant of {dtype}{', sparse' if tensor.sparse else ''}")
    elif dtype in ("int8", "uint8") and not tensor.quantised:
        yield Finding("constant-type", f"a constant of {dtype} without a scale")
    if tensor.rank not in ranks:
        wanted = " or ".join(map(str, ranks))
        yield Finding("constant-4d", f"a constant of {words(tensor.shape)}, where {wanted} dimensions are read")
    elif ranks == (3, 4) and tensor.rank == 4 and tensor.shape[0] != 1:
        yield Finding("constant-batch", f"a constant of {words(tensor.shape)}")


def as_shape_list(shape: tuple[int, ...], last: int) -> list[int]:
    """The last so many extents."""
    return list(shape[-last:])
