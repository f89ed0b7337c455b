"""The claims of the paper: a verdict follows from figures alone, and each claim has a command and a reason."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devbench.analysis.stats import estimate
from devbench.findings.claims import CLAIMS, judge, session_figures
from devbench.findings.pipeline import Variant, Whole
from devbench.findings.published import published
from devbench.forms.json import json_ready
from devbench.forms.terminal import terminal_text
from devbench.models.mobile_sd.paper import gelu_in_fp16
from devbench.results.records import PipelineStageRecord
from devbench.sections.claims import ClaimsSubject, claims_document
from tests.made.samples import SESSION

# As measured at full scale or computed.
FIGURES = {
    "baseline_whole": 0, "mobile_whole": 3, "submodels": 3, "baseline_dense_refused": 0, "dense_error": 0.0,
    "dense_places": 192, "input_factor_16384": 2, "input_factor_8192": 3, "output_factor_16384": 0,
    "split_input_error": 1e-6, "split_output_error": 1e-6, "split_input_run_s": 1.0, "split_output_run_s": 2.0,
    "baseline_rank5": 808, "mobile_rank5": 0, "groupnorm_error": 1e-6, "gelu_error": 1e-5, "w8_error": 0.01,
    "w8_size_share": 0.25, "prune_size_share": 0.89, "prune_error": 0.4, "guidance_ratio": 2.0,
    "guidance_ratio_whole": 1.9, "steps_ratio": 2.0, "unet_share_50": 0.94, "peak_sequential": 7200.0,
    "peak_pipelined": 9500.0, "peak_pipelined-early": 9500.0, "peak_resident": 11800.0, "latency_sequential": 64.7,
    "latency_pipelined": 64.1, "latency_pipelined-early": 64.2, "copied_in": 380_932, "copied_out": 65_536,
    "copy_us": 40.0, **gelu_in_fp16(),
}  # fmt: skip


def verdicts(**changed: float) -> dict[str, str]:
    return {one.claim.key: one.verdict for one in judge(FIGURES | changed)}


def test_each_claim_has_a_command_a_source_and_a_reason() -> None:
    assert len({claim.key for claim in CLAIMS}) == len(CLAIMS) >= 19
    assert all(claim.command.startswith("devbench ") and claim.reason and claim.source for claim in CLAIMS)


def test_the_page_of_the_paper_has_each_claim_and_each_published_figure() -> None:
    page = (Path(__file__).parents[2] / "docs" / "paper.md").read_text("utf-8")
    for claim in CLAIMS:
        assert f"| {claim.text} | {claim.source} |" in page and f"`{claim.command}`" in page, claim.key
    assert all(one.source in page and one.seconds in page for one in published())


def test_only_what_a_phone_alone_can_tell_stays_open() -> None:
    found = verdicts()
    stay_open = [key for key, verdict in found.items() if verdict == "cannot be decided without a phone"]
    assert stay_open == ["split-speed", "copies", "panic", "seconds"]
    assert [key for key, verdict in found.items() if verdict == "refuted"] == ["dense-refused", "output-factor"]
    assert sum(verdict == "reproduced" for verdict in found.values()) == len(CLAIMS) - 6


def test_figures_that_say_the_opposite_refute() -> None:
    assert verdicts(mobile_whole=2)["delegation"] == "refuted"
    assert verdicts(baseline_dense_refused=4)["dense-refused"] == "reproduced"
    assert verdicts(dense_error=0.01)["dense"] == "refuted"
    assert verdicts(input_factor_16384=3)["input-factor"] == "refuted"
    assert verdicts(mobile_rank5=1)["groupnorm"] == "refuted"
    assert verdicts(w8_error=0.2)["w8"] == "refuted"
    assert verdicts(steps_ratio=1.2)["steps"] == verdicts(guidance_ratio=1.1)["guidance"] == "refuted"
    assert verdicts(peak_pipelined=12_000.0)["peaks"] == "refuted"
    assert verdicts(latency_sequential=60.0)["hidden"] == "refuted"


def test_a_claim_without_figures_is_not_measured() -> None:
    assert judge({})[0].verdict == "not measured" and judge({})[0].figure == ""


def test_the_table_has_all_claims_and_published_figures_apart() -> None:
    found = ClaimsSubject("sd on Pixel 8", judge(FIGURES), FIGURES)
    text = terminal_text(claims_document(found, "terminal"), 160)
    assert "13 reproduced" in text or re.search(r"\d+ reproduced, 2 refuted, 4 cannot be decided", text)
    assert "smallest factor 2 for textures of 16,384 texels, 3 for 8,192" in text
    assert text.index("needs a phone") < text.index("Published, not measured here")
    data = json_ready(claims_document(found, "json"))
    assert [one["verdict"] for one in data["claims"]] == [one.verdict for one in found.judged]
    assert data["figures"]["input_factor_8192"] == 3


def test_the_cube_of_gelu_overflows_beyond_40_and_clipping_it_changes_nothing() -> None:
    found = gelu_in_fp16()
    assert 40 < found["gelu_overflow_from"] < 41 and found["gelu_clip_change"] <= 1e-6


@pytest.mark.parametrize(
    ("key", "figure", "last", "beyond"),
    [
        ("dense", "dense_error", 1e-3, 1.001e-3), ("groupnorm", "groupnorm_error", 1e-3, 1.001e-3),
        ("groupnorm", "baseline_rank5", 1, 0), ("split", "split_input_error", 1e-3, 1.001e-3),
        ("split", "split_output_error", 1e-3, 1.001e-3), ("gelu", "gelu_clip_change", 1e-6, 1.1e-6),
        ("gelu", "gelu_error", 1e-3, 1.001e-3), ("gelu-overflow", "gelu_overflow_from", 40.5, 41.0),
        ("gelu-overflow", "gelu_overflow_from", 40.5, 40.0), ("w8", "w8_error", 0.05, 0.051),
        ("w8", "w8_size_share", 0.49, 0.5), ("prune", "prune_size_share", 0.87, 0.869),
        ("prune", "prune_size_share", 0.91, 0.911), ("guidance", "guidance_ratio", 1.6, 1.59),
        ("guidance", "guidance_ratio", 2.5, 2.51), ("steps", "steps_ratio", 1.6, 1.59), ("steps", "steps_ratio", 2.5, 2.51),
        ("share", "unet_share_50", 0.85, 0.849), ("share", "unet_share_50", 0.99, 0.991),
        ("delegation", "baseline_whole", 2, 3), ("hidden", "latency_sequential", 64.11, 64.1),
        ("peaks", "peak_sequential", 9499.0, 9500.0), ("peaks", "peak_resident", 9501.0, 9500.0),
    ],
)  # fmt: skip
def test_a_claim_holds_up_to_its_limit(key: str, figure: str, last: float, beyond: float) -> None:
    assert verdicts(**{figure: last})[key] == "reproduced"
    assert verdicts(**{figure: beyond})[key] == "refuted"


def whole(residency: str, unet_ms: tuple[float, ...], rest_ms: float, **of: Any) -> Whole:
    """Sessions with a U-Net that takes these times, and another stage."""
    sessions = tuple(
        replace(
            SESSION,
            steps=20,
            stages=(
                PipelineStageRecord(0, "text", 1, False, 1, 0, (), "", True, wall_ms=rest_ms),
                PipelineStageRecord(1, "unet", 2, True, 20, 0, (), "", True, wall_ms=ms),
            ),
        )
        for ms in unet_ms
    )
    latency = estimate([ms + rest_ms for ms in unet_ms])
    return Whole(residency, sessions, (), **{"latency": latency, "shown": sessions[0], "peak_kb": 2048, **of})


def figures(**wholes: tuple[Whole, ...]) -> dict[str, float]:
    nothing: Any = None
    variants = [Variant(nothing, name, "gpu", None, 20, False, 1, (), of) for name, of in wholes.items()]
    report: Any = SimpleNamespace(variants=variants)
    return session_figures(report, "full", "half", "guided")


def test_figures_of_sessions_are_ratios_of_resident_pipelines_and_peaks_of_all() -> None:
    found = figures(
        full=(whole("resident", (390.0, 400.0, 500.0), 100.0), whole("sequential", (900.0,), 100.0, peak_kb=1024),
              whole("pipelined", (1.0,), 1.0, peak_kb=None)),
        half=(whole("resident", (200.0,), 100.0),), guided=(whole("resident", (800.0,), 100.0),),
    )  # fmt: skip
    assert found == {
        "peak_resident": 2.0, "latency_resident": 0.5, "peak_sequential": 1.0, "latency_sequential": 1.0,
        "guidance_ratio_whole": 900 / 500, "guidance_ratio": 800 / 400, "steps_ratio": 400 / 200,
        # 800 ms for 20 steps are 2,000 ms for 50; the other stage takes 100 ms.
        "unet_share_50": 2000 / 2100,
    }  # fmt: skip
    assert figures() == {} and figures(half=(whole("resident", (1.0,), 1.0),)) == {}
    assert set(figures(full=(whole("sequential", (1.0,), 1.0),))) == {"peak_sequential", "latency_sequential"}
    unknown = whole("resident", (800.0,), 100.0, latency=None)
    assert set(figures(full=(whole("resident", (400.0,), 1.0),), guided=(unknown,))) == {
        "peak_resident", "latency_resident", "guidance_ratio"
    }  # fmt: skip
