"""Inputs for a check of outputs: the same every time, bound by name, refused in one line where they do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from devbench.errors import InputError
from devbench.models.reference import ReferenceFailed, run_on_host
from devbench.models.tensors import TensorSpec, make_inputs, read_tensors
from tests.conftest import DATA

CNN = DATA / "small_cnn.tflite"


def test_the_edges_of_a_model_are_read() -> None:
    tensors = read_tensors(CNN)
    assert [(spec.dtype, spec.shape, spec.size_bytes) for spec in tensors.inputs] == [
        ("float32", (1, 32, 32, 3), 12288)
    ]
    assert [(spec.dtype, spec.shape) for spec in tensors.outputs] == [("float32", (1, 10))]
    with pytest.raises(InputError, match="no TFL3 identifier"):
        read_tensors(Path(__file__))


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("float32", -1, 1),
        ("float16", -1, 1),
        ("int8", -128, 127),
        ("uint8", 0, 255),
        ("int32", 0, 9),
        ("int64", 0, 9),
        ("bool", 0, 1),
    ],
)
def test_generated_inputs_lie_in_the_range_of_their_type(dtype: str, low: float, high: float) -> None:
    spec = TensorSpec("x", dtype, (3, 500))
    first, again = make_inputs([spec], {})[0], make_inputs([spec], {})[0]
    assert first.dtype == np.dtype(dtype)
    assert first.shape == (3, 500)
    assert first.min() >= low
    assert first.max() <= high
    assert np.array_equal(first, again)


def test_an_input_has_the_same_values_wherever_it_stands() -> None:
    a, b = TensorSpec("a", "float32", (4,)), TensorSpec("b", "float32", (4,))
    assert np.array_equal(make_inputs([a, b], {})[0], make_inputs([b, a], {})[1])
    assert not np.array_equal(*make_inputs([a, b], {}))


def test_a_user_s_file_is_bound_by_name(tmp_path: Path) -> None:
    specs = [TensorSpec("a:0", "float32", (2,)), TensorSpec("b:0", "float32", (2,))]
    np.save(tmp_path / "b.npy", np.array([5, 6], np.float32))
    assert make_inputs(specs, {"b:0": tmp_path / "b.npy"})[1].tolist() == [5, 6]
    with pytest.raises(InputError, match="no such input") as caught:
        make_inputs(specs, {"c": tmp_path / "b.npy"})
    assert "a:0, b:0" in caught.value.hint
    np.save(tmp_path / "b.npy", np.array([[5, 6]], np.float64))
    with pytest.raises(InputError, match="contains float64"):
        make_inputs(specs, {"b:0": tmp_path / "b.npy"})
    (tmp_path / "b.npy").write_text("no array")
    with pytest.raises(InputError, match=r"not a \.npy file"):
        make_inputs(specs, {"b:0": tmp_path / "b.npy"})


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"not a \.npy file"):
        make_inputs([TensorSpec("x", "float32", (1,))], {"x": tmp_path / "x.npy"})


def test_the_reference_is_computed_in_a_process_of_its_own(tmp_path: Path) -> None:
    inputs = make_inputs(read_tensors(CNN).inputs, {})
    found = np.frombuffer(run_on_host(CNN, [inputs]).outputs[0], np.float32)
    assert found.shape == (10,)
    assert found.sum() == pytest.approx(1.0, abs=1e-5), "a softmax"
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(CNN.read_bytes()[:9000])
    with pytest.raises(ReferenceFailed, match="does not run it"):
        run_on_host(broken, [inputs])


def test_an_input_goes_by_the_tensor_s_name_and_by_the_signature_s(tmp_path: Path) -> None:
    specs = [TensorSpec("serving_default_a:0", "float32", (2,), "a"), TensorSpec("b", "float32", (2,))]
    np.save(tmp_path / "x.npy", np.array([5.0, 6.0], np.float32))
    for name in ("a", "serving_default_a:0"):
        assert make_inputs(specs, {name: tmp_path / "x.npy"})[0].tolist() == [5.0, 6.0]
    with pytest.raises(InputError, match="given twice"):
        make_inputs(specs, {"a": tmp_path / "x.npy", "serving_default_a:0": tmp_path / "y.npy"})
    with pytest.raises(InputError, match="no such input") as caught:
        make_inputs(specs, {"c": tmp_path / "x.npy"})
    assert caught.value.hint == "it has a, b"


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((1 << 20, 1 << 20), "too large"),
        ((1, -1, 4), r"\[1, -1, 4\] is not a valid shape"),
        ((1,) * 500, "is not a valid shape"),
        ((2**31 - 1,) * 8, "too large"),
    ],
)
def test_absurd_shapes_are_refused_before_any_memory_is_taken(shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_inputs([TensorSpec("x", "float32", shape)], {})


def test_inputs_that_are_too_large_together_are_refused() -> None:
    specs = [TensorSpec(f"x{number}", "float32", (100 << 18,)) for number in range(6)]
    with pytest.raises(InputError, match="too large"):
        make_inputs(specs, {})
