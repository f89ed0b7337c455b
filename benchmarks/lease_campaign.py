"""One phone, one tool: hosts compete for one device, fail at random moments, and no two tools may ever run at once.

Each try is one device and two hosts, each with an adb server of its own. A host is a process that takes the lease and
runs a tool several times, with the same code as a run; every so often it is a whole `devbench run`. While the first
host is at work, something happens to it at a random moment (the kinds below). The second host waits for its turn.

The tool writes its name and the device's uptime to a file on the device every few hundredths of a second. Two tools
whose times overlap are an overlap. A device is held past the expiry if the second host does not get it within a few
seconds after the first one's lease has ended on the device.

    python benchmarks/lease_campaign.py [--tries 200] [--seed 1] [--lanes 4] [--kinds hosts,kill]
    python benchmarks/lease_campaign.py --bench-phone     # a bench phone; DEVBENCH_PHONE_KIT, _DIR and _PORT say which

Bar: 0 overlaps, 0 devices held past the expiry.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from devbench.adb.device import Device
from devbench.adb.server import AdbServer, Endpoint, find_adb
from devbench.bench.lease_keeper import LeaseKeeper
from devbench.bench.script import build_script, split_output
from devbench.device.lease import ROOT, LeaseLost, new_request, read_holder, revoke
from devbench.errors import DevbenchError
from devbench.virtual.phone import VirtualPhone
from tests.made.adb_servers import free_port

MODEL = Path(__file__).parents[1] / "tests" / "data" / "tiny_conv.tflite"
LEASE_S = 3
DEADLINE_S = 4
REPETITIONS = 3
# After the end of a lease the next host asks within two seconds; the rest is for a machine that is busy.
SLACK_S = 10.0
WAIT_S = 90
LOG, TOOL = "/data/local/tmp/campaign.log", "/data/local/tmp/campaign_tool"
SCRIPT = """#!/bin/sh
# devbench-virtual
n=0
while [ $n -lt 20 ]; do read -r up rest < /proc/uptime; echo "$$ $up" >> "@LOG@"; sleep 0.02; n=$((n + 1)); done
echo "Inference timings in us: Init: 1000, First inference: 900, Warmup (avg): 800, Inference (avg): 700"
"""
PROGRAM = r"""
#include <stdio.h>
#include <time.h>
#include <unistd.h>
int main(void) {
  for (int n = 0; n < 25; n++) {
    struct timespec t; clock_gettime(CLOCK_BOOTTIME, &t);
    FILE *f = fopen("@LOG@", "a");
    if (f) { fprintf(f, "%d %lld.%02ld\n", (int)getpid(), (long long)t.tv_sec, t.tv_nsec / 10000000); fclose(f); }
    usleep(20000);
  }
  puts("Inference timings in us: Init: 1000, First inference: 900, Warmup (avg): 800, Inference (avg): 700");
}
"""
SHIFTED_CLOCK = """
import os, time
_real, _began = time.time, time.monotonic()
_after, _by = (float(word) for word in os.environ["CAMPAIGN_CLOCK"].split(","))
time.time = lambda: _real() + (_by if time.monotonic() - _began > _after else 0.0)
"""


# -- a host ----------------------------------------------------------------------------------------------------------


def host(serial: str, seed: int) -> int:
    """What a run does with its device, without plan and store: take it, run the tool several times, give it back."""
    rest = random.Random(seed)
    device = Device(AdbServer(), serial)
    keeper = LeaseKeeper(device, ROOT, new_request())
    try:
        keeper.take_within(WAIT_S, threading.Event(), lambda words, left_s: None)
        print(f"taken {keeper.lease.number}", flush=True)
        try:
            for number in range(REPETITIONS):
                marker = f"@@{seed}-{number}"
                script = build_script(
                    TOOL, marker=marker, lease=keeper.lease, deadline_s=DEADLINE_S, work_dir="/data/local/tmp",
                    conditions_command="true", sampler="", before=False, sample_memory=False,
                )  # fmt: skip
                with keeper.left_to_the_script():
                    done = device.shell(script, timeout_s=DEADLINE_S)
                output = split_output(io.BytesIO(done.stdout), marker)
                if output.lease_lost or output.exit_code is None:
                    keeper.check(certainly_lost=output.lease_lost)
                # A cool-down, in which the lease has to be kept.
                time.sleep(rest.choice([0.0, 0.1, 0.3]))
        finally:
            keeper.leave()
    except DevbenchError as error:
        print(f"{'lost' if isinstance(error, LeaseLost) else 'error'}: {error}", flush=True)
        return error.exit_code
    return 0


# -- devices ---------------------------------------------------------------------------------------------------------


class Virtual:
    """A virtual device in this process."""

    def __init__(self, name: str) -> None:
        self._phone = VirtualPhone(name)

    def __enter__(self) -> Virtual:
        self._phone.__enter__()
        self.tool = self.root / TOOL.lstrip("/")
        self.tool.write_text(SCRIPT.replace("@LOG@", str(self.root / LOG.lstrip("/"))), "utf-8")
        self.tool.chmod(0o755)
        return self

    def __exit__(self, *error: object) -> None:
        self._phone.__exit__(None, None, None)

    @property
    def address(self) -> str:
        return self._phone.address

    @property
    def root(self) -> Path:
        return self._phone.root

    def restart(self) -> None:
        """All its processes end; the leases on it are of another boot."""
        self._phone.unplug()
        for file in (self.root / ROOT.lstrip("/") / "lease").glob("*.until.*"):
            with contextlib.suppress(OSError, IndexError):
                file.write_text(f"00000000-earlier-boot {file.read_text().split()[1]}\n")
        self._phone.plug_in()


class Bench:
    """A bench phone; its kit's scripts start and stop it. Its kernel, and so its boot, is this machine's."""

    def __init__(self, port: int) -> None:
        self._kit, self._folder = (Path(os.environ[f"DEVBENCH_PHONE_{name}"]).resolve() for name in ("KIT", "DIR"))
        self._port = port
        self.address = f"127.0.0.1:{port}"
        self.root = self._folder / "phones" / str(port) / "root"

    def _do(self, script: str, *words: str) -> None:
        command = [str(self._kit / script), str(self._folder), str(self._port), *words]
        subprocess.run(command, check=True, timeout=60, stdout=subprocess.DEVNULL)

    def __enter__(self) -> Bench:
        self._do("start-phone")
        self.tool = self.root / TOOL.lstrip("/")
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "tool.c")
            source.write_text(PROGRAM.replace("@LOG@", LOG), "utf-8")
            subprocess.run(["cc", "-static", "-O1", "-o", str(self.tool), str(source)], check=True, timeout=120)
        return self

    def __exit__(self, *error: object) -> None:
        self._do("stop-phone")

    def restart(self) -> None:
        """All its processes end; its files stay."""
        self._do("stop-phone", "--keep")
        self._do("start-phone")


Phone = Virtual | Bench


# -- tries -----------------------------------------------------------------------------------------------------------


@dataclass
class Lane:
    """A device, two adb servers that reach it, and what happens there."""

    phone: Phone
    servers: tuple[AdbServer, AdbServer]
    folder: Path
    random: random.Random
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def leases(self) -> Path:
        return self.phone.root / ROOT.lstrip("/") / "lease"

    @property
    def log(self) -> Path:
        return self.phone.root / LOG.lstrip("/")

    def start(
        self, which: int, *, whole: bool = False, before: Sequence[str] = (), **env: str
    ) -> subprocess.Popen[str]:
        """Start a host; it says `taken N` when it has the device."""
        serial = self.phone.address
        words = [sys.executable, str(Path(__file__)), "--host", serial, "--seed", str(self.random.randrange(10**6))]
        if whole:
            words = [
                sys.executable, "-m", "devbench.cli.app", "run", str(MODEL), "-d", serial, "-D", "cpu", "--binary",
                str(self.phone.tool), "-r", str(REPETITIONS), "--no-profile", "--no-report", "--cold-starts", "0",
                "--unreliable-retries", "0", "--cool-down", "0", "--timeout", str(DEADLINE_S), "--wait", f"{WAIT_S}s",
                "--quiet", "--store", f"sqlite:///{self.folder}/store{len(self.started)}.db",
            ]  # fmt: skip
        server = self.servers[which].endpoint
        variables = {
            **os.environ,
            "ANDROID_ADB_SERVER_PORT": str(server.port),
            "DEVBENCH_LEASE_S": str(LEASE_S),
            "DEVBENCH_HOME": str(self.folder / f"home{which}"),
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
            **env,
        }
        process = subprocess.Popen(
            [*before, *words], env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        self.started.append(process)
        return process

    def moment(self, most_s: float = 3.0) -> None:
        """A random while."""
        time.sleep(self.random.uniform(0.0, most_s))

    def until_taken(self) -> None:
        """Wait until a host has the device, so that what happens next hits its work."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not list(self.leases.glob("*.lease")):
            time.sleep(0.01)

    def end_s(self) -> float:
        """The uptime at which the present lease ends; 0 for none."""
        ends = [0.0]
        for file in self.leases.glob("*.until.*"):
            with contextlib.suppress(OSError, IndexError, ValueError):
                boot, end = file.read_text().split()[:2]
                ends.append(float(end) if boot == BOOT else 0.0)
        return max(ends)

    def beats(self) -> dict[str, list[float]]:
        """The uptimes that each tool wrote."""
        found: dict[str, list[float]] = defaultdict(list)
        with contextlib.suppress(FileNotFoundError):
            for line in self.log.read_text("ascii", "replace").splitlines():
                words = line.split()
                if len(words) == 2:
                    found[words[0]].append(float(words[1]))
        return found

    def clean(self) -> None:
        """End what a try left, and begin the next one as on a new device."""
        for process in self.started:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGCONT)
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        self.started.clear()
        self.log.unlink(missing_ok=True)
        shutil.rmtree(self.leases, ignore_errors=True)


