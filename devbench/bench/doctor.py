"""Checks of everything that measuring needs: adb, devices, binaries, free space; knows no command line.

A check that fails says how to fix it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from devbench.adb.device import Device
from devbench.adb.server import AdbServer, find_adb
from devbench.analysis.reliability import STATUS_PROBLEMS
from devbench.device.depot import Depot
from devbench.device.health import read_health
from devbench.device.overview import DeviceOverview, survey
from devbench.device.profiles import load_profiles
from devbench.errors import DevbenchError
from devbench.host.checks import Check
from devbench.host.paths import data_dir
from devbench.results.store import Store
from devbench.tool.binaries import choose, installed, verify
from devbench.virtual.benchmark_model.litert import library_path
from devbench.virtual.vulkan import vulkan_available

_MIN_DEVICE_BYTES = 500 << 20
_MIN_HOST_BYTES = 1 << 30


def examine(timeout_s: float) -> list[Check]:
    """Run all checks; each device has `timeout_s` seconds to answer."""
    checks: list[Check] = []
    with _failing(checks, "adb"):
        checks.append(Check("adb", "ok", str(find_adb())))
    with _failing(checks, "adb server"):
        server = AdbServer()
        version = server.ensure_running()
        where = f"version {version} at {server.endpoint.host}:{server.endpoint.port}"
        checks.append(Check("adb server", "ok", where))
        checks += _devices(server, timeout_s)
    return [*checks, *_host(), _virtual()]


@contextmanager
def _failing(checks: list[Check], subject: str) -> Iterator[None]:
    """Turn an error within the block into a failed check of `subject`."""
    try:
        yield
    except DevbenchError as error:
        checks.append(Check(subject, "bad", error.what, error.hint))


def _devices(server: AdbServer, timeout_s: float) -> list[Check]:
    try:
        profiles = load_profiles()
    except DevbenchError as error:
        return [Check("device profiles", "bad", error.what, error.hint)]
    found = survey(server, server.list_devices(), profiles, timeout_s=timeout_s)
    if not found:
        fix = "connect a phone by USB and allow USB debugging, or use `devbench devices connect HOST:PORT`"
        fix += "; without a phone: --device virtual"
        return [Check("devices", "warning", "none connected", fix)]
    return [check for overview in found for check in _device(server, overview, timeout_s)]


def _device(server: AdbServer, overview: DeviceOverview, timeout_s: float) -> list[Check]:
    serial, facts = overview.name, overview.facts
    if facts is None:
        return [Check(serial, "bad", overview.problem, overview.advice)]
    checks = [Check(serial, "ok", f"{facts.title}, {', '.join(facts.abis) or 'ABI unknown'}")]
    free = facts.storage_free_bytes
    if free is not None:
        low = free < _MIN_DEVICE_BYTES
        fix = "remove files from /data/local/tmp on it; devbench's own are in /data/local/tmp/devbench" if low else ""
        checks.append(Check(f"{serial} storage", "warning" if low else "ok", f"{free / 1e9:.1f} GB free", fix))
    checks += _lease(serial, overview)
    now = overview.conditions
    if now is not None and now.thermal_status_problem in STATUS_PROBLEMS:
        fix = "`adb shell cmd thermalservice reset`" if now.thermal_status_problem == "overridden" else ""
        checks.append(Check(f"{serial} heat", "warning", STATUS_PROBLEMS[now.thermal_status_problem], fix))
    if now is not None and now.battery_overridden:
        fix = "`adb shell dumpsys battery reset`"
        checks.append(Check(f"{serial} battery", "warning", "unknown: its values were set by a command", fix))
    device = Device.of(server, overview.entry, serial)
    with _failing(checks, serial):
        health = read_health(device, timeout_s)
        if health.problem is not None:
            checks.append(Check(f"{serial} {health.problem.kind}", "bad", health.problem.what, health.problem.hint))
        else:
            with _failing(checks, f"{serial} depot"):
                files = Depot(device).entries()
                size = sum(file.size_bytes for file in files)
                checks.append(Check(f"{serial} depot", "ok", f"{len(files)} files, {size / 1e9:.2f} GB"))
        if not health.hashes:
            checks.append(Check(f"{serial} sha256sum", "warning", "missing: files are checked by size only"))
        with _failing(checks, f"{serial} benchmark_model"):
            binary = choose(facts.abis)
            checks.append(Check(f"{serial} benchmark_model", "ok", f"{binary.name} ({binary.version})"))
    return checks


def _lease(serial: str, overview: DeviceOverview) -> list[Check]:
    """Warn about a lease on the device: a run uses the device, or ended without releasing it."""
    lease = overview.lease
    if lease is None:
        return []
    subject = f"{serial} lease"
    if lease.active:
        fix = f"`devbench run --wait 10m` waits for the device; `devbench devices release {serial}` ends that run there"
        return [Check(subject, "warning", f"in use by {lease.who} for {lease.since}", fix)]
    fix = (
        f"no action needed: the next run takes the device; `devbench devices release {serial}` ends leftover processes"
    )
    return [Check(subject, "warning", f"expired lease: {lease.who} did not release the device", fix)]


def _host() -> list[Check]:
    """Check this machine: the store, free disk space, and whether binaries are damaged."""
    checks: list[Check] = []
    with _failing(checks, "results store"), Store() as store:
        checks.append(Check("results store", "ok", "opens" if store.runs(1) else "opens, has no run yet"))
    with _failing(checks, "disk"):
        home = data_dir()
        free = shutil.disk_usage(home).free
        low = free < _MIN_HOST_BYTES
        fix = "raw outputs and results are kept there; free some space, or set DEVBENCH_HOME" if low else ""
        checks.append(Check("disk", "warning" if low else "ok", f"{free / 1e9:.1f} GB free for {home}", fix))
        if not os.access(home, os.W_OK):
            fix = "give write access to it, or set DEVBENCH_HOME"
            checks.append(Check("disk", "bad", f"{home} cannot be written", fix))
    with _failing(checks, "binaries"):
        for binary in installed():
            if not verify(binary):
                fix = f"`devbench binaries remove {binary.name}`, then fetch or add it again"
                checks.append(
                    Check(f"binary {binary.name}", "bad", "is damaged: its hash is not that of its entry", fix)
                )
    return checks


def _virtual() -> Check:
    try:
        library_path()
    except FileNotFoundError:
        return Check("virtual device", "warning", "LiteRT is not installed", "pip install ai-edge-litert")
    gpu = "with gpu (software Vulkan)" if vulkan_available() else "without gpu: no software Vulkan (docs/virtual.md)"
    return Check("virtual device", "ok", f"can run, {gpu}")
