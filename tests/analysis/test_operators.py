"""The share of the profiled time on the delegate: every microsecond counted once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devbench.analysis.operators import counted, delegate_time_share
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
