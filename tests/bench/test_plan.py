"""A plan holds every combination once and gives each process a deadline that the tool's own limits allow."""

from __future__ import annotations

from pathlib import Path

from devbench.bench.plan import Limits, make_cases, repetition_deadline_s
from devbench.models.files import ModelFile
from devbench.tool.case import Delegate, ToolOptions

MODEL = ModelFile(Path("m.tflite"), "m", "0" * 64, 100, 3)
CPU, GPU = Delegate("cpu", "CPU"), Delegate("gpu", "GPU", require="full")


def test_cases_are_every_combination_once_in_order() -> None:
    cases = make_cases([MODEL], [CPU, GPU, CPU], [1, 4], ToolOptions())
    assert [(case.delegate.name, case.options.num_threads) for case in cases] == [
        ("cpu", 1), ("cpu", 4), ("gpu", 1), ("gpu", 4),
    ]  # fmt: skip


def test_what_a_delegate_requires_holds_unless_the_user_says_otherwise() -> None:
    assert [case.require for case in make_cases([MODEL], [CPU, GPU], [None], ToolOptions())] == ["any", "full"]
    assert [case.require for case in make_cases([MODEL], [CPU, GPU], [None], ToolOptions(), "any")] == ["any", "any"]


def test_the_deadline_leaves_room_for_both_phases_and_the_start() -> None:
    options = ToolOptions(max_secs=150)
    assert repetition_deadline_s(options, Limits()) > 2 * 150
    assert repetition_deadline_s(options, Limits(repetition_timeout_s=7)) == 7


def test_the_processes_of_a_job_are_its_outputs_latencies_and_profiles() -> None:
    assert Limits(repetitions=5, profile_repetitions=2, output_repetitions=1).steps == 8
    assert Limits(repetitions=3, profile_repetitions=0).steps == 3
