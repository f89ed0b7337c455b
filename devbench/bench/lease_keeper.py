"""Keeps the lease on a device alive while a run works there: in waits, cool-downs, pushes and read-outs.

While the tool runs, the repetition's own script has extended the lease to its deadline, and nothing else is sent to the
device.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from devbench.device import lease
from devbench.errors import DevbenchError

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.device.lease import Lease, Request


class LeaseKeeper:
    """The lease of one run on one device, from `take` to `leave`.

    Args:
        device: an adb connection.
        root: the folder of everything on the device.
        request: who takes it.
    """

    def __init__(self, device: Device, root: str, request: Request) -> None:
        self._device = device
        self._root = root
        self._request = request
        self._lease: Lease | None = None
        self._over = threading.Event()
        self._quiet = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def lease(self) -> Lease:
        """The lease, once it is taken."""
        assert self._lease is not None
        return self._lease

    def take(self) -> None:
        """Take the lease and keep it until `leave`.

        Raises:
            LeaseHeld: another run has the device.
            CommandFailed, ShellTimeout, DeviceLost and the errors of an unfit device.
        """
        self._lease = lease.take(self._device, self._root, self._request)
        self._over.clear()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def left_to_the_script(self) -> Iterator[None]:
        """The lease is not renewed from here within the block: a script does that, and a process is measured."""
        with self._quiet:
            yield

    def check(self, *, certainly_lost: bool = False) -> None:
        """Make sure that the lease is still held.

        Raises:
            LeaseLost: another run took the device, or somebody released it.
        """
        held = False if certainly_lost else lease.renew(self._device, self.lease)
        if not held:
            raise lease.LeaseLost(self._device.serial)

    def end_process(self) -> None:
        """End what runs under the lease, if the device is still there."""
        if self._lease is not None:
            lease.end_process(self._device, self._lease)

    def leave(self) -> None:
        """Give the lease back, if the device is still there."""
        self._over.set()
        if self._lease is not None:
            lease.leave(self._device, self._lease)

    def _keep(self) -> None:
        while not self._over.wait(lease.RENEW_EVERY_S):
            with self._quiet, contextlib.suppress(DevbenchError):
                # A lease that is lost is noticed by the next script: only there it matters.
                if not self._over.is_set():
                    lease.renew(self._device, self.lease)
