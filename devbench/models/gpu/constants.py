"""Which types and ranks the delegate can read of a constant."""

from __future__ import annotations

from collections.abc import Iterator

from devbench.models.gpu.context import Context, Violation
from devbench.models.gpu.layout import shown
from devbench.models.graph.view import TensorView

_READABLE = frozenset({"float32", "float16", "int8", "uint8", "int32"})
_SPARSE = frozenset({"float32", "float16"})


def unreadable(tensor: TensorView | None, context: Context, *ranks: int) -> Iterator[Violation]:
    """Why a constant cannot be read as float32 of one of these ranks; with three and four the batch must be 1.

    Nothing for a tensor that is not constant.
    """
    if tensor is None or not context.is_constant(tensor):
        return
    dtype = context.stored_type(tensor)
    if dtype not in (_SPARSE if tensor.sparse else _READABLE):
        yield Violation("constant-type", f"a constant of {dtype}{', sparse' if tensor.sparse else ''}")
    elif dtype in ("int8", "uint8") and not tensor.quantised:
        yield Violation("constant-type", f"a constant of {dtype} without a scale")
    if tensor.rank not in ranks:
        wanted = " or ".join(map(str, ranks))
        yield Violation("constant-4d", f"a constant of {shown(tensor)}, where {wanted} dimensions are read")
    elif ranks == (3, 4) and tensor.rank == 4 and tensor.shape[0] != 1:
        yield Violation("constant-batch", f"a constant of {shown(tensor)}")
