"""Delegates as data: what each needs, what a device or a binary lacks for it, and its files, caches and environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from devbench.errors import InputError
from devbench.tool.case import Delegate, Requirements, ToolCase
from devbench.tool.delegates import find_delegate, load_delegates, unmet
from devbench.tool.flags import build_argv, command_line, flags_of_help, missing_flags, placed, refused

KNOWN = load_delegates()
HELP = (Path(__file__).parent / "logs" / "2.14-badbool.txt").read_text()


def test_a_run_takes_three_delegates_by_default() -> None:
    assert [name for name, delegate in KNOWN.items() if delegate.default] == ["cpu", "xnnpack", "gpu"]


def test_the_stock_tool_s_help_tells_its_flags() -> None:
    flags = flags_of_help(HELP)
    assert {"num_runs", "use_gpu", "use_xnnpack", "gpu_backend"} <= flags
    assert "use_nnapi" not in flags
    assert missing_flags(find_delegate("nnapi", KNOWN), "tflite", flags) == ["use_nnapi"]
    assert missing_flags(KNOWN["gpu-fp32"], "tflite", flags) == []
    assert missing_flags(KNOWN["nnapi"], "tflite", flags_of_help("no help")) == [], "nothing is known then"


@pytest.mark.parametrize(
    ("name", "device", "reason"),
    [
        ("nnapi", {"sdk": 26}, "needs Android API 27, the device has 26"),
        ("hexagon", {"abi": "x86_64"}, "not for x86_64"),
        ("hexagon", {"soc": "Google Tensor G3"}, "not for the SoC Google Tensor G3"),
        ("hexagon", {}, "needs files"),
        ("npu-qualcomm", {}, "TensorFlow Lite's benchmark_model has no flags for it"),
    ],
)
def test_what_a_device_lacks_is_said(name: str, device: dict[str, object], reason: str) -> None:
    described = {"tool": "tflite", "abi": "arm64-v8a", "soc": "Qualcomm SM8550", "sdk": 34, **device}
    assert any(reason in said for said in unmet(KNOWN[name], **described))  # type: ignore[arg-type]


def test_what_is_not_known_is_not_held_against_a_device() -> None:
    assert unmet(KNOWN["nnapi"], tool="tflite", abi="", soc="", sdk=None) == []


def test_a_user_s_delegate_brings_its_files_and_environment(tmp_path: Path) -> None:
    (tmp_path / "lib.so").write_bytes(b"x")
    file = tmp_path / "mine.toml"
    file.write_text(
        '[qnn]\nflags = { external_delegate_path = "{files}/lib.so", external_delegate_options = "a:b;c:d" }\n'
        'files = ["lib.so", "gone.so"]\nenv = { LD_LIBRARY_PATH = "{files}" }\nreported_as = ["EXTERNAL"]\n'
    )
    delegate = load_delegates(file)["qnn"]
    assert unmet(delegate, tool="tflite", abi="arm64-v8a", soc="", sdk=34) == [f"{tmp_path / 'gone.so'} does not exist"]
    places = {"files": "/d/files/q n", "cache": "/d/cache", "model": "ab"}
    argv = build_argv(ToolCase(delegate), binary="/b", graph="/g", tool="tflite", places=places)
    assert "--external_delegate_path=/d/files/q n/lib.so" in argv
    line = command_line(("/b",), placed(delegate.env, places))
    assert line == "LD_LIBRARY_PATH='/d/files/q n' /b"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[a.requires]\nsoc = '('", "requires.soc is not a regular expression"),
        ("[a.requires]\nmin_sdk = 'x'", "min_sdk is not a whole number"),
        ("[a.requires]\ncolour = 'red'", "a.requires.colour is not a key of a.requires"),
        ("[a]\nfiles = 'x'", "files is not a list"),
        ("[a]\nexpect = 'some'", "a.expect 'some' is unknown"),
        ("[a]\ncache = 1", "a.cache 1 is unknown"),
        ("[a]\nparameter = 'x'", "a.parameter 'x' is unknown"),
        ("[a]\ndefault = 1", "a.default is not true or false"),
    ],
)
def test_a_bad_entry_is_one_clear_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=words):
        load_delegates(file)


def test_every_shipped_entry_has_flags_for_one_of_the_tools() -> None:
    for delegate in KNOWN.values():
        assert isinstance(delegate, Delegate)
        assert delegate.flags or delegate.litert_flags


def test_an_accelerator_stands_behind_the_name_and_in_the_flags() -> None:
    named = find_delegate("NNAPI:google-edgetpu", KNOWN)
    assert named.name == "nnapi:google-edgetpu"
    assert named.title == "NNAPI google-edgetpu"
    assert named.flags == (("use_nnapi", "true"), ("nnapi_accelerator_name", "google-edgetpu"))
    assert "needs Android API 29" in " ".join(unmet(named, tool="tflite", abi="", soc="", sdk=28))
    assert find_delegate("nnapi", KNOWN).flags == (("use_nnapi", "true"),), "the system's choice"
    assert ":" not in named.folder
    assert named.folder != find_delegate("nnapi:google_edgetpu", KNOWN).folder


def test_a_library_stands_behind_the_name_and_is_pushed(tmp_path: Path) -> None:
    library = tmp_path / "libfoo.so"
    library.write_bytes(b"x")
    named = find_delegate(f"external:{library}", KNOWN)
    assert named.files == (str(library),)
    assert named.flags == (("external_delegate_path", "{files}/libfoo.so"),)
    assert named.title == "External libfoo.so"
    assert unmet(named, tool="tflite", abi="arm64-v8a", soc="", sdk=34) == []
    gone = find_delegate(f"external:{tmp_path}/libgone.so", KNOWN)
    assert unmet(gone, tool="tflite", abi="arm64-v8a", soc="", sdk=34) == [f"{tmp_path}/libgone.so does not exist"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gpu:fast", "takes no parameter"),
        ("nnapi:", "not a name for its accelerator"),
        ("nnapi:a b", "not a name for its accelerator"),
        ("nnapi:$(reboot)", "not a name for its accelerator"),
        ("nnapi:" + "x" * 65, "not a name for its accelerator"),
        ("external", "needs its library"),
        ("external:notes.txt", "not a name for its library"),
        ("external:a;b.so", "not a name for its library"),
        ("external:{cache}.so", "not a name for its library"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        find_delegate(name, KNOWN)


def test_nnapi_s_cpu_is_off_unless_asked_for() -> None:
    assert "disable_nnapi_cpu" not in dict(KNOWN["nnapi"].flags)
    assert dict(KNOWN["nnapi-no-cpu"].flags)["disable_nnapi_cpu"] == "true"
    assert dict(KNOWN["nnapi-cpu-allowed"].flags)["disable_nnapi_cpu"] == "false"


def test_a_required_library_and_a_known_failure_speak_against_a_delegate() -> None:
    delegate = Delegate("x", "X", (("a", "b"),), requires=Requirements(library=("/vendor/l.so", "/system/l.so")))
    described = {"tool": "tflite", "abi": "", "soc": "", "sdk": None}
    assert unmet(delegate, **described) == []  # type: ignore[arg-type]
    assert unmet(delegate, **described, present={"/system/l.so"}) == []  # type: ignore[arg-type]
    said = unmet(delegate, **described, present=(), known_failures={"x": "it hangs"})  # type: ignore[arg-type]
    assert said == ["the device has none of /vendor/l.so, /system/l.so", "known to fail here: it hangs"]


def test_flags_that_a_binary_does_not_take_are_refused_by_name() -> None:
    known = flags_of_help(HELP)
    argv = ("taskset", "f", "/b", "--graph=/g", "--use_gpu=true", "--use_nnapi=true")
    failure = refused(argv, known, "mine")
    assert failure is not None
    assert failure.kind.value == "unknown_flag"
    assert failure.message.startswith("mine has no --use_nnapi: ")
    assert "devbench binaries flags mine" in failure.message
    assert refused(argv[:-1], known, "mine") is None
    assert refused(argv, frozenset(), "mine") is None, "nothing is known then"
    lacking = refused(("/b", "--output_filepath=/o"), known - {"output_filepath"}, "old")
    assert lacking is not None and "old has no --output_filepath: outputs cannot be compared" in lacking.message
    shapes = refused(("/b", "--input_layer=x", "--input_layer_shape=1,8"), frozenset({"graph"}), "old")
    assert shapes is not None and "old has no --input_layer: it cannot set the shapes of inputs" in shapes.message
    signature = refused(("/b", "--signature_to_run_for=decode"), frozenset({"graph"}), "old")
    assert signature is not None and "it cannot choose a signature; use another binary" in signature.message
