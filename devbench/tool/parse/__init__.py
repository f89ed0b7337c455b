"""What the stock tool printed, read: text of every age, CSV profiles, protobuf profiles; knows no device and no store.

    parse_text(text), parse_bytes(data), parse_file(path), parse_stream(stream) → Measurement
    to_json(measurement) → the object that `devbench parse --json` prints

Nothing here raises for what an output holds: the parser takes what it understands and leaves the rest. Text that was
cut in the middle is never taken for a number.
"""

from __future__ import annotations

from devbench.tool.parse.files import parse_bytes, parse_file, parse_stream
from devbench.tool.parse.jsonform import to_json
from devbench.tool.parse.log import parse_text

__all__ = ["parse_bytes", "parse_file", "parse_stream", "parse_text", "to_json"]
