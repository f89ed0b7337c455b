"""Jobs that cannot run are refused before anything is sent for them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devbench.adb.errors import ShellTimeout
from devbench.bench import refusals as module
from devbench.bench.plan import Case, Limits
from devbench.bench.refusals import (
    cannot_run,
    check_compiled,
    purposes_of,
    read_flags,
    refusals,
    remembered_flags,
    unfit_model,
)
from devbench.device.facts import DeviceFacts
from devbench.errors import InputError
from devbench.models.compiled import Compiled
from devbench.models.files import ModelFile
from devbench.tool.binaries import Binary
from devbench.tool.case import Delegate, Requirements, ToolOptions
from devbench.tool.manifest import VIRTUAL_ABI
from devbench.tool.measurement import Failure, FailureKind
from tests.tool.elf_files import X86_64, library

CPU = Delegate("cpu", "CPU", flags=(("use_xnnpack", "false"),))
NPU = Delegate("npu-x", "NPU", litert_flags=(("use_npu", "true"), ("dispatch_library_path", "{files}")))
TPU = Delegate("external-edgetpu", "TPU", flags=(("external_delegate_path", "{files}/libedgetpu.so.1"),))
SM8750 = Compiled("npu", "Qualcomm", "SM8750", "QNN 2.44.0", 1, 1)


def case(delegate: Delegate, compiled: Compiled | None, **options: object) -> Case:
    model = ModelFile(Path("m.tflite"), "m", "0" * 64, 100, 1, compiled)
    return Case(model, delegate, ToolOptions(**options), "any")  # type: ignore[arg-type]


def test_a_model_for_another_soc_is_refused_with_both_named() -> None:
    assert unfit_model(case(NPU, SM8750), "SM8650") == (
        "the model is compiled for Qualcomm SM8750 by QNN 2.44.0, the device has SM8650"
    )
    assert unfit_model(case(NPU, SM8750), "SM8750") == ""
    assert unfit_model(case(NPU, SM8750)) == ""
    assert unfit_model(case(NPU, None), "SM8650") == ""


def test_a_compiled_model_needs_the_delegate_of_its_accelerator() -> None:
    edge = Compiled("edgetpu", "", "", "Edge TPU compiler", 1, 1)
    assert "needs an npu delegate" in unfit_model(case(CPU, SM8750))
    assert unfit_model(case(CPU, SM8750, extra_flags=(("use_npu", "true"),))) == ""
    assert "needs the Edge TPU's delegate" in unfit_model(case(NPU, edge))
    assert unfit_model(case(TPU, edge)) == ""


def test_a_plan_without_any_delegate_that_fits_is_wrong_input() -> None:
    with pytest.raises(InputError, match="model m: the model is compiled for Qualcomm SM8750") as caught:
        check_compiled([case(CPU, SM8750), case(TPU, SM8750)])
    assert "cpu, external-edgetpu" in caught.value.hint
    check_compiled([case(CPU, SM8750), case(NPU, SM8750), case(CPU, None)])
    with pytest.raises(InputError, match="model m: the model is compiled for Qualcomm SM8750"):
        check_compiled([case(CPU, SM8750)])


class Phone:
    """A device that is asked which files and libraries it has, a line of the command each; it has these."""

    def __init__(self, *has: str) -> None:
        self.has, self.asked = has, 0
        self.serial = "S"

    def shell(self, command: str, **more: object) -> SimpleNamespace:
        self.asked += 1
        there = [line for line in command.splitlines() if any(f"/{name} " in line for name in self.has)]
        words = [word for line in there for word in re.findall(r"echo ([np]\d+)", line)]
        return SimpleNamespace(stdout="\n".join(words).encode(), exit_code=0)


ARM_BINARY = Binary("stock", "tflite", "2.19", "arm64-v8a", "default", "b" * 64, Path("b"), 100)
FACTS = DeviceFacts("K", "S", abis=("arm64-v8a", "armeabi-v7a"), soc_model="SM8650", sdk=34)


def why(delegate: Delegate, flags: tuple[str, ...] = (), phone: Phone | None = None) -> list[str]:
    found = cannot_run(
        phone or Phone(), [CPU, delegate], facts=FACTS, binary=ARM_BINARY, flags=flags,  # type: ignore[arg-type]
        known_failures={"gpu": "crashes"},
    )  # fmt: skip
    assert found["cpu"] == []
    return found[delegate.name]


def test_a_flag_that_the_binary_does_not_have_is_named() -> None:
    gpu = Delegate("fast", "Fast", flags=(("use_gpu", "true"), ("gpu_backend", "cl")))
    phone = Phone()
    assert why(gpu, phone=phone) == [], "nothing is known of the flags"
    assert phone.asked == 0, "no delegate needs a library of the device"
    assert why(gpu, ("use_xnnpack", "use_gpu", "gpu_backend")) == []
    assert why(gpu, ("use_xnnpack", "use_gpu")) == ["stock has no flag gpu_backend"]


def test_what_is_known_to_fail_there_and_what_the_device_lacks_are_reasons() -> None:
    assert why(Delegate("gpu", "GPU", flags=(("use_gpu", "true"),))) == ["known to fail here: crashes"]
    other = Delegate("x", "X", flags=(("use_gpu", "true"),), requires=Requirements(soc="SM8750"))
    assert len(why(other)) == 1 and "SM8650" in why(other)[0]


def test_a_library_of_another_machine_or_that_needs_another_one_is_a_reason(tmp_path: Path) -> None:
    def npu(path: Path) -> Delegate:
        return Delegate("npu", "NPU", flags=(("external_delegate_path", "{files}/libx.so"),), files=(str(path),))

    plugin = ("tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate")
    right = library(tmp_path / "libx.so", exports=plugin, needed=("libc.so", "libvendor.so"))
    phone = Phone("libvendor.so")
    assert why(npu(right), phone=phone) == [] and phone.asked == 1
    (reason,) = why(npu(right))
    assert reason == "libx.so needs libvendor.so, which is neither among its files nor on the device"
    intel = library(tmp_path / "libx.so", exports=plugin, machine=X86_64)
    assert any("arm64-v8a" in one for one in why(npu(intel)))


def test_a_library_under_another_file_name_is_to_be_renamed(tmp_path: Path) -> None:
    plugin = ("tflite_plugin_create_delegate",)
    first = library(tmp_path / "libx.so", exports=plugin, needed=("libnn.so.33",))
    second = library(tmp_path / "libnn.so.33.0", soname="libnn.so.33")
    npu = Delegate(
        "npu", "NPU", flags=(("external_delegate_path", "{files}/libx.so"),), files=(str(first), str(second))
    )
    (reason,) = why(npu)
    assert reason.endswith("nor on the device; rename libnn.so.33.0 to that")


def test_an_app_and_a_user_s_virtual_tool_are_not_asked_for_their_flags() -> None:
    phone = Phone()
    app = replace(ARM_BINARY, flavour="apk")
    own = replace(ARM_BINARY, abi=VIRTUAL_ABI, added_utc="2026-11-28T00:00:00+00:00")
    for binary in (app, own):
        assert read_flags(phone, binary) == frozenset()  # type: ignore[arg-type]
    shipped = replace(ARM_BINARY, abi=VIRTUAL_ABI, added_utc="")
    assert {"graph", "use_xnnpack"} <= read_flags(phone, shipped)  # type: ignore[arg-type]
    assert phone.asked == 0


HELP = b"usage: benchmark_model <flags>\nFlags:\n\t--graph=\tstring\t\tgraph\n\t--use_gpu=false\tbool\tuse gpu\n"


@pytest.fixture
def tool_depot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A depot that has everything, and an empty cache folder; the devices that were asked for help."""
    asked: list[str] = []
    monkeypatch.setattr(module, "Depot", lambda device: SimpleNamespace(ensure=lambda *_, **more: SimpleNamespace(
        remote=f"/d/{more['sha256'][:4]}", mode=more["mode"])))  # fmt: skip
    monkeypatch.setattr(module, "cache_dir", lambda: tmp_path)
    return asked


