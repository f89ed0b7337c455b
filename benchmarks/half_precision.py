"""Stable Diffusion's submodels in true fp16, by LiteRT's GPU accelerator over Vulkan, compared with fp32 on the CPU.

    python tools/fp16_python.py /srv/fp16
    python benchmarks/half_precision.py FOLDER --gpu-python /srv/fp16/python
    python benchmarks/half_precision.py FOLDER --models sd/ --only fp16 --gpu-python /srv/fp16/python

Writes the mobile form of each submodel to FOLDER, from the baselines in `--models` or newly converted (with `gather-1d`
for the tokens, which is exact in fp16). Also writes attention with scores up to a million, as TensorFlow writes it and
with `stable-attention`. The accelerator runs all of them in fp16. This needs a driver with true fp16: Mesa's lavapipe,
version 25 or later, needs no GPU; SwiftShader computes in fp32. `--gpu-python` is another Python with `ai_edge_litert`
that sees FOLDER under the same name; the first command makes one.

Then each submodel with int8 weights both ways (W8A16): dequantised to fp16 by the accelerator, and by the CPU's kernels
that quantise activations too (`dynamic-int8`), compared with fp32 and with each other, with file and peak memory.

Bars: no NaN and no Inf in any output; each submodel's outputs within 2 % of fp32's, relative to the largest value; the
same for attention in rows whose two largest scores differ by more than 1/256 of the largest. Attention as TensorFlow
writes it does not meet these bars. With int8 weights at least 20 dB either way.
"""

from __future__ import annotations

import argparse
import math
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

MOST_ERROR = 0.02
LEAST_SNR_DB = 20.0
LARGEST_SCORE = 1e6
SHAPE = (1, 2, 256, 64)
WAIT_S = 1800
TRIES = 3


def run_on_gpu(folder: Path, name: str) -> None:
    """In the Python with the accelerator: run FOLDER/NAME.tflite on the inputs there, write its output there."""
    import numpy as np
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.hardware_accelerator import HardwareAccelerator
    from ai_edge_litert.options import GpuOptions, Options

    options = Options(hardware_accelerators=HardwareAccelerator.GPU, gpu_options=GpuOptions(benchmark_mode=True))
    model: Any = CompiledModel.from_file(str(folder / f"{name}.tflite"), options=options)
    given, made = model.create_input_buffers(0), model.create_output_buffers(0)
    for buffer, label in zip(given, model.get_signature_by_index(0)["inputs"], strict=True):
        buffer.write(np.load(folder / f"{name}.{label.split(':')[0]}.npy"))
    model.run_by_index(0, given, made)
    count = np.load(folder / f"{name}.host.npy").size
    np.save(folder / f"{name}.gpu.npy", made[0].read(count, np.float32))
    print(
        next(line for line in Path("/proc/self/status").read_text("utf-8").splitlines() if "VmHWM" in line).split()[1]
    )


def prepare(folder: Path, scale: str, models: Path | None) -> dict[str, Any]:
    """Models, inputs and fp32 outputs; for each model the places of the output that are compared."""
    import numpy as np

    from devbench.models.mobile_sd import SUBMODELS
    from devbench.models.mobile_sd.convert import convert
    from devbench.models.mobile_sd.networks import SCALES
    from devbench.models.mobile_sd.weights import RandomWeights
    from devbench.models.reference import run_on_host
    from devbench.models.rewrites.apply import rewrite_file
    from devbench.models.rewrites.catalogue import RewriteOptions, chosen_rewrites
    from devbench.models.tensors import make_inputs, read_tensors

    plain, mobile = folder / "plain", chosen_rewrites([], ["gather-to-conv"], ["gather-1d"])
    for submodel in SUBMODELS:
        if not (folder / f"{submodel}.tflite").exists():
            if models is None:
                convert(submodel, SCALES[scale], RandomWeights(), plain)
            source = plain if models is None else models / f"{submodel}.tflite"
            rewrite_file(source, folder / f"{submodel}.tflite", mobile, RewriteOptions(), inputs=1)
    write_attention(folder / "attention_as_converted.tflite")
    names = ["stable-attention", "attention-4d"]
    source, stable = folder / "attention_as_converted.tflite", folder / "attention.tflite"
    rewrite_file(source, stable, chosen_rewrites(names, []), RewriteOptions(), inputs=1)
    plain.unlink(missing_ok=True)
    words = np.random.default_rng(5)
    large = {name: words.standard_normal(SHAPE) for name in "qkv"}
    factor = math.sqrt(LARGEST_SCORE / np.abs(large["q"] @ large["k"].swapaxes(-1, -2)).max())
    large |= {name: large[name] * factor for name in "qk"}
    scores = np.sort(large["q"] @ large["k"].swapaxes(-1, -2))
    is_clear = scores[..., -1] - scores[..., -2] > 2**-8 * LARGEST_SCORE
    compared: dict[str, Any] = {}
    for path in sorted(folder.glob("*.tflite")):
        tensors = read_tensors(path)
        limits = {one.name: SCALES[scale].text.vocabulary for one in tensors.inputs}
        arrays = make_inputs(tensors.inputs, {}, 0, limits)
        if path.stem.startswith("attention"):
            arrays = [large[one.shown[0]].astype(np.float16).astype(np.float32) for one in tensors.inputs]
        for one, array in zip(tensors.inputs, arrays, strict=True):
            np.save(folder / f"{path.stem}.{one.shown}.npy", array)
        [output] = run_on_host(path, [arrays], threads=os.cpu_count() or 1).outputs
        host = np.frombuffer(output, np.float32)
        np.save(folder / f"{path.stem}.host.npy", host)
        every = np.ones(host.size, np.bool_)
        compared[path.stem] = is_clear.repeat(SHAPE[-1]) if path.stem.startswith("attention") else every
    return compared


