"""The claims of the Mobile Stable Diffusion paper and of its author's page, and verdicts on them from measured figures.

A claim is data: its text and source, the command that makes its figures, the figures in words, and the rule for its
verdict. A claim without a rule cannot be decided without a phone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Literal

from devbench.findings.pipeline import PipelineReport, Variant, Whole

Figures = Mapping[str, float]
Verdict = Literal["reproduced", "refuted", "cannot be decided without a phone", "not measured"]
PAPER, PAGE = "arXiv 2307.01193", "the author's page"
# Two models compute the same function if their outputs differ by at most this share of the largest value: the order of
# sums may differ.
_SAME = 1e-3


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim.

    Attributes:
        command: the command that prints only this figure; `devbench pipeline claims` prints all.
        figure: a text with the names of the numbers in braces.
        holds: whether the claim holds by the figures; `None` if only a phone can decide that.
        reason: the reason for the verdict, or why there is none.
    """

    key: str
    text: str
    source: str
    command: str
    figure: str
    holds: Callable[[Figures], bool] | None
    reason: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A claim with its figure and its verdict."""

    claim: Claim
    figure: str
    verdict: Verdict


_REWRITE = "devbench models rewrite unet.tflite out.tflite --only {}"
_ABLATION = "devbench pipeline ablation mobile-sd.toml"
_PIPELINE = "devbench run --pipeline mobile-sd.toml"
_PHONE = "needs a phone"
CLAIMS = (
    Claim(
        "delegation", "After the rewrites, the GPU delegate takes every submodel whole; before, it does not", PAPER,
        "devbench models gpu-check unet.tflite",
        "whole: {baseline_whole:.0f} of {submodels:.0f} before, {mobile_whole:.0f} after",
        lambda f: f["mobile_whole"] == f["submodels"] > f["baseline_whole"],
        "rules observed in benchmark_model 2.14.1; docs/models.md has results of a bench phone",
    ),
    Claim(
        "dense-refused", "The GPU delegate fails on FULLY_CONNECTED with large activations", PAPER,
        "devbench models gpu-check unet.tflite",
        "{baseline_dense_refused:.0f} FULLY_CONNECTED of more than one row are refused in the baseline",
        lambda f: f["baseline_dense_refused"] > 0,
        "benchmark_model 2.14.1 takes them; only those of a single row fail to compile with some drivers",
    ),
    Claim(
        "dense", "Reshape, 1×1 convolution, reshape computes the same as FULLY_CONNECTED", PAPER,
        _REWRITE.format("fc-to-conv"), "outputs differ by {dense_error:.1g}, {dense_places:.0f} places",
        lambda f: f["dense_error"] <= _SAME, "outputs compared on this machine",
    ),
    Claim(
        "input-factor", "3×3 on 1×32×32×1920 → 640 needs a split by 2 along the input channels", PAPER,
        _REWRITE.format("serialize-conv --texture-side 16384"),
        "smallest factor {input_factor_16384:.0f} for textures of 16,384 texels, {input_factor_8192:.0f} for 8,192",
        lambda f: f["input_factor_16384"] == 2, "the device's largest texture determines the factor",
    ),
    Claim(
        "output-factor", "The same convolution needs a split by 8 along the output channels", PAPER,
        _REWRITE.format("serialize-conv --along output --texture-side 16384"),
        "smallest factor {output_factor_16384:.0f} for textures of 16,384 texels (0: no factor fits)",
        lambda f: f["output_factor_16384"] == 8,
        "the long side of the weights' texture is input channels × kernel; a split of the output does not shorten it",
    ),
    Claim(
        "split", "Convolutions split along input or output channels compute the same", PAPER,
        _REWRITE.format("serialize-conv"),
        "outputs differ by {split_input_error:.1g} (input) and {split_output_error:.1g} (output)",
        lambda f: max(f["split_input_error"], f["split_output_error"]) <= _SAME, "outputs compared on this machine",
    ),
    Claim(
        "split-speed", "The input split is faster than the output split", PAPER, _REWRITE.format("serialize-conv"),
        "on this CPU, U-Net {split_input_run_s:.3g} s (input), {split_output_run_s:.3g} s (output)",
        None, "a CPU's time is not representative of a GPU's: " + _PHONE,
    ),
    Claim(
        "groupnorm", "GroupNorm needs no 5-D tensor and no BroadcastTo", PAPER, _REWRITE.format("groupnorm-4d"),
        "operators of rank 5 or BROADCAST_TO: {baseline_rank5:.0f} before, {mobile_rank5:.0f} after; outputs differ by "
        "{groupnorm_error:.1g}",
        lambda f: f["mobile_rank5"] == 0 < f["baseline_rank5"] and f["groupnorm_error"] <= _SAME,
        "outputs compared on this machine",
    ),
    Claim(
        "gelu-overflow", "GELU's cube overflows fp16 beyond ±40", PAPER, "devbench pipeline claims mobile-sd.toml",
        "infinite from ±{gelu_overflow_from:.1f} on", lambda f: 40 < f["gelu_overflow_from"] < 41, "NumPy's fp16",
    ),
    Claim(
        "gelu", "Clipping the cube's argument at ±10 changes nothing in float32", PAPER, _REWRITE.format("stable-gelu"),
        "largest change {gelu_clip_change:.1g}; outputs of the U-Net differ by {gelu_error:.1g}",
        lambda f: f["gelu_clip_change"] <= 1e-6 and f["gelu_error"] <= _SAME,
        "inputs from −60 to 60; the rewrite also replaces the erf form, which differs by 2.6e-5",
    ),
    Claim(
        "w8", "int8 weights keep the outputs, at a quarter of the size", PAPER, _REWRITE.format("w8"),
        "outputs differ by {w8_error:.2g} of the largest value; file {w8_size_share:.0%} of float32's",
        lambda f: f["w8_error"] <= 0.05 and f["w8_size_share"] < 0.5,
        "one inference with random weights; the quality of images is not measured here",
    ),
    Claim(
        "prune", "Pruning the largest layers removes 11 % of the U-Net's parameters", PAGE,
        _REWRITE.format("prune-largest"),
        "{prune_size_share:.1%} of the file is left; outputs differ by {prune_error:.2g} before retraining",
        lambda f: 0.87 <= f["prune_size_share"] <= 0.91, "without retraining, the outputs differ",
    ),
    Claim(
        "guidance", "Without guidance, denoising takes half the time", PAGE, _ABLATION,
        "{guidance_ratio:.2f} times as fast without guidance, the U-Net alone; {guidance_ratio_whole:.2f} times end to "
        "end",
        lambda f: 1.6 <= f["guidance_ratio"] <= 2.5,
        "two passes per step become one; text encoder and decoder stay",
    ),
    Claim(
        "steps", "Half the steps halve the time of denoising", PAGE, _ABLATION,
        "{steps_ratio:.2f} times as fast with half the steps, the U-Net alone",
        lambda f: 1.6 <= f["steps_ratio"] <= 2.5,
        "“20 effective steps” are fewer real passes; their number is not published",
    ),
    Claim(
        "share", "The U-Net takes 94 % of the time at 50 steps", PAGE, _PIPELINE,
        "{unet_share_50:.0%} at 50 steps with guidance (composed of measured stages)",
        lambda f: 0.85 <= f["unet_share_50"] <= 0.99, "at this scale and on this device",
    ),
    Claim(
        "peaks", "Pipelined execution needs less memory than all stages resident, more than one at a time", PAPER,
        f"{_PIPELINE} --residency resident,sequential,pipelined,pipelined-early",
        "peaks: sequential {peak_sequential:.0f}, pipelined {peak_pipelined:.0f}, early {peak_pipelined-early:.0f}, "
        "resident {peak_resident:.0f} MB",
        lambda f: f["peak_sequential"]
        < min(f["peak_pipelined"], f["peak_pipelined-early"])
        <= max(f["peak_pipelined"], f["peak_pipelined-early"])
        < f["peak_resident"],
        "pipelined and early are the two published orders",
    ),
    Claim(
        "hidden", "Loading the decoder while the U-Net runs hides its load", PAPER,
        f"{_PIPELINE} --residency sequential,pipelined,pipelined-early",
        "end to end: sequential {latency_sequential:.2f} s, pipelined {latency_pipelined:.2f} s, early "
        "{latency_pipelined-early:.2f} s",
        lambda f: min(f["latency_pipelined"], f["latency_pipelined-early"]) < f["latency_sequential"],
        "pipelined sessions also load the U-Net before the clock starts",
    ),
    Claim(
        "copies", "A delegate that swaps buffers between steps saves copies in and out (“diffusion mode”)", PAGE,
        "devbench pipeline claims mobile-sd.toml",
        "{copied_in:,.0f} bytes in, {copied_out:,.0f} out at each pass; {copy_us:.0f} µs in this machine's memory",
        None, "the bytes are known; the time between CPU and GPU memory " + _PHONE,
    ),
    Claim(
        "panic", "Keeping all submodels resident ends in a kernel panic on a Galaxy S22", PAGE,
        f"{_PIPELINE} --residency resident",
        "if a session restarts its device, its result is device_lost, with the uptime", None, _PHONE,
    ),
    Claim(
        "seconds", "An image of 512×512 in less than 7 s (Galaxy S23), 8 s (Galaxy S22)", PAPER, _PIPELINE,
        "{latency_pipelined:.2f} s pipelined, at this scale and on this device", None, _PHONE,
    ),
)  # fmt: skip


def judge(figures: Figures) -> tuple[Judged, ...]:
    """Return each claim with its verdict, which is "not measured" if a figure of the claim is missing."""
    return tuple(_judged(claim, figures) for claim in CLAIMS)


def _judged(claim: Claim, figures: Figures) -> Judged:
    try:
        figure = claim.figure.format_map(figures)
        if claim.holds is None:
            return Judged(claim, figure, "cannot be decided without a phone")
        return Judged(claim, figure, "reproduced" if claim.holds(figures) else "refuted")
    except KeyError:
        return Judged(claim, "", "not measured")


def session_figures(report: PipelineReport, full: str, half: str, guided: str) -> dict[str, float]:
    """Return figures for the claims from sessions; `full`, `half` and `guided` are names of pipelines:

    with all steps, with half of them, and with guidance.
    """
    found: dict[str, float] = {}
    variants = {variant.pipeline: variant for variant in report.variants}
    for whole in variants[full].wholes if full in variants else ():
        if whole.latency is not None and whole.peak_kb is not None:
            found[f"peak_{whole.residency}"] = whole.peak_kb / 1024
            found[f"latency_{whole.residency}"] = whole.latency.median / 1000
    first, fewer, more = (_resident(variants.get(name)) for name in (full, half, guided))
    if first and more and first.latency and more.latency:
        found["guidance_ratio_whole"] = more.latency.median / first.latency.median
    if first and more and (now := _unet_ms(first)) and (then := _unet_ms(more)):
        found["guidance_ratio"] = then / now
    if first and fewer and (now := _unet_ms(first)) and (then := _unet_ms(fewer)):
        found["steps_ratio"] = now / then
    if more and (many := _unet_ms(more)) and more.shown and more.latency:
        of_50 = many * 50 / more.shown.steps
        found["unet_share_50"] = of_50 / (of_50 + more.latency.median - many)
    return found


def _resident(variant: Variant | None) -> Whole | None:
    return variant.of("resident") if variant else None


def _unet_ms(whole: Whole) -> float:
    """Return the time of the stages that are repeated, the median over the sessions."""
    walls = [sum(stage.wall_ms or 0.0 for stage in one.stages if stage.repeated) for one in whole.sessions]
    return median(walls) if walls else 0.0
