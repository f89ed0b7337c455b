"""What is named as the cause of a regression, in which order, and what is said not to be explained."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbench.analysis.explain import DelegatedNodes, Explanation, Side, TypeTime, explain


def side(delegation: DelegatedNodes | None = None, **times: float) -> Side:
    """Types named `gpu_…` ran on the delegate."""
    rows = [
        TypeTime(name.removeprefix("gpu_"), "delegate" if name.startswith("gpu_") else "cpu", ms)
        for name, ms in times.items()
    ]
    return Side(rows, delegation)


def said(found: Explanation) -> list[tuple[str, str]]:
    return [(one.kind, one.name) for one in found.causes]


def test_the_operator_that_costs_most_comes_first_and_what_got_faster_last() -> None:
    found = explain(side(CONV=10, ADD=2, SOFTMAX=1, POOL=5), side(CONV=11, ADD=5, SOFTMAX=0.5, POOL=5.01))
    assert said(found) == [("slower", "ADD"), ("slower", "CONV"), ("faster", "SOFTMAX")]
    assert found.change_ms == pytest.approx(3.51)
    assert found.causes[0].change_ms == 3
    assert found.causes[0].share == pytest.approx(3 / 3.51)
    assert found.unexplained_ms is None


def test_operators_that_came_or_went_are_named_so() -> None:
    found = explain(side(CONV=10, ADD=2), side(CONV=10, TRANSPOSE=4))
    assert said(found) == [("new", "TRANSPOSE"), ("gone", "ADD")]
    assert (found.causes[0].baseline_ms, found.causes[1].candidate_ms) == (None, None)


def test_nodes_that_fell_back_are_the_first_cause() -> None:
    before = side(DelegatedNodes(31, 31, 1), gpu_TfLiteGpuDelegate=10)
    after = side(DelegatedNodes(29, 31, 3), gpu_TfLiteGpuDelegate=9, SOFTMAX=4, RESHAPE=1)
    found = explain(before, after)
    assert said(found)[:3] == [("delegation", ""), ("new", "SOFTMAX"), ("new", "RESHAPE")]
    cause = found.causes[0]
    assert cause.change_ms == pytest.approx(4)
    assert cause.share == pytest.approx(1)
    assert (cause.baseline, cause.candidate) == (before.delegation, after.delegation)
    assert said(found)[-1] == ("faster", "TfLiteGpuDelegate")


def test_a_type_that_changed_places_has_moved() -> None:
    assert said(explain(side(gpu_CONV=5, ADD=1), side(CONV=9, ADD=1))) == [("moved to cpu", "CONV")]
    assert said(explain(side(CONV=9, ADD=1), side(gpu_CONV=5, ADD=1))) == [("moved to delegate", "CONV")]


def test_a_regression_beside_an_unchanged_delegation_is_not_laid_at_its_door() -> None:
    same = DelegatedNodes(30, 31, 1)
    found = explain(side(same, gpu_D=10, ADD=1), side(same, gpu_D=13, ADD=1))
    assert said(found) == [("slower", "D")]


def test_more_partitions_alone_are_a_cause_too() -> None:
    found = explain(side(DelegatedNodes(30, 31, 1), gpu_D=10), side(DelegatedNodes(30, 31, 4), gpu_D=12))
    assert said(found)[0] == ("delegation", "")
    assert found.causes[0].change_ms == pytest.approx(2)


def test_without_a_profile_the_delegation_is_still_named() -> None:
    found = explain(
        Side(delegation=DelegatedNodes(31, 31, 1)), Side(delegation=DelegatedNodes(0, 31, 0)), latency_change_ms=5
    )
    assert said(found) == [("delegation", "")]
    assert found.causes[0].share is None
    assert found.unexplained_ms is None


def test_what_the_operators_do_not_show_is_said() -> None:
    found = explain(side(CONV=10), side(CONV=11), latency_change_ms=3)
    assert found.unexplained_ms == pytest.approx(2)


def test_nothing_explains_nothing() -> None:
    assert explain(Side(), Side()).causes == ()
    assert explain(side(CONV=10), side(CONV=10)).causes == ()
    assert explain(side(CONV=10), Side()).causes == (), "a profile that is missing is no operator that is gone"
    assert explain(Side(delegation=DelegatedNodes()), Side(delegation=DelegatedNodes(1, 2, 3))).causes == ()


@given(
    *(
        st.lists(
            st.builds(
                TypeTime, st.sampled_from("ABC"), st.sampled_from(["cpu", "delegate", "xnnpack"]), st.floats(0, 1e6)
            ),
            max_size=6,
        )
        for _ in range(2)
    )
)
def test_causes_are_ranked_and_their_costs_are_those_of_the_types(
    before: list[TypeTime], after: list[TypeTime]
) -> None:
    found = explain(Side(before), Side(after))
    costs = [one.change_ms for one in found.causes]
    assert costs == sorted(costs, reverse=True)
    for one in found.causes:
        was = math.fsum(row.ms for row in before if row.type == one.name)
        now = math.fsum(row.ms for row in after if row.type == one.name)
        assert one.change_ms == pytest.approx(now - was, abs=1e-6)


def test_a_graph_that_was_taken_whole_without_a_count_and_is_no_longer_is_a_cause() -> None:
    (cause,) = explain(
        Side(delegation=DelegatedNodes(whole=True)), Side(delegation=DelegatedNodes(9, 180, 1, False))
    ).causes
    assert cause.kind == "delegation"


def test_the_cost_of_a_delegation_is_known_on_both_sides() -> None:
    found = explain(
        side(DelegatedNodes(31, 31, 1), gpu_D=10, ADD=1), side(DelegatedNodes(29, 31, 3), gpu_D=9, SOFTMAX=4, ADD=1)
    )
    cause = found.causes[1]
    assert (cause.kind, cause.baseline_ms, cause.candidate_ms, cause.change_ms) == ("delegation", 10, 13, 3)


def test_a_cause_has_the_numbers_of_operators_if_all_of_them_are_known() -> None:
    before = [TypeTime("CONV", "cpu", 5, 3), TypeTime("CONV", "delegate", 5, 2), TypeTime("ADD", "cpu", 4)]
    after = [TypeTime("CONV", "cpu", 15, 4), TypeTime("ADD", "cpu", 6, 7), TypeTime("NEW", "cpu", 1, 1)]
    causes = {one.name: one.counts for one in explain(Side(before), Side(after)).causes}
    assert causes == {"CONV": (5, 4), "ADD": None, "NEW": (0, 1)}


def test_changes_below_a_hundredth_of_all_are_left_out_and_one_of_a_hundredth_is_not() -> None:
    assert said(explain(side(CONV=100, ADD=5), side(CONV=100, ADD=5.9))) == []
    assert said(explain(side(CONV=95, ADD=5), side(CONV=94, ADD=6))) == [("slower", "ADD"), ("faster", "CONV")]
