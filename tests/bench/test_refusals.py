"""Jobs that cannot run are refused before anything is sent for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from devbench.bench.plan import Case
from devbench.bench.refusals import check_compiled, unfit_model
from devbench.errors import InputError
from devbench.models.compiled import Compiled
from devbench.models.files import ModelFile
from devbench.tool.case import Delegate, ToolOptions

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
