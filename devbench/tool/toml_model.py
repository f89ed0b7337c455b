"""What files of delegates (docs/delegates.md) and manifests of binaries (docs/binaries.md) may contain."""

from __future__ import annotations

import re
from typing import Annotated, Any

from devbench.host.toml_types import AnyText, Pattern, ReadBy, Text, Texts, TomlTable, Truth, choice, number, refuse
from devbench.tool.flags import FLAG_NAME


def _flags(value: Any) -> Any:
    if not isinstance(value, dict):
        raise refuse("is not a table", 'for example flags = { use_gpu = "true" }')
    for name, text in value.items():
        if not re.fullmatch(FLAG_NAME, name):
            raise refuse(f"has {name!r}, which is not a flag's name", "without dashes, as in use_gpu")
        if not isinstance(text, (str, int, float)):
            raise refuse(f"has a value of {name} that is neither text nor number", "quote it")
    return value


_Flags = Annotated[dict[str, Any], ReadBy(_flags, {"type": "object"})]


class RequiresTable(TomlTable):
    """The requirements of a delegate on the device."""

    abi: Pattern = ""
    soc: Pattern = ""
    min_sdk: Annotated[int, number(0, 1000, whole=True)] = 0
    library: Texts = []


class DelegateTable(TomlTable):
    """A delegate."""

    title: AnyText = ""
    flags: _Flags = {}
    litert_flags: _Flags = {}
    reported_as: Texts = []
    require: Annotated[str, choice(("any", "full"))] = "any"
    default: Truth = False
    files: Texts = []
    env: _Flags = {}
    note: AnyText = ""
    requires: RequiresTable = RequiresTable()
    expect: Annotated[str, choice(("full", "partial", ""))] = ""
    cache: Annotated[str, choice(("kept", "fresh"))] = "kept"
    parameter: Annotated[str, choice(("accelerator", "library", ""))] = ""


def _sha256(value: Any) -> Any:
    if not isinstance(value, str) or (value and not re.fullmatch(r"[0-9a-fA-F]{64}", value)):
        raise refuse("is not 64 hex digits", "use the output of sha256sum FILE, or leave it empty")
    return value


class OfferTable(TomlTable):
    """A binary that can be fetched."""

    name: Text
    tool: Annotated[str, choice(("tflite", "litert"))]
    version: Text
    abi: Text
    url: Text
    flavour: AnyText = "default"
    sha256: Annotated[str, ReadBy(_sha256)] = ""


class ManifestTable(TomlTable):
    """The whole file."""

    binary: list[OfferTable] = []
