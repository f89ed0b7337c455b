"""The composed estimate, and the parts of its difference to what was measured."""

from __future__ import annotations

import pytest

from devbench.analysis.pipeline import (
    Alone,
    Timed,
    compose,
    explain,
    fewer_steps,
    memory_over_time,
    overlap_runs,
    peak_kb,
    residency_of,
    shares,
    total_ms,
)
from devbench.options import Residency

STAGES = [Alone("text", 1, 100, 10, 8), Alone("unet", 20, 500, 60, 50), Alone("decoder", 1, 120, 40, 38)]
COMPUTE = 10 + (60 + 19 * 50) + 40


def test_each_residency_is_composed_of_what_is_on_its_path() -> None:
    assert total_ms(compose("resident", STAGES)) == COMPUTE
    assert total_ms(compose("sequential", STAGES)) == COMPUTE + 100 + 500 + 120
    assert total_ms(compose("pipelined", STAGES, 1, 3)) == COMPUTE + 100, "the decoder's load is hidden"
    assert total_ms(compose("pipelined", STAGES, 1, 1)) == COMPUTE + 100 + 120 - 50
    four = [*STAGES, Alone("upscaler", 1, 30, 5, 5)]
    assert total_ms(compose("pipelined", four, 1, 3)) == COMPUTE + 100 + 30 + 5


def test_later_images_load_all_but_the_kept_stage_again() -> None:
    one = total_ms(compose("pipelined", STAGES, 1, 1))
    later = 100 + 10 + 20 * 50 + (120 - 50) + 40
    assert total_ms(compose("pipelined", STAGES, 1, 1, images=3)) == one + 2 * later
    assert [part.stage for part in compose("pipelined", STAGES, 1, 1, images=2)] == [0, 0, 1, 2, 2, 3, 3, 4, 4]
    early = total_ms(compose("pipelined-early", STAGES, 1, 20, images=3))
    assert early == COMPUTE + 100 + 2 * (100 + 10 + 20 * 50 + 40), "the decoder's load is hidden"
    assert [name for name, _ in map(residency_of, ("resident", "pipelined-early x3"))] == [
        "resident",
        "pipelined-early",
    ]
    assert residency_of("pipelined x10") == ("pipelined", 10)


def test_a_load_is_shared_by_the_cores_if_the_kept_stage_takes_all_of_them() -> None:
    base = COMPUTE + 100
    assert total_ms(compose("pipelined", STAGES, 1, 3, full_cores=2)) == base + 120 / 2
    assert total_ms(compose("pipelined", STAGES, 1, 1, full_cores=2)) == base + (120 - 50) + 50 / 2
    assert total_ms(compose("pipelined-early", STAGES, 1, 20, full_cores=8)) == base + 120 / 8
    first = total_ms(compose("pipelined", STAGES, 1, 3, images=3))
    assert total_ms(compose("pipelined", STAGES, 1, 3, 3, 2)) == first + 3 * 120 / 2
    for residency in ("resident", "sequential"):
        assert compose(residency, STAGES, 1, full_cores=2) == compose(residency, STAGES, 1)  # type: ignore[arg-type]
    assert compose("pipelined", STAGES[:2], 1, 3, full_cores=2) == compose("pipelined", STAGES[:2], 1, 3)


@pytest.mark.parametrize("overlapped", [70.0, None])
def test_the_expected_cost_of_a_shared_load_is_not_part_of_the_difference(overlapped: float | None) -> None:
    timed = [
        Timed("text", 1, 100, False, 0, 10, None),
        Timed("unet", 20, 500, True, 0, COMPUTE - 50 + 60, 50, overlapped, 3),
        Timed("decoder", 1, 180, True, 0, 40, None),
    ]
    parts = explain(COMPUTE + 160, timed, "pipelined", STAGES, 1, 3, full_cores=2)
    assert total_ms(parts) == pytest.approx(0)
    assert [part.ms for part in parts if part.what.startswith("contention")] == ([0] if overlapped else [])


def test_the_overlap_is_as_long_as_the_load_and_a_margin() -> None:
    assert overlap_runs(120, 50, 20) == 3
    assert overlap_runs(1, 50, 20) == 1
    assert overlap_runs(5000, 50, 20) == 20
    assert overlap_runs(5, 0, 20) == 20


@pytest.mark.parametrize("residency", ["resident", "sequential", "pipelined"])
def test_the_parts_of_the_difference_add_up_to_it(residency: str) -> None:
    held = residency == "resident"
    timed = [
        Timed("text", 1, 110, held, 0, 12, None, release_ms=3 if residency == "sequential" else 0),
        Timed("unet", 20, 520, residency != "sequential", 0, 1100, 51, 70 if residency == "pipelined" else None, 3),
        Timed("decoder", 1, 200, residency != "sequential", 17 if residency == "pipelined" else 0, 45, None),
    ]
    measured = 1234.5
    parts = explain(measured, timed, residency, STAGES, 1, 3)  # type: ignore[arg-type]
    estimated = total_ms(compose(residency, STAGES, 1, 3))  # type: ignore[arg-type]
    assert total_ms(parts) == pytest.approx(measured - estimated)
    contention = [part.ms for part in parts if part.what.startswith("contention")]
    assert contention == ([pytest.approx(57)] if residency == "pipelined" else [])


