"""What is expected of a model's outputs, and what is refused before any device is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from devbench.bench import outputs
from devbench.bench.outputs import Expected
from devbench.bench.plan import Case, OutputCheck
from devbench.errors import InputError
from devbench.models.files import model_path, open_model
from devbench.models.tensors import ModelTensors, TensorSpec, read_tensors
from devbench.tool.case import Delegate, ToolOptions
from tests.conftest import DATA
from tests.made.models import random_model, two_signatures
from tests.models.probe import Op, Tensor, build

EDGES = DATA / "many_edges.tflite"


def expect(path: Path, **options: object) -> Expected:
    case = Case(open_model(model_path(str(path))), Delegate("cpu", "CPU"), ToolOptions(**options), "any")  # type: ignore[arg-type]
    return outputs.expect(case, OutputCheck({}))


def test_each_output_has_its_own_type_and_size() -> None:
    found = expect(EDGES)
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
    monkeypatch.setattr(outputs, "called_tensors", lambda *called: tensors)
    with pytest.raises(InputError, match=said):
        expect(EDGES)


def test_a_reference_has_the_shapes_that_were_asked_for(tmp_path: Path) -> None:
    x = Tensor((1, 1, 3), signature=(1, -1, 3), name="x")
    path = tmp_path / "open.tflite"
    path.write_bytes(build([Op("ABS", [x], [Tensor((1, 1, 3), signature=(1, -1, 3))])]))
    found = expect(path, input_shapes=(("x", (1, 5, 3)),))
    assert found.inputs[0].shape == (1, 5, 3)
    assert [spec.shape for spec in found.tensors.outputs] == [(1, 5, 3)]
    assert (found.outputs[0] == abs(found.inputs[0]).ravel()).all()


def test_a_reference_is_that_of_the_signature(tmp_path: Path) -> None:
    path = tmp_path / "two.tflite"
    path.write_bytes(two_signatures())
    plain = expect(path)
    other = expect(path, signature="negated", signature_graph=1)
    assert (plain.outputs[0] == abs(plain.inputs[0]).ravel()).all()
    assert (other.outputs[0] == -other.inputs[0].ravel()).all()


def test_outputs_that_differ_from_run_to_run_on_this_machine_are_found(tmp_path: Path) -> None:
    path = tmp_path / "random.tflite"
    path.write_bytes(random_model())
    found = expect(path)
    assert [found.tensors.outputs[number].name for number in found.unsteady] == ["noise"]
