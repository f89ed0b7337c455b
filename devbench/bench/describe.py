"""A device as a run's store knows it: its facts, its profile, and the history to which it belongs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from devbench.bench.device_notices import shared_serial
from devbench.bench.records import device_record

if TYPE_CHECKING:
    from devbench.device.facts import DeviceFacts
    from devbench.device.profiles import DeviceProfile
    from devbench.notices import Notice
    from devbench.results.records import DeviceRecord
    from devbench.results.store import Store


def describe(facts: DeviceFacts, profile: DeviceProfile, store: Store) -> tuple[DeviceRecord, Sequence[Notice]]:
    """The device under the key of its history in the store, and what is to be said about its identity."""
    key, others = store.identify(facts.key, facts.hardware_serial)
    device = replace(device_record(facts, profile), key=key)
    return device, shared_serial(device, others)
