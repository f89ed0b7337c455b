"""Files of the stock tool in any form: text in any encoding, gzip, CSV and protobuf; knows no command line.

Text is read in blocks, in bounded memory. Only the tool's protobuf files and the records of the benchmark APK are read
completely, up to their own limits.
"""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from devbench.errors import InputError, system_errors
from devbench.host.whole_files import other_than_file
from devbench.tool.apk import MAX_BYTES as MAX_RECORD_BYTES
from devbench.tool.apk import is_recorded, read_recorded
from devbench.tool.measurement import Measurement
from devbench.tool.parse.log import parse_blocks
from devbench.tool.parse.source import BLOCK_BYTES

# The longest real outputs (verbose, thousands of operators) have about 10 MB.
MAX_BYTES = 256 << 20
_MAX_PROTO_BYTES = 32 << 20
_GZIP = b"\x1f\x8b"
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_LOOK_BYTES = 4096
_PIECE_BYTES = 512
_TEXT_CONTROLS = frozenset(b"\t\n\r\x0b\x0c\x1b\x07\x08")


def parse_file(path: Path) -> Measurement:
    """The measurement in a file; `-` is not standard input here.

    Raises:
        InputError: it cannot be read, or is larger than any output of the tool.
    """
    with system_errors(f"cannot read {path}", "give a log that you can read"):
        if other := other_than_file(path):
            raise InputError(f"{path} is {other}", hint="give a log, or - for standard input")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputError(f"{path} is larger than {MAX_BYTES >> 20} MiB", hint="give an output of the tool")
        with path.open("rb") as file:
            return parse_stream(file)


def parse_stream(stream: BinaryIO) -> Measurement:
    """The measurement in a stream, of which at most 256 MiB are read.

    Raises:
        OSError: it cannot be read.
    """
    return _parse(_limited(iter(lambda: stream.read(BLOCK_BYTES), b"")))


def parse_bytes(data: bytes) -> Measurement:
    """The measurement in bytes: text, gzip of text, or one of the tool's protobuf files; never raises."""
    view = memoryview(data)
    return _parse(bytes(view[at : at + BLOCK_BYTES]) for at in range(0, len(data), BLOCK_BYTES))


def _parse(blocks: Iterable[bytes]) -> Measurement:
    head, blocks = _with_head(blocks)
    if head.startswith(_GZIP):
        head, blocks = _with_head(_limited(_unpacked(blocks)))
    if is_recorded(head):
        recorded = read_recorded(_whole(blocks, MAX_RECORD_BYTES))
        return _whole_profiles(parse_blocks([recorded.text if recorded is not None else b""]))
    if _is_binary(head):
        start = _whole(blocks, _MAX_PROTO_BYTES)
        measured = _proto(start) if len(start) < _MAX_PROTO_BYTES else None
        if measured is not None:
            return measured
        blocks = chain([start], blocks)
    elif head[:1] in (b"\n", b"\x12"):
        # Text, or a protobuf file whose first bytes are printable.
        start = _whole(blocks, _MAX_PROTO_BYTES)
        measured = parse_blocks(_utf8(chain([start], blocks), head))
        if measured.recognised or len(start) == _MAX_PROTO_BYTES:
            return measured
        return _proto(start) or measured
    return parse_blocks(_utf8(blocks, head))


def _proto(data: bytes) -> Measurement | None:
    from devbench.tool.parse.proto import parse_proto

    return parse_proto(data)


def _with_head(blocks: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, and all blocks with them."""
    blocks = iter(blocks)
    head = b""
    while len(head) < _LOOK_BYTES and (block := next(blocks, b"")):
        head += block
    return head[:_LOOK_BYTES], chain([head], blocks)


def _whole(blocks: Iterator[bytes], limit: int) -> bytes:
    """At most `limit` bytes of the blocks; the rest of the last block is lost."""
    found = bytearray()
    while len(found) < limit and (block := next(blocks, b"")):
        found += block
    return bytes(found[:limit])


def _limited(blocks: Iterable[bytes]) -> Iterator[bytes]:
    left = MAX_BYTES
    for block in blocks:
        yield block[:left]
        left -= len(block)
        if left <= 0:
            return


def _whole_profiles(measured: Measurement) -> Measurement:
    """Without operator profiles that the log cut.

    An app's message is cut at 1,023 bytes (bionic's buffer of `__android_log_print`), and a table is one message: the
    rest would look like a model with a few operators. The number of nodes follows the tables.
    """
    profiles = {"profile_init": measured.profile_init, "profile_runs": measured.profile_runs}
    cut = [name for name, profile in profiles.items() if profile is not None and profile.nodes_executed is None]
    if not cut:
        return measured
    said = "the device's log cut the operator profile, which is left out"
    without: dict[str, Any] = dict.fromkeys(cut)
    return replace(measured, warnings=(*measured.warnings, said), **without)


def _unpacked(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The unpacked data, up to the place where an archive was cut or damaged; all members."""
    unpacker = zlib.decompressobj(wbits=31)
    for block in blocks:
        # In pieces, so that the data before a damaged block is not lost.
        for at in range(0, len(block), _PIECE_BYTES):
            piece = block[at : at + _PIECE_BYTES]
            while piece:
                try:
                    found = unpacker.decompress(piece, BLOCK_BYTES)
                except zlib.error:
                    return
                if found:
                    yield found
                piece = unpacker.unconsumed_tail
                if unpacker.eof:
                    piece = unpacker.unused_data
                    unpacker = zlib.decompressobj(wbits=31)


def _utf8(blocks: Iterable[bytes], head: bytes) -> Iterator[bytes]:
    """The text in UTF-8; the encoding is that of the byte order mark, or UTF-16 if there are many zeros."""
    encoding = next((encoding for mark, encoding in _BOMS if head.startswith(mark)), "")
    # PowerShell's redirection writes UTF-16; without a mark, ASCII text has a zero at every second place.
    if not encoding and len(head) >= 16 and head[1::2].count(0) > 0.9 * len(head[1::2]):
        encoding = "utf-16-le"
    if encoding in ("", "utf-8-sig"):
        # The mark is removed with a line's other marks.
        yield from blocks
        return
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for block in blocks:
        yield decoder.decode(block).encode("utf-8", "replace")
    yield decoder.decode(b"", final=True).encode("utf-8", "replace")


def _is_binary(head: bytes) -> bool:
    if any(head.startswith(mark) for mark, _ in _BOMS):
        return False
    return any(byte < 32 and byte not in _TEXT_CONTROLS for byte in head)
