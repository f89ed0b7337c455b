"""The parser on files: CSV, protobuf, gzip, encodings, streams that are cut in the middle of a byte."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devbench.errors import InputError
from devbench.tool.parse import parse_bytes, parse_file, to_json
from devbench.tool.parse.proto import _message_class

LOGS = Path(__file__).parent / "logs"
CPU = (LOGS / "2.14-cpu.txt").read_bytes()


def test_a_csv_profile_has_the_rows_of_the_text() -> None:
    found = to_json(parse_file(LOGS / "2.14-profile.csv"))
    runs = found["profile"]["runs"]
    assert len(runs["ops"]) == runs["nodes_executed"] == 180
    assert runs["ops"][0]["type"] == "CONV_2D"
    assert runs["ops"][0]["name"] == "[functional_1/conv2d_1/convolution1]"
    assert runs["ops"][0]["node"] == 0
    assert runs["by_type"][0]["count"] == 13
    assert found["profile"]["init"]["ops"][0]["mem_kb"] == 128
    assert found["status"] == "ok"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig"])
def test_what_powershell_writes_is_read(encoding: str) -> None:
    assert to_json(parse_bytes(CPU.decode().encode(encoding))) == to_json(parse_bytes(CPU))


def test_gzip_is_read_also_where_it_is_cut() -> None:
    packed = gzip.compress(CPU)
    assert to_json(parse_bytes(packed)) == to_json(parse_bytes(CPU))
    assert parse_bytes(packed[: len(packed) // 2]).graph == "tiny_groupnorm.tflite"


def test_a_protobuf_profile_is_read() -> None:
    message = _message_class("profiling_info_pb2", "BenchmarkProfilingData")(model_name="m.tflite")
    graph = message.runtime_profile.subgraph_profiles.add(subgraph_index=0)
    for order, (kind, name, avg_us, times) in enumerate(
        [("CONV_2D", "[conv]:0", 3000, 1), ("TfLiteXNNPackDelegate", "[part]:7", 500, 2)]
    ):
        op = graph.per_op_profiles.add(node_type=kind, name=name, times_called=times, run_order=order)
        op.inference_microseconds.first, op.inference_microseconds.avg = avg_us + 1, avg_us
    inside = message.runtime_profile.delegate_profiles.add(delegate_name="XNNPACK")
    inside.per_op_profiles.add(node_type="IGEMM", name="Delegate/IGEMM:0").inference_microseconds.avg = 400
    found = to_json(parse_bytes(message.SerializeToString()))
    runs = found["profile"]["runs"]
    assert runs["ops"][0] | {"pct": 75.0, "cdf_pct": 75.0} == {
        "type": "CONV_2D", "name": "[conv]", "node": 0, "first_ms": 3.001, "avg_ms": 3.0, "pct": 75.0, "cdf_pct": 75.0,
        "times_called": 1,
    }  # fmt: skip
    assert [row["type"] for row in runs["by_type"]] == ["CONV_2D", "TfLiteXNNPackDelegate"]
    assert runs["delegate_ops"][0]["type"] == "IGEMM"
    assert found["graph"] == "m.tflite"


def test_the_runtime_s_graph_tells_what_was_delegated() -> None:
    message = _message_class("model_runtime_info_pb2", "ModelRuntimeDetails")(model_name="m.tflite")
    graph = message.subgraphs.add(subgraph_id=0)
    for number in range(4):
        graph.nodes.add(id=number, name="CONV_2D", type="CONV_2D")
    kernel = graph.nodes.add(id=4, name="GPU")
    kernel.delegate_node_details.delegate_name = "TfLiteGpuDelegateV2"
    kernel.delegate_node_details.tflite_node_ids_replaced.extend([0, 1, 2])
    use = parse_bytes(message.SerializeToString()).delegates[0]
    assert (use.applied, use.kernels, use.nodes_delegated, use.nodes_total) == ("partial", 1, 3, 4)


def _field(number: int, wire: int, payload: bytes) -> bytes:
    head = bytes([number << 3 | wire])
    return head + (bytes([len(payload)]) if wire == 2 else b"") + payload


def test_a_result_file_is_read() -> None:
    latency = b"".join(
        _field(number, 5, struct.pack("<f", value))
        for number, value in [
            (1, 33.25),
            (2, 30.0),
            (3, 40.0),
            (4, 1.5),
            (5, 33.0),
            (6, 31.0),
            (7, 39.0),
            (8, 5.0),
            (9, 50.0),
            (10, 35.0),
        ]
    )
    memory = _field(1, 0, b"\x80\x50") + _field(2, 0, b"\x80\xa0\x01") + _field(3, 5, struct.pack("<f", 64.5))
    misc = _field(2, 0, b"\x32") + _field(3, 0, b"\x01")
    data = _field(1, 2, b"m.tflite") + _field(2, 2, latency) + _field(3, 2, memory) + _field(4, 2, misc)
    found = to_json(parse_bytes(data))
    assert found["inference_avg_us"] == 33250
    assert found["runs"]["count"] == 50
    assert (found["runs"]["p5_us"], found["runs"]["median_us"], found["runs"]["p95_us"]) == (31000, 33000, 39000)
    assert (found["init_us"], found["first_inference_us"], found["warmup_avg_us"]) == (5000, 50000, 35000)
    assert found["memory"] == {"init_mb": 10.0, "overall_mb": 20.0, "peak_mb": 64.5}
    assert found["status"] == "ok"


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_no_bytes_whatsoever_raise(data: bytes) -> None:
    json.dumps(to_json(parse_bytes(data)), allow_nan=False)


@given(st.integers(0, len(CPU)), st.binary(max_size=30))
@settings(max_examples=200, deadline=None)
def test_garbage_behind_a_cut_raises_nothing(end: int, rest: bytes) -> None:
    parse_bytes(CPU[:end] + rest)


def test_a_file_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        parse_file(tmp_path / "none.txt")


@pytest.mark.converter
def test_profiles_are_read_also_after_tensorflow_was_imported() -> None:
    """TensorFlow brings the same messages; whoever comes second must not break the other."""
    import importlib.util
    import subprocess
    import sys

    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed (extra `models`)")
    code = (
        "import tensorflow.lite.python.lite\n"
        "from devbench.tool.parse import parse_bytes\n"
        "from devbench.tool.parse.proto import _message_class\n"
        "m = _message_class('profiling_info_pb2', 'BenchmarkProfilingData')(model_name='m.tflite')\n"
        "op = m.runtime_profile.subgraph_profiles.add().per_op_profiles.add(node_type='ADD')\n"
        "op.inference_microseconds.avg = 5\n"
        "print(parse_bytes(m.SerializeToString()).profile_runs.ops[0].type)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=110, check=True)
    assert done.stdout.strip() == "ADD"


@pytest.mark.parametrize("value", [-22.8, 0.0, float("inf"), float("nan"), -1e30, 3e38])
def test_a_result_file_with_a_latency_that_cannot_be_is_incomplete(value: float) -> None:
    latency = b"".join(_field(number, 5, struct.pack("<f", value)) for number in range(1, 11))
    found = to_json(parse_bytes(_field(1, 2, b"m") + _field(2, 2, latency)))
    assert "inference_avg_us" not in found or found["inference_avg_us"] > 0
    assert found["status"] == "incomplete"
    json.dumps(found, allow_nan=False)
