"""Checks of everything that measuring needs: adb, devices, binaries, free space; knows no command line.

A check that fails says how to fix it.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import Literal

from devbench.adb.device import Device
from devbench.adb.server import AdbServer, find_adb
from devbench.analysis.reliability import STATUS_PROBLEMS
from devbench.device.depot import Depot
from devbench.device.health import read_health
from devbench.device.overview import DeviceOverview, survey
from devbench.device.profiles import load_profiles
from devbench.errors import DevbenchError
from devbench.host.paths import data_dir
from devbench.results.store import Store
from devbench.tool.binaries import NoBinary, choose, installed, verify
from devbench.virtual.benchmark_model.litert import library_path
from devbench.virtual.vulkan import vulkan_available

Grade = Literal["ok", "warning", "bad"]

_MIN_DEVICE_BYTES = 500 << 20
_MIN_HOST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked: what was found and, if it is not well, how to fix it."""

    subject: str
    grade: Grade
    words: str
    fix: str = ""


def examine(timeout_s: float) -> list[Check]:
    """All checks; each device has `timeout_s` to answer."""
    checks = []
    try:
        checks.append(Check("adb", "ok", str(find_adb())))
    except DevbenchError as error:
        checks.append(Check("adb", "bad", error.what, error.hint))
    try:
        server = AdbServer()
        version = server.ensure_running()
        where = f"version {version} at {server.endpoint.host}:{server.endpoint.port}"
        checks.append(Check("adb server", "ok", where))
        checks += _devices(server, timeout_s)
    except DevbenchError as error:
        checks.append(Check("adb server", "bad", error.what, error.hint))
    return [*checks, *_host(), _virtual()]


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
    try:
        health = read_health(Device.of(server, overview.entry, serial), timeout_s)
    except DevbenchError as error:
        return [*checks, Check(serial, "bad", error.what, error.hint)]
    problem = health.problem
    if problem is not None:
        checks.append(Check(f"{serial} {problem.kind}", "bad", problem.what, problem.hint))
    else:
        checks.append(_depot(Device.of(server, overview.entry, serial)))
    if not health.hashes:
        checks.append(Check(f"{serial} sha256sum", "warning", "missing: files are checked by size only"))
    try:
        binary = choose(facts.abis)
        checks.append(Check(f"{serial} benchmark_model", "ok", f"{binary.name} ({binary.version})"))
    except NoBinary as error:
        checks.append(Check(f"{serial} benchmark_model", "bad", error.what, error.hint))
    return checks


def _lease(serial: str, overview: DeviceOverview) -> list[Check]:
    """Which run uses the device, or used it and did not release it."""
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


def _depot(device: Device) -> Check:
    """What devbench keeps on the device."""

    subject = f"{device.serial} depot"
    try:
        files = Depot(device).entries()
    except DevbenchError as error:
        return Check(subject, "bad", error.what, error.hint)
    size = sum(file.size_bytes for file in files)
    return Check(subject, "ok", f"{len(files)} files, {size / 1e9:.2f} GB")


def _host() -> list[Check]:
    """This machine: the store, the room for it, damaged binaries."""
    checks = []
    try:
        with Store() as store:
            count = len(store.runs(1))
        checks.append(Check("results store", "ok", "opens" if count else "opens, has no run yet"))
    except DevbenchError as error:
        checks.append(Check("results store", "bad", error.what, error.hint))
    try:
        home = data_dir()
        free = shutil.disk_usage(home).free
        low = free < _MIN_HOST_BYTES
        fix = "raw outputs and results are kept there; free some space, or set DEVBENCH_HOME" if low else ""
        checks.append(Check("disk", "warning" if low else "ok", f"{free / 1e9:.1f} GB free for {home}", fix))
        if not os.access(home, os.W_OK):
            fix = "give write access to it, or set DEVBENCH_HOME"
            checks.append(Check("disk", "bad", f"{home} cannot be written", fix))
    except DevbenchError as error:
        checks.append(Check("disk", "bad", error.what, error.hint))
    try:
        damaged = [binary for binary in installed() if not verify(binary)]
    except DevbenchError as error:
        return [*checks, Check("binaries", "bad", error.what, error.hint)]
    for binary in damaged:
        fix = f"`devbench binaries remove {binary.name}`, then fetch or add it again"
        checks.append(Check(f"binary {binary.name}", "bad", "is damaged: its hash does not match its entry", fix))
    return checks


def _virtual() -> Check:

    try:
        library_path()
    except FileNotFoundError:
        return Check("virtual device", "warning", "LiteRT is not installed", "pip install ai-edge-litert")
    gpu = "with gpu (software Vulkan)" if vulkan_available() else "without gpu: no software Vulkan (docs/virtual.md)"
    return Check("virtual device", "ok", f"can run, {gpu}")
