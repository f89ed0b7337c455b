"""Parts of a comparison from hand-made data: files that differ, failures, drift, and values that are left out."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from devbench.findings.comparison import CaseOnDevice, ComparedRuns, DriftCorrection
from devbench.findings.comparison_notices import (
    Corrections,
    changed_files,
    corrections,
    drift_notices,
    failures,
    few_processes,
    left_out,
    percent,
    virtual_notices,
)
from devbench.findings.comparison_sides import SideData, Values, no_verdicts, reliable_values
from devbench.notices import Effect, Notice, NoticeKind
from devbench.results.queries import UsedFile
from tests.made.comparisons import on_device, row
from tests.made.samples import NOW

CASES = ("unet · gpu", "unet · cpu", "ref · gpu", "ref · cpu")
SUBJECTS = {("KEY", case): on_device(case) for case in CASES} | {("B", CASES[0]): on_device(CASES[0], "B")}


def used(case: str, name: str, sha: str, role: str = "delegate", version: str = "", device: str = "KEY") -> UsedFile:
    return UsedFile(device, case, role, name, sha * 64, version)


def test_each_file_that_differs_is_one_notice_with_its_cases() -> None:
    shared = [used(f"{k} · gpu", "lib.so", "a", version="1") for k in range(5)]
    newer = [used(f"{k} · gpu", "lib.so", "b", version="2") for k in range(5)]
    before = [*shared, used("0 · gpu", "x.bin", "c", "input"), used("9 · gpu", "gone.so", "d")]
    after = [
        *newer, used("0 · gpu", "x.bin", "c", "input"), used("1 · gpu", "other", "e", "strange"),
        used("0 · gpu", "tool-2", "f", "tool"), used("0 · gpu", "tool-1", "0", "tool"),
    ]  # fmt: skip
    found = changed_files(before, after)
    assert [(one.subject, one.text) for one in found] == [
        ("lib.so", "the library is not the same on both sides: 1 (aaaaaaaa) → 2 (bbbbbbbb); used by 0 · gpu, 1 · gpu, "
         "2 · gpu and 2 more"),
        ("other", "the file is used by the candidate only: eeeeeeee; used by 1 · gpu"),
        ("benchmark_model", "the tool is used by the candidate only: tool-1 (00000000), tool-2 (ffffffff); "
         "used by 0 · gpu"),
    ]  # fmt: skip
    three = changed_files(shared[:3], [*newer[:3], *(used("0 · gpu", "lib.so", "b", version="2", device="B"),)])
    assert [one.text.partition("; ")[2] for one in three] == ["used by 0 · gpu, 1 · gpu, 2 · gpu"]
    (gone,) = changed_files(shared[:1], [used("0 · gpu", "y.bin", "a", "input")])[:1]
    assert gone.text.startswith("the library is used by the baseline only: 1 (aaaaaaaa)")
    assert changed_files(shared, shared) == ()


def jobs(*rows: tuple[str, int, int, str | None, str | None]) -> pd.DataFrame:
    """Cases, each with its numbers of successes and failures, and its last failure."""
    names = ["case", "measured", "failed", "failure_kind", "failure_message"]
    return pd.DataFrame(rows, columns=names).assign(device_key="KEY", ok=lambda frame: frame["measured"])


def test_a_case_fails_if_none_ended_well_or_more_failed_than_chance_explains() -> None:
    def new(before: tuple[int, int], after: tuple[int, int], alpha: float = 0.05) -> bool:
        sides = [jobs((CASES[0], *side, "crash", "boom")) for side in (before, after)]
        failed, fixed = failures(*sides, SUBJECTS, alpha)
        back = failures(sides[1], sides[0], SUBJECTS, alpha)
        assert (back[1], back[0]) == (failed, fixed)
        return bool(failed)

    assert new((8, 0), (0, 8)) and new((1, 9), (0, 1)), "none ended well"
    assert not new((0, 8), (0, 8)) and not new((8, 0), (8, 0))
    # All four failures are on one side: 1 of 70 draws, so p = 1/70.
    assert new((4, 0), (0, 4)) and not new((0, 4), (4, 0))
    # All three failures are among the later four: p = C(4,3)/C(8,3) = 4/56.
    assert not new((4, 0), (1, 3)) and new((4, 0), (1, 3), alpha=0.08)
    assert new((4, 0), (1, 3), alpha=4 / 56 + 1e-12)


def test_failures_have_the_last_message_and_the_sums_of_all_jobs_of_a_case() -> None:
    before = jobs((CASES[0], 3, 0, None, None), (CASES[0], 1, 0, None, None), (CASES[1], 2, 0, None, None))
    after = jobs(
        (CASES[0], 0, 2, "crash", "first"), (CASES[0], 0, 3, "timeout", None), (CASES[0], 0, 0, "none", "later"),
        (CASES[3], 0, 1, "crash", ""),
    )  # fmt: skip
    (found,) = failures(before, after, SUBJECTS, 0.05)[0]
    assert (found.case, found.kind, found.message, found.failed, found.of) == (CASES[0], "timeout", "", 5, 5)
    checked = after.assign(measured=0), before.assign(measured=0)
    assert [one.case for one in failures(checked[1], checked[0], SUBJECTS, 0.05)[0]] == [CASES[0]], (
        "outputs alone count"
    )
    half = before.assign(measured=[0, 0, 0]), jobs((CASES[0], 5, 0, None, None))
    assert failures(*half, SUBJECTS, 0.05) == ((), ()), "that outputs were right is no latency"


@pytest.mark.parametrize(("change", "text"), [(0.08, "+8.0 %"), (-0.0123, "−1.2 %"), (0.0, "+0.0 %")])
def test_changes_are_shown_in_percent(change: float, text: str) -> None:
    assert percent(change) == text


def test_drift_that_was_removed_is_shown_with_the_number_of_cases() -> None:
    drifts = [
        DriftCorrection("KEY", "Phone", "ref · gpu", metric, 0.1, n) for metric, n in (("latency", 1), ("init", 2))
    ]
    assert [(one.kind, one.subject, one.device_key, one.text) for one in drift_notices(drifts)] == [
        (
            NoticeKind.DRIFT_REMOVED,
            "Phone",
            "KEY",
            f"{what} drifted by +10.0 % by the reference ref · gpu, taken off {n}",
        )
        for what, n in (("speed", "1 case"), ("init", "2 cases"))
    ]


LEVELS = {"unet · gpu": 10.0, "unet · cpu": 20.0, "ref · gpu": 5.0, "ref · cpu": 6.0}


def side(
    values: dict[tuple[str, str, str, str], Values], *, label: str = "", unreliable: Sequence[Any] = (), **of: Any
) -> SideData:
    runs = ComparedRuns("side", ("r1", "r2"), NOW, NOW, {"reference": label} if label else {})
    frame = pd.DataFrame({"device_key": "KEY", "case": list(CASES), "model_sha256": "a", "binary_sha256": "b"})
    given: dict[str, Any] = {
        "history": None, "jobs": frame, "left_out": {}, "undecided": {}, "notices": {}, "names": {}, **of
    }  # fmt: skip
    return SideData(runs=runs, values=values, unreliable=frozenset(unreliable), **given)


def many(n: int = 3, metrics: Sequence[str] = ("latency", "init", "peak_memory")) -> dict[Any, Values]:
    return {
        ("KEY", case, metric, ""): Values([level] * n, ["r1"] * n, [False] * n)
        for case, level in LEVELS.items()
        for metric in metrics
    }


def by(found: Corrections) -> dict[tuple[str, str], str]:
    return {(one[1], one[2]): reference[1] for one, reference in found.by.items()}


def test_a_model_corrects_the_speed_of_cases_that_ran_as_it_did_and_a_case_corrects_all() -> None:
    found = corrections(side(many()), side(many()), SUBJECTS, "ref")
    assert by(found) == {
        (f"unet · {delegate}", metric): f"ref · {delegate}"
        for delegate in ("gpu", "cpu")
        for metric in ("latency", "init")
    }
    assert found.references == {("KEY", f"ref · {d}", m, "") for d in ("gpu", "cpu") for m in ("latency", "init")}
    assert found.of(("KEY", "unet · gpu", "latency", "")) == ([5.0] * 3, [5.0] * 3)
    assert found.of(("KEY", "unet · gpu", "peak_memory", "")) is None and found.notices == ()
    named = corrections(side(many()), side(many()), SUBJECTS, "ref · gpu")
    assert set(by(named)) == {(case, metric) for case in CASES if case != "ref · gpu" for metric in ("latency", "init")}
    assert set(by(named).values()) == {"ref · gpu"}
    other = side({("B", *key[1:]): values for key, values in many().items() if key[1] == CASES[0]})
    assert not corrections(other, other, SUBJECTS, "ref").by, "another device"


def test_the_label_of_the_candidate_names_the_reference_else_that_of_the_baseline() -> None:
    assert corrections(side(many(), label="ref · cpu"), side(many(), label="ref"), SUBJECTS, None).references == {
        ("KEY", f"ref · {d}", m, "") for d in ("gpu", "cpu") for m in ("latency", "init")
    }
    assert len(corrections(side(many(), label="ref · cpu"), side(many()), SUBJECTS, None).references) == 2
    for empty in (side(many()), side(many(), label="none")):
        assert corrections(empty, side(many()), SUBJECTS, None) == Corrections({}, frozenset(), {}, ())
    (unknown,) = corrections(side(many()), side(many()), SUBJECTS, "nothing").notices
    assert (unknown.subject, unknown.text) == ("reference nothing", "corrects nothing: not measured on either side")


def test_a_reference_needs_three_reliable_repetitions_per_side_of_the_same_files() -> None:
    latency = ("KEY", "ref · gpu", "latency", "")

    def why(before: SideData, after: SideData) -> list[str]:
        found = corrections(before, after, SUBJECTS, "ref · gpu")
        assert bool(found.by) is not bool(found.notices)
        assert all((one.subject, one.device_key) == ("reference ref · gpu", "KEY") for one in found.notices)
        return [one.text.removeprefix("corrects nothing: ") for one in found.notices]

    assert why(side(many()), side(many())) == []
    assert why(side(many()), side(many(2))) == why(side(many(2)), side(many())) == ["too few repetitions"]
    bad = "all repetitions of a side are unreliable"
    assert why(side(many(), unreliable=[latency]), side(many())) == [bad]
    assert why(side(many()), side(many(), unreliable=[latency])) == [bad]
    for column, what in (("model_sha256", "model"), ("binary_sha256", "binary")):
        changed = side(many(), jobs=side(many()).jobs.assign(**{column: "z"}))
        assert why(side(many()), changed) == [f"its {what} is not the same everywhere"]
    others = side(many()).jobs
    others.loc[others["case"] != "ref · gpu", ["model_sha256", "binary_sha256"]] = "z"
    assert why(side(many()), side(many(), jobs=others)) == [], "files of other cases do not matter"


def test_drifts_are_shown_by_device_reference_and_metric_with_the_number_of_cases() -> None:
    found = corrections(side(many()), side(many()), SUBJECTS, "ref · gpu")
    compared = {
        ("KEY", case, metric, ""): row("unchanged", drift=drift).comparison
        for metric, drift in (("init", 0.2), ("latency", 0.1))
        for case in CASES[:2]
    }
    compared["KEY", CASES[3], "latency", ""] = row("undecided").comparison
    assert found.told(compared, SUBJECTS) == (
        DriftCorrection("KEY", "Phone (KEY)", "ref · gpu", "latency", 0.1, 2),
        DriftCorrection("KEY", "Phone (KEY)", "ref · gpu", "init", 0.2, 2),
    )


LATENCY, INIT, SIZE = (("KEY", "unet · gpu", metric, "") for metric in ("latency", "init", "model_size"))


def test_unreliable_values_are_left_out_unless_there_are_no_others() -> None:
    some = Values([1.0, 2.0, 3.0], ["a", "b", "c"], [False, True, False])
    more = Values([1.0] * 4, ["a"] * 4, [True, True, True, False])
    every = Values([1.0, 2.0], ["a", "b"], [True, True])
    reliable = Values([1.0], ["a"], [False])
    cpu = ("KEY", "unet · cpu", "latency", "")
    given = {LATENCY: some, INIT: more, SIZE: every, cpu: every, (*cpu[:2], "init", ""): reliable}
    found, unreliable, excluded = reliable_values(given)
    assert found == {
        **given, LATENCY: Values([1.0, 3.0], ["a", "c"], [False, False]), INIT: Values([1.0], ["a"], [False])
    }  # fmt: skip
    assert unreliable == {cpu}, "the size of a file is reliable"
    assert excluded == {("KEY", "unet · gpu"): (3, 4, "")}, "the series with the most"
    swapped = {INIT: more, LATENCY: some}
    assert reliable_values(swapped)[2] == excluded


def bad_history(*reasons: str) -> Any:
    one = SimpleNamespace(device_key="KEY", case="unet · gpu", reasons=reasons)
    other = SimpleNamespace(device_key="KEY", case="other", reasons=("not about it",))
    known = {"runs": ("r1", "r2"), "devices": ("KEY",), "cases": ("unet · gpu",)}
    return SimpleNamespace(unreliable=lambda **asked: [one, other] if asked == known else [])


def test_a_case_without_reliable_values_has_one_notice_per_side_with_the_most_values() -> None:
    def of(*counts: int) -> dict[Any, Values]:
        return {key: Values([1.0] * n, ["r1"] * n, [True] * n) for key, n in zip((LATENCY, INIT), counts, strict=True)}

    for counts in ((3, 8), (8, 3)):
        bad = side(of(*counts), unreliable=(LATENCY, INIT), history=bad_history("hot", "busy"))
        why, notices = no_verdicts(side(of(5, 5)), bad, [LATENCY, INIT], SUBJECTS, "repetition")
        assert why == {
            key: f"all {n} repetitions of the candidate are unreliable (hot, busy)"
            for key, n in zip((LATENCY, INIT), counts, strict=True)
        }
        (notice,) = notices
        assert notice.text == "all 8 repetitions of the candidate are unreliable (hot, busy)"
        assert (notice.kind, notice.subject, notice.effect, notice.device_key) == (
            NoticeKind.ALL_UNRELIABLE, "unet · gpu", Effect.UNDECIDED, "KEY"
        )  # fmt: skip
    both, notices = no_verdicts(bad, bad, [LATENCY], SUBJECTS, "run")
    assert both[LATENCY].count("; ") == 1 and len(notices) == 2
    assert [one.text.split(" are")[0] for one in notices] == [
        "all 8 runs of the baseline",
        "all 8 runs of the candidate",
    ]
    stored = side(of(3, 3), unreliable=(LATENCY,), undecided={LATENCY[:2]: ["changed", "changed", "hot"]},
                  history=bad_history())  # fmt: skip
    assert no_verdicts(stored, side(of(3, 3)), [LATENCY, INIT], SUBJECTS, "run") == (
        {LATENCY: "changed; hot (in the baseline)"}, []
    )  # fmt: skip
    long = side(of(3, 3), unreliable=(LATENCY,), history=bad_history("x" * 500))
    text = no_verdicts(long, side({}), [LATENCY], SUBJECTS, "run")[0][LATENCY]
    assert text == f"all 3 runs of the baseline are unreliable ({'x' * 200})"


def test_values_that_were_left_out_are_shown_for_runs_and_few_processes_of_both_sides() -> None:
    excluded = side({}, left_out={("KEY", "unet · gpu"): (1, 3, ""), ("KEY", "unknown"): (1, 2, "")})
    assert [one.text for one in left_out(side({}), excluded, SUBJECTS, "run")] == [
        "1 of 3 runs of the candidate is unreliable and left out"
    ]
    once, thrice = side({LATENCY: Values([1.0], ["r1"], [False])}), side(many())
    (few,) = few_processes(once, thrice, SUBJECTS)
    assert (few.kind, few.subject, few.effect) == (NoticeKind.TOO_FEW_PROCESSES, "unet · gpu", Effect.EXCLUDED)
    assert few.text == "measured once in the baseline: not enough to judge"
    assert [one.text.split(":")[0] for one in few_processes(thrice, side(many(2)), SUBJECTS)] == [
        "measured twice in the candidate"
    ] * 4
    assert not list(few_processes(thrice, thrice, SUBJECTS)) and not list(few_processes(once, side({}), SUBJECTS))


def test_each_virtual_device_has_one_notice() -> None:
    virtual = [CaseOnDevice(key, f"Phone ({key})", key != "A", "m · cpu", "m", "cpu", None) for key in "CBBA"]
    found: list[Notice] = virtual_notices(virtual)
    assert [(one.kind, one.subject, one.device_key) for one in found] == [
        (NoticeKind.VIRTUAL_DEVICE, f"Phone ({key})", key) for key in "BC"
    ]
