"""A plan holds every combination once and gives each process a deadline that the tool's own limits allow."""

from __future__ import annotations

from pathlib import Path

import pytest

from devbench.bench.plan import JobProgress, Limits, called, in_turn, make_cases, repetition_deadline_s
from devbench.models.case_inputs import CaseInputs
from devbench.models.files import ModelFile
from devbench.tool.case import Delegate, ToolOptions
from tests.made.bench import case
from tests.made.samples import job_record

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


def test_the_tool_is_told_the_shapes_of_all_inputs_in_their_order() -> None:
    shapes = (("mask", (1, 4)),)
    found = called(ToolOptions(), CaseInputs(shapes, ((2, 3), (1, 4)), "serve", 1))
    assert (found.input_layer, found.input_layer_shape, found.input_shapes) == ("i0,i1", "2,3:1,4", shapes)
    assert (found.signature, found.signature_graph) == ("serve", 1)
    assert called(ToolOptions(), CaseInputs()) == ToolOptions(), "a model that is called as it is needs no flag"


def progress(*valid_us: float, **more: object) -> JobProgress:
    job = JobProgress(job_record(), case(), 5, valid_us=list(valid_us), **more)  # type: ignore[arg-type]
    job.done["latency"] = job.done.get("latency", len(valid_us))
    return job


def test_unreliable_repetitions_are_replaced_up_to_the_limit() -> None:
    limits = Limits(repetitions=3, unreliable_retries=2)
    assert progress(1.0, 2.0).needs_more(limits)
    assert not progress(1.0, 2.0, 3.0).needs_more(limits)
    assert progress(1.0, retried=1).needs_more(limits)
    assert not progress(1.0, retried=2).needs_more(limits)
    assert not progress(1.0, stopped=True).needs_more(limits)
    assert not progress().needs_more(Limits(repetitions=0))


@pytest.mark.parametrize("n", [8, 9, 12])
def test_repetitions_are_added_until_the_interval_is_as_narrow_as_requested(n: int) -> None:
    limits = Limits(repetitions=3, precision_pct=1.0, max_repetitions=20)
    assert not progress(*(100 + 0.1 * k for k in range(n))).needs_more(limits)
    wide = [100 + 10.0 * k for k in range(n)]
    assert progress(*wide).needs_more(limits)
    assert not progress(*wide, done={"latency": 20}).needs_more(limits), "they are as many as allowed"
    assert progress(100.0, 100.0, 100.0, 100.0, 100.0).needs_more(limits), "five values have no 95 % interval"


def test_each_round_starts_with_the_next_item() -> None:
    assert [in_turn("abc", number) for number in range(4)] == [list("abc"), list("bca"), list("cab"), list("abc")]
    assert in_turn([], 3) == []
