"""The manifest of prebuilt binaries, and what kind of binary a file is; knows no store and no network."""

from __future__ import annotations

import mmap
import re
import struct
import zipfile
from pathlib import Path
from typing import Annotated, Any

from devbench.errors import InputError, system_errors
from devbench.frozen import dataclass
from devbench.host.paths import data_dir, shipped
from devbench.host.toml_types import ReadBy, Text, made, refuse
from devbench.host.tomlfile import check, read_toml
from devbench.tool.elf import HEXAGON, MACHINES
from devbench.tool.measurement import ToolName

VIRTUAL_ABI = "virtual"
_VIRTUAL_MARK = b"devbench-virtual"
_ELF = b"\x7fELF"
_ZIP = b"PK\x03\x04"
_LIBRARY = re.compile(r"lib/([a-z0-9_-]{1,20})/[^/]{1,200}\.so")
# An APK has some hundred entries; a larger list of them is not read.
_MAX_LIST_BYTES = 8 << 20
# The end record of a ZIP file: four bytes, three numbers of 8 bytes in all, then the size of the list.
_ZIP_END, _ZIP_END_BYTES, _MAX_COMMENT_BYTES = b"PK\x05\x06", 22, 0xFFFF
APK = "apk"
# Flags that only one of the two tools has.
_TFLITE_MARK, _LITERT_MARK = b"enable_op_profiling", b"compiler_plugin_library_path"


def _sha256(value: Any) -> Any:
    if not isinstance(value, str) or (value and not re.fullmatch(r"[0-9a-fA-F]{64}", value)):
        raise refuse("is not 64 hex digits", "use the output of sha256sum FILE, or leave it empty")
    return value.lower()


@dataclass(frozen=True, slots=True)
class Offer:
    """An entry of the manifest (docs/binaries.md): a binary that can be downloaded. `sha256` is empty if unknown."""

    name: Text
    tool: ToolName
    version: Text
    abi: Text
    url: Text
    flavour: str = "default"
    sha256: Annotated[str, ReadBy(_sha256)] = ""

    @property
    def is_apk(self) -> bool:
        return is_apk(self.flavour)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole manifest."""

    binary: tuple[Offer, ...] = ()


@dataclass(frozen=True, slots=True)
class BinaryKind:
    """The kind of a file, from its content. `tool` is `None` if unknown; an APK may have several ABIs."""

    abi: str
    tool: ToolName | None
    is_apk: bool = False


def is_apk(flavour: str) -> bool:
    """Whether a flavour is the tool as an app: `apk`, or `apk-` and a word."""
    return flavour == APK or flavour.startswith(f"{APK}-")


def offers() -> tuple[Offer, ...]:
    """The binaries that can be downloaded: those of devbench's manifest, then those of the user's.

    Raises:
        InputError: a manifest is damaged; the message has file and entry.
    """
    found: dict[str, Offer] = {}
    own = data_dir() / "manifest.toml"
    for path in (shipped("bench_bin") / "manifest.toml", own):
        if path.is_file():
            found |= {offer.name: offer for offer in read_manifest(path, checked=path == own)}
    return tuple(found.values())


def read_kind(path: Path) -> BinaryKind:
    """The kind of a binary.

    Raises:
        InputError: it cannot be read, or is not an executable with a known ABI.
    """
    with system_errors(f"cannot read {path}", "check the path"), path.open("rb") as file:
        head = file.read(512)
        if head.startswith(b"#!"):
            abi = VIRTUAL_ABI if _VIRTUAL_MARK in head else ""
            return BinaryKind(_known(path, abi), "tflite")
        if head.startswith(_ZIP):
            return BinaryKind(_known(path, _apk_abis(path)), "tflite", is_apk=True)
        if not head.startswith(_ELF) or len(head) < 20:
            return BinaryKind(_known(path, ""), None)
        order = ">" if head[5] == 2 else "<"
        machine = struct.unpack_from(f"{order}H", head, 18)[0]
        abi = _known(path, MACHINES.get(machine, "").replace(HEXAGON, ""))
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            litert, tflite = data.find(_LITERT_MARK) >= 0, data.find(_TFLITE_MARK) >= 0
    return BinaryKind(abi, "litert" if litert and not tflite else "tflite" if tflite else None)


def _known(path: Path, abi: str) -> str:
    if not abi:
        raise InputError(
            f"{path} is not a benchmark_model for a device (no ELF file of a known ABI, and no APK with one)",
            hint="give the binary itself or Google's benchmark APK, not an archive",
        )
    return abi


def _apk_abis(path: Path) -> str:
    """The ABIs of an APK's libraries, the widest first; empty if the file is not an APK with libraries."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _ZIP_END_BYTES - _MAX_COMMENT_BYTES))
        tail = file.read()
    at = tail.rfind(_ZIP_END)
    if at < 0 or len(tail) - at < _ZIP_END_BYTES or struct.unpack_from("<I", tail, at + 12)[0] > _MAX_LIST_BYTES:
        return ""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error):
        return ""
    if "AndroidManifest.xml" not in names:
        return ""
    found = {match.group(1) for name in names if (match := _LIBRARY.fullmatch(name))}
    return ",".join(abi for abi in MACHINES.values() if abi in found)


def read_manifest(path: Path, *, checked: bool = True) -> tuple[Offer, ...]:
    """The entries of a manifest; one that is not checked must be right.

    Raises:
        InputError: with the file, the line and the key.
    """
    values = read_toml(path)
    if checked:
        check("manifest", path, values, Manifest, hint="write [[binary]] above each entry")
    manifest: Manifest = made(Manifest, values)
    return manifest.binary
