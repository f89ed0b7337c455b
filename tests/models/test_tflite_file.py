"""Model files: what is one, what is not, and one clear line for each way of being wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from devbench.errors import InputError
from devbench.models.files import model_path, open_model
from devbench.models.graph.tables import count_operators

DATA = Path(__file__).parents[1] / "data"


def test_the_shipped_model_is_found_by_name() -> None:
    model = open_model(model_path("demo"))
    assert (model.name, model.operator_count) == ("small_unet", 180)
    assert model.size_bytes == model.path.stat().st_size > 1_000_000


def test_a_file_called_demo_comes_before_the_shipped_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("demo").write_bytes((DATA / "tiny_conv.tflite").read_bytes())
    assert open_model(model_path("demo")).name == "demo"


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "is empty"), (b"\x7fELF....", "no TFL3 identifier"), (b"TF", "no TFL3 identifier")],
)
def test_what_is_no_model_is_refused_in_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "x.tflite"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        open_model(model_path(str(path)))
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        open_model(model_path(str(tmp_path / "no.tflite")))
    with pytest.raises(InputError, match="is a folder"):
        open_model(model_path(str(tmp_path)))


@pytest.mark.parametrize("cut", [8, 20, 100, 1000, 3000])
def test_a_damaged_model_has_no_operator_count_and_no_crash(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut.tflite"
    path.write_bytes((DATA / "tiny_conv.tflite").read_bytes()[:cut])
    assert count_operators(path) in (None, 0, count_operators(DATA / "tiny_conv.tflite"))


@pytest.mark.converter
def test_the_shipped_model_is_what_the_builder_builds(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="building models needs the extra `models`")
    from devbench.models.build import build

    built = tmp_path / "small_unet.tflite"
    size = build("small-unet", built)
    assert size == built.stat().st_size
    assert count_operators(built) == open_model(model_path("demo")).operator_count