def answering(serial: str, asked: list[str], answer: bytes | None) -> Any:
    def shell(command: str, **_: object) -> SimpleNamespace:
        asked.append(f"{serial} {command}")
        if answer is None:
            raise ShellTimeout(serial, command, 20.0)
        return SimpleNamespace(stdout=b"", stderr=answer, exit_code=1)

    return SimpleNamespace(serial=serial, shell=shell, state="device")


def test_a_device_is_asked_once_for_the_flags_of_a_binary(tool_depot: list[str]) -> None:
    one, other = answering("A", tool_depot, HELP), answering("B", tool_depot, HELP)
    assert remembered_flags(ARM_BINARY) is None
    for _ in range(2):
        assert read_flags(one, ARM_BINARY) == {"graph", "use_gpu"}
    assert tool_depot == ["A /d/bbbb --help"]
    assert remembered_flags(ARM_BINARY) == remembered_flags(ARM_BINARY, "A") == frozenset({"graph", "use_gpu"})
    assert remembered_flags(ARM_BINARY, "B") is None, "devices may differ"
    assert remembered_flags(replace(ARM_BINARY, sha256="c" * 64)) is None
    read_flags(other, ARM_BINARY)
    assert len(tool_depot) == 2


@pytest.mark.parametrize("answer", [None, b"sh: not executable\n"], ids=["no answer", "no flags in it"])
def test_without_an_answer_no_flags_are_known_and_nothing_is_remembered(
    tool_depot: list[str], answer: bytes | None
) -> None:
    assert read_flags(answering("A", tool_depot, answer), ARM_BINARY) == frozenset()
    assert remembered_flags(ARM_BINARY, "A") is None


