"""A delegate is asked with models of one convolution whether it takes that convolution."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devbench.adb.errors import ShellTimeout
from devbench.adb.services import ShellResult
from devbench.bench import conv_probe as module
from devbench.bench.conv_probe import conv_probe
from devbench.errors import EnvironmentProblem, InputError
from devbench.models.rewrites.serialize import Conv
from devbench.models.tensors import read_tensors
from tests.made.bench import BINARY

SMALLEST = Conv(1, 8, 8, 4, 4, 3, 3, 8, 8)
WIDE = Conv(1, 8, 8, 64, 32, 3, 3, 8, 8)


class Phone:
    """A device whose delegate takes convolutions with at most `most` input channels; it keeps what it is asked."""

    serial = "S"

    def __init__(self, most: int, answer: str = "completely executed by the delegate", slow: bool = False) -> None:
        self.most, self.answer, self.slow = most, answer, slow
        self.files: dict[str, Any] = {}
        self.asked: list[str] = []
        self.removed: list[str] = []

    def ensure(self, path: Path, *, sha256: str | None = None, mode: int = 0o644) -> SimpleNamespace:
        if path.suffix == ".tflite":
            tensors = read_tensors(path)
            self.files[f"/d/{len(self.files)}"] = tensors.inputs[0].shape, tensors.outputs[0].shape
            return SimpleNamespace(remote=f"/d/{len(self.files) - 1}")
        assert (path, sha256, mode) == (BINARY.path, BINARY.sha256, 0o755), (
            "executable, but only its owner may change it"
        )
        return SimpleNamespace(remote="/d/tool")

    def shell(self, command: str, **_: Any) -> Any:
        if command.startswith("rm -f "):
            self.removed.append(command.removeprefix("rm -f "))
            return None
        self.asked.append(command)
        words = command.split()
        graph = next(word.removeprefix("--graph=") for word in words if word.startswith("--graph="))
        took = self.files[graph][0][3] <= self.most
        if self.slow and not took:
            raise ShellTimeout(self.serial, command, 60)
        said = f"INFO: Explicitly applied GPU delegate, and the model graph will be {self.answer}.\n" if took else ""
        return ShellResult(b"", f"INFO: Loaded model\n{said}".encode(), 0)


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Depot", lambda device: device)
    monkeypatch.setattr(module, "read_facts", lambda device: SimpleNamespace(abis=("arm64-v8a",)))
    monkeypatch.setattr(module, "choose", lambda abis: replace(BINARY, abi=abis[0]))


def probe(phone: Any, delegate: str = "gpu") -> Any:
    return conv_probe(phone, phone, delegate)


def test_each_convolution_is_asked_once_with_a_model_of_its_sizes() -> None:
    phone = Phone(16)
    allow = probe(phone)
    assert (allow(WIDE), allow(WIDE), allow(SMALLEST)) == (False, False, True)
    assert list(phone.files.values()) == [((1, 8, 8, 4), (1, 8, 8, 4)), ((1, 8, 8, 64), (1, 8, 8, 32))]
    assert len(phone.asked) == 2


def test_the_model_is_prepared_and_not_run_and_then_removed() -> None:
    phone = Phone(16)
    probe(phone)
    (command,) = phone.asked
    assert command.startswith("/d/tool ")
    assert {"--use_gpu=true", "--dry_run=true", "--num_runs=1", "--warmup_runs=0"} <= set(command.split())
    assert phone.removed == ["/d/0"]


def test_a_delegate_that_does_not_take_the_smallest_convolution_says_nothing_of_others() -> None:
    with pytest.raises(EnvironmentProblem, match="gpu on S does not even take a convolution of 4 channels"):
        probe(Phone(0))
    with pytest.raises(EnvironmentProblem, match="does not even take"):
        probe(Phone(16, "partially executed by the delegate w/ 1 delegate kernels"))


def test_a_delegate_that_does_not_answer_in_time_does_not_take_the_convolution() -> None:
    phone = Phone(16, slow=True)
    assert not probe(phone)(WIDE)
    assert phone.removed == ["/d/0", "/d/1"]


def test_an_unknown_delegate_is_wrong_input_with_those_that_there_are() -> None:
    with pytest.raises(InputError, match="no delegate 'quick'") as caught:
        probe(Phone(16), "quick")
    assert "xnnpack" in caught.value.hint
