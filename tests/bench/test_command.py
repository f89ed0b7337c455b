"""The words of each process by what it is for: what watches costs time, and what the user asked for is always there."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from devbench.bench import apk
from devbench.bench.command import Command, Commands
from devbench.results.records import FileRecord
from devbench.tool.measurement import FailureKind
from tests.made.bench import BINARY, CPU, GPU, case

MINE = (("allow_fp16", "true"), ("max_profiling_buffer_entries", "99"))
CACHED = replace(GPU, name="cached", flags=(*GPU.flags, ("serialization_dir", "{cache}")))


class Files:
    """A depot and a device that keep what they are given."""

    def __init__(self) -> None:
        self.pushed: list[tuple[str, str | None]] = []
        self.scripts: list[str] = []

    def ensure(self, path: Any, *, sha256: str | None, mode: int) -> SimpleNamespace:
        self.pushed.append((path.name, sha256))
        return SimpleNamespace(remote=f"/d/sha256/{path.name}")

    def shell(self, script: str, *, check: bool, **_: Any) -> None:
        assert check, "a library that is not there would be missed by the tool only"
        self.scripts.append(script)


def commands(files: Any = None, binary: Any = BINARY, **options: Any) -> Commands:
    return Commands(files, files, "/d", binary, "/d/b", **options)


def flags(command: Command) -> dict[str, str]:
    """Each flag's value; of one that is there twice the last, as the tool takes it."""
    return dict(word[2:].partition("=")[::2] for word in command.argv if word.startswith("--"))


def build(purpose: Any, operators: int = 10, **options: Any) -> dict[str, str]:
    return flags(commands().build(case(operators=operators, **options), purpose, "/d/m"))


def test_the_tool_is_told_each_time_limit_by_its_own_flag() -> None:
    given = build("latency", num_runs=7, min_secs=3.5, max_secs=20.0, warmup_runs=2, warmup_min_secs=0.25)
    assert given["min_secs"] == "3.5"
    assert given["warmup_min_secs"] == "0.25", "not the main phase's"
    assert (given["num_runs"], given["max_secs"], given["warmup_runs"]) == ("7", "20", "2")


@pytest.mark.parametrize("operators", [10, 5000], ids=["few operators", "many operators"])
@pytest.mark.parametrize("purpose", ["latency", "profile", "cold"])
def test_user_flags_are_kept_whatever_a_process_is_for(purpose: str, operators: int) -> None:
    given = build(purpose, operators, extra_flags=MINE)
    assert given["allow_fp16"] == "true"
    assert given["max_profiling_buffer_entries"] == "99", "the user's word is the last"


def test_only_a_profile_is_watched() -> None:
    assert {"enable_op_profiling", "report_peak_memory_footprint"} <= build("profile").keys()
    for purpose in ("latency", "cold"):
        assert not {"enable_op_profiling", "report_peak_memory_footprint"} & build(purpose).keys()


def test_a_profile_of_many_operators_gets_a_larger_buffer() -> None:
    assert "max_profiling_buffer_entries" not in build("profile", 512)
    assert build("profile", 513)["max_profiling_buffer_entries"] == str(4 * 513)
    assert "max_profiling_buffer_entries" not in build("latency", 5000)


def test_a_cold_start_has_one_inference_and_empties_the_caches() -> None:
    given = build("cold", num_runs=50, min_secs=1.0)
    assert [given[name] for name in ("num_runs", "min_secs", "warmup_runs", "warmup_min_secs")] == ["1", "0", "1", "0"]
    cold = commands(can_drop=True).build(case(delegate=CACHED), "cold", "/d/m").prelude
    assert "drop_caches" in cold and "rm -rf /d/cache/" in cold
    warm = commands(can_drop=True).build(case(delegate=CACHED), "latency", "/d/m").prelude
    assert "drop_caches" not in warm and "rm -rf" not in warm
    assert "drop_caches" not in commands().build(case(delegate=CACHED), "cold", "/d/m").prelude
    fresh = replace(CACHED, cache="fresh")
    assert "rm -rf /d/cache/" in commands().build(case(delegate=fresh), "latency", "/d/m").prelude


@pytest.mark.parametrize(
    ("can_drop", "delegate", "possible"), [(True, CPU, True), (False, CACHED, True), (False, CPU, False)]
)
def test_a_process_can_be_cold_if_there_is_a_cache_to_empty(can_drop: bool, delegate: Any, possible: bool) -> None:
    assert commands(can_drop=can_drop).can_be_cold(case(delegate=delegate)) is possible


def test_a_cache_belongs_to_model_tool_delegate_and_shapes() -> None:
    def cache(one: Any, binary: Any = BINARY) -> str:
        return flags(commands(binary=binary).build(one, "latency", "/d/m"))["serialization_dir"]

    places = {
        cache(case("a", CACHED)),
        cache(case("b", CACHED)),
        cache(case("a", replace(CACHED, name="other"))),
        cache(case("a", CACHED), replace(BINARY, sha256="c" * 64)),
        cache(case("a", CACHED, input_shapes=(("x", (1, 2)),))),
    }
    assert len(places) == 5
    assert cache(case("a", CACHED, num_runs=9)) in places


def test_the_tool_runs_on_the_chosen_cpus() -> None:
    assert commands(cpu_mask="f0").build(case(), "latency", "/d/m").argv[:3] == ("taskset", "f0", "/d/b")


def test_libraries_lie_under_their_own_names_with_the_recorded_hashes() -> None:
    files = Files()
    delegate = replace(CACHED, files=("/x/libA.so", "/x/lib B.so"))
    recorded = (FileRecord("libA.so", "delegate", "a" * 64, 1), FileRecord("0 in", "input", "e" * 64, 1))
    commands(files).prepare(case(delegate=delegate), recorded)
    assert files.pushed == [("libA.so", "a" * 64), ("lib B.so", None)]
    (script,) = files.scripts
    assert "rm -rf /d/files/cached; mkdir -p /d/files/cached" in script
    assert "ln -sf '/d/sha256/lib B.so' /d/files/cached/'lib B.so'" in script
    commands(files).prepare(case())
    assert len(files.scripts) == 1, "a delegate without files and cache needs nothing there"


def test_flags_that_the_binary_would_ignore_are_refused() -> None:
    known = {"graph", "num_runs", "min_secs", "max_secs", "warmup_runs", "warmup_min_secs", "use_gpu", "use_xnnpack"}
    assert commands().refusal(case(), ["latency"], known) is None
    failure = commands().refusal(case(extra_flags=(("nonsense", "1"),)), ["latency"], known)
    assert failure is not None and failure.kind is FailureKind.UNKNOWN_FLAG and "nonsense" in failure.message
    assert commands().refusal(case(), ["latency", "profile"], known) is not None, "it cannot profile"
    assert commands().refusal(case(), ["outputs"], known) is not None, "it cannot write outputs"
    litert = commands(binary=replace(BINARY, tool="litert"))
    failure = litert.refusal(case(delegate=GPU), ["latency"], ())
    assert failure is not None and "has no flags for the delegate gpu" in failure.message


def test_an_app_is_started_with_the_flags_alone_and_ended_by_its_name() -> None:
    command = commands(binary=replace(BINARY, flavour="apk")).build(case(extra_flags=MINE), "latency", "/d/m")
    assert "--allow_fp16=true" in command.shell and "--graph=/d/m" in command.shell
    assert "/d/b" not in command.shell, "no shell can run it"
    assert command.stop == apk.STOP
    assert commands().build(case(), "latency", "/d/m").shell == ""
