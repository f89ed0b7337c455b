"""Small models: one with two signatures, one with a random output."""

from __future__ import annotations

from tests.models.probe import Op, Part, Tensor, build, build_graphs, ints


def two_signatures() -> bytes:
    graphs = [Part([Op(kind, [Tensor((1, 4), name="x")], [Tensor((1, 4), name="y")])]) for kind in ("ABS", "NEG")]
    return build_graphs(graphs, signatures=(("absolute", 0), ("negated", 1)))


def random_model() -> bytes:
    """Two outputs: the input's absolute value, and a random number without a seed."""
    x, steady, shape = Tensor((1, 4), name="x"), Tensor((1, 4), name="steady"), ints(1, 4)
    noise = Op("RANDOM_UNIFORM", [shape], [Tensor((1, 4), name="noise")], kind="RandomOptions")
    return build([Op("ABS", [x], [steady]), noise])
