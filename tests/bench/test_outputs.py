"""What is expected of a model's outputs, and what is refused before any device is asked."""

from __future__ import annotations

import pytest

from devbench.bench import outputs
from devbench.bench.outputs import OutputCheck, expect
from devbench.errors import InputError
from devbench.models.tensors import ModelTensors, TensorSpec, read_tensors
from devbench.models.tflite_file import open_model
from tests.conftest import DATA

EDGES = DATA / "many_edges.tflite"


def test_each_output_has_its_own_type_and_size() -> None:
    found = expect(open_model(str(EDGES)), OutputCheck({}))
    assert [(str(array.dtype), array.size) for array in found.outputs] == [
        ("int32", 6),
        ("float32", 6),
        ("bool", 6),
        ("int32", 6),
        ("uint8", 6),
        ("int8", 6),
        ("int64", 1),
    ]
    minuend, subtrahend = found.inputs[3], found.inputs[0]
    assert (found.outputs[1] == (minuend - subtrahend).ravel()).all()


def test_the_model_is_what_its_script_makes() -> None:
    from tests.data.make_many_edges import INPUTS, OUTPUTS, model

    tensors = read_tensors(EDGES)
    assert [spec.name for spec in tensors.inputs] == list(INPUTS) != sorted(INPUTS)
    assert [spec.name for spec in tensors.outputs] == list(OUTPUTS)
    assert model()[4:8] == EDGES.read_bytes()[4:8] == b"TFL3"


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (ModelTensors((TensorSpec("x", "float32", ()),), (TensorSpec("y", "float32", ()),)), "only input is a scalar"),
        (ModelTensors((TensorSpec("x", "float32", (1,)),), (TensorSpec("y", "", (1,)),)), "y has a type that cannot"),
        (
            ModelTensors((TensorSpec("x", "", (1,)),), (TensorSpec("y", "int8", (1,)),)),
            "x: its type cannot be generated",
        ),
    ],
)
def test_what_cannot_be_compared_is_said_first(
    tensors: ModelTensors, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "read_tensors", lambda path: tensors)
    with pytest.raises(InputError, match=said):
        expect(open_model(str(EDGES)), OutputCheck({}))
