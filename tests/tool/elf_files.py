"""Small shared libraries for tests: an ELF header, two program headers, a dynamic section, names and symbols."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

ARM64, ARM, X86_64, HEXAGON = 183, 40, 62, 164


def library(
    path: Path,
    *,
    machine: int = ARM64,
    bits: int = 64,
    soname: str = "",
    needed: Sequence[str] = (),
    exports: Sequence[str] = (),
    imports: Sequence[str] = (),
    text: bytes = b"",
    gnu_hash: bool = False,
) -> Path:
    """Write a library and give its path; `text` is somewhere in its bytes."""
    wide = bits == 64
    strings = bytearray(b"\0")

    def name(word: str) -> int:
        strings.extend(word.encode() + b"\0")
        return len(strings) - len(word) - 1

    tags = [(1, name(word)) for word in needed] + ([(14, name(soname))] if soname else [])
    symbols = [(0, 0)] + [(name(word), 0) for word in imports] + [(name(word), 7) for word in exports]
    header, program = (64, 56) if wide else (52, 32)
    at = header + 2 * program
    if wide:
        table = b"".join(struct.pack("<IBBHQQ", start, 0x12, 0, section, 0, 0) for start, section in symbols)
    else:
        table = b"".join(struct.pack("<IIIBBH", start, 0, 0, 0x12, 0, section) for start, section in symbols)
    if gnu_hash:
        first = 1 + len(imports)
        chain = [0] * (len(exports) - 1) + [1] if exports else []
        buckets = [first if exports else 0]
        hashes = struct.pack("<IIII", 1, first, 1, 0) + (b"\0" * (8 if wide else 4))
        hashes += struct.pack(f"<I{len(chain)}I", *buckets, *chain)
    else:
        hashes = struct.pack("<IIII", 1, len(symbols), 0, 0)
    places, body = {}, b""
    for key, part in (
        ("symbols", table),
        ("strings", bytes(strings)),
        ("hashes", hashes),
        ("text", b"\0" + text + b"\0"),
    ):
        body += b"\0" * (-(at + len(body)) % 8)
        places[key] = at + len(body)
        body += part
    body += b"\0" * (-(at + len(body)) % 8)
    tags += [(0x6FFFFEF5 if gnu_hash else 4, places["hashes"]), (5, places["strings"]), (6, places["symbols"])]
    tags += [(10, len(strings)), (0, 0)]
    dynamic, form = at + len(body), "<QQ" if wide else "<II"
    body += b"".join(struct.pack(form, tag, value) for tag, value in tags)
    end = at + len(body)
    size = end - dynamic
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1, 1]) + b"\0" * 9
    if wide:
        head = ident + struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
        programs = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, end, end, 4096)
        programs += struct.pack("<IIQQQQQQ", 2, 6, dynamic, dynamic, dynamic, size, size, 8)
    else:
        head = ident + struct.pack("<HHIIIIIHHHHHH", 3, machine, 1, 0, 52, 0, 0, 52, 32, 2, 0, 0, 0)
        programs = struct.pack("<IIIIIIII", 1, 0, 0, 0, end, end, 5, 4096)
        programs += struct.pack("<IIIIIIII", 2, dynamic, dynamic, dynamic, size, size, 6, 8)
    path.write_bytes(head + programs + body)
    return path
