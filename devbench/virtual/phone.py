"""A virtual device: started, unplugged, plugged in again, and removed at the end.

    with VirtualPhone("virtual-1") as phone:
        server.connect(phone.address)

It is an adbd on loopback in its own thread; an adb server connects to it as to any device over TCP.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any

from devbench.virtual.faults import Faults
from devbench.virtual.services import Services
from devbench.virtual.transport import FEATURES, Transport
from devbench.virtual.userland import Userland

_HOST = "127.0.0.1"
# An adb server looks for emulators on these ports.
_EMULATOR_PORTS = range(5554, 5587)
_START_TIMEOUT_S = 10.0
# Ends the device's processes and removes its directory if the program is killed (kill -9, out of memory). It waits for
# the end of a pipe that the program holds open. Signals to the program's group do not reach it. A process may start
# another while the list is read, hence the rounds.
_GUARD = r"""
trap '' HUP INT TERM
read -r word
[ "$word" = stopped ] && exit
for round in 1 2 3; do
  for process in /proc/[0-9]*; do
    case $(readlink "$process/cwd" 2>/dev/null) in "$1"*) kill -9 "${process#/proc/}" 2>/dev/null;; esac
  done
done
rm -rf "$1"
"""


class VirtualPhone:
    """One virtual device, for use as a context.

    Args:
        name: its serial number as the device reports it.
        faults: how it misbehaves.
    """

    def __init__(self, name: str = "virtual-1", faults: Faults | None = None) -> None:
        self.name = name
        self.faults = faults or Faults()
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, name=name, daemon=True)
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.StreamWriter] = set()
        self._clock: asyncio.Task[None] | None = None
        self._restarting: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """`host:port` for `adb connect`."""
        return f"{_HOST}:{self.port}"

    @property
    def root(self) -> Path:
        """The device's root directory on this machine."""
        return self._userland.root

    def __enter__(self) -> VirtualPhone:
        # The guard starts before the directory exists and ends after it is gone, so that something always removes it.
        root = Path(tempfile.gettempdir()).resolve() / f"devbench-virtual-{secrets.token_hex(8)}"
        self._guard = _guard(root)
        root.mkdir(mode=0o700)
        self._userland = Userland(root, self.name, self.faults)
        self._userland.make()
        self._services = Services(self._userland, self._restart)
        self._thread.start()
        self.plug_in()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(Exception):
            self.unplug()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_TIMEOUT_S)
        shutil.rmtree(self.root, ignore_errors=True)
        with contextlib.suppress(BrokenPipeError):
            self._guard.communicate(b"stopped\n")

    def plug_in(self) -> None:
        """Listen; at the same port as before, if there was one."""
        self._wait(self._listen())

    def unplug(self) -> None:
        """Pull the cable: links end, processes on the device are killed, its files stay."""
        self._wait(self._cut())

    # -- in the device's thread ---------------------------------------------------------------------------------

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        # The processes were killed; their exits and pipes are handled before the loop closes.
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(self._services.gone())
        self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_START_TIMEOUT_S)

    async def _listen(self) -> None:
        listener = _listening_socket(self.port)
        self.port = int(listener.getsockname()[1])
        self._server = await asyncio.start_server(self._connected, sock=listener, limit=1 << 21)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._links.add(writer)
        if self.faults.disconnect_after_s is not None and self._clock is None:
            self._clock = asyncio.create_task(self._pull_later(self.faults.disconnect_after_s))
        try:
            await Transport(reader, writer, self._banner(), self._services.serve, self.faults).run()
        finally:
            self._links.discard(writer)

    async def _pull_later(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._cut()
        if self.faults.reconnect_after_s is not None:
            await asyncio.sleep(self.faults.reconnect_after_s)
            await self._listen()

    def _restart(self) -> None:
        self._restarting = asyncio.create_task(self._boot())

    async def _boot(self) -> None:
        await self._cut()
        self._userland.restart()
        await asyncio.sleep(self.faults.boot_s)
        await self._listen()

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._services.kill_all()
        if self.faults.restart:
            self._userland.restart()
        for writer in list(self._links):
            writer.transport.abort()
        await asyncio.sleep(0)

    def _banner(self) -> str:
        names = ("ro.product.name", "ro.product.model", "ro.product.device")
        properties = self._userland.properties()
        return "device::" + "".join(f"{name}={properties[name]};" for name in names) + f"features={FEATURES}"


def _guard(root: Path) -> subprocess.Popen[bytes]:
    """A shell that removes the device if this program dies; "stopped" on its standard input ends it."""
    return subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, "sh", str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )


def _listening_socket(port: int) -> socket.socket:
    """A loopback socket at `port`, or at a free port on which an adb server does not look for emulators."""
    while True:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, port))
        if port or int(listener.getsockname()[1]) not in _EMULATOR_PORTS:
            listener.listen(64)
            return listener
        listener.close()
