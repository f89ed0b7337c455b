"""Replayed and slowed processes of the virtual tool: for tests of rankings, and never to pass for a measurement."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbench.adb.device import Device
from devbench.adb.server import AdbServer
from devbench.device.conditions import read_conditions
from devbench.errors import InputError
from devbench.tool.measurement import Measurement
from devbench.tool.parse import parse_bytes
from devbench.virtual.faults import (
    NOISE_VARIABLE,
    RECORD_VARIABLE,
    SEED_VARIABLE,
    SLOWER_VARIABLE,
    Faults,
    NoiseError,
    Replay,
    draw,
    parse_faults,
    parse_slower,
    read_noise,
)
from tests.conftest import DATA, connected_phone

MODEL = DATA / "small_cnn.tflite"
NOISE = DATA / "noise_unet.json"


def tool(*flags: str, expect: int = 0, **environment: str) -> tuple[Measurement, str]:
    done = subprocess.run(
        [sys.executable, "-m", "devbench.virtual.benchmark_model", *flags],
        capture_output=True, timeout=60, check=False, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == expect, done.stderr
    return parse_bytes(done.stdout + done.stderr), done.stdout.decode()


def write_noise(folder: Path, *processes: list[float]) -> Path:
    path = folder / "noise.json"
    path.write_text(json.dumps(processes))
    return path


@pytest.mark.parametrize(
    ("flag", "delegates"),
    [("--use_xnnpack=true", ["XNNPACK"]), ("--use_xnnpack=false", []), ("--use_gpu=true", ["GPU"])],
)
def test_a_replay_has_the_recorded_latencies_and_says_that_it_is_one(
    tmp_path: Path, flag: str, delegates: list[str]
) -> None:
    noise = write_noise(tmp_path, [100, 110, 120, 130])
    flags = (f"--graph={MODEL}", flag, "--num_runs=4", "--min_secs=0", "--warmup_runs=0", "--warmup_min_secs=0")
    # Without a driver, too: nothing is run.
    found, text = tool(*flags, **{NOISE_VARIABLE: str(noise), "DEVBENCH_VIRTUAL_GPU": "0"})
    assert found.status == "ok"
    assert found.runs is not None
    assert (found.runs.count, found.runs.min_us, found.runs.max_us) == (4, 100, 130)
    assert found.inference_avg_us == 115
    assert [(use.name, use.applied) for use in found.delegates] == [(name, "full") for name in delegates]
    assert "WARN: This cannot count as a measurement: process 1 of 1 in noise.json is replayed" in text
    assert any("cannot count as a measurement" in warning for warning in found.warnings)


def test_a_replay_goes_by_its_own_clock_and_begins_again_at_the_end(tmp_path: Path) -> None:
    noise = write_noise(tmp_path, [200_000, 300_000])
    found, _ = tool(f"--graph={MODEL}", "--num_runs=1", "--min_secs=2", **{NOISE_VARIABLE: str(noise)})
    assert found.runs is not None
    assert found.runs.count == 8, "two seconds of 200 and 300 ms in turn"


def test_a_replay_loads_no_runtime(tmp_path: Path) -> None:
    code = (
        "import sys; from devbench.virtual.benchmark_model.__main__ import main\n"
        f"main(['tool', '--graph={MODEL}', '--use_xnnpack=true'])\n"
        "print('LOADED', *({'numpy', 'scipy', 'ai_edge_litert', 'flatbuffers'} & set(sys.modules)))\n"
        "print('MAPPED', 'libLiteRt' in open('/proc/self/maps').read())"
    )
    environment = {**os.environ, NOISE_VARIABLE: str(write_noise(tmp_path, [1000.0]))}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, env=environment
    )
    assert done.stdout.endswith("LOADED\nMAPPED False\n")


def test_a_slower_delegate_is_slower_by_what_was_said_and_no_other_is(tmp_path: Path) -> None:
    # Whole microseconds: five percent of eleven is lost in each, and not in their sum.
    noise = write_noise(tmp_path, [11.0] * 400)
    flags = (f"--graph={MODEL}", "--num_runs=400", "--min_secs=0")
    environment = {NOISE_VARIABLE: str(noise), SLOWER_VARIABLE: "gpu:5"}
    slow, text = tool(*flags, "--use_gpu=true", **environment)
    same, other = tool(*flags, "--use_xnnpack=true", **environment)
    assert slow.inference_avg_us == pytest.approx(11.55, abs=0.01)
    assert same.inference_avg_us == 11
    assert "inferences under gpu are made 5 % longer" in text
    assert "longer" not in other


def test_without_noise_a_slower_delegate_waits_after_each_inference(tmp_path: Path) -> None:
    flags = (f"--graph={MODEL}", "--use_xnnpack=false", "--num_runs=300", "--min_secs=0", "--warmup_min_secs=0.1")
    plain, _ = tool(*flags)
    slow, text = tool(*flags, **{SLOWER_VARIABLE: "cpu:300"})
    assert plain.runs is not None
    assert slow.runs is not None
    assert plain.runs.median_us is not None
    assert slow.runs.median_us is not None
    assert 2.5 < slow.runs.median_us / plain.runs.median_us < 8
    assert "cannot count as a measurement" in text


def test_a_process_is_recorded_as_a_noise_file_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "process.json"
    found, _ = tool(f"--graph={MODEL}", "--num_runs=30", "--min_secs=0", **{RECORD_VARIABLE: str(path)})
    single = json.loads(path.read_text())
    assert len(single) == 30
    assert found.inference_avg_us == pytest.approx(statistics.fmean(single), rel=1e-5)
    assert read_noise(write_noise(tmp_path, single)) == (tuple(map(float, single)),)


def test_what_is_replayed_must_still_be_a_model(tmp_path: Path) -> None:
    noise = str(write_noise(tmp_path, [5.0]))
    for flags, kind in (
        ((f"--graph={__file__}",), "invalid_model"),
        ((), "no_model"),
        (("--graph=/none",), "no_model"),
    ):
        found, _ = tool(*flags, expect=1, **{NOISE_VARIABLE: noise})
        assert found.failure is not None
        assert found.failure.kind.value == kind


@pytest.mark.parametrize(
    "environment",
    [{NOISE_VARIABLE: "/none.json"}, {SLOWER_VARIABLE: "gpu:much"}, {NOISE_VARIABLE: str(NOISE), SEED_VARIABLE: "x"}],
)
def test_the_tool_fails_where_it_was_told_nonsense(environment: dict[str, str]) -> None:
    found, _ = tool(f"--graph={MODEL}", expect=1, **environment)
    assert found.failure is not None
    assert "Failed to" in found.failure.message


def test_processes_are_drawn_with_replacement_and_the_same_with_a_seed(tmp_path: Path) -> None:
    first = [draw(10, 3, tmp_path / "a") for _ in range(200)]
    assert first == [draw(10, 3, tmp_path / "b") for _ in range(200)]
    assert first != [draw(10, 4, tmp_path / "c") for _ in range(200)]
    counts = Counter(first)
    assert set(counts) == set(range(10))
    assert max(counts.values()) < 50
    assert {draw(3, None, None) for _ in range(100)} == {0, 1, 2}


@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=30), st.floats(0, 100), st.integers(1, 100))
def test_nothing_is_lost_to_whole_microseconds(latencies: list[float], pct: float, runs: int) -> None:
    recorded = Replay(latencies, 1 + pct / 100)
    times = []
    for _ in range(runs):
        start_us = recorded.clock_ns() // 1000
        recorded.run()
        times.append(recorded.clock_ns() // 1000 - start_us)
    true_us = sum(latencies[n % len(latencies)] for n in range(runs)) * (1 + pct / 100)
    assert abs(sum(times) - true_us) <= 1 + 1e-9 * true_us


@pytest.mark.parametrize("text", ["", "gpu", "gpu:", "gpu:-1", "gpu:nan", "gpu:1e9", "tpu:5", "gpu:5:6", ":5"])
def test_a_slow_down_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(NoiseError, match="is not NAME:PCT"):
        parse_slower(text)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "[[]]", "[[0]]", "[[-1]]", "[[true]]", '[["5"]]', "[5]", "[[1e999]]", "[[NaN]]", "[" * 99999],
)
def test_a_file_that_is_no_noise_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(NoiseError, match=r"bad\.json"):
        read_noise(path)


def test_faults_are_checked_where_they_are_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_noise(tmp_path, [5.0])
    monkeypatch.chdir(tmp_path)
    assert parse_faults("noise=noise.json,slower=gpu:5,seed=7") == Faults(
        noise=str(tmp_path / "noise.json"), slower="gpu:5", seed=7
    )
    for text, says in (
        ("noise=none.json", "--fault noise: "),
        ("slower=gpu", "--fault slower: 'gpu' is not NAME:PCT"),
        ("seed=x", "--fault 'seed=x'"),
        ("nope", "--fault 'nope' is unknown"),
    ):
        with pytest.raises(InputError, match=says):
            parse_faults(text)


def test_a_replaying_device_reports_no_load_and_any_other_this_machine_s(adb_server_port: int) -> None:
    with connected_phone(Faults(noise=str(NOISE))) as phone:
        assert read_conditions(Device(AdbServer(), phone.address)).load_1min == 0
    with connected_phone() as phone:
        text = Device(AdbServer(), phone.address).shell("cat /proc/loadavg", timeout_s=10).stdout
        assert text.split()[-1] != "1"


def test_the_recorded_noise_is_that_of_real_processes() -> None:
    processes = read_noise(NOISE)
    assert len(processes) >= 20
    means = [statistics.fmean(one) for one in processes]
    assert len(set(means)) == len(means)
    assert 0.001 < statistics.stdev(means) / statistics.fmean(means) < 0.1
