"""What the stock GPU delegate will not take, and what that does; the words that the rules and their readers share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from devbench.models.graph.view import OperatorView

# The tool on which every rule was seen.
SEEN_ON = "benchmark_model of TensorFlow 2.14.1, OpenCL on the bench phone"


class Effect(str, Enum):
    """What comes of an operator that is not taken, from the harmless to the fatal."""

    WRONG = "wrong"  # taken, and gave wrong numbers on the bench phone, phones have not been tried
    DRIVER = "driver"  # taken; its program did not build with one of two PoCL versions of bench phones
    CPU = "cpu"  # it stays on the CPU and may cut the graph in parts
    STOPS = "stops"  # taken, and then the delegate gives up at start, where it stands in the part that is delegated
    STOPS_ALWAYS = "stops-always"  # the delegate refuses the whole model, wherever the operator stands
    UNLOADABLE = "unloadable"  # the tool cannot load the model at all


# What does not keep an operator from the GPU.
HARMLESS = frozenset({Effect.DRIVER, Effect.WRONG})


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that the delegate was seen to refuse.

    Attributes:
        says: what the tool printed, its own words cut short.
        fixes: the rewrites of devbench that can take the cause away; whether one applies is the rewrite's to say.
        hint: what else can be done about it.
    """

    name: str
    effect: Effect
    says: str
    fixes: tuple[str, ...] = ()
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An operator that a rule is against.

    Attributes:
        detail: what of the operator the rule is against, with its figures.
        graph: the number of its graph in the model, 0 for the main one.
        fix: the rewrite that changes this very operator, empty where none does.
    """

    operator: OperatorView
    rule: Rule
    detail: str
    graph: int = 0
    fix: str = ""

    @property
    def effect(self) -> Effect:
        return self.rule.effect
