"""The rooms of the house: no module reaches up, and heavy packages are imported by the commands that need them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "devbench"
SHARED = {
    "errors",
    "masking",
    "notices",
    "numbers",
    "paths",
    "regular",
    "hashing",
    "tomlfile",
    "download",
    "text",
    "locks",
    "__init__",
    "_data",
}
# What each room may know, besides itself and the shared modules; the same table is in docs/architecture.md.
MAY_KNOW = {
    "adb": set(),
    "tool": set(),
    "models": set(),
    "results": {"analysis"},
    "analysis": set(),
    "device": {"adb"},
    "virtual": {"tool"},
    "reports": {"results", "analysis"},
    "bench": {"adb", "device", "tool", "models", "results", "analysis", "virtual"},
    "farm": {"bench", "results", "analysis", "reports"},
    "cli": {"adb", "device", "tool", "models", "bench", "results", "analysis", "reports", "virtual", "farm"},
}
HEAVY = {
    "tensorflow",
    "matplotlib",
    "pandas",
    "sqlalchemy",
    "numpy",
    "ai_edge_litert",
    "adbutils",
    "jinja2",
    "scipy",
    "pyarrow",
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def _imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_the_rooms_it_may_know(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0]
    if room.removesuffix(".py") in SHARED:
        allowed: set[str] = set()
    elif room == "__main__.py":
        allowed = {"cli"}
    else:
        allowed = MAY_KNOW[room] | {room}
    known = {name.split(".")[1] for name in _imports(path) if name.startswith("devbench.") and "." in name}
    assert known - SHARED - allowed - {"__version__"} == set()


def test_every_room_is_in_the_table() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and not path.name.startswith("_")}
    assert rooms == set(MAY_KNOW)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_can_be_read_at_one_sitting(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 420
    assert path.name == "__init__.py" or ast.get_docstring(ast.parse(text)), "a module says what it is for"


@pytest.mark.parametrize(
    "words", [["--help"], ["run", "--help"], ["report", "--help"], ["compare", "--help"], ["parse", "--help"]]
)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys; sys.argv=['devbench',*" + repr(words) + "]\n"
        "from devbench.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('LOADED', *sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(done.stdout.rsplit("LOADED", 1)[1].split())
    assert not loaded & HEAVY


def test_each_command_is_found_in_the_module_that_has_it() -> None:
    from typer.main import get_group

    from devbench.cli.app import COMMANDS, application

    for names in COMMANDS.values():
        for name in names:
            assert list(get_group(application(name)).commands) == list(names)
    every = [name for names in COMMANDS.values() for name in names]
    assert sorted(get_group(application()).commands) == sorted(every)
    assert sorted(get_group(application("no-such")).commands) == sorted(every), "for what the name might have been"
