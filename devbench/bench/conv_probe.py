"""Find out which convolutions a delegate on a device accepts.

For each, the tool loads a model with only this operator on the device, and does not run it.
"""

from __future__ import annotations

import contextlib
import functools
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from devbench.adb.errors import ShellTimeout
from devbench.device.depot import Depot
from devbench.device.facts import read_facts
from devbench.errors import EnvironmentProblem, InputError
from devbench.tool.binaries import choose
from devbench.tool.case import ToolCase, ToolOptions
from devbench.tool.delegates import load_delegates
from devbench.tool.flags import build_argv, command_line

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.bench.lease_keeper import LeaseKeeper
    from devbench.models.rewrites.serialize import Conv

_PROBE_TIMEOUT_S = 60.0


def conv_probe(device: Device, keeper: LeaseKeeper, delegate: str) -> Callable[[Conv], bool]:
    """Return a function that tells whether `delegate` on `device` accepts a convolution.

    The function tries each convolution only once; it works while `keeper` has the lease.

    Raises:
        InputError: there is no such delegate.
        EnvironmentProblem: the delegate refuses even a small convolution, so its answers are useless.
    """
    from devbench.models.rewrites.serialize import Conv, write_conv_model
    from devbench.tool.parse.log import parse_text

    known = load_delegates(None)
    if delegate not in known:
        raise InputError(f"no delegate {delegate!r}", hint=f"there are {', '.join(known)}")
    binary = choose(read_facts(device).abis)
    depot = Depot(device)
    tool = depot.ensure(binary.path, sha256=binary.sha256, mode=0o755).remote

    @functools.cache
    def allow(conv: Conv) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "conv.tflite")
            write_conv_model(conv, path)
            graph = depot.ensure(path).remote
        dry = (("dry_run", "true"),)
        options = ToolOptions(num_runs=1, min_secs=0.0, warmup_runs=0, warmup_min_secs=0.0, extra_flags=dry)
        argv = build_argv(ToolCase(known[delegate], options), binary=tool, graph=graph, tool=binary.tool)
        try:
            done = keeper.shell(
                command_line(argv, known[delegate].env), timeout_s=_PROBE_TIMEOUT_S, doing="asking the delegate"
            )
        except ShellTimeout:
            return False
        finally:
            # The models can have hundreds of megabytes and must not fill the depot.
            with contextlib.suppress(EnvironmentProblem):
                device.shell(f"rm -f {shlex.quote(graph)}", timeout_s=_PROBE_TIMEOUT_S, doing="removing a probe")
        said = parse_text((done.stdout + b"\n" + done.stderr).decode("utf-8", "replace"))
        return said.failure is None and any(use.applied == "full" for use in said.delegates)

    if not allow(Conv(1, 8, 8, 4, 4, 3, 3, 8, 8)):
        raise EnvironmentProblem(
            f"{delegate} on {device.serial} does not even take a convolution of 4 channels",
            hint=f"devbench delegates --device {device.serial}",
        )
    return allow
