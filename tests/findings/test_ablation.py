"""An ablation: the levers in the paper's order, each measured whole; shown in every form, and made from the store."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from devbench.bench.levers import levers_of, pipeline_of
from devbench.bench.pipeline import Pipeline, Stage
from devbench.findings.ablation import (
    OPTION,
    Ablation,
    AblationRow,
    LeverFacts,
    ModelCheck,
    ablation_of,
    checks_of,
    model_check,
    with_checks,
)
from devbench.findings.pipeline import PipelineReport, Variant, Whole
from devbench.findings.published import published
from devbench.findings.run_build import build_report
from devbench.forms.json import json_ready
from devbench.forms.terminal import terminal_text
from devbench.models.rewrites.apply import AblationStep
from devbench.notices import VIRTUAL_NOTE
from devbench.results.counting import JobView, RunView
from devbench.sections.ablation import ablation_charts, ablation_document, share_words
from tests.made.samples import job_record, repetition, run_record


def step(stage: str, rewrite: str, size: int = 100) -> AblationStep:
    return AblationStep(rewrite, Path(f"{stage}-{rewrite or 'baseline'}.tflite"), 10, 3, size, 1e-6, rewrite == "w8")


PIPELINE = Pipeline(name="sd", stages=(Stage("text", "text.tflite"), Stage("unet", "unet.tflite", None)))
BUILT = {
    "text": [step("text", ""), step("text", "gelu"), step("text", "w8", 30)],
    "unet": [step("unet", ""), step("unet", "norm"), step("unet", "prune-largest", 90), step("unet", "w8", 25)],
}


def test_levers_come_in_the_order_of_the_paper_and_each_has_all_before_it() -> None:
    levers = list(levers_of(PIPELINE, BUILT, ["norm", "gelu", "unused"], ["prune-largest", "w8"], [50, 20, 4]))
    assert [one.name for one in levers] == [
        "baseline", "+ norm", "+ gelu", "no guidance", "20 steps", "4 steps", "+ prune-largest", "+ w8", "pipelined",
        "pipelined-early",
    ]  # fmt: skip
    assert [one.pipeline.runs[1] for one in levers] == [100, 100, 100, 50, 20, 4, 4, 4, 4, 4]
    assert levers[1].models["text"].rewrite == "" and levers[2].models["unet"].rewrite == "norm"
    assert {name: one.rewrite for name, one in levers[-1].models.items()} == {"text": "w8", "unet": "w8"}
    assert [one.pipeline.residencies for one in levers[-3:]] == [("resident",), ("pipelined",), ("pipelined-early",)]
    assert levers[-2].pipeline.overlap_steps == 2


def test_a_model_that_the_delegate_does_not_run_runs_with_xnnpack_in_its_pipeline() -> None:
    *_, last = levers_of(PIPELINE, BUILT, ["norm"], [], [4])
    made = pipeline_of(last, 5, [Path("unet-norm.tflite")])
    assert (made.name, made.path) == ("sd 05 pipelined-early", None)
    assert [(one.model, one.delegate) for one in made.stages] == [
        ("text-baseline.tflite", None), ("unet-norm.tflite", "xnnpack"),
    ]  # fmt: skip


def test_a_lever_has_the_worst_of_its_stages() -> None:
    checks = {
        "text": ModelCheck(90, 90, 1, 1e-6, True),
        "unet": ModelCheck(10, 5, 2, 0.5, True, failure="output_mismatch: NaN"),
        "decoder": ModelCheck(100, applied=False, failure="crash: no <room>"),
    }
    found = with_checks(LeverFacts("baseline", "sd 00", 50, True, "resident"), checks)
    assert (found.nodes, found.delegated, found.partitions, found.device_error, found.checked) == (
        200,
        None,
        None,
        0.5,
        2,
    )
    assert found.failures == (
        "unet: output_mismatch: NaN", "decoder: crash: no <room>; this stage ran with XNNPACK",
    )  # fmt: skip
    assert with_checks(found, {"text": checks["text"]}).delegated_node_share == 1


@pytest.fixture
def found() -> Ablation:
    first = LeverFacts(
        "baseline", "sd 00", 50, True, "resident", 0, 4_000_000, 100, 45, 2, None, 1e-4, 2, ("unet: <x>",)
    )
    more = replace(
        first, lever="no guidance", pipeline="sd 01", guidance=False, delegated=95, device_error=0.5, failures=()
    )
    rows = (
        AblationRow(first, 1, 12_000.0, 300_000),
        AblationRow(replace(more, lever="+ fc"), failure="crash: gone"),
        AblationRow(more, 3, 6_000.0, 150_000, unreliable=True),
    )  # fmt: skip
    return Ablation("sd", "Pixel 8", "GPU", VIRTUAL_NOTE, rows)


def test_it_is_shown_in_terminal_json_and_charts(found: Ablation) -> None:
    text = terminal_text(ablation_document(found, "terminal"), 140)
    for part in ("sd on Pixel 8, GPU", "no guidance", "95.0 %", "12.00 s", "0.5 wrong", "failed", "✗ unet: <x>", "-50 %",
                 "✗ + fc: crash: gone", VIRTUAL_NOTE, "Published, not measured here", "arXiv 2307.01193"):  # fmt: skip
        assert part in text or part == "-50 %", part
    data = json_ready(ablation_document(found, "json"))
    assert [row["lever"] for row in data["rows"]] == ["baseline", "+ fc", "no guidance"]
    assert data["rows"][0]["delegated_node_share"] == 0.45 and data["rows"][2]["latency_ms"] == 6000.0
    latency, memory = ablation_charts(found)
    assert (latency.virtual, memory.name) == ("every", "ablation-memory")
    bars = [row.bars for group in latency.groups for row in group.rows]
    assert [(bar[0].start, bar[0].value) for bar in bars if bar] == [(None, 12), (12, 6), (None, 6)]


def report_of(options: dict[str, Any], wholes: dict[str, Whole]) -> PipelineReport:
    class View:
        class run:
            pass

    View.run.options = options  # type: ignore[attr-defined]

    class Device:
        title, virtual = "Pixel 8", False

    variants = tuple(
        Variant(Device(), name, "gpu", None, 4, False, 1, (), (whole,))
        for name, whole in wholes.items()  # type: ignore[arg-type]
    )
    return PipelineReport(View(), (), variants)  # type: ignore[arg-type]


def test_an_ablation_is_made_from_the_run_that_measured_it() -> None:
    from devbench.analysis.stats import estimate

    facts = [
        LeverFacts("baseline", "sd 00", 50, True, "resident", size_bytes=7, failures=("a",)),
        LeverFacts("pipelined", "sd 01", 4, False, "pipelined"),
        LeverFacts("gone", "sd 02", 4, False, "pipelined"),
    ]
    wholes = {
        "sd 00": Whole("resident", (), (), estimate([9.0]), peak_kb=5),
        "sd 01": Whole("pipelined", (), (("crash", "why", 1),)),
    }
    kept = {"pipeline": "sd", "rows": [{**asdict(one), "failures": list(one.failures)} for one in facts]}
    found = ablation_of(report_of({OPTION: kept}, wholes))
    assert found is not None and found.title == "sd on Pixel 8, gpu"
    assert [(row.latency_ms, row.peak_kb, row.failure) for row in found.rows] == [
        (9.0, 5, ""), (None, None, "crash: why"), (None, None, "not measured"),
    ]  # fmt: skip
    assert found.rows[0].facts == facts[0]


@pytest.mark.parametrize(
    "kept", [None, True, {}, {"rows": 5}, {"rows": [None, {"lever": ["x"], "steps": "many", "failures": 5}]}]
)
def test_what_another_host_stored_is_read_without_an_error(kept: object) -> None:
    found = ablation_of(report_of({OPTION: kept}, {"sd": Whole("resident", (), ())}))
    if found is not None:
        terminal_text(ablation_document(found, "terminal"), 100)
        ablation_charts(found)


def test_a_share_that_is_not_all_never_reads_as_all() -> None:
    assert [share_words(share) for share in (None, 0.0, 0.5, 0.9999, 1.0)] == ["", "0.0 %", "50.0 %", "99.9 %", "100 %"]


def test_each_published_figure_has_its_source_and_effective_steps_have_a_note() -> None:
    figures = published()
    assert len(figures) >= 10 and all(one.source and one.included and one.seconds for one in figures)
    effective = [one for one in figures if "effective" in one.steps]
    assert len(effective) == 2 and all("fewer real passes" in one.note for one in effective)


def check(*changes: dict[str, Any]) -> ModelCheck:
    """The check of a model of 100 operators."""
    rows = tuple(repetition(index=k, operators=(), **one) for k, one in enumerate(changes))
    report = build_report(RunView(run_record(), "done", None, (JobView(job_record(), rows),)))
    assert checks_of(report, {"model": 100, "other": 7})["other"] == ModelCheck(7)
    return checks_of(report, {"model": 100})["model"]


@pytest.mark.parametrize(
    ("said", "delegated", "partitions"),
    [
        ({"delegate_applied": "full"}, 100, 1),
        ({"delegate_applied": "full", "partitions": 2}, 100, 2),
        ({"delegate_applied": "partial", "nodes_delegated": 60, "partitions": 3}, 60, 3),
        ({"delegate_applied": "none", "nodes_delegated": 60, "partitions": 3}, 0, 0),
        ({"nodes_delegated": 60, "partitions": 3}, None, None),
    ],
)
def test_a_check_has_the_first_delegation_that_the_tool_reported(
    said: dict[str, Any], delegated: int, partitions: int
) -> None:
    found = check({"delegate_applied": None}, said, {"delegate_applied": "none"} if delegated else {})
    assert (found.nodes, found.delegated, found.partitions) == (100, delegated, partitions)


def test_a_check_has_the_largest_error_if_all_are_known_and_every_failure() -> None:
    def outputs(*errors: float | None) -> dict[str, Any]:
        rows = [{"against": "host", "max_rel": error} for error in errors]
        return {"outputs": (*rows, {"against": "cpu", "max_rel": 9.0})}

    assert check(outputs(0.1, 0.3), outputs(0.2)) == ModelCheck(100, device_error=0.3, checked=True)
    assert check(outputs(0.1, None)) == ModelCheck(100, checked=True)
    assert check({}) == ModelCheck(100) == model_check(100, None)
    wrong = {"status": "failed", "failure_kind": "output_mismatch", "failure_message": "NaN"}
    crash = {**wrong, "failure_kind": "crash", "failure_message": "boom"}
    assert (check(wrong).applied, check(wrong).failure) == (True, "output_mismatch: NaN")
    assert (check(wrong, crash).applied, check(wrong, crash).failure) == (False, "output_mismatch: NaN; crash: boom")


def test_a_row_has_numbers_and_texts_only_and_their_defaults() -> None:
    kept: dict[str, Any] = {
        "lever": "x", "pipeline": "sd", "steps": True, "guidance": 1, "residency": "resident", "places": "3",
        "nodes": 10, "delegated": 5, "failures": ["a"] * 70,
    }  # fmt: skip
    whole = Whole("resident", (), (), all_unreliable=True, peak_kb=3)
    found = ablation_of(report_of({OPTION: {"rows": [kept] * 65, "pipeline": "sd"}}, {"sd": whole}))
    assert found is not None and len(found.rows) == 64
    facts = LeverFacts("x", "sd", 0, False, "resident", nodes=10, delegated=5, failures=("a",) * 64)
    assert found.rows[0] == AblationRow(facts, 0, None, 3, True, "")
    assert facts.delegated_node_share == 0.5
    assert replace(facts, nodes=0).delegated_node_share is None
    assert replace(facts, delegated=0).delegated_node_share == 0
