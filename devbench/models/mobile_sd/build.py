"""The submodels of Stable Diffusion built into a folder, each in a process of its own, so that its memory is given
back.

`python -m devbench.models.mobile_sd.build JSON` is that process: it prints its progress as lines of JSON.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from devbench.errors import DevbenchError, EnvironmentProblem, InputError
from devbench.host.whole_files import writing
from devbench.models.mobile_sd import SUBMODELS
from devbench.models.mobile_sd.convert import convert
from devbench.models.mobile_sd.networks import SCALES
from devbench.models.mobile_sd.weights import Checkpoint, RandomWeights

_LOSSY = {"fp32": (), "fp16": ("fp16",), "w8": ("w8",)}
_SAMPLE_S = 0.2
# A full U-Net took 66 s to convert and 40 s to rewrite; a laptop that is ten years old needs longer.
_DEADLINE_S = 3600.0
_MAX_LINE = 4000
# Kinds of errors that the process passes on, so that exit codes are kept.
_KINDS: dict[str, type[DevbenchError]] = {"input": InputError, "environment": EnvironmentProblem}


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What to build.

    Attributes:
        scale: full, small or tiny.
        precision: fp32, fp16 or w8.
        variant: baseline, as the converter makes it, or mobile, with every rewrite that is applied by default.
        weights: a checkpoint's folder in diffusers' layout; random weights without one.
        submodels: which; empty for all.
        inputs: sets of inputs that are compared after rewriting.
        prune_share: the share of the U-Net's parameters that `prune-largest` removes.
    """

    scale: str
    precision: str = "fp32"
    variant: str = "baseline"
    weights: Path | None = None
    submodels: tuple[str, ...] = ()
    inputs: int = 1
    prune_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Built:
    """A submodel that was built.

    Attributes:
        relative_error, snr_db: the error of its outputs, compared with the converter's float32 model; `None` if nothing
            was changed or compared.
        took_s: seconds.
        peak_bytes: the largest resident memory of all processes that built it together.
    """

    submodel: str
    path: Path
    size_bytes: int
    relative_error: float | None
    snr_db: float | None
    took_s: float
    peak_bytes: int


Tell = Callable[[str, str, float], None]


def build_mobile_sd(
    wanted: BuildRequest, folder: Path, tell: Tell = lambda submodel, what, part: None
) -> Iterator[Built]:
    """Build the submodels one after the other into `folder`, as SUBMODEL.tflite.

    Args:
        tell: called with the submodel, the step, and its progress from 0 to 1.

    Raises:
        InputError: there is no such submodel, the weights are not those needed, the folder cannot be written.
        EnvironmentProblem: TensorFlow is not installed.
    """
    for name in wanted.submodels:
        if name not in SUBMODELS:
            raise InputError(f"no submodel {name!r}", hint=f"there are {', '.join(SUBMODELS)}")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for submodel in SUBMODELS:
        if not wanted.submodels or submodel in wanted.submodels:
            yield _in_process(submodel, wanted, folder / f"{submodel}.tflite", tell)


