"""Text from several sources through one shell: sections behind marker lines that nothing on the device can imitate.

The script opens with a line that names a word which the device's kernel has just drawn at random; every section starts
with a line of that word. Neither a property nor a sensor's name can contain it. Knows nothing of the sections' content.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from devbench import numbers
from devbench.text import without_control

# More than any phone prints (a full `getprop` has some 60 KB); further text of a hostile device is ignored.
MAX_CHARACTERS = 1 << 20

_OPEN = re.compile(r"^@@devbench:([0-9A-Za-z-]{1,64})[ \t\r]*$", re.MULTILINE)


def open_script(variable: str) -> str:
    """Shell lines that draw the random word into `variable` and print the opening line, without a single fork."""
    return (
        f"{variable}=; read -r {variable} < /proc/sys/kernel/random/uuid\n"
        f'{variable}=${{{variable}:-$$}}; echo "@@devbench:${variable}"'
    )


def section_script(variable: str, name: str) -> str:
    """A shell line that starts the section `name`; also after output that did not end its last line."""
    return f'echo; echo "@@${variable}:{name}"'


def split_sections(text: str) -> Mapping[str, list[str]]:
    """The lines of each section by its name; what comes before the first named section is under the empty name.

    Empty if the opening line is missing. A section that comes twice is kept as it came first.
    """
    text = text[:MAX_CHARACTERS]
    opening = _OPEN.search(text)
    if opening is None:
        return {}
    start = f"@@{opening.group(1)}:"
    lines: list[str] = []
    sections = {"": lines}
    for raw in text[opening.end() :].split("\n"):
        line = raw.rstrip("\r")
        if line.startswith(start):
            lines = []
            sections.setdefault(line[len(start) :].strip(), lines)
        elif line:
            lines.append(line)
    return sections


def clean(text: str, max_length: int = 120) -> str:
    """`text` on one line of at most `max_length` characters, without control, ANSI and direction characters."""
    return without_control(text[: 8 * max_length])[:max_length]


def free_bytes(lines: Sequence[str]) -> int | None:
    """`Available` of `df -k`, found by its heading; `None` if it cannot be told.

    A long name of the file system may push the numbers to the next line.
    """
    for number, line in enumerate(lines[:4]):
        heading = line[:400].replace("Mounted on", "Mounted").split()
        name = next((name for name in ("Available", "Avail") if name in heading), None)
        cells = " ".join(row[:400] for row in lines[number + 1 : number + 3]).split()
        if name is not None and len(cells) >= len(heading):
            kb = numbers.whole(cells[heading.index(name)], maximum=1 << 50)
            return None if kb is None else kb * 1024
    return None
