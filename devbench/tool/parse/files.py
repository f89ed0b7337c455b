"""Files of the stock tool, whatever their form: text in any encoding, gzip, CSV and protobuf; knows no command line."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from devbench.errors import InputError
from devbench.tool.apk import read_recorded
from devbench.tool.measurement import Measurement
from devbench.tool.parse.log import parse_text

# The longest honest outputs (verbose, thousands of operators) have some 10 MB.
MOST_BYTES = 256 << 20
_GZIP = b"\x1f\x8b"
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_LOOK_BYTES = 4096
_PIECE_BYTES = 512
_TEXT_CONTROLS = frozenset(b"\t\n\r\x0b\x0c\x1b\x07\x08")


def parse_file(path: Path) -> Measurement:
    """What the file holds; `-` is not a file name here.

    Raises:
        InputError: it cannot be read, or it is larger than any output of the tool.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise InputError(f"{path} is larger than {MOST_BYTES >> 20} MiB", hint="is it an output of the tool?")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}", hint="give a log that you have") from None
    return parse_bytes(data)


def parse_bytes(data: bytes) -> Measurement:
    """What the bytes say: text, gzip of it, or one of the tool's protobuf files; never raises."""
    if data.startswith(_GZIP):
        data = _unpacked(data)
    if _is_binary(data):
        from devbench.tool.parse.proto import parse_proto

        measurement = parse_proto(data)
        if measurement is not None:
            return measurement
    recorded = read_recorded(data)
    if recorded is None:
        return parse_text(_decoded(data))
    return _whole_profiles(parse_text(_decoded(recorded.text)))


def _whole_profiles(measured: Measurement) -> Measurement:
    """Without operator profiles that the log cut.

    An app's message is cut at 1,023 bytes (bionic's buffer of `__android_log_print`), and a table is one message: what
    is left of it would look like a model of a few operators. The number of nodes stands behind the tables.
    """
    profiles = {"profile_init": measured.profile_init, "profile_runs": measured.profile_runs}
    cut = [name for name, profile in profiles.items() if profile is not None and profile.nodes_executed is None]
    if not cut:
        return measured
    said = "the device's log cut the operator profile, which is left out"
    without: dict[str, Any] = dict.fromkeys(cut)
    return replace(measured, warnings=(*measured.warnings, said), **without)


def _unpacked(data: bytes) -> bytes:
    """What can be unpacked, also of an archive that was cut or damaged; members one after the other."""
    found = bytearray()
    while data.startswith(_GZIP) and len(found) < MOST_BYTES:
        unpacker = zlib.decompressobj(wbits=31)
        start = 0
        try:
            # In pieces, so that what stands before a damaged block is not lost with it.
            while start < len(data) and not unpacker.eof:
                found += unpacker.decompress(data[start : start + _PIECE_BYTES], MOST_BYTES)
                start += _PIECE_BYTES
        except zlib.error:
            break
        data = unpacker.unused_data + data[start:] if unpacker.eof else b""
    return bytes(found[:MOST_BYTES])


def _decoded(data: bytes) -> str:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    head = data[:_LOOK_BYTES]
    # PowerShell's redirection writes UTF-16; without a mark, ASCII text has a zero at every second place.
    if len(head) >= 16 and head[1::2].count(0) > 0.9 * len(head[1::2]):
        return data.decode("utf-16-le", "replace")
    return data.decode("utf-8", "replace")


def _is_binary(data: bytes) -> bool:
    if any(data.startswith(mark) for mark, _ in _BOMS):
        return False
    return any(byte < 32 and byte not in _TEXT_CONTROLS for byte in data[:_LOOK_BYTES]) or data[:1] in (b"\n", b"\x12")