BOOT = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def uptime_s() -> float:
    return float(Path("/proc/uptime").read_text("ascii").split()[0])


@dataclass
class Happened:
    """What a try came to.

    Attributes:
        second: the host that must get the device.
        end_s: the uptime at which the first host's lease ends if it is not given back; 0 if it is.
        may_lose: what happened may have hit the second host, if the first one was through already.
    """

    second: subprocess.Popen[str]
    end_s: float = 0.0
    may_lose: bool = False


def hosts(lane: Lane, whole: bool) -> Happened:
    """Two hosts, nothing else happens."""
    lane.start(0, whole=whole)
    lane.moment(1.5)
    return Happened(lane.start(1, whole=whole))


def containers(lane: Lane, whole: bool) -> Happened:
    """Two containers with one host name: other process ids, the same boot."""
    inside = ["unshare", "--pid", "--uts", "--mount-proc", "--fork", "sh", "-c", 'hostname bench; exec "$@"', "sh"]
    lane.start(0, whole=whole, before=inside)
    lane.moment(1.5)
    return Happened(lane.start(1, whole=whole, before=inside))


def users(lane: Lane, whole: bool) -> Happened:
    """Two users of one host."""
    lane.start(0, whole=whole, USER="one", LOGNAME="one", HOME=str(lane.folder / "one"))
    lane.moment(1.5)
    return Happened(lane.start(0, whole=whole, USER="two", LOGNAME="two", HOME=str(lane.folder / "two")))


