"""The share of the profiled time on the delegate: every microsecond counted once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devbench.analysis.operators import counted, delegate_time_share, delegated_node_share, type_times
from devbench.results.records import OperatorRecord


def op(kind: str, avg_ms: float | None, *, calls: float | None = 1, inside: bool = False) -> OperatorRecord:
    return OperatorRecord("runs", 0, kind, kind, 0, avg_ms, avg_ms, None, None, calls, inside)


def test_a_partition_s_row_stands_for_the_rows_inside_it() -> None:
    rows = [op("TfLiteGpuDelegateV2", 6.0), op("conv 1", 5.9, inside=True), op("GATHER", 2.0)]
    assert [(row.type, place) for row, _, place in counted(rows, xnnpack=False, calls_of_all_runs=False)] == [
        ("TfLiteGpuDelegateV2", "delegate"),
        ("GATHER", "cpu"),
    ]
    assert delegate_time_share(rows, xnnpack=False, calls_of_all_runs=False) == pytest.approx(0.75)


def test_without_a_partition_s_row_those_inside_stand_for_it() -> None:
    rows = [op("conv 1", 1.0, inside=True), op("conv 2", 2.0, inside=True), op("MEAN", 1.0)]
    assert delegate_time_share(rows, xnnpack=False, calls_of_all_runs=False) == pytest.approx(0.75)


def test_calls_count_only_where_they_are_those_of_one_inference() -> None:
    rows = [op("DELEGATE", 1.0, calls=1), op("ADD", 1.0, calls=3)]
    assert delegate_time_share(rows, xnnpack=False, calls_of_all_runs=False) == pytest.approx(0.25)
    assert delegate_time_share(rows, xnnpack=False, calls_of_all_runs=True) == pytest.approx(0.5)


def test_nothing_on_the_delegate_is_zero_and_no_time_is_unknown() -> None:
    assert delegate_time_share([op("CONV_2D", 1.0)], xnnpack=False, calls_of_all_runs=False) == 0.0
    assert delegate_time_share([op("CONV_2D", None)], xnnpack=False, calls_of_all_runs=False) is None
    assert delegate_time_share([], xnnpack=False, calls_of_all_runs=False) is None


def test_what_xnnpack_takes_beside_another_delegate_is_not_on_that_delegate() -> None:
    rows = [
        op("convolution_2d 6", 2.0, inside=True),
        op("Convolution (NHWC, F32) IGEMM", 1.0, inside=True),
        op("MEAN", 1.0),
    ]
    assert delegate_time_share(rows, xnnpack=False, calls_of_all_runs=False) == pytest.approx(0.5)
    assert delegate_time_share(rows[1:], xnnpack=True, calls_of_all_runs=False) == pytest.approx(0.5)
    partitions = [op("TfLiteGpuDelegateV2", 3.0), op("TfLiteXNNPackDelegate", 1.0)]
    assert delegate_time_share(partitions, xnnpack=False, calls_of_all_runs=False) == pytest.approx(0.75)


@pytest.mark.parametrize("kernel", ["Copy (NC, X32)", "Binary Elementwise (ND)", "Global Average Pooling (NWC, F32)"])
def test_xnnpack_s_kernels_are_told_by_their_layout(kernel: str) -> None:
    assert delegate_time_share([op(kernel, 1.0, inside=True)], xnnpack=False, calls_of_all_runs=False) == 0.0


@pytest.mark.parametrize(
    "name", ["TfLiteQnnDelegate", "DispatchDelegate", "TfLiteArmNnDelegate", "Vx Delegate", "DELEGATE"]
)
def test_the_share_of_any_delegate_is_that_of_its_partitions(name: str) -> None:
    assert delegate_time_share([op(name, 3.0)], xnnpack=False, calls_of_all_runs=False) == 1.0
    rows = [op(name, 3.0), op("inner", 2.9, inside=True), op("SOFTMAX", 1.0)]
    assert delegate_time_share(rows, xnnpack=False, calls_of_all_runs=False) == pytest.approx(0.75)


def test_a_partition_of_an_unknown_name_is_one_where_the_tool_told_so() -> None:
    rows = [replace(op("LITERT_CL", 3.0), is_partition=True), op("kernel", 2.9, inside=True), op("SOFTMAX", 1.0)]
    assert delegate_time_share(rows, xnnpack=False, calls_of_all_runs=False) == pytest.approx(0.75)


def test_kernels_of_xnnpack_without_a_partition_of_their_own_count_beside_another_delegate_s_partition() -> None:
    rows = [op("DispatchDelegate", 3.0), op("Delegate/Softmax (NC, F32)", 1.0, inside=True)]
    assert delegate_time_share(rows, xnnpack=False, calls_of_all_runs=False) == pytest.approx(0.75)


def test_tensorflow_s_own_kernels_are_on_the_cpu() -> None:
    rows = [op("TfLiteGpuDelegateV2", 3.0), op("TfLiteFlexDelegate", 1.0)]
    assert delegate_time_share(rows, xnnpack=False, calls_of_all_runs=False) == pytest.approx(0.75)


def test_times_by_type_are_summed_by_place_the_longest_first() -> None:
    rows = [
        op("CONV_2D", 1.0, calls=2), op("Delegate/softmax 3", 1.0, inside=True),
        op("Delegate/softmax 12", 3.0, inside=True), op("CONV_2D", 0.5),
    ]  # fmt: skip
    found = type_times(rows, xnnpack=False, tool="tflite")
    assert [(one.type, one.place, one.count, one.total_ms) for one in found] == [
        ("softmax", "delegate", 2, 4.0), ("CONV_2D", "cpu", 2, 2.5),
    ]  # fmt: skip
    assert [one.share for one in found] == pytest.approx([4 / 6.5, 2.5 / 6.5])
    assert type_times(rows, xnnpack=False, tool="litert")[1].total_ms == 1.5, "these are the calls of all inferences"
    assert [one.share for one in type_times([op("ADD", 0.0)], xnnpack=False, tool="tflite")] == [0.0]


@pytest.mark.parametrize(
    ("applied", "delegated", "total", "share"),
    [
        (None, 3, 4, None), ("none", 3, 4, 0.0), ("partial", 3, 4, 0.75), ("full", 3, 4, 0.75),
        ("full", None, None, 1.0), ("full", 0, 0, 1.0), ("partial", None, 4, None),
    ],
)  # fmt: skip
def test_the_share_of_nodes_is_known_if_the_tool_told_them(
    applied: str | None, delegated: int | None, total: int | None, share: float | None
) -> None:
    assert delegated_node_share(applied, delegated, total) == share
