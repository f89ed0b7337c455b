"""The rewrites on whole models: Stable Diffusion's tiny submodels, and models of other makers from Keras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from devbench.models.graph.file import load_model
from devbench.models.mobile_sd import SUBMODELS
from devbench.models.mobile_sd.convert import convert
from devbench.models.mobile_sd.networks import SCALES
from devbench.models.mobile_sd.weights import RandomWeights
from devbench.models.rewrites.apply import apply_rewrites, rewrite_file
from devbench.models.rewrites.catalogue import REWRITES, RewriteOptions, chosen_rewrites
from devbench.models.rewrites.serialize import ConvLimits
from tests.conftest import NEEDS_TENSORFLOW
from tests.models.rewrites.graphs import largest_rank, operators, relative_error, saved

pytestmark = [pytest.mark.converter, pytest.mark.timeout(600), NEEDS_TENSORFLOW]

BOUND = 1e-3
EXACT = [rewrite.name for rewrite in REWRITES if not rewrite.lossy]
# So small that models of tests have convolutions beyond them.
LIMITS = RewriteOptions(ConvLimits(weight_bytes=64_000).allow)
# One of each kind of architecture: inverted residuals, squeeze and excitation, LayerNorm with GELU, plain residuals.
# Random weights: only the operators matter here.
FOREIGN = ("MobileNetV2", "MobileNetV3Small", "ConvNeXtTiny", "ResNet50", "EfficientNetB0")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    import tensorflow

    folder = tmp_path_factory.mktemp("models")
    paths = {}
    for submodel in SUBMODELS:
        paths[submodel] = folder / f"{submodel}.tflite"
        convert(submodel, SCALES["tiny"], RandomWeights(), paths[submodel])
    for name in FOREIGN:
        tensorflow.keras.utils.set_random_seed(1)
        network = getattr(tensorflow.keras.applications, name)(weights=None, input_shape=(64, 64, 3), classes=10)
        paths[name] = folder / f"{name}.tflite"
        paths[name].write_bytes(tensorflow.lite.TFLiteConverter.from_keras_model(network).convert())
    return paths


def rewritten(source: Path, out: Path, names: list[str]) -> int:
    model = load_model(source)
    changes = apply_rewrites(model, chosen_rewrites(names, []), LIMITS)
    saved(model, out)
    return sum(len(change.lines) for change in changes)


@pytest.mark.parametrize("name", [*SUBMODELS, *FOREIGN])
def test_each_rewrite_and_all_together_compute_the_same(models: dict[str, Path], name: str, tmp_path: Path) -> None:
    source, concerned = models[name], 0
    if name in FOREIGN:
        # Keras leaves the batch open, and what is open stays as it is.
        fixed = tmp_path / "fixed.tflite"
        assert rewritten(source, fixed, ["fixed-shapes"])
        assert relative_error(source, fixed, inputs=20) <= BOUND
        source = fixed
    for rewrite in EXACT:
        out = tmp_path / f"{rewrite}.tflite"
        places = rewritten(source, out, [rewrite])
        if places:
            concerned += 1
            assert relative_error(source, out, inputs=20) <= BOUND, rewrite
        else:
            assert operators(out) == operators(source)
        out.unlink()
    together = tmp_path / "all.tflite"
    assert rewritten(source, together, EXACT) and concerned
    assert relative_error(source, together, inputs=20) <= BOUND


@pytest.mark.parametrize("name", SUBMODELS)
def test_the_submodels_have_nothing_left_that_delegates_refuse(
    models: dict[str, Path], name: str, tmp_path: Path
) -> None:
    from devbench.models.gpu.report import make_report
    from devbench.models.graph.read import read_model

    out = tmp_path / "mobile.tflite"
    made = rewrite_file(models[name], out, chosen_rewrites([], []), RewriteOptions(), inputs=2)
    assert made.exact is not None and made.exact.worst.relative <= BOUND
    assert largest_rank(out) <= 4
    report = make_report(read_model(out), None)
    assert report.estimate.complete and not report.refusals
    before = make_report(read_model(models[name]), None, path=models[name])
    assert not before.estimate.complete and all(group.fix for group in before.groups)


@pytest.mark.parametrize(("name", "least_db"), [("w8", 30.0), ("dynamic-int8", 20.0), ("fp16", 50.0), ("prune", 3.0)])
def test_lossy_rewrites_tell_their_error(models: dict[str, Path], name: str, least_db: float, tmp_path: Path) -> None:
    pytest.importorskip("litert_quantizer", reason="int8 weights need the extra `models`")
    out = tmp_path / "lossy.tflite"
    made = rewrite_file(models["unet"], out, chosen_rewrites([name], []), RewriteOptions(), inputs=2)
    assert made.exact is None and made.lossy is not None
    assert least_db < made.lossy.worst.snr_db < 100
    assert out.stat().st_size < 0.98 * models["unet"].stat().st_size


def test_large_convolutions_become_int8_here(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("litert_quantizer", reason="int8 weights need the extra `models`")
    monkeypatch.setattr("devbench.models.rewrites.weights._MAX_CONV_BYTES", 20_000)
    sizes, snrs = [], []
    for name in ("w8", "dynamic-int8"):
        out = tmp_path / f"{name}.tflite"
        made = rewrite_file(models["image_decoder"], out, chosen_rewrites([name], []), RewriteOptions(), inputs=2)
        assert made.lossy is not None
        sizes.append(made.size_bytes)
        snrs.append(made.lossy.worst.snr_db)
    assert max(sizes) < 0.45 * models["image_decoder"].stat().st_size
    assert snrs[0] > 30 and snrs[1] > 20


def test_row_numbers_are_never_quantised(models: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("litert_quantizer", reason="int8 weights need the extra `models`")
    out = tmp_path / "text.tflite"
    made = rewrite_file(
        models["text_encoder"],
        out,
        chosen_rewrites(["gather-to-conv"], [], ["dynamic-int8"]),
        RewriteOptions(),
        inputs=4,
    )
    assert made.lossy is not None and made.lossy.worst.snr_db > 25


def test_a_model_that_nothing_concerns_is_copied(tmp_path: Path) -> None:
    import tensorflow

    source = tmp_path / "relu.tflite"
    network = tensorflow.keras.Sequential([tensorflow.keras.Input((4,), batch_size=1), tensorflow.keras.layers.ReLU()])
    source.write_bytes(tensorflow.lite.TFLiteConverter.from_keras_model(network).convert())
    out = tmp_path / "out.tflite"
    made = rewrite_file(source, out, chosen_rewrites([], []), RewriteOptions())
    assert not made.changes and out.read_bytes() == source.read_bytes()


def test_models_of_changing_shape_stay_as_they_are(tmp_path: Path) -> None:
    import tensorflow

    network = tensorflow.keras.Sequential([tensorflow.keras.Input((None, 8)), tensorflow.keras.layers.Dense(4)])
    source = tmp_path / "any.tflite"
    source.write_bytes(tensorflow.lite.TFLiteConverter.from_keras_model(network).convert())
    out = tmp_path / "out.tflite"
    rewrite_file(source, out, chosen_rewrites(["fc-to-conv"], []), RewriteOptions(), inputs=0)
    assert operators(out) == operators(source)


def test_a_calibrated_int8_model_keeps_its_numbers(tmp_path: Path) -> None:
    import tensorflow

    network = tensorflow.keras.Sequential(
        [tensorflow.keras.Input((6, 8)), tensorflow.keras.layers.Dense(12), tensorflow.keras.layers.ReLU()]
    )
    converter = tensorflow.lite.TFLiteConverter.from_keras_model(network)
    words = np.random.default_rng(1)
    converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([words.standard_normal((1, 6, 8)).astype("f")] for _ in range(8))
    converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
    source = tmp_path / "int8.tflite"
    source.write_bytes(converter.convert())
    out = tmp_path / "out.tflite"
    model = load_model(source)
    changes = apply_rewrites(model, chosen_rewrites(["fixed-shapes", "fc-to-conv"], []), RewriteOptions())
    saved(model, out)
    assert [change.rewrite for change in changes] == ["fixed-shapes", "fc-to-conv"] and "CONV_2D" in operators(out)
    assert relative_error(source, out) == 0


def test_shapes_that_were_computed_are_constants_then(tmp_path: Path) -> None:
    import tensorflow

    class Fold(tensorflow.Module):
        @tensorflow.function(input_signature=[tensorflow.TensorSpec((None, 6, 4), tensorflow.float32)])
        def call(self, x):  # type: ignore[no-untyped-def]
            size = tensorflow.shape(x)
            return tensorflow.reshape(x, (size[0], size[1] * size[2])) * 2.0

    module = Fold()
    converter = tensorflow.lite.TFLiteConverter.from_concrete_functions([module.call.get_concrete_function()], module)
    source, out = tmp_path / "computed.tflite", tmp_path / "out.tflite"
    source.write_bytes(converter.convert())
    assert "SHAPE" in operators(source)
    made = rewrite_file(source, out, chosen_rewrites([], []), RewriteOptions())
    assert made.changes[0].rewrite == "fixed-shapes"
    assert sorted(operators(out)) == ["MUL", "RESHAPE"] and relative_error(source, out) == 0
