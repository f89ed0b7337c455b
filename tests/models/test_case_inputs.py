"""How a model is called: shapes for its open inputs, and which of its signatures; what makes no sense is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from devbench.errors import InputError
from devbench.models.case_inputs import CaseInputs, open_inputs, parse_shapes, plan_inputs
from devbench.models.files import GivenModel, ModelFile, open_models
from tests.models.probe import Op, Part, Tensor, build, build_graphs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    one = Tensor((1, 1, 1, 3), signature=(1, -1, -1, 3), name="image")
    (tmp_path / "open.tflite").write_bytes(build([Op("ABS", [one], [Tensor((1, 1, 1, 3))])]))
    ids, mask = (Tensor((1, 1), signature=(1, -1), name=name) for name in ("ids", "mask"))
    (tmp_path / "two.tflite").write_bytes(build([Op("ADD", [ids, mask], [Tensor((1, 1))], kind="AddOptions")]))
    fixed = Tensor((1, 8), name="x")
    (tmp_path / "fixed.tflite").write_bytes(build([Op("ABS", [fixed], [Tensor((1, 8))])]))
    graphs = [Part([Op("ABS", [Tensor((1, 4), name="x")], [Tensor((1, 4))])]) for _ in range(3)]
    named = (("encode", 1), ("serve", 0), ("alias", 0), ("decode", 2))
    (tmp_path / "many.tflite").write_bytes(build_graphs(graphs, signatures=named))
    return tmp_path


def opened(folder: Path, *names: str) -> tuple[ModelFile, ...]:
    return open_models([GivenModel(str(folder / f"{name}.tflite")) for name in names], folder)


def calls(folder: Path, name: str, *shapes: str, signatures: tuple[str, ...] = ()) -> list[CaseInputs]:
    sets = [parse_shapes(text.split()) for text in shapes]
    return list(plan_inputs(opened(folder, name), sets, signatures)[name])


def test_open_inputs_are_those_that_nobody_gave_a_shape(folder: Path) -> None:
    path = folder / "two.tflite"
    assert [spec.shown for spec in open_inputs(path, {})] == ["ids", "mask"]
    assert [spec.shown for spec in open_inputs(path, {"mask": (1, 7)})] == ["ids"]
    assert open_inputs(folder / "fixed.tflite", {}) == ()
    assert open_inputs(Path(__file__), {}) == ()


def test_every_set_of_shapes_is_a_case_and_the_tool_is_told_all_inputs(folder: Path) -> None:
    assert calls(folder, "open", "1x8x8x3", "image=1x16x16x3") == [
        CaseInputs((("image", (1, 8, 8, 3)),), ((1, 8, 8, 3),)),
        CaseInputs((("image", (1, 16, 16, 3)),), ((1, 16, 16, 3),)),
    ]
    assert calls(folder, "two", "mask=1x7") == [CaseInputs((("mask", (1, 7)),), ((1, 1), (1, 7)))]


def test_shapes_count_for_the_models_that_have_such_inputs(folder: Path) -> None:
    found = plan_inputs(opened(folder, "open", "fixed"), [parse_shapes(["image=1x8x8x3"])], ())
    assert found["fixed"] == (CaseInputs(),)
    assert found["open"][0].shapes == (("image", (1, 8, 8, 3)),)
    assert plan_inputs(opened(folder, "open", "fixed"), [parse_shapes(["1x8x8x3"])], ()) == found


@pytest.mark.parametrize(
    ("model", "shape", "said"),
    [
        ("open", "1x8x8", "has 3 dimensions, the model 4"),
        ("open", "2x8x8x3", "contradicts the model's fixed dimensions"),
        ("open", "1x8x8x4", "contradicts"),
        ("fixed", "1x9", "contradicts"),
        ("open", "picture=1x8x8x3", "picture: no model has such an input"),
        ("two", "1x8", "needs a name"),
        ("open", "1x99999x99999x3", "GiB"),
        ("open", "1x9999999999x1x3", "GiB"),
        ("open", "1x0x8x3", "dimension of 0"),
        ("open", "1x-1x8x3", "is not NAME=SHAPE"),
        ("open", "image=", "is not NAME=SHAPE"),
        ("open", "1e3x8", "is not NAME=SHAPE"),
        ("two", "ids=1x2 ids=1x3", "has a shape already"),
    ],
)
def test_shapes_that_contradict_the_model_or_are_absurd_are_refused(
    folder: Path, model: str, shape: str, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        calls(folder, model, shape)


def test_the_signature_is_named_where_there_are_several(folder: Path) -> None:
    assert calls(folder, "many") == [CaseInputs(signature="serve")]
    assert calls(folder, "many", signatures=("decode", "serve")) == [
        CaseInputs(signature="decode", graph=2),
        CaseInputs(signature="serve"),
    ]
    assert calls(folder, "many", signatures=("all",)) == [
        CaseInputs(signature="encode", graph=1),
        CaseInputs(signature="serve"),
        CaseInputs(signature="decode", graph=2),
    ]
    assert calls(folder, "fixed") == calls(folder, "fixed", signatures=("all",)) == [CaseInputs()]


def test_a_signature_that_no_model_has_is_refused_with_those_that_there_are(folder: Path) -> None:
    with pytest.raises(InputError, match="has no signature 'predict'") as caught:
        calls(folder, "many", signatures=("predict",))
    assert "encode, serve, alias, decode" in caught.value.hint
    with pytest.raises(InputError, match="no model has it"):
        calls(folder, "fixed", signatures=("predict",))
    found = plan_inputs(opened(folder, "many", "fixed"), [], ("encode",))
    assert (found["many"], found["fixed"]) == ((CaseInputs(signature="encode", graph=1),), (CaseInputs(),))
