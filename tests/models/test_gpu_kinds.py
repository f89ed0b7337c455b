"""What gpu-check says of each kind of model that it once judged otherwise than the stock tool.

Every outcome here was seen in `benchmark_model` 2.14.1 on a bench phone; `benchmarks/gpu_check_agreement.py` measures
how many of a folder of models agree.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devbench.models.gpu.report import GpuReport, make_report, to_json, verdict
from devbench.models.graph.read import read_model
from tests.models.probe import Op, Part, Tensor, build, build_graphs, constant, ints

X = (1, 4, 4, 4)
DENSE = "FullyConnectedOptions"


def judge(tmp_path: Path, data: bytes, **more: Any) -> GpuReport:
    path = tmp_path / "probe.tflite"
    path.write_bytes(data)
    return make_report(read_model(path), None, path=path, **more)


def outcome(report: GpuReport) -> str:
    found = report.estimate
    if found.blocked_by is not None:
        return found.blocked_by.rule.name
    return "full" if found.complete else "part" if found.delegated else "none"


def relu(source: Tensor, target: Tensor) -> Op:
    return Op("RELU", [source], [target])


def test_sparse_weights_that_are_made_dense_are_taken(tmp_path: Path) -> None:
    sparse = Tensor((8, 1, 1, 4), "FLOAT32", np.ones((8, 1, 1, 4)), sparse=True)
    dense, x, out = Tensor((8, 1, 1, 4)), Tensor(X), Tensor((1, 4, 4, 8))
    conv = Op("CONV_2D", [x, dense, constant((8,))], [out], kind="Conv2DOptions", options={"strideH": 1, "strideW": 1})
    report = judge(tmp_path, build([Op("DENSIFY", [sparse], [dense], kind="DensifyOptions"), conv]))
    assert outcome(report) == "full" and not report.refusals


def test_sparse_weights_of_two_dimensions_end_the_delegate(tmp_path: Path) -> None:
    sparse = Tensor((8, 4), "FLOAT32", np.ones((8, 4)), sparse=True)
    dense = Tensor((8, 4))
    layer = Op("FULLY_CONNECTED", [Tensor((1, 4)), dense, constant((8,))], [Tensor((1, 8))], kind=DENSE)
    report = judge(tmp_path, build([Op("DENSIFY", [sparse], [dense], kind="DensifyOptions"), layer]))
    assert outcome(report) == "constant-4d"


def test_operators_on_variables_stay_in_their_order(tmp_path: Path) -> None:
    """Without the order, both EXP would run in one part after the two reads."""
    handle, shape = Tensor((), "RESOURCE"), (1, 8)
    first, made, kept, second, out = (Tensor(shape) for _ in range(5))
    operators = [
        Op("VAR_HANDLE", [], [handle], kind="VarHandleOptions"),
        Op("READ_VARIABLE", [handle], [first], kind="ReadVariableOptions"),
        relu(first, made),
        Op("ASSIGN_VARIABLE", [handle, made], [], kind="AssignVariableOptions"),
        Op("READ_VARIABLE", [handle], [second], kind="ReadVariableOptions"),
        relu(second, kept),
        Op("MUL", [kept, kept], [out], kind="MulOptions"),
    ]
    found = judge(tmp_path, build(operators)).estimate
    assert (found.parts, found.delegated, found.operators) == ((2, 1), 2, 7)


def loop(body: list[Op], given: Tensor, made: Tensor, main: list[Op] | None = None) -> bytes:
    """A WHILE over one tensor of the shape of `given`, and `main` before it."""
    seen, limit, flag = Tensor(given.shape), Tensor((1,)), Tensor((1,), "BOOL")
    condition = [
        Op("REDUCE_MAX", [seen, ints(0, 1, 2, 3)], [limit], kind="ReducerOptions"),
        Op("LESS", [limit, constant((1,))], [flag], kind="LessOptions"),
    ]
    x, out = Tensor(given.shape), Tensor(given.shape)
    run = Op("WHILE", [x], [out], kind="WhileOptions", options={"condSubgraphIndex": 1, "bodySubgraphIndex": 2})
    parts = [Part([*(main or []), run]), Part(condition, [seen], [flag]), Part(body, [given], [made])]
    return build_graphs(parts)


def test_the_delegate_looks_into_the_graphs_of_a_loop(tmp_path: Path) -> None:
    given, middle, made = Tensor(X), Tensor(X), Tensor(X)
    report = judge(tmp_path, loop([Op("CEIL", [given], [middle]), relu(middle, made)], given, made))
    found = {(one.graph, one.operator.type) for one in report.refusals if one.effect.value == "cpu"}
    assert found == {(0, "WHILE"), (1, "LESS"), (2, "CEIL")}
    assert outcome(report) == "none"
    assert {row["graph"] for row in to_json(report, "x")["refusals"]} == {0, 1, 2}


def test_what_ends_the_delegate_in_a_loop_ends_it_for_the_model(tmp_path: Path) -> None:
    given, made = Tensor(X), Tensor(X)
    report = judge(tmp_path, loop([Op("FLOOR", [given], [made])], given, made))
    assert outcome(report) == "no-kernel" and "operator 0 of graph 2 (FLOOR)" in verdict(report)


def test_a_loop_that_changes_sizes_is_dynamic(tmp_path: Path) -> None:
    given, made = Tensor(X), Tensor((1, 4, 4, 8))
    join = Op("CONCATENATION", [given, given], [made], kind="ConcatenationOptions", options={"axis": 3})
    assert outcome(judge(tmp_path, loop([join], given, made))) == "dynamic"


def test_a_composite_cannot_be_loaded(tmp_path: Path) -> None:
    report = judge(tmp_path, build([Op("STABLEHLO_COMPOSITE", [Tensor(X)], [Tensor(X)])]))
    assert outcome(report) == "runtime-operator" and "cannot load the model" in verdict(report)


def test_an_operator_code_that_no_operator_uses_keeps_the_model_from_loading(tmp_path: Path) -> None:
    unused = Op("FULLY_CONNECTED", [], [], version=12)
    report = judge(tmp_path, build_graphs([Part([relu(Tensor(X), Tensor(X))])], [unused]))
    assert outcome(report) == "unused-code" and report.refusals[0].fix == "unused-codes"
    assert "operator code FULLY_CONNECTED version 12, which no operator uses" in verdict(report)


@pytest.mark.parametrize(("dtype", "name"), [("INT4", "constant-type"), ("INT8", "full")])
def test_weights_in_blocks(tmp_path: Path, dtype: str, name: str) -> None:
    """int4 in blocks ends the delegate; int8 in blocks is taken, and its scales are not read."""
    weights = Tensor((32, 64), dtype, np.zeros((32, 64)), blockwise=True)
    report = judge(tmp_path, build([Op("FULLY_CONNECTED", [Tensor((4, 64)), weights], [Tensor((4, 32))], kind=DENSE)]))
    assert outcome(report) == name
    assert (dtype == "INT4") or [one.rule.name for one in report.refusals] == ["wrong-blocks"]


@pytest.mark.parametrize("comparison", ["GREATER", "LESS_EQUAL", "EQUAL"])
@pytest.mark.parametrize("choice", ["SELECT", "SELECT_V2"])
def test_a_choice_by_a_comparison_is_taken_and_computed_wrongly(tmp_path: Path, comparison: str, choice: str) -> None:
    a, b, flag = Tensor(X), Tensor(X), Tensor(X, "BOOL")
    kinds = {"GREATER": "GreaterOptions", "LESS_EQUAL": "LessEqualOptions", "EQUAL": "EqualOptions"}
    report = judge(tmp_path, build([
        Op(comparison, [a, b], [flag], kind=kinds[comparison]), Op(choice, [flag, a, b], [Tensor(X)]),
    ]))  # fmt: skip
    assert outcome(report) == "full" and "gave wrong numbers" in verdict(report)
    assert [(one.operator.type, one.rule.name) for one in report.refusals] == [(choice, "wrong-select")]


@pytest.mark.parametrize("shape", [(1, 8), (8,)])
def test_a_choice_in_one_column_is_computed_rightly(tmp_path: Path, shape: tuple[int, ...]) -> None:
    choose = Op("SELECT", [Tensor(shape, "BOOL"), Tensor(shape), Tensor(shape)], [Tensor(shape)])
    report = judge(tmp_path, build([choose]))
    assert outcome(report) == "full" and not report.refusals


def test_a_shape_computed_from_a_shape_is_no_constant_of_the_delegate(tmp_path: Path) -> None:
    x, size, out = Tensor((1, 4, 4)), Tensor((3,), "INT32"), Tensor((1, 4, 4))
    operators = [
        Op("SHAPE", [x], [size], kind="ShapeOptions"),
        Op("RESHAPE", [x, size], [out], kind="ReshapeOptions"),
    ]
    [shape, reshape] = judge(tmp_path, build(operators)).refusals
    assert (shape.rule.name, reshape.rule.name, reshape.fix) == ("unknown", "sized-by-shape", "fixed-shapes")


def test_a_size_that_is_packed_at_run_time_is_dynamic(tmp_path: Path) -> None:
    x, number, size, out = Tensor((1, 4, 4)), Tensor((), "INT32"), Tensor((1,), "INT32"), Tensor((16,))
    operators = [
        Op("REDUCE_MAX", [Tensor((2,), "INT32"), ints(0)], [number], kind="ReducerOptions"),
        Op("PACK", [number], [size], kind="PackOptions", options={"valuesCount": 1}),
        Op("RESHAPE", [x, size], [out], kind="ReshapeOptions"),
    ]
    report = judge(tmp_path, build(operators))
    assert outcome(report) == "dynamic" and not any(one.fix for one in report.refusals)


BATCHES = {
    "a condition": ([Op("SELECT_V2", [Tensor((4, 4), "BOOL"), Tensor((1, 4, 4)), Tensor((1, 4, 4))],
                        [Tensor((1, 4, 4))])], "broadcast-batch"),
    "a shorter input": ([Op("MAXIMUM", [Tensor(X), Tensor((4,))], [Tensor(X)])], "broadcast-batch"),
    "a batch of both": ([Op("SUB", [Tensor((3, 5)), Tensor((5,))], [Tensor((3, 5))])], "full"),
    "another rank": ([Op("MAXIMUM", [Tensor((8, 8, 4)), Tensor((1, 8, 8, 4))], [Tensor((1, 8, 8, 4))])], "full"),
}  # fmt: skip


@pytest.mark.parametrize("name", BATCHES)
def test_a_first_axis_that_is_taken_for_a_batch(tmp_path: Path, name: str) -> None:
    operators, wanted = BATCHES[name]
    assert outcome(judge(tmp_path, build(operators))) == wanted


def test_a_tensor_that_is_read_twice_ends_the_delegate(tmp_path: Path) -> None:
    x = Tensor((1, 8, 8))
    report = judge(tmp_path, build([Op("BATCH_MATMUL", [x, x], [Tensor((1, 8, 8))], kind="BatchMatMulOptions")]))
    assert outcome(report) == "same-inputs"


def test_a_fix_is_named_only_where_the_rewrite_has_a_place(tmp_path: Path) -> None:
    """A tensor of five dimensions alone is no group normalisation: no rewrite changes it, so none is named."""
    x, out = Tensor((1, 2, 2, 2, 4)), Tensor((1, 2, 2, 1, 4))
    mean = Op("MEAN", [x, ints(3)], [out], kind="ReducerOptions", options={"keepDims": True})
    indices = Op("GATHER", [Tensor((9, 4)), Tensor((1, 3), "INT32")], [Tensor((1, 3, 4))], kind="GatherOptions")
    for operator in (mean, indices):
        [refusal] = judge(tmp_path, build([operator])).refusals
        assert refusal.effect.value == "cpu" and refusal.fix == ""
    table = Op("GATHER", [constant((9, 4)), Tensor((1, 3), "INT32")], [Tensor((1, 3, 4))], kind="GatherOptions")
    [refusal] = judge(tmp_path, build([table])).refusals
    assert refusal.fix == "gather-to-conv"


def test_the_advice_for_the_shipped_model_delegates_it_completely(tmp_path: Path) -> None:
    from devbench.models.files import model_path
    from devbench.models.rewrites.apply import rewrite_file
    from devbench.models.rewrites.catalogue import RewriteOptions, chosen_rewrites

    demo, out = model_path("demo"), tmp_path / "demo.tflite"
    report = make_report(read_model(demo), None, path=demo)
    assert not report.estimate.complete and all(group.fix for group in report.groups)
    made = rewrite_file(demo, out, chosen_rewrites([], []), RewriteOptions(), inputs=1)
    assert {group.fix for group in report.groups} <= {change.rewrite for change in made.changes}
    after = make_report(read_model(out), None, path=out)
    assert after.estimate.complete and not after.refusals


def test_a_comparison_right_after_arithmetic_that_broadcasts_does_not_build(tmp_path: Path) -> None:
    """Both become one program, whose result has the type of the comparison."""
    quotient, flag = Tensor(X), Tensor(X, "BOOL")
    operators = [
        Op("DIV", [Tensor((1, 4, 4, 1)), Tensor(X)], [quotient], kind="DivOptions"),
        Op("LESS_EQUAL", [quotient, Tensor(X)], [flag], kind="LessEqualOptions"),
        Op("SELECT_V2", [flag, Tensor(X), Tensor(X)], [Tensor(X)]),
    ]
    assert outcome(judge(tmp_path, build(operators))) == "comparison-fused"


@pytest.mark.parametrize(("given", "made", "name"), [((1, 4, 16), (4, 8), "fc-rows"), ((4, 3, 16), (12, 8), "full")])
def test_a_dense_layer_that_changes_the_first_axis(
    tmp_path: Path, given: tuple[int, ...], made: tuple[int, ...], name: str
) -> None:
    """From one to several it ends the delegate; from several to more it is taken and computed wrongly."""
    report = judge(tmp_path, build([Op("FULLY_CONNECTED", [Tensor(given), constant((8, 16))], [Tensor(made)],
                                       kind=DENSE)]))  # fmt: skip
    assert outcome(report) == name
    assert {one.rule.name for one in report.refusals} == {"fc-rows" if name == "fc-rows" else "wrong-rows"}
    assert all(one.fix == "fc-to-conv" for one in report.refusals)


@pytest.mark.parametrize(
    ("operator", "rule"),
    [
        (Op("CUMSUM", [Tensor((1, 8)), Tensor((), "INT32", np.array(-1))], [Tensor((1, 8))]), "wrong-cumsum"),
        (Op("SOFTMAX", [Tensor((8,))], [Tensor((8,))], kind="SoftmaxOptions", options={"beta": 1.0}), "wrong-softmax"),
        (Op("BATCH_MATMUL", [Tensor((2, 16, 8)), Tensor((8, 4))], [Tensor((2, 16, 4))]), "wrong-matmul-batch"),
        (Op("MUL", [Tensor((3, 5)), Tensor((5,))], [Tensor((3, 5))], kind="MulOptions"), "wrong-widening"),
    ],
)
def test_what_is_taken_and_computed_wrongly_is_a_warning(tmp_path: Path, operator: Op, rule: str) -> None:
    report = judge(tmp_path, build([operator]))
    assert outcome(report) == "full" and [one.rule.name for one in report.refusals] == [rule]
    assert to_json(report, "x")["wrong"] == 1
