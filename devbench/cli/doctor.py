"""`devbench doctor`: is everything fit for measuring, and if not, what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.adb.server import AdbServer
    from devbench.device.overview import DeviceOverview

Grade = Literal["ok", "warning", "bad"]

_MARKS = {"ok": "[green]✓[/green]", "warning": "[yellow]![/yellow]", "bad": "[red]✗[/red]"}
_LEAST_DEVICE_BYTES = 500 << 20
_LEAST_HOST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: how it is and, where it is not well, how to mend it."""

    subject: str
    grade: Grade
    words: str
    mend: str = ""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("doctor", epilog="Example:\n\n  devbench doctor --json", rich_help_panel="Prepare")(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: a list of findings.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, max=600, help="Seconds that each device has to answer.")] = 10.0,
) -> None:
    """Check adb, its server, devices, binaries and free space, and say how to mend what is wrong.

    Exit code 1 where something keeps devbench from measuring.
    """
    from devbench.errors import EXIT_FAILED

    findings = _examine(timeout)
    if as_json:
        import json

        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    if any(finding.grade == "bad" for finding in findings):
        raise typer.Exit(EXIT_FAILED)


def _print(findings: list[Finding]) -> None:
    from devbench.cli.output import console, plain

    screen = console()
    for finding in findings:
        mend = f" [dim]→ {plain(finding.mend, 600)}[/dim]" if finding.mend else ""
        screen.print(
            f"{_MARKS[finding.grade]} [bold]{plain(finding.subject)}[/bold] {plain(finding.words)}{mend}",
            soft_wrap=True,
        )


def _examine(timeout_s: float) -> list[Finding]:
    from devbench.adb.server import AdbServer, find_adb
    from devbench.errors import DevbenchError

    findings = []
    try:
        findings.append(Finding("adb", "ok", str(find_adb())))
    except DevbenchError as error:
        findings.append(Finding("adb", "bad", error.what, error.hint))
    try:
        server = AdbServer()
        version = server.ensure_running()
        where = f"version {version} at {server.endpoint.host}:{server.endpoint.port}"
        findings.append(Finding("adb server", "ok", where))
        findings += _devices(server, timeout_s)
    except DevbenchError as error:
        findings.append(Finding("adb server", "bad", error.what, error.hint))
    return [*findings, *_host(), _virtual()]


def _devices(server: AdbServer, timeout_s: float) -> list[Finding]:
    from devbench.device.overview import survey
    from devbench.device.profiles import load_profiles
    from devbench.errors import DevbenchError

    try:
        profiles = load_profiles()
    except DevbenchError as error:
        return [Finding("device profiles", "bad", error.what, error.hint)]
    found = survey(server, server.list_devices(), profiles, timeout_s=timeout_s)
    if not found:
        mend = (
            "connect a phone by USB and allow USB debugging, or `adb connect HOST:PORT`; without one, --device virtual"
        )
        return [Finding("devices", "warning", "none is connected", mend)]
    return [finding for overview in found for finding in _device(server, overview, timeout_s)]


def _device(server: AdbServer, overview: DeviceOverview, timeout_s: float) -> list[Finding]:
    from devbench.adb.device import Device
    from devbench.analysis.reliability import STATUS_PROBLEMS
    from devbench.device.health import read_health
    from devbench.errors import DevbenchError
    from devbench.tool.binaries import NoBinary, choose

    serial, facts = overview.name, overview.facts
    if facts is None:
        return [Finding(serial, "bad", overview.problem, overview.advice)]
    findings = [Finding(serial, "ok", f"{facts.title}, {', '.join(facts.abis) or 'ABI unknown'}")]
    free = facts.storage_free_bytes
    if free is not None:
        low = free < _LEAST_DEVICE_BYTES
        mend = "remove files from /data/local/tmp on it; devbench's own are in /data/local/tmp/devbench" if low else ""
        findings.append(Finding(f"{serial} storage", "warning" if low else "ok", f"{free / 1e9:.1f} GB free", mend))
    findings += _lease(serial, overview)
    now = overview.conditions
    if now is not None and now.thermal_status_problem in STATUS_PROBLEMS:
        mend = "`adb shell cmd thermalservice reset`" if now.thermal_status_problem == "overridden" else ""
        findings.append(Finding(f"{serial} heat", "warning", STATUS_PROBLEMS[now.thermal_status_problem], mend))
    if now is not None and now.battery_overridden:
        mend = "`adb shell dumpsys battery reset`"
        findings.append(Finding(f"{serial} battery", "warning", "unknown: its values were set by a command", mend))
    try:
        health = read_health(Device.of(server, overview.entry, serial), timeout_s)
    except DevbenchError as error:
        return [*findings, Finding(serial, "bad", error.what, error.hint)]
    problem = health.problem
    if problem is not None:
        findings.append(Finding(f"{serial} {problem.kind}", "bad", problem.what, problem.hint))
    else:
        findings.append(_depot(Device.of(server, overview.entry, serial)))
    if not health.hashes:
        findings.append(Finding(f"{serial} sha256sum", "warning", "missing: files are checked by size only"))
    try:
        binary = choose(facts.abis)
        findings.append(Finding(f"{serial} benchmark_model", "ok", f"{binary.name} ({binary.version})"))
    except NoBinary as error:
        findings.append(Finding(f"{serial} benchmark_model", "bad", error.what, error.hint))
    return findings


