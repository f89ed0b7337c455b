"""The fenced blocks of README, CONTRIBUTING and docs, with their marks; knows not how they are run.

A comment on the line above a block marks it:

    <!-- not run: REASON -->   it is not run; REASON is one of `REASONS`
    <!-- file: NAME -->        it is written to NAME, for the blocks after it on the page
    <!-- may fail -->          its commands may also end with 1, the exit code of a check that did not pass
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
REASONS = frozenset(
    {
        "needs a phone",
        "needs the network",
        "needs TensorFlow",
        "needs PostgreSQL",
        "changes this machine",
        "does not end by itself",
        "takes minutes",
        "waits until the load of the machine is low",
        "an excerpt",
        "sets up the environment",
    }
)
LANGUAGES = frozenset({"sh", "python", "toml", "json", "text", "console", "yaml"})
_MARK = re.compile(r"<!-- (not run|file|may fail)(?:: (.+?))? -->")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        page: the file, relative to the repository.
        line: of its opening fence, from 1.
        language: the first word behind the fence; may be empty.
        setup: whether CI runs it as a set-up command of the README.
        mark: `not run`, `file`, `may fail` or empty; `value` is what the mark says.
    """

    page: str
    line: int
    language: str
    setup: bool
    text: str
    mark: str = ""
    value: str = ""

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """All pages that people read, the decisions included."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    lines = page.read_text("utf-8").splitlines()
    found: list[Block] = []
    start = None
    for number, line in enumerate(lines):
        if not line.lstrip().startswith("```"):
            continue
        if start is None:
            start = number
            continue
        head = lines[start].strip().strip("`").split()
        mark = _MARK.fullmatch(lines[start - 1].strip()) if start else None
        indent = len(lines[start]) - len(lines[start].lstrip())
        found.append(
            Block(
                page=str(page.relative_to(ROOT)),
                line=start + 1,
                language=head[0] if head else "",
                setup=head[1:] == ["setup"],
                text="\n".join(inner[indent:] for inner in lines[start + 1 : number]) + "\n",
                mark=mark[1] if mark else "",
                value=(mark[2] or "") if mark else "",
            )
        )
        start = None
    return found


def all_blocks() -> list[Block]:
    """The blocks of all pages."""
    return [block for page in pages() if page.exists() for block in blocks_of(page)]


def commands_of(text: str) -> list[str]:
    """The commands of a shell block: lines joined where they end with a backslash, without comments of whole lines."""
    joined = text.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]