def kill(lane: Lane, whole: bool) -> Happened:
    """The first host is killed."""
    first = lane.start(0, whole=whole)
    lane.until_taken()
    second = lane.start(1)
    lane.moment()
    first.kill()
    return Happened(second, lane.end_s())


def freeze(lane: Lane, whole: bool) -> Happened:
    """The first host is stopped past the end of its lease and goes on afterwards."""
    first = lane.start(0, whole=whole)
    lane.until_taken()
    second = lane.start(1)
    lane.moment()
    os.killpg(first.pid, signal.SIGSTOP)
    end_s = lane.end_s()
    time.sleep(max(0.0, end_s - uptime_s()) + lane.random.uniform(0.0, 2.0))
    os.killpg(first.pid, signal.SIGCONT)
    return Happened(second, end_s)


def zombie(lane: Lane, whole: bool) -> Happened:
    """The first host is dead, and its parent does not know it yet; the second one is on the same machine."""
    first = lane.start(0, whole=whole)
    lane.until_taken()
    lane.moment()
    os.kill(first.pid, signal.SIGKILL)
    return Happened(lane.start(0), min(lane.end_s(), uptime_s() + 1))


def reused_pid(lane: Lane, whole: bool) -> Happened:
    """The first host is dead, and its process id is that of another process."""
    first = lane.start(0, whole=whole)
    lane.until_taken()
    lane.moment()
    first.kill()
    first.wait()
    for link in lane.leases.glob("*.lease"):
        with contextlib.suppress(OSError):
            words = str(link.readlink()).split(",")
            words[6] = str(os.getpid())
            link.unlink()
            link.symlink_to(",".join(words))
    return Happened(lane.start(0), min(lane.end_s(), uptime_s() + 1))


