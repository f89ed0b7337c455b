"""What is copied at each run of the U-Net: in each form of a pipeline's result, and with damaged data in the store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devbench.findings.copies import COPIES, Copied
from devbench.findings.pipeline import PipelineReport, build_pipeline_report
from devbench.findings.subject import pipelines_of
from devbench.forms.html import html
from devbench.forms.json import json_ready
from devbench.forms.markdown import markdown
from devbench.forms.terminal import terminal_text
from devbench.models.copies import copies_of
from devbench.models.files import model_path
from devbench.models.tensors import read_tensors
from devbench.results.store import Store
from devbench.sections.pipeline import pipeline_document
from tests.golden.page_text import page_text
from tests.made.store import make


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PipelineReport]:
    with Store(str(tmp_path_factory.mktemp("copies") / "results.db")) as store:
        found = pipelines_of(store, store.run(make(store).pipeline))
        assert found is not None
        yield found


def test_each_form_has_the_copies_of_the_repeated_stage_and_none_has_a_time_for_a_gpu(report: PipelineReport) -> None:
    texts = (
        terminal_text(pipeline_document(report, "terminal"), 120),
        markdown(pipeline_document(report, "markdown")),
        page_text(html(pipeline_document(report, "html"))),
    )
    for text in texts:
        for part in ("Copies at each run", "382.2", "65.5", "1.79", "10.4 µs", "needs a phone", "diffusion mode"):
            assert part in text, part
    [copied] = json_ready(pipeline_document(report, "json"))["pipelines"][0]["copies"]
    assert (copied["stage"], copied["runs"], copied["image_bytes"]) == ("portrait_unet", 4, 4 * (382_208 + 65_536))
    assert copied["gpu_us"] is None and copied["note"] == "needs a phone"


@pytest.mark.parametrize(
    "kept",
    [None, 5, {"portrait_unet": 5}, {"portrait_unet": {"in_bytes": "1", "out_bytes": 1, "host_us": 1}},
     {"portrait_unet": {"in_bytes": -1, "out_bytes": 1, "host_us": 1}},
     {"portrait_unet": {"in_bytes": 1, "out_bytes": float("inf"), "host_us": float("nan")}},
     {"decoder": {"in_bytes": 1, "out_bytes": 1, "host_us": 1}}],
)  # fmt: skip
def test_what_another_host_stored_is_shown_only_if_it_is_numbers(report: PipelineReport, kept: object) -> None:
    view = replace(report.view, run=replace(report.view.run, options={COPIES: kept}))
    assert build_pipeline_report(view, report.sessions).variants[0].copies == ()


def test_numbers_are_read_from_the_run(report: PipelineReport) -> None:
    assert report.variants[0].copies == (Copied("portrait_unet", 4, 382_208, 65_536, 10.4),)


def test_bytes_are_those_of_all_inputs_and_outputs() -> None:
    path = model_path("demo")
    tensors, found = read_tensors(path), copies_of(path)
    assert found.in_bytes == sum(one.size_bytes for one in tensors.inputs) > 0
    assert found.out_bytes == sum(one.size_bytes for one in tensors.outputs) > 0 and found.host_us > 0


def test_the_copy_of_a_huge_input_takes_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    from devbench.models import copies
    from devbench.models.tensors import ModelTensors, TensorSpec

    huge, text = TensorSpec("x", "float32", (1 << 20, 1 << 20)), TensorSpec("words", "", (5,))
    monkeypatch.setattr(copies, "read_tensors", lambda path: ModelTensors((huge, text), ()))
    monkeypatch.setattr(copies, "_MAX_COPIED", 1000)
    assert copies.copies_of(Path("x")).in_bytes == 4 << 40
