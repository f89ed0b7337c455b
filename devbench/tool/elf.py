"""Shared libraries (ELF files): machine, names, needed libraries, symbols; knows no device and no delegate.

Format: System V ABI, "Object Files" (ELF header, program headers, dynamic section, symbol table). Section headers are
not used, since a stripped library may have none. The file is mapped. It may be hostile: every offset is checked
against the file's size and every table has a limit, so that the work stays small.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from devbench.errors import InputError
from devbench.frozen import dataclass

HEXAGON = "hexagon"
# e_machine to Android's name of the ABI; a Hexagon library runs on the DSP of any device.
MACHINES = {183: "arm64-v8a", 40: "armeabi-v7a", 62: "x86_64", 3: "x86", 243: "riscv64", 164: HEXAGON}
_SHARED = 3
_LOAD, _DYNAMIC = 1, 2
_NEEDED, _HASH, _STRTAB, _SYMTAB, _STRSZ, _SONAME, _GNU_HASH = 1, 4, 5, 6, 10, 14, 0x6FFFFEF5
_MAX_HEADERS, _MAX_ENTRIES, _MAX_SYMBOLS, _MAX_NAME = 256, 4096, 400_000, 512
_MAX_STRINGS = 64 << 20


@dataclass(frozen=True, slots=True)
class Library:
    """Attributes:
    abi: Android's name of the ABI, "hexagon" for the DSP, empty for another machine.
    soname: its own name; empty if it has none.
    needed: names of the libraries that are loaded with it.
    exports, imports: names of the dynamic symbols that it defines and that it needs.
    """

    abi: str
    soname: str
    needed: tuple[str, ...]
    exports: frozenset[str]
    imports: frozenset[str]


class _DamagedLibrary(Exception):
    """The file's content is impossible."""


def read_library(path: Path) -> Library:
    """The shared library in a file.

    Raises:
        InputError: it cannot be read, or is not a shared library.
    """
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(f"library {path} is empty", hint="copy it again")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _ElfReader(data).library()
    except FileNotFoundError:
        raise InputError(f"library {path} does not exist", hint="check the path") from None
    except OSError as error:
        raise InputError(f"library {path} cannot be read: {error.strerror or error}", hint="check the path") from None
    except (_DamagedLibrary, struct.error, IndexError) as error:
        said = str(error) if isinstance(error, _DamagedLibrary) else "it ends too early"
        hint = "give the .so file itself, built for Android"
        raise InputError(f"{path} is not a shared library: {said}", hint=hint) from None


