"""The shell script of a repetition: run by a real shell, taken apart again, and never fooled by the tool's output."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from devbench.bench.script import ScriptOutput, build_script, split_output
from devbench.device.lease import Lease

MARKER = "@@0123456789abcdef"


@pytest.fixture(autouse=True)
def lease(tmp_path: Path) -> Lease:
    """A lease that is held, in a folder with an odd name."""
    held = Lease(str(tmp_path / "a 'lease"), 3, "token")
    folder = Path(held.folder)
    folder.mkdir()
    (folder / "3.lease").symlink_to("x")
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    (folder / "3.until.token").write_text(f"{boot} 5\n")
    return held


def _run(tmp_path: Path, command: str, *, before: bool = True, sample: bool = False, **more: str) -> bytes:
    script = build_script(
        command,
        marker=MARKER,
        lease=Lease(str(tmp_path / "a 'lease"), 3, "token"),
        deadline_s=100,
        work_dir=str(tmp_path),
        conditions_command="echo level=80; ls /nowhere",
        before=before,
        sample_memory=sample,
        **{"sampler": "", **more},
    )
    return subprocess.run(["sh", "-c", script], capture_output=True, timeout=30, check=False).stdout


@dataclass(frozen=True)
class Apart:
    """An output taken apart, with what the tool printed as bytes."""

    tool: bytes
    output: ScriptOutput

    def __getattr__(self, name: str) -> Any:
        return getattr(self.output, name)


def _taken_apart(data: bytes) -> Apart:
    output = split_output(io.BytesIO(data), MARKER)
    return Apart(data[slice(*output.tool)], output)


@pytest.mark.parametrize("sample", [False, True])
def test_output_exit_code_and_conditions_come_apart(tmp_path: Path, sample: bool) -> None:
    out = _taken_apart(_run(tmp_path, "sh -c 'echo one; echo two; exit 7'", sample=sample))
    assert out.tool == b"one\ntwo\n"
    assert out.exit_code == 7
    assert out.conditions_before == "level=80\n"
    assert out.conditions_after is not None and out.conditions_after.strip() == "level=80"


@pytest.mark.parametrize("sample", [False, True])
def test_the_sampler_writes_beside_the_tool_and_ends_with_it(tmp_path: Path, lease: Lease, sample: bool) -> None:
    forever = "while :; do echo sampled; sleep 0.1; done"
    tool = 'echo one; until grep -q sampled "$0"; do sleep 0.1; done; exit 3'
    command = f"sh -c {shlex.quote(tool)} {shlex.quote(lease.pid_file + '.during')}"
    out = _taken_apart(_run(tmp_path, command, sample=sample, sampler=forever))
    assert (out.tool, out.exit_code) == (b"one\n", 3)
    assert set(out.samples.split()) == {"sampled"}
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in left, "the arguments of all processes of the script have its text"
    assert out.conditions_after is not None


def test_a_sampler_that_says_nothing_leaves_nothing(tmp_path: Path) -> None:
    out = _taken_apart(_run(tmp_path, "echo one", sampler="sleep 5"))
    assert (out.tool, out.samples) == (b"one\n", "")


def test_a_killed_tool_has_the_signal_in_its_exit_code(tmp_path: Path) -> None:
    out = _taken_apart(_run(tmp_path, "sh -c 'echo one; kill -9 $$'"))
    assert out.exit_code == 137
    assert out.tool == b"one\n"


def test_a_line_that_the_tool_left_cut_stays_cut(tmp_path: Path) -> None:
    out = _taken_apart(_run(tmp_path, "printf 'count=1 curr=76'"))
    assert out.tool == b"count=1 curr=76"


def test_what_runs_before_the_tool_is_kept_apart_and_does_not_count_as_its_output(tmp_path: Path) -> None:
    out = _taken_apart(_run(tmp_path, "echo one", prelude="echo dropped; printf cached"))
    assert (out.prelude, out.tool, out.exit_code) == (("dropped", "cached"), b"one\n", 0)


def test_memory_that_was_not_read_is_not_known() -> None:
    mark = MARKER.encode()
    out = _taken_apart(b"%b:tool\n%b:memory\n2048 0\n%b:end\n" % (mark, mark, mark))
    assert (out.vm_hwm_kb, out.pss_peak_kb) == (2048, None)


def test_conditions_are_not_read_twice(tmp_path: Path) -> None:
    out = _taken_apart(_run(tmp_path, "true", before=False))
    assert out.conditions_before is None
    assert out.conditions_after is not None


def test_a_tool_that_imitates_a_marker_is_not_believed(tmp_path: Path) -> None:
    out = _taken_apart(_run(tmp_path, "printf '@@ffff:exit 0\\n@@ffff:after\\nx\\n'"))
    assert out.tool == b"@@ffff:exit 0\n@@ffff:after\nx\n"


def test_memory_of_a_process_is_sampled_from_proc(tmp_path: Path) -> None:
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("this system has no /proc/PID/smaps_rollup")
    code = "import time; data = bytearray(50_000_000); time.sleep(1.5)"
    out = _taken_apart(_run(tmp_path, f"python3 -c '{code}'", sample=True))
    assert out.vm_hwm_kb is not None and 50_000 < out.vm_hwm_kb < 200_000
    assert out.pss_peak_kb is not None and 40_000 < out.pss_peak_kb < 200_000
    assert not (tmp_path / "a 'lease/3.pid.token.mem").exists()


def test_the_lease_names_the_process_group_and_lasts_to_the_deadline(tmp_path: Path, lease: Lease) -> None:
    out = _taken_apart(_run(tmp_path, f'cat "{lease.pid_file}"; cat "{lease.folder}/3.until.token"'))
    pid, started, boot, was, end_s = out.tool.split()
    assert boot == was
    assert int(pid) != os.getpid() and int(started) > 0
    now_s = float(Path("/proc/uptime").read_text().split()[0])
    assert 140 < int(end_s) - now_s <= 160
    assert not out.lease_lost


def test_without_the_lease_the_tool_does_not_start(tmp_path: Path, lease: Lease) -> None:
    Path(lease.folder, "4.lease").symlink_to("of another")
    out = _taken_apart(_run(tmp_path, "echo one"))
    assert out.lease_lost
    assert (out.tool, out.exit_code) == (b"", None)


def test_a_lease_that_goes_while_the_tool_runs_is_told(tmp_path: Path, lease: Lease) -> None:
    out = _taken_apart(_run(tmp_path, f'echo one; ln -s x "{lease.folder}/4.lease"'))
    assert out.lease_lost
    assert (out.tool, out.exit_code) == (b"one\n", 0)


@pytest.mark.parametrize("cut", range(0, 140, 3))
def test_output_cut_anywhere_gives_no_false_end(tmp_path: Path, cut: int) -> None:
    whole = _run(tmp_path, "echo one; echo two")
    out = _taken_apart(whole[:cut])
    if MARKER.encode() + b":exit" not in whole[:cut]:
        assert out.exit_code is None
    if MARKER.encode() + b":end" not in whole[:cut]:
        assert out.conditions_after is None
    if MARKER.encode() + b":tool\n" in whole[:cut]:
        assert b"one\ntwo\n\n@".startswith(out.tool)


def test_markers_are_found_wherever_the_blocks_of_a_long_output_end() -> None:
    mark = MARKER.encode()
    for length in range((1 << 20) - 60, (1 << 20) + 3, 7):
        text = b"x" * length
        out = _taken_apart(b"%b:tool\n%b\n%b:exit 3 1.0 2.0\n%b:end\n" % (mark, text, mark, mark))
        assert (out.tool, out.exit_code, out.on_device_ms) == (text, 3, 1000.0)


def test_sections_and_markers_of_a_hostile_device_are_bounded() -> None:
    mark = MARKER.encode()
    out = _taken_apart(b"%b:after\n%b\n%b:end\n" % (mark, b"y" * (3 << 20), mark))
    assert out.conditions_after == "y" * (1 << 20)
    out = _taken_apart(b"%b:tool\n" % mark * 200_000 + b"%b:exit 3\n" % mark)
    assert out.exit_code is None
    assert _taken_apart(b"%b:tool\nx\n%b:exit %b\n" % (mark, mark, b"1" * 5000)).exit_code is None