def restart(lane: Lane, whole: bool) -> Happened:
    """The device is restarted while the first host works."""
    lane.start(0, whole=whole)
    lane.until_taken()
    lane.moment()
    lane.phone.restart()
    lane.servers[1].connect(lane.phone.address, timeout_s=20)
    lane.servers[1].wait_for(lane.phone.address, timeout_s=20)
    return Happened(lane.start(1), lane.end_s())


def clock(lane: Lane, whole: bool) -> Happened:
    """The wall clock of a host jumps."""
    folder = lane.folder / "clock"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(SHIFTED_CLOCK, "utf-8")
    jump = f"{lane.random.uniform(0, 2):.2f},{lane.random.choice([-86400, -30, 30, 86400])}"
    path = os.pathsep.join([str(folder), str(Path(__file__).parents[1])])
    lane.start(0, whole=whole, PYTHONPATH=path, CAMPAIGN_CLOCK=jump)
    lane.moment(1.5)
    return Happened(lane.start(0, whole=whole))


def orphan(lane: Lane, whole: bool) -> Happened:
    """The first host's adb server is killed: the device hangs up on the shell, and its tool goes on."""
    first = lane.start(0, whole=whole)
    lane.until_taken()
    second = lane.start(1)
    lane.moment()
    stop_server(lane.servers[0])
    if not whole:
        first.kill()
    end_s = lane.end_s()
    time.sleep(0.2)
    reach(lane.servers[0], lane.phone.address)
    return Happened(second, 0.0 if whole else end_s)


def wiped(lane: Lane, whole: bool) -> Happened:
    """Somebody removes the folder with the leases."""
    lane.start(0, whole=whole)
    lane.until_taken()
    second = lane.start(1)
    lane.moment()
    with contextlib.suppress(OSError):
        lane.leases.rename(lane.leases.with_name(f"gone-{lane.random.randrange(10**6)}"))
    return Happened(second, may_lose=True)


def released(lane: Lane, whole: bool) -> Happened:
    """Somebody releases the device."""
    lane.start(0, whole=whole)
    lane.until_taken()
    lane.moment()
    device = Device(lane.servers[1], lane.phone.address)
    holder = read_holder(device, ROOT)
    if holder is not None:
        revoke(device, ROOT, holder)
    return Happened(lane.start(1), uptime_s())


def attempts(lane: Lane, whole: bool) -> Happened:
    """A farm sends the second attempt of a job while the first one is at work."""
    lane.start(0, whole=whole, DEVBENCH_LEASE_JOB="night", DEVBENCH_LEASE_ATTEMPT="1")
    lane.until_taken()
    lane.moment()
    return Happened(lane.start(1, DEVBENCH_LEASE_JOB="night", DEVBENCH_LEASE_ATTEMPT="2"), uptime_s())


def cut_off(lane: Lane, whole: bool) -> Happened:
    """A host was killed after it had taken the lease from the first one, and before it had ended that one's tool."""
    lane.start(0, whole=whole)
    lane.until_taken()
    lane.moment()
    # That moment is too short to hit from outside, so its files are written.
    with contextlib.suppress(OSError, IndexError, ValueError):
        link = sorted(lane.leases.glob("*.lease"), key=lambda one: int(one.stem))[-1]
        (end,) = lane.leases.glob(f"{link.stem}.until.*")
        token, number = end.name.split(".", 2)[2], int(link.stem) + 1
        (lane.leases / f"{number}.until.cut").write_text(end.read_text())
        (lane.leases / f"{number}.lease").symlink_to(str(link.readlink()).replace(token, "cut", 1))
    return Happened(lane.start(1), lane.end_s())


KINDS: dict[str, Callable[[Lane, bool], Happened]] = {
    one.__name__: one
    for one in (
        hosts, containers, users, kill, freeze, zombie, reused_pid, restart, clock, orphan, wiped, released, attempts,
        cut_off,
    )
}  # fmt: skip


def one_try(lane: Lane, kind: str, whole: bool) -> list[str]:
    """Do a try; gives what is wrong with it."""
    wrong, said = [], ""
    happened = KINDS[kind](lane, whole)
    try:
        said, _ = happened.second.communicate(timeout=WAIT_S + 60)
        lost = happened.may_lose and "lost: " in said and lane.started[0].poll() == 0
        if happened.second.returncode != 0 and not lost:
            wrong.append(f"the second host ended with {happened.second.returncode}: {said[-300:].strip()}")
    except subprocess.TimeoutExpired:
        wrong.append("held: the second host did not end")
    for process in lane.started:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
    beats = lane.beats()
    spans = sorted((min(times), max(times), name) for name, times in beats.items())
    last, before = 0.0, ""
    for begin, end, name in spans:
        if begin < last:
            wrong.append(f"overlap: {before} until {last}, {name} from {begin}")
        last, before = max((last, before), (end, name))
    taken = re.search(r"^taken", said, re.MULTILINE)
    if happened.end_s and taken and spans:
        late_s = last_turn(spans) - happened.end_s
        if late_s > SLACK_S:
            wrong.append(f"held: {late_s:.1f} s past the expiry")
    return wrong