def _in_process(submodel: str, wanted: BuildRequest, out: Path, tell: Tell) -> Built:
    started = time.monotonic()
    task = {**asdict(wanted), "submodel": submodel, "out": out}
    command = [sys.executable, "-m", __name__, json.dumps(task, default=str)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    meter = _PeakMemory(process.pid)
    deadline = threading.Timer(_DEADLINE_S, process.kill)
    deadline.start()
    last: dict[str, Any] = {}
    try:
        assert process.stdout is not None
        for line in process.stdout:
            with contextlib.suppress(ValueError):
                last = json.loads(line[:_MAX_LINE])
                if "what" in last:
                    tell(submodel, last["what"], last["part"])
        process.wait()
    finally:
        deadline.cancel()
        meter.stop()
        if process.poll() is None:
            meter.kill()
            process.wait()
    if "error" in last:
        raise _KINDS.get(last["kind"], DevbenchError)(last["error"], hint=last["hint"])
    if process.returncode or "relative_error" not in last:
        raise DevbenchError(
            f"building {submodel} ended with code {process.returncode} after {time.monotonic() - started:.0f} s",
            hint=f"it had {meter.peak_bytes / 1e9:.1f} GB at most: is there memory enough?",
        )
    relative, snr, took_s = last["relative_error"], last["snr_db"], time.monotonic() - started
    return Built(submodel, out, out.stat().st_size, relative, snr, took_s, meter.peak_bytes)


class _PeakMemory:
    """Samples the resident memory of a process and its children together."""

    def __init__(self, pid: int) -> None:
        self.peak_bytes = 0
        self._process = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def kill(self) -> None:
        """End the process and its children."""
        with contextlib.suppress(psutil.Error):
            for process in [*self._process.children(recursive=True), self._process]:
                with contextlib.suppress(psutil.Error):
                    process.kill()

    def _watch(self) -> None:
        while not self._stop.wait(_SAMPLE_S):
            try:
                family = [self._process, *self._process.children(recursive=True)]
                total = sum(process.memory_info().rss for process in family)
            except psutil.Error:
                continue
            self.peak_bytes = max(self.peak_bytes, total)


def write_pipelines(folder: Path, wanted: BuildRequest, steps: int, guidance: bool) -> Iterator[Path]:
    """Write mobile-sd.toml and, for image to image, mobile-sd-image.toml next to the models.

    They have `steps` U-Net steps and the paper's residencies.

    Args:
        guidance: classifier-free guidance, two U-Net runs per step; without it one, as after distillation.
    """
    what = f"{wanted.variant}, {wanted.precision}, scale {wanted.scale}"
    for name, first in (("mobile-sd", ""), ("mobile-sd-image", _IMAGE_ENCODER)):
        path = folder / f"{name}.toml"
        text = _PIPELINE.format(name=name, what=what, steps=steps, guidance=str(guidance).lower(), first=first)
        with writing(path):
            path.write_text(text, "utf-8")
        yield path


_IMAGE_ENCODER = """\
[[stage]]
name = "image_encoder"
model = "image_encoder.tflite"

"""
_PIPELINE = """\
# Mobile Stable Diffusion ({what}).
#
#   devbench run --pipeline {name}.toml --device SERIAL --delegate gpu,xnnpack

name = "{name}"
steps = {steps}
guidance = {guidance}
residency = ["resident", "sequential", "pipelined", "pipelined-early"]
overlap_steps = "auto"

{first}[[stage]]
name = "text_encoder"
model = "text_encoder.tflite"

[[stage]]
name = "unet"
model = "unet.tflite"
runs = "steps"
keep = true

[[stage]]
name = "image_decoder"
model = "image_decoder.tflite"
"""


def main(argv: Sequence[str]) -> int:
    """The process that builds one submodel: gives its exit code."""
    task = json.loads(argv[1])

    def say(**values: object) -> None:
        print(json.dumps(values), flush=True)

    try:
        relative, snr = _build(task, lambda what, part: say(what=what, part=part))
    except DevbenchError as error:
        kind = next((name for name, kind in _KINDS.items() if isinstance(error, kind)), "other")
        say(error=error.what, hint=error.hint, kind=kind)
        return error.exit_code
    say(relative_error=relative, snr_db=snr)
    return 0


def _build(task: dict[str, Any], tell: Callable[[str, float], None]) -> tuple[float | None, float | None]:
    from devbench.models.rewrites.apply import rewrite_file
    from devbench.models.rewrites.catalogue import RewriteOptions, chosen_rewrites

    submodel, out = task["submodel"], Path(task["out"])
    folder = task["weights"]
    source = Checkpoint(Path(folder) / SUBMODELS[submodel]) if folder else RandomWeights()
    lossy = list(_LOSSY[task["precision"]])
    if submodel == "unet" and task["prune_share"]:
        lossy.append("prune-largest")
    if task["variant"] == "baseline" and not lossy:
        convert(submodel, SCALES[task["scale"]], source, out, tell)
        return None, None
    plain = out.with_name(f".{out.stem}.plain.tflite")
    try:
        convert(submodel, SCALES[task["scale"]], source, plain, tell)
        rewrites = chosen_rewrites(lossy, []) if task["variant"] == "baseline" else chosen_rewrites([], [], lossy)
        options = RewriteOptions(prune_share=task["prune_share"])
        made = rewrite_file(
            plain, out, rewrites, options, inputs=int(task["inputs"]), tell=lambda what: tell(what, 0.0)
        )
    finally:
        plain.unlink(missing_ok=True)
    compared = made.lossy or made.exact
    return (None, None) if compared is None else (compared.worst.relative, min(compared.worst.snr_db, 300.0))


if __name__ == "__main__":
    sys.exit(main(sys.argv))