class _ElfReader:
    def __init__(self, data: mmap.mmap) -> None:
        head = data[:64]
        if head[:4] != b"\x7fELF":
            raise _DamagedLibrary("it has no ELF header")
        if head[4] not in (1, 2) or head[5] not in (1, 2):
            raise _DamagedLibrary("its ELF header is damaged")
        self._data = data
        self._wide = head[4] == 2
        self._order = "<" if head[5] == 1 else ">"
        kind, self._machine = self._at("HH", 16)
        if kind != _SHARED:
            raise _DamagedLibrary("it is an object or a program, not a shared library")
        self._loads, self._dynamic = self._headers()

    def _at(self, form: str, offset: int) -> tuple[int, ...]:
        if not 0 <= offset <= len(self._data):
            raise _DamagedLibrary("an address or offset is outside of the file")
        return struct.unpack_from(self._order + form, self._data, offset)

    def _headers(self) -> tuple[list[tuple[int, int, int]], tuple[int, int]]:
        """The loaded parts as (address, size, offset), and the dynamic section as (offset, size)."""
        (start,) = self._at("Q", 32) if self._wide else self._at("I", 28)
        size, count = self._at("HH", 54 if self._wide else 42)
        if count > _MAX_HEADERS or size < (56 if self._wide else 32):
            raise _DamagedLibrary("its program headers are damaged")
        loads, dynamic = [], (0, 0)
        for number in range(count):
            place = start + number * size
            if self._wide:
                kind, _, offset, address, _, length = self._at("IIQQQQ", place)
            else:
                kind, offset, address, _, length = self._at("IIIII", place)
            if kind == _LOAD:
                loads.append((address, length, offset))
            elif kind == _DYNAMIC:
                dynamic = (offset, length)
        if not dynamic[1]:
            raise _DamagedLibrary("it has no dynamic section")
        return loads, dynamic

    def _offset(self, address: int) -> int:
        """The offset in the file of an address in memory."""
        for start, size, offset in self._loads:
            if start <= address < start + size:
                return offset + address - start
        raise _DamagedLibrary("an address or offset is outside of the file")

    def library(self) -> Library:
        tags = self._tags()
        strings = self._strings(tags)
        names = [_name(strings, value) for value in tags.get(_NEEDED, [])]
        soname = [_name(strings, value) for value in tags.get(_SONAME, [])]
        exports, imports = self._symbols(tags, strings)
        return Library(
            abi=MACHINES.get(self._machine, ""),
            soname=soname[0] if soname else "",
            needed=tuple(dict.fromkeys(names)),
            exports=exports,
            imports=imports,
        )

    def _tags(self) -> dict[int, list[int]]:
        offset, size = self._dynamic
        each, form = (16, "QQ") if self._wide else (8, "II")
        found: dict[int, list[int]] = {}
        for number in range(min(size // each, _MAX_ENTRIES)):
            tag, value = self._at(form, offset + number * each)
            if tag == 0:
                break
            found.setdefault(tag, []).append(value)
        return found

    def _strings(self, tags: dict[int, list[int]]) -> bytes:
        if _STRTAB not in tags or _STRSZ not in tags:
            raise _DamagedLibrary("it has no names")
        start, size = self._offset(tags[_STRTAB][0]), tags[_STRSZ][0]
        if size > _MAX_STRINGS or start + size > len(self._data):
            raise _DamagedLibrary("its names are beyond its end")
        return self._data[start : start + size]

    def _symbols(self, tags: dict[int, list[int]], strings: bytes) -> tuple[frozenset[str], frozenset[str]]:
        if _SYMTAB not in tags:
            return frozenset(), frozenset()
        start, each = self._offset(tags[_SYMTAB][0]), 24 if self._wide else 16
        count = min(self._symbol_count(tags), (len(self._data) - start) // each)
        if count > _MAX_SYMBOLS:
            raise _DamagedLibrary(f"it has more than {_MAX_SYMBOLS} symbols")
        form = f"{self._order}{'IBBHQQ' if self._wide else 'IIIBBH'}"
        section = 3 if self._wide else 5
        exports: set[str] = set()
        imports: set[str] = set()
        for symbol in struct.iter_unpack(form, self._data[start : start + count * each]):
            if symbol[0]:
                (exports if symbol[section] else imports).add(_name(strings, symbol[0]))
        return frozenset(exports), frozenset(imports)

    def _symbol_count(self, tags: dict[int, list[int]]) -> int:
        """The number of symbols, which only the hash tables for looking them up contain."""
        if _HASH in tags:
            return self._at("II", self._offset(tags[_HASH][0]))[1]
        if _GNU_HASH not in tags:
            return 0
        start = self._offset(tags[_GNU_HASH][0])
        buckets, first, words = self._at("III", start)
        if buckets > _MAX_SYMBOLS or words > _MAX_SYMBOLS:
            raise _DamagedLibrary("its table of symbols is damaged")
        at = start + 16 + words * (8 if self._wide else 4)
        last = max(self._at(f"{buckets}I", at), default=0)
        if last < first:
            # It only imports symbols.
            return first
        chain = at + 4 * buckets
        while last - first < _MAX_SYMBOLS and not self._at("I", chain + 4 * (last - first))[0] & 1:
            last += 1
        return last + 1


def _name(strings: bytes, start: int) -> str:
    if start >= len(strings):
        raise _DamagedLibrary("a name is beyond its end")
    end = strings.find(b"\0", start, start + _MAX_NAME)
    return strings[start : end if end >= 0 else start + _MAX_NAME].decode("utf-8", "replace")
