"""Shared libraries are read as a loader reads them, and a damaged or hostile one is one clear line."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from devbench.errors import InputError
from devbench.tool.elf import read_library
from tests.tool.elf_files import ARM, ARM64, HEXAGON, library


@pytest.mark.parametrize("gnu_hash", [False, True])
@pytest.mark.parametrize(("machine", "bits", "abi"), [(ARM64, 64, "arm64-v8a"), (ARM, 32, "armeabi-v7a")])
def test_machine_names_and_needs_are_read(tmp_path: Path, machine: int, bits: int, abi: str, gnu_hash: bool) -> None:
    path = library(
        tmp_path / "libx.so", machine=machine, bits=bits, soname="libx.so.1", needed=["liblog.so", "libQnnHtp.so"],
        exports=["create", "destroy"], imports=["malloc"], gnu_hash=gnu_hash,
    )  # fmt: skip
    found = read_library(path)
    assert (found.abi, found.soname) == (abi, "libx.so.1")
    assert found.needed == ("liblog.so", "libQnnHtp.so")
    assert (found.exports, found.imports) == ({"create", "destroy"}, {"malloc"})


def test_a_library_of_the_dsp_and_one_of_another_machine_are_told_apart(tmp_path: Path) -> None:
    assert read_library(library(tmp_path / "skel.so", machine=HEXAGON, bits=32)).abi == "hexagon"
    assert read_library(library(tmp_path / "mips.so", machine=8, bits=32)).abi == ""


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"hello", "no ELF header"),
        (b"\x7fELF", "ends too early"),
        (b"\x7fELF\x07\x01" + b"\0" * 60, "header is damaged"),
    ],
)
def test_what_is_no_library_is_one_line(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "libbad.so"
    path.write_bytes(data)
    with pytest.raises(InputError, match=said) as caught:
        read_library(path)
    assert str(path) in caught.value.what
    assert "\n" not in str(caught.value)


@given(data=st.data())
@hypothesis_settings(max_examples=150, deadline=None)
def test_no_damage_can_crash_or_hang_the_reader(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("elf") / "lib.so"
    library(path, soname="l", needed=["a", "b"], exports=["x"] * 5, imports=["y"], gnu_hash=data.draw(st.booleans()))
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place : place + 1] = data.draw(st.binary(min_size=1, max_size=8))
    path.write_bytes(whole[: data.draw(st.integers(1, len(whole)))])
    with contextlib.suppress(InputError):
        read_library(path)
