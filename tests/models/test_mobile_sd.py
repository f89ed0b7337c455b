"""The submodels of Stable Diffusion v2.1: their sizes, what the converter makes of them, checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from devbench.errors import InputError
from devbench.models.graph.file import load_model
from devbench.models.mobile_sd import SUBMODELS, networks
from devbench.models.mobile_sd.convert import convert, weight_specs
from devbench.models.mobile_sd.networks import SCALES, Layers
from devbench.models.mobile_sd.weights import Checkpoint, RandomWeights, WeightSpec
from tests.conftest import NEEDS_TENSORFLOW

pytestmark = [pytest.mark.converter, pytest.mark.timeout(600), NEEDS_TENSORFLOW]
TINY = SCALES["tiny"]
Run = Callable[..., NDArray[np.float32]]


def inputs(submodel: str, noise: float = 0.0) -> list[NDArray[Any]]:
    words, others = np.random.default_rng(1), np.random.default_rng(2)
    if submodel == "text_encoder":
        return [words.integers(0, TINY.text.vocabulary, (1, TINY.text.tokens)).astype(np.int32)]
    shapes = {
        "unet": [(1, 16, 16, 4), (1, 32), (1, 16, 64)], "image_encoder": [(1, 64, 64, 3)],
        "image_decoder": [(1, 8, 8, 4)],
    }[submodel]  # fmt: skip
    return [(words.standard_normal(s) + noise * others.standard_normal(s)).astype(np.float32) for s in shapes]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    from ai_edge_litert.interpreter import Interpreter

    folder = tmp_path_factory.mktemp("mobile_sd")
    runs: dict[str, Run] = {}
    for submodel in SUBMODELS:
        path = folder / f"{submodel}.tflite"
        assert convert(submodel, TINY, RandomWeights(), path) == path.stat().st_size
        interpreter = Interpreter(str(path))
        runs[submodel] = interpreter.get_signature_runner()
    return runs


def run(built: dict[str, Run], submodel: str, noise: float = 0.0) -> NDArray[np.float32]:
    names = {
        "text_encoder": ["tokens"], "image_encoder": ["image"], "unet": ["latent", "time_embedding", "context"],
        "image_decoder": ["latent"],
    }[submodel]  # fmt: skip
    result: Any = built[submodel](**dict(zip(names, inputs(submodel, noise), strict=True)))
    [output] = result.values()
    return np.asarray(output)


@pytest.mark.parametrize(
    ("submodel", "parameters"),
    # The autoencoder of diffusers has 83,653,863 together.
    [
        ("text_encoder", 340_387_840),
        ("image_encoder", 34_163_664),
        ("unet", 865_910_724),
        ("image_decoder", 49_490_199),
    ],
)
def test_full_scale_has_the_parameters_of_stable_diffusion_2_1(submodel: str, parameters: int) -> None:
    assert sum(spec.count for spec in weight_specs(submodel, SCALES["full"])) == parameters


@pytest.mark.parametrize("submodel", SUBMODELS)
def test_a_converted_submodel_computes_what_tensorflow_computes(built: dict[str, Run], submodel: str) -> None:
    """So that every weight is where it belongs, in the right order, and with the factor that was folded into it."""
    import tensorflow as tf

    def weights(name: str, shape: tuple[int, ...], gain: float = 1.0) -> Any:
        return tf.constant(RandomWeights().array(WeightSpec(name, shape, gain)))

    network: Any = getattr(networks, submodel)
    size = {"text_encoder": TINY.text, "unet": TINY.unet}.get(submodel, TINY.autoencoder)
    expected = network(Layers(weights), size, *[tf.constant(array) for array in inputs(submodel)]).numpy()
    np.testing.assert_allclose(run(built, submodel), expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("submodel", SUBMODELS)
def test_outputs_are_well_scaled(built: dict[str, Run], submodel: str) -> None:
    output = run(built, submodel)
    assert np.isfinite(output).all()
    assert 0.1 < output.std() < 3


@pytest.mark.parametrize("submodel", SUBMODELS)
def test_no_activation_is_nan_infinite_or_denormal(submodel: str, tmp_path: Path) -> None:
    """Denormals are many times slower on some CPUs, and no trained network has them."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    path = tmp_path / "model.tflite"
    convert(submodel, TINY, RandomWeights(), path)
    interpreter = Interpreter(
        str(path),
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    for details, array in zip(interpreter.get_input_details(), _as_named(interpreter, submodel), strict=True):
        interpreter.set_tensor(details["index"], array)
    interpreter.invoke()
    own, smallest, checked = len(load_model(path).subgraphs[0].tensors), np.finfo(np.float32).tiny, 0
    for details in interpreter.get_tensor_details():
        # Beyond the model's own tensors there is scratch memory of kernels.
        if details["index"] >= own or details["dtype"] is not np.float32 or not details["shape"].size:
            continue
        values = np.abs(interpreter.get_tensor(details["index"]))
        assert np.isfinite(values).all(), details["name"]
        assert not ((values > 0) & (values < smallest)).any(), details["name"]
        checked += 1
    assert checked > 50


def _as_named(interpreter: Any, submodel: str) -> list[NDArray[Any]]:
    """The inputs in the order of the interpreter's."""
    by_shape = {array.shape: array for array in inputs(submodel)}
    return [by_shape[tuple(details["shape"])] for details in interpreter.get_input_details()]


@pytest.mark.parametrize("submodel", ["unet", "image_encoder", "image_decoder"])
def test_noise_at_the_input_comes_out_as_noise(built: dict[str, Run], submodel: str) -> None:
    clean, noisy = run(built, submodel), run(built, submodel, noise=1e-6)
    ratio_db = 10 * np.log10(np.square(clean).sum() / np.square(clean - noisy).sum())
    # The input's own ratio is 120 dB.
    assert ratio_db > 100


def save(folder: Path, specs: tuple[WeightSpec, ...]) -> None:
    from safetensors.numpy import save_file

    tensors = {}
    for spec in specs:
        array = RandomWeights().array(spec)
        if array.ndim == 4:
            array = array.transpose(3, 2, 0, 1)
        elif spec.stored_shape != spec.shape or (array.ndim == 2 and "embedding.weight" not in spec.name):
            array = array.T
        tensors[spec.name] = np.ascontiguousarray(array)
    folder.mkdir()
    save_file(tensors, folder / "diffusion_pytorch_model.safetensors")


def test_diffusers_pads_the_encoders_downsampling_only_at_the_end() -> None:
    """As torch.nn.functional.pad(x, (0, 1, 0, 1)) and a convolution without padding."""
    import tensorflow as tf

    def weights(name: str, shape: tuple[int, ...], gain: float = 1.0) -> Any:
        return tf.ones(shape) if len(shape) > 1 else tf.zeros(shape)

    made = Layers(weights).conv(tf.ones((1, 4, 4, 1)), "conv", 1, stride=2, pad_both=False)
    assert made.numpy()[0, :, :, 0].tolist() == [[9, 6], [6, 4]]


@pytest.mark.parametrize("submodel", ["image_encoder", "image_decoder"])
def test_a_checkpoint_gives_the_same_model_as_the_weights_in_it(submodel: str, tmp_path: Path) -> None:
    save(tmp_path / "vae", weight_specs(submodel, TINY))
    convert(submodel, TINY, RandomWeights(), tmp_path / "random.tflite")
    convert(submodel, TINY, Checkpoint(tmp_path / "vae"), tmp_path / "loaded.tflite")
    assert (tmp_path / "loaded.tflite").read_bytes() == (tmp_path / "random.tflite").read_bytes()


def test_a_checkpoint_is_checked_by_name_and_shape(tmp_path: Path) -> None:
    specs = weight_specs("image_decoder", TINY)
    save(tmp_path / "short", specs[:-2])
    with pytest.raises(InputError, match=r"lacks 2 of \d+ weights: decoder.conv_out.weight, decoder.conv_out.bias"):
        Checkpoint(tmp_path / "short").check(specs)
    wrong = [replace(spec, shape=(3, 3, 7, 3)) if spec.name == "decoder.conv_out.weight" else spec for spec in specs]
    save(tmp_path / "wrong", tuple(wrong))
    with pytest.raises(InputError, match=r"decoder.conv_out.weight in .* is \[3, 7, 3, 3\], needed is \[3, 16, 3, 3\]"):
        Checkpoint(tmp_path / "wrong").check(specs)


def test_a_folder_without_weights_and_a_damaged_file_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no \.safetensors file"):
        Checkpoint(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(InputError, match="cannot be read"):
        Checkpoint(tmp_path)