def last_turn(spans: Sequence[tuple[float, float, str]]) -> float:
    """When the first tool of the last host began."""
    return spans[max(0, len(spans) - REPETITIONS)][0]


# -- adb servers -----------------------------------------------------------------------------------------------------


def stop_server(server: AdbServer) -> None:
    command = [str(find_adb()), "-P", str(server.endpoint.port), "kill-server"]
    subprocess.run(command, check=False, timeout=30, capture_output=True)


def reach(server: AdbServer, address: str) -> None:
    """Start the server and connect the device to it; another host may have started it just now."""
    subprocess.run([str(find_adb()), "-P", str(server.endpoint.port), "start-server"], timeout=30, capture_output=True)
    for _ in range(10):
        with contextlib.suppress(DevbenchError):
            server.connect(address, timeout_s=10)
            server.wait_for(address, timeout_s=10)
            return
        time.sleep(0.3)
    raise SystemExit(f"{address} cannot be reached")


@contextlib.contextmanager
def lanes(count: int, bench: bool, seed: int) -> Iterator[list[Lane]]:
    """Devices, each with two adb servers, in a folder of their own."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lease-campaign-")))
        made = []
        for number in range(count):
            phone: Phone = Bench(int(os.environ["DEVBENCH_PHONE_PORT"])) if bench else Virtual(f"campaign-{number}")
            stack.enter_context(phone)
            servers = []
            for _ in range(2):
                server = AdbServer(Endpoint(port=free_port()))
                stack.callback(stop_server, server)
                reach(server, phone.address)
                servers.append(server)
            own = folder / str(number)
            own.mkdir()
            made.append(Lane(phone, (servers[0], servers[1]), own, random.Random(seed + number)))
            stack.callback(made[-1].clean)
        yield made


def can_make_containers() -> bool:
    command = ["unshare", "--pid", "--uts", "--mount-proc", "--fork", "true"]
    try:
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0
    except OSError:
        return False


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=4, help="devices on which tries run side by side")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--whole-every", type=int, default=5, help="every so many tries a whole `devbench run`")
    parser.add_argument("--bench-phone", action="store_true")
    parser.add_argument("--host", help=argparse.SUPPRESS)
    given = parser.parse_args(words)
    if given.host:
        return host(given.host, given.seed)
    kinds = given.kinds.split(",")
    if "containers" in kinds and not can_make_containers():
        print("containers: skipped, this machine does not let them be made")
        kinds.remove("containers")
    plan = [(number, kinds[number % len(kinds)]) for number in range(given.tries)][::-1]
    guard = threading.Lock()
    done: Counter[str] = Counter()
    wrong: list[str] = []
    tools = 0
    began = time.monotonic()

    def work(lane: Lane) -> None:
        nonlocal tools
        while True:
            with guard:
                if not plan:
                    return
                number, kind = plan.pop()
            try:
                whole = number % max(1, given.whole_every) == 0
                problems = one_try(lane, kind, whole)
            except Exception as error:  # one broken try must not end the others
                problems = [f"the campaign failed: {error!r}"]
            with guard:
                done[kind] += 1
                tools += len(lane.beats())
                wrong.extend(f"{number} {kind}: {problem}" for problem in problems)
                for problem in problems:
                    print(f"  {number} {kind}: {problem}", flush=True)
            lane.clean()

    with lanes(1 if given.bench_phone else given.lanes, given.bench_phone, given.seed) as made:
        threads = [threading.Thread(target=work, args=(lane,), daemon=True) for lane in made]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    overlaps = sum(": overlap:" in line for line in wrong)
    held = sum(": held:" in line for line in wrong)
    print(", ".join(f"{kind} {count}" for kind, count in done.items()))
    print(
        f"{sum(done.values())} tries, {tools} tools, {time.monotonic() - began:.0f} s: {overlaps} overlaps, "
        f"{held} held past the expiry, {len(wrong) - overlaps - held} other problems"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
