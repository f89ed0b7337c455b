"""By what the adb server finds a device: its serial, or the number of its connection if the serial is not unique.

Knows no service of the device.
"""

from __future__ import annotations

from devbench.adb.wire import Deadline, Wire

_TIMEOUT_S = 8.0


class Route:
    """A device's address at a server.

    Attributes:
        serial: the serial by which the server knows it.
        transport_id: the server's number of the connection, if the serial does not tell the device apart.
    """

    def __init__(self, host: str, port: int, serial: str, transport_id: int | None = None) -> None:
        self.serial = serial
        self.transport_id = transport_id
        self._host, self._port = host, port
        self._watch: Wire | None = None

    @property
    def transport(self) -> str:
        """The service that connects to the device."""
        return (
            f"host:transport:{self.serial}" if self.transport_id is None else f"host:transport-id:{self.transport_id}"
        )

    @property
    def features(self) -> str:
        """The service that tells the device's features."""
        device = f"serial:{self.serial}" if self.transport_id is None else f"transport-id:{self.transport_id}"
        return f"host-{device}:features"

    def still_valid(self) -> bool:
        """Whether a transport id still means the same device: the next server gives its numbers out anew.

        A connection that stays open all the time tells whether it is still the same server.

        Raises:
            WireClosed, WireTimeout, WireRefused: the server is not there.
        """
        if self.transport_id is None:
            return True
        if self._watch is None:
            watch = Wire(self._host, self._port, Deadline(_TIMEOUT_S))
            try:
                watch.request("host:track-devices")
            except BaseException:
                watch.close()
                raise
            self._watch = watch
        return not self._watch.ended()

    def close(self) -> None:
        """Stop watching the server."""
        if self._watch is not None:
            self._watch.close()
