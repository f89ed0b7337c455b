"""The tool's command line: what a case becomes, and that nothing in it reaches the shell unquoted."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbench.errors import InputError
from devbench.tool.case import Delegate, ToolCase, ToolOptions
from devbench.tool.delegates import find_delegate, load_delegates
from devbench.tool.flags import build_argv, command_line, parse_extra_flag

DELEGATES = load_delegates()


def argv(delegate: str, tool: str = "tflite", **options: object) -> tuple[str, ...]:
    case = ToolCase(DELEGATES[delegate], ToolOptions(**options))  # type: ignore[arg-type]
    return build_argv(case, binary="/b", graph="/m.tflite", tool=tool)  # type: ignore[arg-type]


def test_every_flag_has_the_form_that_the_tool_parses() -> None:
    for name in DELEGATES:
        for word in argv(name, num_threads=4, profile=True, extra_flags=(("allow_fp16", "true"),))[1:]:
            assert word.startswith("--")
            assert "=" in word


def test_each_option_of_a_process_is_the_flag_with_its_value() -> None:
    options = {
        "num_runs": 61, "min_secs": 1.5, "max_secs": 2.25, "warmup_runs": 3, "warmup_min_secs": 0.75, "num_threads": 4,
        "input_layer": "in", "input_layer_shape": "1,2", "input_layer_value_files": "in:/f", "output_filepath": "/o",
    }  # fmt: skip
    more = {"report_peak_memory": False, "signature": "encode", "signature_graph": 2, "profile": True}
    words = argv("cpu", **options, **more, extra_flags=(("mine", "1"),))
    flags = dict(word.removeprefix("--").split("=", 1) for word in words[1:])
    assert flags == {
        **{name: str(value) for name, value in options.items()},
        "graph": "/m.tflite",
        "signature_to_run_for": "encode",
        "enable_op_profiling": "true",
        "use_xnnpack": "false",
        "mine": "1",
    }
    assert words[-1] == "--mine=1"


def test_options_that_are_not_set_are_no_flags() -> None:
    words = argv("cpu", signature="main", report_peak_memory=True)
    assert [word.partition("=")[0] for word in words[1:]] == [
        "--graph", "--num_runs", "--min_secs", "--max_secs", "--warmup_runs", "--warmup_min_secs",
        "--report_peak_memory_footprint", "--use_xnnpack",
    ]  # fmt: skip


def test_the_shipped_delegates_say_what_the_stock_tool_needs() -> None:
    assert "--use_xnnpack=false" in argv("cpu")
    assert "--use_xnnpack=true" in argv("xnnpack")
    assert "--use_gpu=true" in argv("gpu")


def test_a_user_s_flag_stands_last_and_wins() -> None:
    assert argv("gpu", extra_flags=(("use_gpu", "false"),))[-1] == "--use_gpu=false"


def test_litert_s_tool_gets_its_own_flags_or_is_refused() -> None:
    words = argv("gpu", tool="litert", profile=True)
    assert "--use_profiler=true" in words
    assert "--enable_op_profiling=true" not in words
    with pytest.raises(InputError, match="no flags for the delegate cpu"):
        argv("cpu", tool="litert")


@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=60))
def test_quoted_words_come_out_of_a_real_shell_as_they_went_in(text: str) -> None:
    words = ("printf", "%s", text)
    done = subprocess.run(["sh", "-c", command_line(words)], capture_output=True, timeout=10, check=True)
    assert done.stdout == text.encode()


def test_quoting_is_that_of_a_posix_shell() -> None:
    assert shlex.split(command_line(["a b", "$(reboot)", "'"])) == ["a b", "$(reboot)", "'"]


@pytest.mark.parametrize("text", ["allow_fp16", "", "=x", "--", "a b=c", "a=b\nc", "a;b=c"])
def test_a_flag_without_a_name_or_value_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not name=value"):
        parse_extra_flag(text)


def test_devbench_s_own_flags_cannot_be_overruled() -> None:
    with pytest.raises(InputError, match="graph is set by devbench"):
        parse_extra_flag("--graph=/etc/passwd")
    assert parse_extra_flag("--allow_fp16=true") == ("allow_fp16", "true")


def test_a_user_s_file_adds_and_replaces(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[gpu]\nflags = { use_gpu = true, gpu_backend = "gl" }\nreported_as = ["GPU"]\n[npu]\nflags = {}\n')
    known = load_delegates(file)
    assert known["gpu"].flags == (("use_gpu", "true"), ("gpu_backend", "gl"))
    assert isinstance(find_delegate("NPU", known), Delegate)
    assert "cpu" in known


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[gpu", "not TOML"),
        ("gpu = 1", "not a table"),
        ('[gpu]\nflag = { a = "b" }', r"gpu\.flag is not a key of gpu \(did you mean flags\?\)"),
        ('[gpu]\nrequire = "most"', "require"),
        ('[gpu]\nflags = { "--a" = "b" }', "not a flag's name"),
        ("[gpu]\nflags = { a = [1] }", "neither text nor number"),
        ('["a b"]', "not a name"),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        load_delegates(file)
    assert str(file) in caught.value.what


def test_an_unknown_delegate_names_one_that_is_similar_or_all_known_ones() -> None:
    with pytest.raises(InputError) as caught:
        find_delegate("hexagn", DELEGATES)
    assert caught.value.hint == "did you mean hexagon?"
    with pytest.raises(InputError) as caught:
        find_delegate("zzz", DELEGATES)
    assert "devbench delegates" in caught.value.hint
