"""What the manifest of prebuilt binaries may contain (docs/binaries.md); knows no file."""

from __future__ import annotations

import re
from typing import Annotated, Any

from devbench.host.toml_types import AnyText, Checked, Table, Text, choice, refuse


def _sha256(value: Any) -> Any:
    if not isinstance(value, str) or (value and not re.fullmatch(r"[0-9a-fA-F]{64}", value)):
        raise refuse("is not 64 hex digits", "sha256sum FILE prints them; or leave it empty")
    return value


class OfferTable(Table):
    """A binary that can be fetched."""

    name: Text
    tool: Annotated[str, choice(("tflite", "litert"))]
    version: Text
    abi: Text
    url: Text
    flavour: AnyText = "default"
    sha256: Annotated[str, Checked(_sha256)] = ""


class ManifestTable(Table):
    """The whole file."""

    binary: list[OfferTable] = []