def test_a_damaged_memory_of_flags_is_read_again(tool_depot: list[str], tmp_path: Path) -> None:
    read_flags(answering("A", tool_depot, HELP), ARM_BINARY)
    (memory,) = tmp_path.glob("flags-*.json")
    for text in ("{", "7", ""):
        memory.write_text(text)
        assert remembered_flags(ARM_BINARY, "A") is None
        assert remembered_flags(ARM_BINARY) is None
    assert read_flags(answering("A", tool_depot, HELP), ARM_BINARY) == {"graph", "use_gpu"}


def test_purposes_are_those_with_a_process_outputs_first() -> None:
    assert purposes_of(Limits(repetitions=2, profile_repetitions=1, output_repetitions=1)) == [
        "outputs", "latency", "profile",
    ]  # fmt: skip
    assert purposes_of(Limits(repetitions=0, profile_repetitions=1)) == ["profile"]


def test_each_job_that_cannot_run_has_its_first_reason() -> None:
    gone = Delegate("gone", "Gone", requires=Requirements(soc="SM8750"))
    by_flag = case(CPU, None, num_runs=7)
    jobs: list[Any] = [
        SimpleNamespace(case=one, stopped=stopped)
        for one, stopped in (
            (case(CPU, None), False),
            (case(gone, None), True),
            (case(CPU, SM8750), False),
            (case(gone, None), False),
            (by_flag, False),
            (replace(by_flag, model=case(CPU, SM8750).model), False),
        )
    ]
    unknown = Failure(FailureKind.UNKNOWN_FLAG, "no flag num_runs")
    asked = []

    def refusal(one: Case, purposes: object, flags: object) -> Failure | None:
        asked.append((purposes, flags))
        return unknown if one.options.num_runs == 7 else None

    commands: Any = SimpleNamespace(refusal=refusal)
    device: Any = Phone()
    found = refusals(device, commands, jobs, ["latency"], facts=FACTS, binary=ARM_BINARY, flags={"use_xnnpack"})
    assert [jobs.index(job) for job, _ in found] == [2, 3, 4, 5]
    compiled, device_of, *flags = [failure for _, failure in found]
    assert compiled.kind is device_of.kind is FailureKind.REFUSED
    assert "needs an npu delegate" in compiled.message
    assert device_of.message.startswith("gone: ") and "SM8650" in device_of.message
    assert flags == [unknown, unknown], "the flag is told first"
    assert asked == [(["latency"], {"use_xnnpack"})] * 5
