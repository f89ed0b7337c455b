"""What models are called: unique in a run, the same from night to night, whatever paths they are given by."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

from devbench.errors import InputError
from devbench.models.files import GivenModel, check_name, model_keys, open_models


def keys(*paths: str) -> list[str]:
    return model_keys([("", PurePosixPath(path)) for path in paths])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("model.tflite", "text_encoder/model.tflite", "unet/model.tflite", "unet/other.tflite"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\x1c\0\0\0TFL3" + name.encode())
    return tmp_path


def opened(folder: Path, *given: str | GivenModel) -> list[str]:
    models = [GivenModel(str(folder / one)) if isinstance(one, str) else one for one in given]
    return [model.name for model in open_models(models, folder)]


def test_models_that_share_a_file_name_are_told_apart_by_the_shortest_end_of_their_paths(folder: Path) -> None:
    assert opened(folder, "text_encoder/model.tflite", "unet/model.tflite", "unet/other.tflite") == [
        "text_encoder/model", "unet/model", "other",
    ]  # fmt: skip
    assert opened(folder, "unet/model.tflite") == ["model"]
    assert keys("a/x/m.tflite", "b/x/m.tflite", "c/y/m.tflite") == ["a/x/m", "b/x/m", "y/m"]


def test_where_the_checkout_lies_is_no_part_of_a_key(folder: Path) -> None:
    assert opened(folder, "model.tflite", "unet/model.tflite") == ["model", "unet/model"]
    assert keys("/ci/build-77/model.tflite", "/ci/build-77/unet/model.tflite") == ["model", "unet/model"]
    assert keys("/ci/build-78/model.tflite", "/ci/build-78/unet/model.tflite") == ["model", "unet/model"]


def test_a_suffix_tells_two_files_apart_only_where_nothing_else_does() -> None:
    assert keys("a/model.tflite", "a/model.lite", "b/model.tflite") == ["model.tflite", "model.lite", "model"]
    assert keys("model", "model.tflite") == ["model", "model.tflite"]


def test_a_file_that_is_given_twice_is_one_model_and_two_paths_to_the_same_bytes_are_two(folder: Path) -> None:
    assert opened(folder, "unet/model.tflite", "unet/../unet/model.tflite") == ["model"]
    (folder / "link").symlink_to(folder / "unet")
    assert opened(folder, "unet/model.tflite", "link/model.tflite") == ["model"]
    (folder / "copy").mkdir()
    (folder / "copy" / "model.tflite").write_bytes((folder / "unet" / "model.tflite").read_bytes())
    models = open_models([GivenModel(str(folder / one / "model.tflite")) for one in ("unet", "copy")], folder)
    assert [model.name for model in models] == ["unet/model", "copy/model"]
    assert len({model.sha256 for model in models}) == 1


def test_a_given_name_is_the_key_also_where_a_glob_finds_the_file_again(folder: Path) -> None:
    named = GivenModel(str(folder / "unet" / "model.tflite"), "denoiser")
    again = "unet/model.tflite"
    assert opened(folder, named, again, "model.tflite") == ["denoiser", "model"]
    assert opened(folder, again, named) == ["denoiser"]
    assert opened(folder, GivenModel(named.file, "model"), "model.tflite", "text_encoder/model.tflite") == [
        "model", "model (2)", "text_encoder/model",
    ]  # fmt: skip
    with pytest.raises(InputError, match="2 models have the name 'denoiser'"):
        opened(folder, named, GivenModel(str(folder / "model.tflite"), "denoiser"))


def test_a_model_from_the_network_is_named_by_its_address_not_by_its_hash(folder: Path) -> None:
    first = GivenModel(str(folder / "unet" / "model.tflite"), "", "x.org/sd/unet/model.tflite")
    second = GivenModel(str(folder / "text_encoder" / "model.tflite"), "", "x.org/sd/text/model.tflite")
    assert opened(folder, first, second) == ["unet/model", "text/model"]


def test_the_shipped_model_keeps_its_name_unless_another_has_it(folder: Path) -> None:
    assert opened(folder, GivenModel("demo")) == ["small_unet"]
    (folder / "small_unet.tflite").write_bytes((folder / "model.tflite").read_bytes())
    assert opened(folder, GivenModel("demo"), "small_unet.tflite") == ["demo/small_unet", "small_unet"]


def test_windows_paths_give_keys_with_slashes() -> None:
    found = model_keys([("", PureWindowsPath(p)) for p in (r"C:\m\unet\model.tflite", r"D:\m\unet\model.tflite")])
    assert found == ["C:/m/unet/model", "D:/m/unet/model"]
    found = model_keys([("", PureWindowsPath(p)) for p in (r"C:\m\unet\model.tflite", r"C:\m\enc\model.tflite")])
    assert found == ["unet/model", "enc/model"]


def test_odd_names_are_shown_on_one_line_and_stay_different() -> None:
    found = keys("a\x1b[31m.tflite", "a\n.tflite", "b · gpu.tflite", "b - gpu.tflite", "\udcff.tflite", " .tflite")
    assert found == ["a?", "a? (2)", "b - gpu", "b - gpu (2)", "?", "model"]
    composed, parted = "caf\u00e9.tflite", "cafe\u0301.tflite"
    assert keys(composed) == keys(parted)
    assert len(set(keys(composed, parted))) == 2
    long = keys(*(f"{'d' * 200}{n}/{'m' * 250}.tflite" for n in range(3)))
    assert len(set(long)) == 3
    assert max(map(len, long)) <= 200


@pytest.mark.parametrize(("name", "right"), [("unet", True), ("a/b c", True), (" a", False), ("a · gpu", False),
                                             ("a\n", False), ("x" * 201, False)])  # fmt: skip
def test_a_name_is_one_line_of_plain_text(name: str, right: bool) -> None:
    assert (check_name(name) == "") is right