def test_shares_leave_out_what_was_loaded_before() -> None:
    timed = [Timed("text", 1, 100, True, 0, 10), Timed("unet", 20, 500, False, 0, 890)]
    found = shares(1500, timed)
    assert [share.ms for share in found] == [10, 1390]
    assert found[1].per_run_ms == 44.5


def test_fewer_steps_scale_only_what_is_repeated() -> None:
    many = fewer_steps("resident", STAGES, [False, True, False], None, None, [(20, False), (10, True), (4, False)])
    assert [one.ms for one in many] == [COMPUTE, COMPUTE, COMPUTE - 16 * 50]
    assert many[0].repeated_share == pytest.approx(1010 / COMPUTE)
    pipelined = fewer_steps("pipelined", STAGES, [False, True, False], 1, None, [(1, False)])
    assert pipelined[0].ms == 10 + 60 + 40 + 100 + (120 - 60), "one step hides no more than itself"


def test_the_peak_is_the_largest_sum_of_one_moment() -> None:
    assert peak_kb([{}, {0: 5, 1: 7}, {1: 10}]) == 12
    assert peak_kb([{}]) is None


def test_memory_beside_a_reading_of_pss_is_rss_less_what_was_shared() -> None:
    samples: list[tuple[dict[int, int], dict[int, int]]] = [
        ({}, {0: 100}),
        ({0: 180}, {0: 200}),
        ({}, {0: 220, 1: 3000}),  # a stage that is gone before its PSS is read
        ({0: 230}, {0: 230}),
        ({}, {0: 240}),
    ]
    found = memory_over_time(samples)
    assert found == [{0: 80}, {0: 180}, {0: 220, 1: 3000}, {0: 230}, {0: 240}]
    assert peak_kb(found) == 3220, "a short peak counts"
    assert memory_over_time([({0: 7}, {}), ({}, {})]) == [{0: 7}, {}]


def test_each_part_of_the_difference_is_told_by_its_own_name() -> None:
    timed = [
        Timed("text", 1, 100, True, 0, 10, None),
        Timed("unet", 20, 500, True, 0, 1090, 53, 60, 2),
        Timed("decoder", 1, 120, True, 25, 40, None),
    ]
    parts = {
        (part.stage, part.what.partition(",")[0]): part.ms for part in explain(2000, timed, "pipelined", STAGES, 1, 3)
    }
    assert parts[1, "contention with the next stage's load"] == 2 * (60 - 53)
    assert parts[1, "steady inferences"] == 19 * (53 - 50)
    assert parts[1, "first inference and inputs"] == 1090 - (60 + 19 * 50) - 14 - 57
    assert parts[2, "waiting for its load"] == 25, "the estimate hides the load completely"


def test_a_stage_waits_for_its_load_or_for_what_is_left_of_it() -> None:
    assert Timed("unet", 20, 500, False, 7).on_path_ms == 500
    assert Timed("unet", 20, 500, True, 7).on_path_ms == 7
    assert Timed("unet", 20, None, False, 7).on_path_ms == 0.0
    assert Timed("unet", 20, 500, True, 7, 100, release_ms=3).taken_ms == 110


def test_only_the_kept_stage_of_a_whole_overlap_ran_all_during_the_next_load() -> None:
    timed = [Timed("text", 2, 100, False, 0, 20, 9), Timed("unet", 20, 500, True, 0, 1100, 52)]
    stages = [Alone("text", 2, 100, 10, 8), Alone("unet", 20, 500, 60, 50)]

    def told(overlap: int, residency: Residency = "pipelined") -> list[int | None]:
        parts = explain(1200, timed, residency, stages, 1, overlap)
        assert [part.stage for part in parts if part.what.startswith("steady")] == [0, 1]
        return [part.stage for part in parts if part.what.endswith("(all during the next stage's load)")]

    assert told(20) == told(21) == told(20, "pipelined-early") == [1]
    assert told(19) == told(20, "resident") == []


def test_shared_memory_is_that_of_the_reading_nearest_in_size() -> None:
    samples = [
        ({0: 90}, {0: 100}), ({0: 150}, {0: 200}), ({0: 200}, {0: 300}),
        ({}, {0: 149}), ({}, {0: 151}), ({}, {0: 251}), ({}, {0: 1000}), ({}, {0: 5}),
    ]  # fmt: skip
    found = [one[0] for one in memory_over_time([(pss, rss) for pss, rss in samples])]
    assert found == [90, 150, 200, 139, 101, 151, 900, 0]
    assert memory_over_time([({0: 120}, {0: 100}), ({}, {0: 100})]) == [{0: 120}, {0: 100}]
