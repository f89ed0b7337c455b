"""Renews the lease on a device while a run waits, lets the device cool down, pushes files or reads from the device.

While the tool runs, nothing is sent to the device: the repetition's script has extended the lease to the deadline.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from devbench.device import lease
from devbench.errors import DevbenchError, InputError

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.adb.services import ShellResult
    from devbench.device.lease import Lease, Request

# How often to try again to take a device that another run uses.
_ASK_AGAIN_S = 2.0
# A renewal that hangs on a lost connection must not keep a run from ending.
_MAX_QUIET_S = 5.0
_LOST = "@@devbench-lease-lost"
_WAIT = re.compile(r"([0-9]{1,6})(s|m|h)")


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
        self._lost = False

    @property
    def lease(self) -> Lease:
        """The lease, once it is taken."""
        assert self._lease is not None
        return self._lease

    def take(self) -> None:
        """Take the lease and keep it until `leave`.

        Raises:
            LeaseHeld: another run uses the device.
            ProcessStays: what an earlier run left running cannot be ended.
            CommandFailed, ShellTimeout, DeviceLost and the errors of an unfit device.
        """
        self._lease = lease.take(self._device, self._root, self._request)
        # An earlier lease ended when the device restarted; its renewing thread must end too.
        self._over.set()
        self._over = threading.Event()
        self._lost = False
        threading.Thread(target=self._keep, args=(self._over,), daemon=True).start()

    def take_within(self, wait_s: float, stop: threading.Event, tell: Callable[[str, float], None]) -> None:
        """Take the lease; wait for a device that another run uses.

        Args:
            wait_s: how long at most; 0 does not wait.
            stop: ends the waiting.
            tell: is called with the reason for waiting and the seconds that are left.

        Raises:
            As `take`.
        """
        deadline = time.monotonic() + wait_s
        while True:
            try:
                self.take()
                return
            except lease.REFUSALS as error:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise
                tell(error.holder.who if isinstance(error, lease.LeaseHeld) else error.what, left_s)
                if stop.wait(min(_ASK_AGAIN_S, left_s)):
                    raise

    @contextlib.contextmanager
    def left_to_the_script(self) -> Iterator[None]:
        """Stop renewing the lease within the block; the script on the device renews it while a process is measured."""
        with self._quiet:
            yield

    def shell(self, command: str, *, timeout_s: float, doing: str) -> ShellResult:
        """Run a command that starts the tool; it starts only if the lease is held, and ends with the lease.

        Raises:
            LeaseLost: another run took the device, or it was released.
            ShellTimeout, DeviceLost and the errors of an unfit device.
        """
        seconds = round(timeout_s) + lease.lease_s()
        guard = f"_db_mark; _db_lease {seconds} || {{ echo {_LOST}; exit 0; }}"
        script = f"{self.lease.shell_functions()}\n{guard}\n( {command} )\n_db_code=$?\n"
        script += f"_db_lease {lease.lease_s()} || echo {_LOST}; exit $_db_code"
        with self._quiet:
            done = self._device.shell(script, timeout_s=timeout_s, doing=doing)
        if _LOST.encode() in done.stdout:
            self.check(certainly_lost=True)
        return done

    def is_held(self) -> bool:
        """Whether the lease is still held, as far as the device can be reached."""
        if self._lease is None or self._lost:
            return False
        try:
            return lease.renew(self._device, self._lease)
        except DevbenchError:
            return False

    def check(self, *, certainly_lost: bool = False) -> None:
        """Make sure that the lease is still held.

        Raises:
            LeaseLost: another run took the device, or it was released.
        """
        self._lost = self._lost or certainly_lost or not lease.renew(self._device, self.lease)
        self.raise_if_lost()

    def raise_if_lost(self) -> None:
        """Raise if the lease is known to be lost; sends nothing to the device.

        Raises:
            LeaseLost: another run took the device, or it was released.
        """
        if self._lost:
            raise lease.LeaseLost(self._device.serial)

    def end_process(self) -> None:
        """End the processes that run under the lease, if the device can be reached."""
        if self._lease is not None:
            lease.end_process(self._device, self._lease)

    def leave(self) -> None:
        """Give the lease back, if the device can be reached."""
        self._over.set()
        if self._lease is None:
            return
        # Wait for a renewal in progress: it must not take effect after the lease was given back.
        mine = self._quiet.acquire(timeout=_MAX_QUIET_S)
        try:
            lease.leave(self._device, self._lease)
        finally:
            if mine:
                self._quiet.release()

    def _keep(self, over: threading.Event) -> None:
        while not over.wait(lease.lease_s() / 3):
            with self._quiet, contextlib.suppress(DevbenchError):
                if not over.is_set() and not lease.renew(self._device, self.lease):
                    self._lost = True
                    return


@contextlib.contextmanager
def holding(device: Device, wait_s: float = 0.0) -> Iterator[LeaseKeeper]:
    """Hold the lease on a device within the block, for commands that run the tool outside a run.

    Raises:
        LeaseHeld, ProcessStays: the device is busy, and still is after `wait_s` seconds.
        CommandFailed, ShellTimeout, DeviceLost and the errors of an unfit device.
    """
    keeper = LeaseKeeper(device, lease.ROOT, lease.new_request())
    keeper.take_within(wait_s, threading.Event(), lambda words, left_s: None)
    try:
        yield keeper
    finally:
        keeper.leave()


def parse_wait(text: str | None, name: str = "--wait") -> float:
    """Convert a time such as `90s`, `10m` or `2h` to seconds; `None` gives 0.

    Raises:
        InputError: the text is not a time; `name` is the option or key for the message.
    """
    if text is None:
        return 0.0
    found = _WAIT.fullmatch(text.strip())
    if found is None:
        raise InputError(f"{name} {text[:80]!r} is not a time", hint="for example 90s, 10m or 2h")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]
