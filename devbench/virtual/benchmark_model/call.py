"""What the flags say of how the model is called: its signature and the shapes of its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from devbench.virtual.benchmark_model.flags import Flags
from devbench.virtual.benchmark_model.litert import Backend, CompiledModel, Model
from devbench.virtual.benchmark_model.talk import Failed, error, info


@dataclass(frozen=True, slots=True)
class Call:
    """A signature by its number, and the shapes of its inputs; no shapes for those of the file."""

    signature: int = 0
    shapes: tuple[tuple[int, ...], ...] = ()

    def compiled(self, model: Model, backend: Backend, *, profiling: bool = False) -> CompiledModel:
        """The model compiled for being called so."""
        return CompiledModel(model, backend, profiling=profiling, signature=self.signature, shapes=self.shapes)


def call_of(flags: Flags, model: Model) -> Call:
    """How the flags want the model called.

    Raises:
        Failed: it has no such signature, or a shape is none; what there is to say has been printed.
    """
    name = flags.text("signature_to_run_for")
    number = model.signature_number(name)
    if number is None:
        error(f"Signature {name} does not exist in the model")
        raise Failed
    if name:
        info(f"Signature to run for: [{name}]")
    text = flags.text("input_layer_shape")
    return Call(number, _shapes(text.split(":")) if text.strip(":") else ())


def _shapes(parts: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    try:
        return tuple(tuple(map(int, part.split(","))) if part else () for part in parts)
    except ValueError:
        error(f"Failed to parse the input shapes {':'.join(parts)}")
        raise Failed from None
