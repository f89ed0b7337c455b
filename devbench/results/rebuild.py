"""A copy of a store's SQLite file whose list of tables is damaged, with the list of a new store in its place.

A store's tables are all made at once, so that their list, and the pages at which the tables begin, are the same in
each store of one devbench. Knows no row: whether the tables do begin there is seen by whoever reads them.
The format of the file: https://www.sqlite.org/fileformat2.html, sections 1.3 and 1.6.
"""

from __future__ import annotations

import shutil
from pathlib import Path

_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"
_INTERIOR = 5
# Of the header: the size of a page, and how many there are.
_PAGE_SIZE, _PAGE_COUNT = slice(16, 18), slice(28, 32)


def with_list_of_tables(file: Path, fresh: Path, copy: Path) -> None:
    """Make a copy of a store's file with the list of tables of another one.

    Args:
        file: of the damaged store; its write-ahead log, if it has one, is copied too.
        fresh: of a new store that is closed.
        copy: the path to write to.

    Raises:
        OSError: a file cannot be read or written.
    """
    shutil.copyfile(file, copy)
    log = file.with_name(f"{file.name}-wal")
    if log.exists():
        shutil.copyfile(log, copy.with_name(f"{copy.name}-wal"))
    good = fresh.read_bytes()
    size = int.from_bytes(good[_PAGE_SIZE], "big")
    with copy.open("r+b") as out:
        header = bytearray(out.read(_HEADER_BYTES))
        if header[: len(_MAGIC)] != _MAGIC or header[_PAGE_SIZE] != good[_PAGE_SIZE]:
            header = bytearray(good[:_HEADER_BYTES])
            header[_PAGE_COUNT] = (file.stat().st_size // size).to_bytes(4, "big")
        out.seek(0)
        out.write(header + good[_HEADER_BYTES:size])
        for number in _pages_below(good, 1, size):
            out.seek((number - 1) * size)
            out.write(good[(number - 1) * size : number * size])


def _pages_below(data: bytes, number: int, size: int) -> list[int]:
    """The pages of a table's tree below a page."""
    page = data[(number - 1) * size : number * size]
    start = _HEADER_BYTES if number == 1 else 0
    if page[start] != _INTERIOR:
        return []
    cells = int.from_bytes(page[start + 3 : start + 5], "big")
    places = [int.from_bytes(page[start + 12 + 2 * cell : start + 14 + 2 * cell], "big") for cell in range(cells)]
    below = [int.from_bytes(page[place : place + 4], "big") for place in places]
    below.append(int.from_bytes(page[start + 8 : start + 12], "big"))
    return [*below, *(page for child in below for page in _pages_below(data, child, size))]
