"""An ablation: stages that a rewrite leaves as they are count with what was measured before; shown in every form."""

from __future__ import annotations

import pytest

from devbench.findings.ablation import Ablation, StageStep, rows
from devbench.forms.json import json_ready
from devbench.forms.terminal import terminal_text
from devbench.notices import VIRTUAL_NOTE
from devbench.sections.ablation import ablation_document, share_words
from devbench.sections.row_charts import ablation_chart


def step(stage: str, rewrite: str, latency_ms: float | None, delegated: int, **more: object) -> StageStep:
    values: dict[str, object] = {"failure": "", "device_error": 1e-4, "partitions": 1, **more}
    return StageStep(stage, rewrite, 100, 3, 2_000_000, 1e-6, False, 4, delegated, latency_ms=latency_ms, **values)  # type: ignore[arg-type]


@pytest.fixture
def found() -> Ablation:
    stages = {
        "encoder": [step("encoder", "", 10.0, 90)],
        "unet": [
            step("unet", "", None, 0, failure="crash: no <room>", device_error=None),
            step("unet", "fc-to-conv", 50.0, 100, device_error=0.5),
        ],
    }
    return Ablation("sd", "Pixel 8", "GPU", VIRTUAL_NOTE, tuple(rows(["groupnorm", "fc-to-conv"], stages)))


def test_a_row_has_all_stages_as_they_are_by_then(found: Ablation) -> None:
    baseline, after = found.rows
    assert (baseline.rewrite, baseline.composed_ms, baseline.delegated_node_share) == ("", None, 0.45)
    assert baseline.failures == ("unet: crash: no <room>",)
    assert (after.rewrite, after.composed_ms, after.delegated_node_share) == ("fc-to-conv", 240.0, 0.95)
    assert (after.places, after.partitions, after.size_bytes) == (3, 2, 4_000_000)
    assert after.device_error == 0.5


def test_it_is_shown_in_terminal_json_and_chart(found: Ablation) -> None:
    text = terminal_text(ablation_document(found, "terminal"), 120)
    for part in ("sd on Pixel 8, GPU", "+ fc-to-conv", "95.0 %", "0.240 s", "0.5 wrong", "failed", "✗ unet: crash: no <room>",
                 VIRTUAL_NOTE, "Published, not measured here", "arXiv 2307.01193"):  # fmt: skip
        assert part in text, part
    data = json_ready(ablation_document(found, "json"))
    assert [row["rewrite"] for row in data["rows"]] == ["", "fc-to-conv"]
    assert data["published_not_measured_here"][0]["source"] == "press"
    picture = ablation_chart(found)
    assert picture.virtual
    assert "fc-to-conv 0.24 s, 95.0 % delegated, 2 parts" in picture.alt


def test_a_share_that_is_not_all_never_reads_as_all() -> None:
    assert [share_words(share) for share in (None, 0.0, 0.5, 0.9999, 1.0)] == ["", "0.0 %", "50.0 %", "99.9 %", "100 %"]
