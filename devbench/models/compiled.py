"""Models that were compiled for one accelerator: for which SoC, by which compiler, what they need; knows no device.

A compiled model is a .tflite whose operators are custom ones with machine code. LiteRT's compiler plug-ins make
`DISPATCH_OP` and put a stamp under the metadata key `LiteRtStamp`: maker, then model of the SoC, each in 125 bytes
filled up with zeros. Their machine code lies behind the flatbuffer, at an offset that the operator's options contain.
The Edge TPU compiler makes `edgetpu-custom-op`, Arm's Vela `ethos-u`. A model may be hostile: what cannot be followed
counts as not compiled, or without the detail.
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path
from typing import Literal

from devbench.errors import InputError
from devbench.frozen import dataclass
from devbench.models.graph.tables import FlatTable, open_tables

Needs = Literal["npu", "edgetpu", "ethos-u"]

_NEEDS: dict[str, Needs] = {"DISPATCH_OP": "npu", "edgetpu-custom-op": "edgetpu", "ethos-u": "ethos-u"}
_STAMP, _MANIFEST = "LiteRtStamp", "LiteRtDispatchBytecodeManifest"
_FIELD_BYTES = 125
_MAX_CODES, _MAX_METADATA, _MAX_OPERATORS = 2_000, 2_000, 100_000
# Makers and versions are near the start of the bytecode (QNN's context) or in its trailer (MediaTek's DLA).
_SEARCHED_BYTES = 1 << 20
_QNN = re.compile(rb"(?<![\w.])v(\d{1,3}\.\d{1,3}\.\d{1,3})\.\d{6,14}(?![\d.])")
_NEURON = re.compile(rb'"Compiler" {0,4}: {0,4}"(?:adapter )?([0-9][0-9.]{0,30})"')
_COMPILERS = {"qualcomm": "QNN", "mediatek": "NeuroPilot", "google": "Google Tensor compiler", "samsung": "Exynos AI"}
_OTHERS: dict[Needs, str] = {"npu": "a LiteRT compiler plug-in", "edgetpu": "Edge TPU compiler", "ethos-u": "Vela"}


@dataclass(frozen=True, slots=True)
class Compiled:
    """What is known of a compiled model.

    Attributes:
        needs: the kind of accelerator that it requires.
        maker, soc: the SoC's maker and model, as in the stamp; empty if there is none.
        compiler: name and, if known, version.
        operators: the number of compiled operators of the main graph; `of` is the number of all.
    """

    needs: Needs
    maker: str
    soc: str
    compiler: str
    operators: int
    of: int

    @property
    def words(self) -> str:
        """`compiled for Qualcomm SM8750 by QNN 2.44.0`."""
        target = " ".join(filter(None, (self.maker, self.soc))) or {"npu": "an unknown SoC"}.get(self.needs, self.needs)
        return f"compiled for {target} by {self.compiler}"


def compiled_model(path: Path) -> Compiled | None:
    """What the model was compiled for; `None` for a model that is not compiled or cannot be read."""
    try:
        with open_tables(path) as model:
            return _compiled(model)
    except InputError:
        return None


def _compiled(model: FlatTable) -> Compiled | None:
    names = (model.item("codes", number).text("custom_code") for number in range(min(model.count("codes"), _MAX_CODES)))
    codes = {number: _NEEDS[name] for number, name in enumerate(names) if name in _NEEDS}
    maker, soc, stamped = _stamp(model)
    if not codes and not stamped:
        return None
    graph = model.item("graphs", 0)
    total = graph.count("operators")
    operators = (graph.item("operators", number) for number in range(min(total, _MAX_OPERATORS)) if codes)
    compiled = [operator for operator in operators if operator.number("code") in codes]
    needs: Needs = next(iter(codes.values()), "npu")
    name = next((text for word, text in _COMPILERS.items() if word in maker.lower()), _OTHERS[needs])
    version = _version(model.data, *_bytecode(compiled[0] if compiled else None))
    return Compiled(needs, maker, soc, f"{name} {version}".strip(), len(compiled), total)


def _stamp(model: FlatTable) -> tuple[str, str, bool]:
    """Maker and model of the SoC, and whether a compiler left metadata."""
    maker, soc, stamped = "", "", False
    for entry in (model.item("metadata", number) for number in range(min(model.count("metadata"), _MAX_METADATA))):
        name = entry.text("name")
        stamped = stamped or name == _STAMP or name.startswith(_MANIFEST)
        if name == _STAMP:
            start, length = model.item("buffers", entry.number("buffer")).span("data")
            # Older stamps have one byte more, or other data behind the first zero of a field.
            text = model.data[start : start + min(length, 2 * _FIELD_BYTES)]
            maker, soc = (_shown(field) for field in (text[:_FIELD_BYTES], text[_FIELD_BYTES:]))
    return maker, soc, stamped


def _shown(field: bytes) -> str:
    text = field.partition(b"\0")[0].decode("utf-8", "replace").strip()
    return "".join(letter for letter in text if letter.isprintable())[:80]


def _version(data: mmap.mmap, start: int, size: int) -> str:
    """The version of the compiler, as far as the machine code contains it."""
    if not size or start + size > len(data):
        start, size = max(0, len(data) - 2 * _SEARCHED_BYTES), min(len(data), 2 * _SEARCHED_BYTES)
    head = data[start : start + min(size, _SEARCHED_BYTES)]
    tail = data[max(start, start + size - _SEARCHED_BYTES) : start + size]
    found = (pattern.search(part) for pattern in (_QNN, _NEURON) for part in (head, tail))
    return next((match[1].decode() for match in found if match), "")


def _bytecode(operator: FlatTable | None) -> tuple[int, int]:
    """Offset and size of the operator's machine code, from its options; 0 and 0 if they have none."""
    start, size = operator.span("custom_options") if operator is not None else (0, 0)
    if operator is None or not 8 <= size <= 4096:
        return 0, 0
    from flatbuffers import flexbuffers

    try:
        options = flexbuffers.Loads(bytearray(operator.data[start : start + size]))
        return int(options["bytecode_offset"]), int(options["bytecode_size"])
    except Exception:
        return 0, 0


def fits_soc(compiled: Compiled, soc_model: str) -> bool:
    """Whether a compiled model can run on a device with this SoC.

    Args:
        soc_model: as Android has it (`ro.soc.model`: "SM8750", "MT6989", "Tensor G5", "s5e9955"). Letters and blanks do
            not matter, a variant's ending does not either ("SM8750-AB"); for Samsung only the number is compared. An
            unknown one is assumed to fit.
    """
    wanted, here = (re.sub(r"[^a-z0-9]", "", text.lower()) for text in (compiled.soc, soc_model))
    if not wanted or not here or here.startswith(wanted):
        return True
    numbers = [re.findall(r"\d{4}", text)[:1] for text in (wanted, here)]
    is_samsung = "samsung" in compiled.maker.lower() or here.startswith("s5e")
    return is_samsung and numbers[0] == numbers[1] != []
