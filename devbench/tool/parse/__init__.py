"""The parser of the stock tool's output: text of all versions, CSV and protobuf profiles; knows no device and no store.

    parse_text(text), parse_bytes(data), parse_file(path), parse_stream(stream) → Measurement
    to_json(measurement) → the object that `devbench parse --json` prints

The content of an output never raises an error: the parser reads the lines that it knows and ignores the rest. A number
that was cut in the middle is never used.
"""

from __future__ import annotations

from devbench.tool.parse.files import parse_bytes, parse_file, parse_stream
from devbench.tool.parse.jsonform import to_json
from devbench.tool.parse.log import parse_text

__all__ = ["parse_bytes", "parse_file", "parse_stream", "parse_text", "to_json"]