def _lease(serial: str, overview: DeviceOverview) -> list[Finding]:
    """Which run uses the device, or used it and did not release it."""
    lease = overview.lease
    if lease is None:
        return []
    subject = f"{serial} lease"
    if lease.active:
        mend = (
            f"`devbench run --wait 10m` waits for the device; `devbench devices release {serial}` ends that run there"
        )
        return [Finding(subject, "warning", f"in use by {lease.who} for {lease.since}", mend)]
    mend = (
        f"no action needed: the next run takes the device; `devbench devices release {serial}` ends leftover processes"
    )
    return [Finding(subject, "warning", f"expired lease: {lease.who} did not release the device", mend)]


def _depot(device: Device) -> Finding:
    """What devbench keeps on the device."""
    from devbench.device.depot import Depot
    from devbench.errors import DevbenchError

    subject = f"{device.serial} depot"
    try:
        files = Depot(device).entries()
    except DevbenchError as error:
        return Finding(subject, "bad", error.what, error.hint)
    size = sum(file.size_bytes for file in files)
    return Finding(subject, "ok", f"{len(files)} files, {size / 1e9:.2f} GB")


def _host() -> list[Finding]:
    """This machine: the store, the room for it, damaged binaries."""
    import os
    import shutil

    from devbench.errors import DevbenchError
    from devbench.host.paths import data_dir
    from devbench.results.store import Store
    from devbench.tool.binaries import installed, verify

    findings = []
    try:
        with Store() as store:
            count = len(store.runs(1))
        findings.append(Finding("results store", "ok", "opens" if count else "opens, holds no run yet"))
    except DevbenchError as error:
        findings.append(Finding("results store", "bad", error.what, error.hint))
    try:
        home = data_dir()
        free = shutil.disk_usage(home).free
        low = free < _LEAST_HOST_BYTES
        mend = "raw outputs and results are kept there; free some space, or set DEVBENCH_HOME" if low else ""
        findings.append(Finding("disk", "warning" if low else "ok", f"{free / 1e9:.1f} GB free for {home}", mend))
        if not os.access(home, os.W_OK):
            mend = "give write access to it, or set DEVBENCH_HOME"
            findings.append(Finding("disk", "bad", f"{home} cannot be written", mend))
    except DevbenchError as error:
        findings.append(Finding("disk", "bad", error.what, error.hint))
    try:
        damaged = [binary for binary in installed() if not verify(binary)]
    except DevbenchError as error:
        return [*findings, Finding("binaries", "bad", error.what, error.hint)]
    for binary in damaged:
        mend = f"`devbench binaries remove {binary.name}`, then fetch or add it again"
        findings.append(Finding(f"binary {binary.name}", "bad", "is damaged: its hash does not match its entry", mend))
    return findings


def _virtual() -> Finding:
    from devbench.virtual.benchmark_model.litert import library_path
    from devbench.virtual.vulkan import vulkan_available

    try:
        library_path()
    except FileNotFoundError:
        return Finding("virtual device", "warning", "LiteRT is not installed", "pip install ai-edge-litert")
    gpu = "with gpu (software Vulkan)" if vulkan_available() else "without gpu: no software Vulkan (docs/virtual.md)"
    return Finding("virtual device", "ok", f"can run, {gpu}")
