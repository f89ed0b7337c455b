"""Results of the verdicts of a comparison: the outcome of each case, counts, and whether the command fails."""

from __future__ import annotations

import pytest

from devbench.findings.comparison import ComparedRow
from tests.made.comparisons import comparison, failure, missing, row

NOISE = row("undecided", p=0.3)


@pytest.mark.parametrize(
    ("rows", "outcome"),
    [
        ([row("improved"), row("regressed", metric="init")], "regressed"),
        ([row("unchanged"), row("improved", metric="init")], "improved"),
        ([row("undecided", metric="init"), row("unchanged")], "unchanged"),
        ([row("unchanged", metric="init"), NOISE], "too noisy to call"),
        ([row("unchanged", metric="init"), row("undecided", metric="peak_memory")], "unchanged"),
        ([row("undecided", reason="throttled")], "not judged"),
        ([row("undecided", sides=((1.0,) * 3, (1.0,) * 3))], "too noisy to call"),
        ([row("undecided", sides=((1.0,) * 2, (1.0,) * 3))], "not judged"),
        ([row("undecided", sides=((1.0,) * 3, (1.0,) * 2))], "not judged"),
    ],
)
def test_a_decided_check_decides_its_case_and_else_the_latency_does(rows: list[ComparedRow], outcome: str) -> None:
    found = comparison(*rows)
    assert found.cases == {("KEY", "unet · gpu"): outcome}
    assert {one: n for one, n in found.outcomes.items() if n} == {outcome: 1}


def test_failures_decide_their_cases_and_cases_are_counted_by_outcome() -> None:
    found = comparison(
        row("improved", "a · gpu"), row("unchanged", "b · gpu"), row("unchanged", "b · gpu", device="B"), NOISE,
        failures=(failure("a · gpu"),), fixed=(failure("b · gpu"), failure("a · gpu")),
    )  # fmt: skip
    assert found.cases == {
        ("KEY", "a · gpu"): "regressed", ("KEY", "b · gpu"): "improved", ("B", "b · gpu"): "unchanged",
        ("KEY", "unet · gpu"): "too noisy to call",
    }  # fmt: skip
    assert found.outcomes == {
        "regressed": 1, "improved": 1, "unchanged": 1, "too noisy to call": 1, "not judged": 0
    }  # fmt: skip
    assert found.counts == {"regressed": 0, "improved": 1, "undecided": 1, "unchanged": 2}
    assert found.regressed and found.of("undecided") == (NOISE,)
    assert found.device_titles == {"KEY": "Phone (KEY)", "B": "Phone (B)"}


def test_a_comparison_fails_for_the_reasons_that_are_given() -> None:
    reasons = ("regressed", "missing", "improved", "undecided")

    def fails(*rows: ComparedRow, **of: object) -> list[str]:
        return [one for one in reasons if comparison(*rows, **of).fails((one, "other"))]

    assert fails(row("unchanged")) == []
    assert fails(row("regressed"), row("improved", "b · gpu")) == ["regressed", "improved"]
    assert fails(failures=(failure("a · gpu"),)) == ["regressed"]
    assert fails(NOISE, one_sided=(missing("a · gpu"),)) == ["missing", "undecided"]
    assert fails(one_sided=(missing("a · gpu", "candidate"),)) == [], "a new case is not missing"
    assert comparison(row("regressed")).fails(()) is False


def test_small_changes_and_rows_without_verdict_are_listed() -> None:
    small, reason = row("unchanged", direction="worse"), row("undecided", "b · gpu", reason="throttled")
    found = comparison(row("unchanged", "c · gpu"), small, reason, NOISE, row("regressed", direction="worse"))
    assert (found.small, found.without_verdict) == ((small,), (reason,))
