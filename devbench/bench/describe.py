"""A device as a run's store knows it: its facts, its profile, and the history to which it belongs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from devbench.bench.notices import shared_serial
from devbench.bench.records import device_record

if TYPE_CHECKING:
    from devbench.device.facts import DeviceFacts
    from devbench.device.profiles import DeviceProfile
    from devbench.notices import Notice
    from devbench.results.records import DeviceRecord
    from devbench.results.store import Store


def describe(
    facts: DeviceFacts, profile: DeviceProfile, store: Store, notice: Callable[[Notice], None]
) -> DeviceRecord:
    """The device under the key of its history in the store; gives a notice if its serial number is not unique."""
    key, others = store.identify(facts.key, facts.hardware_serial)
    device = replace(device_record(facts, profile), key=key)
    for found in shared_serial(device, others):
        notice(found)
    return device