def on_gpu(command: list[str], name: str) -> int:
    """Run a model in the Python with the accelerator; gives the peak memory of the process in bytes.

    The accelerator waits a minute for a result. Compiling the kernels can take longer; the next process finds them in
    the driver's cache.
    """
    for _ in range(TRIES):
        done = subprocess.run([*command, "--one", name], check=False, capture_output=True, text=True, timeout=WAIT_S)
        if not done.returncode:
            break
    else:
        sys.exit(f"{name}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return int(done.stdout.split()[-1]) * 1024


def int8_both_ways(folder: Path, gpu_command: list[str]) -> bool:
    import numpy as np

    from devbench.models.equality import output_error
    from devbench.models.mobile_sd import SUBMODELS
    from devbench.models.reference import run_on_host
    from devbench.models.rewrites.apply import rewrite_file
    from devbench.models.rewrites.catalogue import RewriteOptions, chosen_rewrites
    from devbench.models.tensors import read_tensors

    print("| submodel | way | file MB | peak MB | relative error | SNR dB |\n|---|---|---|---|---|---|")
    right = True
    for submodel in SUBMODELS:
        fp32, w8, cpu = (folder / f"{submodel}.tflite", folder / f"{submodel}-w8.gpu", folder / f"{submodel}.cpu")
        for path, rewrite in ((w8, "w8"), (cpu, "dynamic-int8")):
            rewrite_file(fp32, path, chosen_rewrites([rewrite], []), RewriteOptions(), inputs=0)
        inputs = {one.shown: np.load(folder / f"{submodel}.{one.shown}.npy") for one in read_tensors(fp32).inputs}
        host = np.load(folder / f"{submodel}.host.npy")
        for name, values in {**inputs, "host": host}.items():
            np.save(folder / f"{w8.stem}.{name}.npy", values)
        run = run_on_host(cpu, [list(inputs.values())], threads=os.cpu_count() or 1, kernels="xnnpack")
        w8.rename(folder / f"{w8.stem}.tflite")
        peak = on_gpu(gpu_command, w8.stem)
        size = (folder / f"{w8.stem}.tflite").stat().st_size
        (folder / f"{w8.stem}.tflite").unlink()
        on_cpu, gpu = np.frombuffer(run.outputs[0], np.float32), np.load(folder / f"{w8.stem}.gpu.npy")
        rows = (
            ("GPU, fp16", size, peak, output_error("", host, gpu)),
            ("CPU, dynamic int8", cpu.stat().st_size, run.peak_bytes, output_error("", host, on_cpu)),
            ("GPU compared with CPU", 0, 0, output_error("", on_cpu, gpu)),
        )
        for way, file_bytes, peak_bytes, error in rows:
            sizes = " | ".join(f"{count / 1e6:.1f}" if count else "" for count in (file_bytes, peak_bytes))
            print(f"| {submodel} | {way} | {sizes} | {error.relative:.2g} | {error.snr_db:.1f} |", flush=True)
            right &= error.snr_db >= LEAST_SNR_DB
    return right


def write_attention(path: Path) -> None:
    from devbench.models.build import silent, tensorflow

    tf = tensorflow()
    spec = [tf.TensorSpec(SHAPE, tf.float32, name=name) for name in "qkv"]

    def attend(q: Any, k: Any, v: Any) -> Any:
        return {"out": tf.matmul(tf.nn.softmax(tf.matmul(q, k, transpose_b=True)), v)}

    function = tf.function(attend, input_signature=spec, autograph=False).get_concrete_function()
    with silent():
        path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([function], tf.Module()).convert())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scale", default="small", choices=("full", "small", "tiny"))
    parser.add_argument("--models", type=Path, metavar="DIR", help="baselines of `devbench models build mobile-sd`")
    parser.add_argument("--only", choices=("fp16", "w8"), help="run only one of the two parts")
    parser.add_argument("--gpu-python", default=shlex.quote(sys.executable))
    parser.add_argument("--one", metavar="MODEL", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        run_on_gpu(given.folder, given.one)
        return 0
    import numpy as np

    given.folder.mkdir(parents=True, exist_ok=True)
    script, right = given.folder / "half_precision.py", True
    script.write_text(Path(__file__).read_text("utf-8"), "utf-8")
    gpu_command = [*shlex.split(given.gpu_python), str(script), str(given.folder)]
    for name, compared in {} if given.only == "w8" else prepare(given.folder, given.scale, given.models).items():
        on_gpu(gpu_command, name)
        host, gpu = (np.load(given.folder / f"{name}.{side}.npy").astype(np.float64) for side in ("host", "gpu"))
        error = float(np.abs(gpu - host)[compared].max() / np.abs(host).max())
        finite = bool(np.isfinite(gpu).all())
        meets = finite and error <= MOST_ERROR
        print(f"{name}: finite {finite}, differs by {error:.2g} in {compared.mean():.1%} of the output", flush=True)
        right &= meets == (name != "attention_as_converted")
    right &= given.only == "fp16" or int8_both_ways(given.folder, gpu_command)
    print("all bars met" if right else "a bar is missed")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
