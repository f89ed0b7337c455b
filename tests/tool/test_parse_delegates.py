"""Delegates as vendors' libraries speak of them, and runs of which only the summaries were kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from devbench.tool.delegates import load_delegates
from devbench.tool.failures import classify
from devbench.tool.parse import parse_text, to_json

HEAD = "INFO: STARTING!\nINFO: Graph: [m.tflite]\nINFO: Loaded model m.tflite\n"
SUMMARY = "INFO: Inference timings in us: Init: 5, First inference: 4, Warmup (avg): 3, Inference (avg): 2.5\n"


def read(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(to_json(parse_text(text))))
    return found


@pytest.mark.parametrize(
    ("line", "name", "taken", "of"),
    [
        ("INFO: EthosuDelegate: 1 nodes delegated out of 3 nodes with 1 partitions.", "EthosuDelegate", 1, 3),
        ("INFO: NeutronDelegate: 5 nodes delegated out of 9 nodes with 1 partitions", "NeutronDelegate", 5, 9),
        ("INFO: Vx Delegate delegate: 31 nodes delegated out of 33 nodes with 1 partitions.", "Vx Delegate", 31, 33),
        ("INFO: TfLiteQnnDelegate delegate: 0 nodes delegated out of 31 nodes with 0 partitions.", "TfLiteQnnDelegate", 0, 31),
        ("INFO: [Qnn Delegate] QNN delegate: 47 nodes delegated out of 48 nodes", "QNN", 47, 48),
        ("INFO: CoreML delegate: 75 nodes delegated out of 77 nodes, with 2 partitions.", "CoreML", 75, 77),
        ("VERBOSE: Replacing 517 out of 518 node(s) with delegate (TfLiteQnnDelegate) node", "TfLiteQnnDelegate", 517, 518),
    ],
)  # fmt: skip
def test_a_delegate_s_own_count_of_nodes_is_read_however_it_calls_itself(
    line: str, name: str, taken: int, of: int
) -> None:
    assert read(HEAD + line + "\n\n" + SUMMARY)["delegates"] == [
        {"name": name, "applied": "partial" if taken else "none", "nodes_delegated": taken, "nodes_total": of}
    ]


REPLACING = "VERBOSE: Replacing 9 out of 9 node(s) with delegate ({name}) node, yielding 1 partitions for subgraph 0.\n"
RESTORED = (
    "ERROR: Node number 9 ({name}) failed to prepare.\n"
    "ERROR: Restored original execution plan after delegate application failure.\n"
)
NO_KERNEL = (
    "ERROR: [dispatch_delegate.cc:122] Failed to create a dispatch delegate kernel: No usable Dispatch runtime found\n"
)


@pytest.mark.parametrize("name", ["TfLiteXNNPackDelegate", "DispatchDelegate", "LITERT_CL"])
@pytest.mark.parametrize("trouble", [RESTORED, NO_KERNEL])
def test_a_delegate_that_was_taken_back_has_taken_nothing(name: str, trouble: str) -> None:
    found = read(HEAD + REPLACING.format(name=name) + trouble.format(name=name) + SUMMARY)
    assert [(use["applied"], use.get("nodes_delegated")) for use in found["delegates"]] == [("none", None)]


def test_a_delegate_that_is_taken_back_takes_no_other_with_it() -> None:
    text = HEAD + REPLACING.format(name="Npu") + RESTORED + REPLACING.format(name="TfLiteXNNPackDelegate") + SUMMARY
    assert [(use["name"], use["applied"]) for use in read(text)["delegates"]] == [("Npu", "none"), ("XNNPACK", "full")]


@pytest.mark.parametrize("partition", ["LITERT_CL", "LITERT_OPENGL", "LITERT_VULKAN", "LITERT_WEBGPU"])
def test_the_gpu_of_litert_is_known_by_the_names_of_its_partitions(partition: str) -> None:
    measured = parse_text(HEAD + REPLACING.format(name=partition) + "Inference (avg):      0.46 ms (2112 runs)\n")
    entries = [entry for entry in load_delegates().values() if "use_gpu" in dict(entry.litert_flags)]
    assert len(entries) == 5
    for entry in entries:
        assert classify(measured, delegate=entry, require="full", exit_code=0) is None
    taken_back = parse_text(HEAD + REPLACING.format(name=partition) + RESTORED + "Inference (avg): 4.6 ms (212 runs)\n")
    failure = classify(taken_back, delegate=entries[0], require="any", exit_code=0)
    assert failure is not None
    assert failure.kind.value == "delegate_not_applied"


def test_the_trouble_of_a_vendor_s_library_without_a_level_is_the_reason() -> None:
    text = (
        "STARTING!\nGraph: [m.tflite]\nnnapi error: unable to open library libneuralnetworks.so\n"
        "NeuronApi error: unable to open library libneuron_adapter.so\n"
        "ERROR: Restored original execution plan after delegate application failure.\n"
        "Failed to apply NeuronDelegate delegate.\nBenchmarking failed.\n"
    )
    assert read(text)["failure"] == {
        "kind": "delegate_not_applied", "message": "NeuronApi error: unable to open library libneuron_adapter.so",
    }  # fmt: skip


# -- several runs without heads ---------------------------------------------------------------------------------------

FIRST = "Inference timings in us: Init: 500, First inference: 400, Warmup (avg): 300, Inference (avg): 200\n"
SECOND = "Inference timings in us: Init: 50, First inference: 40, Warmup (avg): 30, Inference (avg): 20\n"
LITERT = (
    "========== BENCHMARK RESULTS ==========\nINFO: [x.h:57] Model initialization: {0}6.76 ms\n"
    "INFO: [x.h:59] Warmup (first):       {0}.44 ms\nINFO: [x.h:63] Inference (avg):      {0}.46 ms ({0}166 runs)\n"
    "INFO: [x.h:67] Inference (min):      {0}.35 ms\n"
)


@pytest.mark.parametrize(
    ("text", "last", "init"),
    [
        (FIRST + SECOND, 20, 50),
        ("$ ./benchmark_model --use_gpu=true\n" + FIRST + "Memory footprint delta from the start of the tool (MB): init=9 overall=9\n"
         "$ ./benchmark_model\n" + SECOND, 20, 50),
        ("Average inference timings in us: Warmup: 3, Init: 1, no stats: 2\n\nInitialized session in 3ms\ncount=5 first=9 curr=9\n"
         "Average inference timings in us: Warmup: 30, Init: 10, no stats: 20\n", 20, 10),
        (LITERT.format(7) + LITERT.format(8), 8460, 86760),
        (LITERT.format(7) + FIRST.replace("Init", "\nInit") + SECOND, 20, 50),
    ],
)  # fmt: skip
def test_a_second_summary_is_another_run_also_without_its_head(text: str, last: float, init: float) -> None:
    found = read(text)
    assert (found["status"], found["inference_avg_us"], found["init_us"]) == ("ok", last, init)
    assert "runs of the tool in one text" in found["warnings"][0]
    assert "memory" not in found
    assert found.get("runs", {}).get("avg_us", last) == last


def test_what_is_said_of_a_delegate_belongs_to_the_summary_behind_it() -> None:
    applied = "Explicitly applied NNAPI delegate, and the model graph will be completely executed by the delegate.\n"
    assert [use["name"] for use in read(FIRST + applied + SECOND)["delegates"]] == ["NNAPI"]
    assert "delegates" not in read(applied + FIRST + "The input model file size (MB): 4\n" + SECOND)


@pytest.mark.parametrize("text", [FIRST + FIRST, FIRST + "I tflite  : " + FIRST, LITERT.format(7) * 2])
def test_the_same_summary_kept_twice_is_one_run(text: str) -> None:
    assert "warnings" not in read(text)
