"""A delegate's libraries are looked at before they are sent: the right functions, the right machine, one release."""

from __future__ import annotations

from pathlib import Path

import pytest

from devbench.errors import EXIT_BAD_INPUT, InputError
from devbench.tool.case import Delegate
from devbench.tool.libraries import asked_of_device, check_delegate, delegate_files, not_for
from tests.tool.elf_files import ARM, HEXAGON, library

CREATE = "tflite_plugin_create_delegate"


def external(*files: Path) -> Delegate:
    flags = (("external_delegate_path", f"{{files}}/{files[0].name}"),)
    return Delegate("mine", "Mine", flags=flags, files=tuple(map(str, files)))


def npu(*files: Path) -> Delegate:
    flags = (("dispatch_library_path", "{files}"), ("compiler_plugin_library_path", "{files}"))
    return Delegate("npu", "NPU", litert_flags=flags, files=tuple(map(str, files)))


def bundle(folder: Path, runtime: str = "", dispatch: str = "", plugin: str = "", **of_plugin: object) -> list[Path]:
    """LiteRT's three libraries, each with a text in it."""
    return [
        library(folder / "libLiteRt.so", text=runtime.encode(), exports=["LiteRtCreateModel"]),
        library(folder / "libLiteRtDispatch_Qualcomm.so", text=dispatch.encode(), exports=["LiteRtDispatchGetApi"]),
        library(
            folder / "libLiteRtCompilerPlugin_Qualcomm.so", text=plugin.encode(),
            **{"exports": ["LiteRtCreateCompilerPlugin"], **of_plugin},  # type: ignore[arg-type]
        ),
    ]  # fmt: skip


def refused(delegate: Delegate) -> str:
    with pytest.raises(InputError) as caught:
        check_delegate(delegate)
    assert caught.value.exit_code == EXIT_BAD_INPUT
    assert "\n" not in str(caught.value)
    return caught.value.what


def test_a_missing_file_is_one_line_with_exit_code_2(tmp_path: Path) -> None:
    gone = tmp_path / "libgone.so"
    assert refused(external(gone)) == f"delegate 'mine': its file {gone} does not exist"
    assert refused(external(tmp_path)) == f"delegate 'mine': its file {tmp_path} is a folder"


def test_an_external_delegate_needs_the_function_by_which_it_is_made(tmp_path: Path) -> None:
    right = library(tmp_path / "libright.so", exports=[CREATE])
    assert check_delegate(external(right))[0].library is not None
    assert CREATE in refused(external(library(tmp_path / "libwrong.so", exports=["other"])))
    assert "no ELF header" in refused(external(_text(tmp_path / "libtext.so")))
    named = Delegate("m", "M", flags=(("external_delegate_path", "{files}/liba.so"),), files=(str(right),))
    assert "liba.so, which is not one of its files" in refused(named)


def test_an_npu_needs_a_dispatch_library_and_the_functions_of_both(tmp_path: Path) -> None:
    files = bundle(tmp_path)
    assert [file.version for file in check_delegate(npu(*files))] == ["", "", ""]
    assert "none of its files is a libLiteRtDispatch_….so" in refused(npu(files[0], files[2]))
    bad = library(tmp_path / "libLiteRtDispatch_X.so", exports=["Other"])
    assert "LiteRtDispatchGetApi" in refused(npu(bad))


def test_a_delegate_without_the_files_that_it_needs_is_refused() -> None:
    assert refused(Delegate("h", "H", flags=(("hexagon_lib_path", "{files}"),))) == "delegate 'h': it needs files"


@pytest.mark.parametrize(
    ("runtime", "other"),
    [
        ("LiteRT 2.1.5", "LiteRT 2.3.0"),
        ("litert_version=2.3.0", "litert_version=2.3.0.dev20260817"),
        ("libLiteRt v2.1.0", "LiteRt Qualcomm dispatch 2.3.0"),
    ],
)
def test_litert_libraries_of_two_releases_are_refused_with_both_versions(
    tmp_path: Path, runtime: str, other: str
) -> None:
    before, after = runtime.split()[-1].split("=")[-1].strip("v"), other.split()[-1].split("=")[-1]
    for place in ("dispatch", "plugin"):
        said = refused(npu(*bundle(tmp_path, runtime=runtime, **{place: other})))  # type: ignore[arg-type]
        assert f"libLiteRt.so is {before}" in said
        assert f"_Qualcomm.so is {after}" in said
    assert check_delegate(npu(*bundle(tmp_path, runtime, runtime, runtime)))


