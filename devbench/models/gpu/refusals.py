"""What the stock GPU delegate refuses, and the effect: the types that the rules and the report share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from devbench.models.graph.view import OperatorView

# The tool on which every rule was seen.
SEEN_ON = "benchmark_model of TensorFlow 2.14.1, OpenCL on the bench phone"


class GpuEffect(str, Enum):
    """The effect of an operator that the delegate refuses, from harmless to fatal."""

    WRONG = "wrong"  # taken, and gave wrong numbers on the bench phone, phones have not been tried
    DRIVER = "driver"  # taken; its program did not build with one of two PoCL versions of bench phones
    CPU = "cpu"  # it stays on the CPU and may cut the graph in parts
    STOPS = "stops"  # taken, then the delegate fails at start, if the operator is in the delegated part
    STOPS_ALWAYS = "stops-always"  # the delegate refuses the whole model, wherever the operator is
    UNLOADABLE = "unloadable"  # the tool cannot load the model at all


# Effects that do not keep an operator from the GPU.
HARMLESS = frozenset({GpuEffect.DRIVER, GpuEffect.WRONG})


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that the delegate was seen to refuse.

    Attributes:
        says: what the tool printed, shortened.
        fixes: the rewrites of devbench that can remove the cause; `gpu.fixes` tries which of them applies.
        hint: another way to fix it.
    """

    name: str
    effect: GpuEffect
    says: str
    fixes: tuple[str, ...] = ()
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An operator that breaks a rule.

    Attributes:
        detail: what of the operator breaks the rule, with its figures.
        graph: the number of its graph in the model, 0 for the main one.
        fix: the rewrite that changes this operator, empty without one.
    """

    operator: OperatorView
    rule: Rule
    detail: str
    graph: int = 0
    fix: str = ""

    @property
    def effect(self) -> GpuEffect:
        return self.rule.effect
