"""The one reader of .tflite files: what it costs, what it knows of the schema, and what a hostile file can do to it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ai_edge_litert import schema_py_generated as schema

from devbench.errors import InputError
from devbench.models.graph.read import read_model
from devbench.models.graph.tables import count_operators, open_tables
from devbench.models.graph.view import TYPES, numbered_names
from tests.conftest import DATA
from tests.models.probe import Op, Tensor, build_graphs

CNN = DATA / "small_cnn.tflite"


def test_the_element_types_are_those_of_the_schema() -> None:
    assert dict(enumerate(TYPES)) == {
        number: name.lower() for number, name in numbered_names(schema.TensorType).items()
    }


def test_the_walk_finds_what_the_generated_classes_find() -> None:
    model = schema.Model.GetRootAs(CNN.read_bytes())
    graph = model.Subgraphs(0)
    with open_tables(CNN) as tables:
        walked = tables.item("graphs", 0)
        assert tables.number("version") == model.Version()
        assert walked.count("operators") == graph.OperatorsLength()
        for number, tensor in enumerate(walked.each("tensors")):
            wanted = graph.Tensors(number)
            assert tensor.text("name") == wanted.Name().decode()
            assert list(tensor.numbers("shape")) == wanted.ShapeAsNumpy().tolist()
            assert (tensor.number("type"), tensor.number("buffer")) == (wanted.Type(), wanted.Buffer())
        for number, operator in enumerate(walked.each("operators")):
            entry = graph.Operators(number)
            assert operator.number("code") == entry.OpcodeIndex()
            assert list(operator.numbers("inputs")) == entry.InputsAsNumpy().tolist()


def test_counting_imports_neither_numpy_nor_the_schema() -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from devbench.models.files import model_path, open_model\n"
        "from devbench.models.tensors import read_signatures, read_tensors\n"
        f"path = Path({str(CNN)!r}); model = open_model(model_path(str(path))); read_tensors(path); read_signatures(path)\n"
        "print(model.operator_count, {'numpy', 'ai_edge_litert', 'flatbuffers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == [str(count_operators(CNN)), "set()"]


@pytest.mark.parametrize("length", [0x7FFFFFFF, 0xFFFFFFFF, 400_000])
def test_a_vector_that_is_longer_than_its_file_is_refused_at_once(tmp_path: Path, length: int) -> None:
    whole = bytearray(CNN.read_bytes())
    with open_tables(CNN) as model:
        start, _ = model.item("graphs", 0).span("operators")
    whole[start - 4 : start] = length.to_bytes(4, "little")
    path = tmp_path / "long.tflite"
    path.write_bytes(whole)
    assert count_operators(path) is None
    with pytest.raises(InputError, match="more tables and longer lists"):
        read_model(path)


def test_a_signature_of_a_graph_that_is_not_there_is_damage(tmp_path: Path) -> None:
    from devbench.models.tensors import read_tensors

    path = tmp_path / "one.tflite"
    path.write_bytes(build_graphs([], [Op("ABS", [Tensor((1,))], [Tensor((1,))])]))
    with pytest.raises(InputError, match="it has no graphs 0"):
        read_tensors(path)
    assert count_operators(path) is None