def test_qnn_libraries_of_two_releases_are_refused_with_both_versions(tmp_path: Path) -> None:
    def qnn(name: str, version: str) -> Path:
        return library(tmp_path / name, text=f"AISW_VERSION: {version}".encode())

    files = [*bundle(tmp_path), qnn("libQnnHtp.so", "2.44.0"), qnn("libQnnSystem.so", "2.44.0")]
    assert {file.version for file in check_delegate(npu(*files))} == {"", "2.44.0"}
    said = refused(npu(*files, qnn("libQnnHtpV73Skel.so", "2.47.0")))
    assert said == (
        "delegate 'npu': its QNN libraries are of different releases: "
        "libQnnHtp.so is 2.44.0, libQnnHtpV73Skel.so is 2.47.0"
    )


def test_litert_libraries_without_a_version_are_told_apart_by_their_functions(tmp_path: Path) -> None:
    """Real ones contain no version. What a plug-in asks for and offers has to be known to the runtime."""
    older = bundle(tmp_path, imports=["LiteRtQualcommOptionsGet", "malloc"])
    assert "libLiteRt.so has no LiteRtQualcommOptionsGet" in refused(npu(*older))
    newer = bundle(
        tmp_path,
        exports=["LiteRtCreateCompilerPlugin", "LiteRtCheckCompiler"],
        runtime="\0LiteRtCreateCompilerPlugin\0",
    )
    assert "does not know LiteRtCheckCompiler" in refused(npu(*newer))
    known = "x\0LiteRtCreateCompilerPlugin\0LiteRtCheckCompiler\0LiteRtDispatchGetApi\0"
    fitting = bundle(tmp_path, runtime=known, exports=["LiteRtCreateCompilerPlugin", "LiteRtCheckCompiler"])
    assert len(check_delegate(npu(*fitting))) == 3


def test_the_version_is_that_of_the_python_package_around_the_library(tmp_path: Path) -> None:
    for version in ("2.1.0", "2.3.0"):
        package = tmp_path / version / "ai_edge_litert"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(f'__version__ = "{version}"\n')
        bundle(package)
    old, new = (tmp_path / version / "ai_edge_litert" for version in ("2.1.0", "2.3.0"))
    said = refused(npu(old / "libLiteRt.so", new / "libLiteRtDispatch_Qualcomm.so"))
    assert "libLiteRt.so is 2.1.0, libLiteRtDispatch_Qualcomm.so is 2.3.0" in said


def test_what_the_device_has_to_bring_is_neither_in_the_bundle_nor_android_s(tmp_path: Path) -> None:
    files = [
        library(tmp_path / "liba.so", exports=[CREATE], needed=["libc.so", "liblog.so", "libb.so", "libcdsprpc.so"]),
        library(tmp_path / "libb.so", needed=["libz.so"]),
        library(tmp_path / "skel.so", machine=HEXAGON, bits=32, needed=["libdsp.so"]),
    ]
    assert asked_of_device(delegate_files(external(*files))) == {"libcdsprpc.so": "liba.so"}


def test_a_library_is_found_by_the_name_of_its_file_alone(tmp_path: Path) -> None:
    files = [
        library(tmp_path / "libarmnnDelegate.so", exports=[CREATE], needed=["libarmnn.so.33"]),
        library(tmp_path / "libarmnn.so.33.0", soname="libarmnn.so.33"),
    ]
    assert asked_of_device(delegate_files(external(*files))) == {"libarmnn.so.33": "libarmnnDelegate.so"}
    files[1].rename(tmp_path / "libarmnn.so.33")
    assert asked_of_device(delegate_files(external(files[0], tmp_path / "libarmnn.so.33"))) == {}


def test_a_library_of_another_machine_is_told_and_one_of_the_dsp_fits_all(tmp_path: Path) -> None:
    files = [
        library(tmp_path / "liba.so", exports=[CREATE]),
        library(tmp_path / "libb.so", machine=ARM, bits=32),
        library(tmp_path / "skel.so", machine=HEXAGON, bits=32),
    ]
    found = delegate_files(external(*files))
    assert not_for(found, "arm64-v8a") == ["libb.so is built for armeabi-v7a, the device runs arm64-v8a"]


def test_files_that_are_no_libraries_are_left_alone(tmp_path: Path) -> None:
    data = _text(tmp_path / "model config.json")
    assert check_delegate(Delegate("m", "M", flags=(("a", "{files}"),), files=(str(data),)))[0].library is None


def _text(path: Path) -> Path:
    path.write_text("hello")
    return path
