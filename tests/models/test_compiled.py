"""Compiled models are recognised: for which SoC, by which compiler, and what they need."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from devbench.models.compiled import Compiled, compiled_model, fits_soc
from tests.conftest import DATA
from tests.models.compiled_models import compiled

QNN = b"\0" * 100 + b"v2.44.0.260225143659_191842\0" + b"\1" * 100
DLA = b"\1" * 5000 + b'{"Compiler": "adapter 8.2.30", "Neuron": 1}'


@pytest.mark.parametrize(
    ("maker", "soc", "code", "words"),
    [
        ("Qualcomm", "SM8750", QNN, "compiled for Qualcomm SM8750 by QNN 2.44.0"),
        ("MediaTek", "mt6989", DLA, "compiled for MediaTek mt6989 by NeuroPilot 8.2.30"),
        ("Google", "Tensor_G5", b"x", "compiled for Google Tensor_G5 by Google Tensor compiler"),
        ("Samsung", "E9955", b"x", "compiled for Samsung E9955 by Exynos AI"),
        ("Acme", "N1", b"x", "compiled for Acme N1 by a LiteRT compiler plug-in"),
    ],
)
def test_the_stamp_says_for_which_soc_and_the_code_by_which_compiler(
    tmp_path: Path, maker: str, soc: str, code: bytes, words: str
) -> None:
    found = compiled_model(compiled(tmp_path / "m.tflite", maker=maker, soc=soc, code=code, on_cpu=True))
    assert found is not None
    assert (found.words, found.needs, found.operators, found.of) == (words, "npu", 1, 2)


def test_a_dispatch_operator_without_a_stamp_and_a_stamp_of_an_older_form_count_too(tmp_path: Path) -> None:
    bare = compiled_model(compiled(tmp_path / "bare.tflite"))
    assert bare is not None
    assert bare.words == "compiled for an unknown SoC by a LiteRT compiler plug-in"
    stamp = b"Qualcomm".ljust(125, b"\0") + b"SM8550".ljust(125, b"\0") + b"\1"
    old = compiled_model(compiled(tmp_path / "old.tflite", stamp=stamp))
    assert old is not None
    assert (old.maker, old.soc) == ("Qualcomm", "SM8550")


@pytest.mark.parametrize(("operator", "needs"), [("edgetpu-custom-op", "edgetpu"), ("ethos-u", "ethos-u")])
def test_models_of_other_compilers_are_recognised(tmp_path: Path, operator: str, needs: str) -> None:
    found = compiled_model(compiled(tmp_path / "m.tflite", operator=operator))
    assert found is not None
    assert found.needs == needs


def test_models_that_any_device_runs_are_not_compiled(tmp_path: Path) -> None:
    assert compiled_model(DATA / "small_cnn.tflite") is None
    assert compiled_model(compiled(tmp_path / "m.tflite", operator="FlexStrLen")) is None
    assert compiled_model(tmp_path / "none.tflite") is None


@pytest.mark.parametrize(
    ("maker", "soc", "device", "fits"),
    [
        ("Qualcomm", "SM8750", "SM8750", True),
        ("Qualcomm", "SM8750", "SM8750-AB", True),
        ("Qualcomm", "SM8550", "SM8650", False),
        ("MediaTek", "mt6989", "MT6989Z", True),
        ("MediaTek", "mt6989", "MT6991", False),
        ("Google", "Tensor_G5", "Tensor G5", True),
        ("Google", "Tensor_G4", "Tensor G5", False),
        ("Samsung", "E9955", "s5e9955", True),
        ("Samsung", "E9945", "s5e9955", False),
        ("Qualcomm", "SM8750", "MT6989", False),
        ("Qualcomm", "SM8750", "", True),
        ("", "", "SM8750", True),
    ],
)
def test_a_model_fits_the_soc_that_it_was_compiled_for(maker: str, soc: str, device: str, fits: bool) -> None:
    assert fits_soc(replace(Compiled("npu", "", "", "x", 1, 1), maker=maker, soc=soc), device) is fits


@given(data=st.data())
@hypothesis_settings(max_examples=80, deadline=None)
def test_no_damage_can_crash_the_reader(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = compiled(tmp_path_factory.mktemp("m") / "m.tflite", maker="Qualcomm", soc="SM8750", code=QNN)
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole)
    compiled_model(path)
