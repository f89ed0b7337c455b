"""What the sampler of the conditions costs on a device, and whether it moves the latencies that it is sampled beside.

    python benchmarks/sampler_cost.py --device SERIAL [--seconds 60] [--pairs 20]

1. The sampler alone for a while: processor time of its process and of all that it starts, from /proc. It reads a tree
   of files as a phone has them (three groups of CPUs, a GPU, sixty thermal zones of which twelve tell, a fuel gauge),
   since a bench phone has none of its own. What a sensor behind a slow bus costs, and what Android's own services
   cost, only a phone can tell; the sampler rests the longer, the longer they take.
2. Processes of the tool with the sampler and without it in turn: medians of both with their intervals.

Bars: under 1 % of one core, and the medians differ by less than the interval is wide.
"""

from __future__ import annotations

import argparse
import io
import secrets
import sys
from pathlib import Path

from devbench.adb.device import Device
from devbench.adb.server import AdbServer
from devbench.analysis.stats import Estimate, estimate
from devbench.bench.script import build_script, split_output
from devbench.device import lease
from devbench.device.conditions import CONDITIONS_COMMAND
from devbench.device.depot import Depot
from devbench.device.facts import read_facts
from devbench.device.lease import Lease
from devbench.device.sampler import sampler_script
from devbench.tool.binaries import choose
from devbench.tool.parse import parse_bytes

BAR_PCT = 1.0
ROOT = "/data/local/tmp/devbench-benchmark"
DEMO = Path(__file__).parents[1] / "devbench" / "models" / "data" / "small_unet.tflite"
# Linux counts processor time in hundredths of a second for programs, on every architecture that Android has.
TICK_S = 0.01


def phone_tree() -> str:
    """Shell lines that make the files of a phone's kernel below ROOT/sys."""
    files = {"class/kgsl/kgsl-3d0/gpuclk": "680000000", "class/kgsl/kgsl-3d0/max_gpuclk": "719000000"}
    files["class/power_supply/battery/current_now"] = "-412000"
    for cpu in (0, 4, 7):
        files[f"devices/system/cpu/cpufreq/policy{cpu}/scaling_cur_freq"] = "1800000"
        files[f"devices/system/cpu/cpufreq/policy{cpu}/scaling_max_freq"] = "2400000"
    for zone in range(60):
        files[f"class/thermal/thermal_zone{zone}/type"] = f"cpu-{zone}" if zone % 5 == 0 else f"pm8550-{zone}"
        files[f"class/thermal/thermal_zone{zone}/temp"] = "41000"
    folders = {f"{ROOT}/sys/{Path(name).parent}" for name in files}
    return "\n".join(
        [f"mkdir -p {' '.join(sorted(folders))}", *(f"echo {v} > {ROOT}/sys/{n}" for n, v in files.items())]
    )


def cost_pct(device: Device, seconds: int) -> tuple[float, int]:
    """Processor time of the sampler in percent of one core, and how many samples it took."""
    script = f"""{phone_tree()}
( {sampler_script(f"{ROOT}/sys")}
) > {ROOT}/samples 2>/dev/null </dev/null &
sampler=$!
sleep {seconds}
read -r line < /proc/$sampler/stat; echo "$line"
kill -9 $sampler
grep -c '^@sample' {ROOT}/samples"""
    done = device.shell(script, timeout_s=seconds + 30, check=True, doing="running the sampler")
    stat, samples = done.stdout.decode().split("\n")[:2]
    # Fields 14 to 17 of proc(5): its own time as user and in the kernel, then that of its children.
    ticks = sum(map(int, stat.rpartition(")")[2].split()[11:15]))
    return 100 * ticks * TICK_S / seconds, int(samples)


def latency_ms(device: Device, held: Lease, command: str, sampler: str) -> float:
    marker = f"@@{secrets.token_hex(8)}"
    script = build_script(
        command, marker=marker, lease=held, deadline_s=60, work_dir=ROOT,
        conditions_command=CONDITIONS_COMMAND, sampler=sampler, before=False, sample_memory=False,
    )  # fmt: skip
    done = device.shell(script, timeout_s=60, doing="running the tool")
    start, end = split_output(io.BytesIO(done.stdout), marker).tool
    average = parse_bytes(done.stdout[start:end]).inference_avg_us
    if average is None:
        sys.exit(f"no latency: {done.stdout.decode(errors='replace')[-500:]}")
    return average / 1000


def words(name: str, value: Estimate) -> str:
    return (
        f"{name:18} median {value.median:8.4f} ms, interval {value.low:.4f} to {value.high:.4f} of {value.n} processes"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", required=True)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--pairs", type=int, default=20)
    given = parser.parse_args()
    device = Device(AdbServer(), given.device)
    device.shell(f"mkdir -p {ROOT}", timeout_s=10, check=True)
    try:
        binary = choose(read_facts(device).abis)
        depot = Depot(device, root=ROOT)
        tool = depot.ensure(binary.path, sha256=binary.sha256, mode=0o755).remote
        command = f"{tool} --graph={depot.ensure(DEMO).remote} --use_xnnpack=true --num_threads=1 --min_secs=2.5"
        percent, samples = cost_pct(device, given.seconds)
        print(f"sampler alone      {percent:.2f} % of one core  (bar: {BAR_PCT:g} %; {samples} samples)")
        sampler = sampler_script(f"{ROOT}/sys")
        held = lease.take(device, ROOT, lease.new_request())
        times: dict[str, list[float]] = {"": [], sampler: []}
        for number in range(given.pairs):
            for which in ("", sampler) if number % 2 else (sampler, ""):
                times[which].append(latency_ms(device, held, command, which))
    finally:
        device.shell(f"rm -rf {ROOT}", timeout_s=30)
    without, beside = estimate(times[""]), estimate(times[sampler])
    assert without is not None and beside is not None
    shift = abs(beside.median - without.median)
    width = without.high - without.low
    print(words("without it", without))
    print(words("beside it", beside))
    share = 100 * shift / without.median
    print(f"shift              {shift:.4f} ms, {share:.2f} %  (bar: the interval's {width:.4f} ms)")
    sys.exit(0 if percent < BAR_PCT and shift < width else 1)


if __name__ == "__main__":
    main()
