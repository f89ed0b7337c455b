"""The architecture: no module imports one above it, and heavy packages are imported by the commands that need them."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "devbench"
SHARED = {
    "declare",
    "errors",
    "frozen",
    "grouped",
    "metrics",
    "notices",
    "numbers",
    "options",
    "jsonready",
    "text",
    "__init__",
    "_data",
}
# What each package may import, besides itself, the shared modules and host/; docs/architecture.md has the same table.
MAY_IMPORT = {
    "host": set(),
    "adb": set(),
    "tool": set(),
    "models": set(),
    "results": {"analysis"},
    "analysis": set(),
    "device": {"adb"},
    "virtual": {"tool", "models"},
    "findings": {"results", "analysis"},
    "sections": {"findings", "analysis"},
    "forms": {"sections"},
    "serve": {"forms", "sections", "findings", "results", "analysis"},
    "bench": {"adb", "device", "tool", "models", "results", "analysis", "virtual"},
    "nightly": {"bench", "results", "analysis", "findings", "sections", "forms"},
    "farm": {
        "bench",
        "tool",
        "results",
        "analysis",
        "findings",
        "sections",
        "forms",
        "device",
        "adb",
        "nightly",
        "models",
    },
    "cli": {
        "adb",
        "device",
        "tool",
        "models",
        "bench",
        "results",
        "analysis",
        "findings",
        "sections",
        "forms",
        "serve",
        "virtual",
        "nightly",
        "farm",
    },
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
    "pydantic",
    "psycopg",
    "procrastinate",
    "fsspec",
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
def test_a_package_imports_only_what_it_may(path: Path) -> None:
    package = path.relative_to(PACKAGE).parts[0]
    if package.removesuffix(".py") in SHARED:
        allowed: set[str] = set()
    elif package == "__main__.py":
        allowed = {"cli", "results"}
    else:
        folder = "/".join(path.relative_to(PACKAGE).parts[:2])
        allowed = MAY_IMPORT.get(folder, MAY_IMPORT[package]) | {package, "host"}
    known = {name.split(".")[1] for name in _imports(path) if name.startswith("devbench.") and "." in name}
    assert known - SHARED - allowed - {"__version__"} == set()


def test_no_two_public_classes_have_the_same_name() -> None:
    names = [
        node.name
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_files_do_not_import_each_other_in_a_circle() -> None:
    """Imports within functions and for type checkers count, too."""
    imports = {_name(path): _imported_modules(path) for path in MODULES}
    assert _circles(imports) == []


def test_a_circle_is_found() -> None:
    imports = {"a": {"b", "c"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"a"}}
    assert _circles(imports) == [{"b", "c"}]
    assert _circles({**imports, "d": {"e"}}) == [{"a", "b", "c", "d", "e"}]
    assert _circles({"a": {"b"}, "b": set()}) == []


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported_modules(path: Path) -> set[str]:
    """The files of devbench that a file imports anywhere; a package counts if a name of its own is imported."""
    names = {_name(other) for other in MODULES}
    found = set()
    for imported in _imports(path):
        module = imported if imported in names else imported.rpartition(".")[0]
        if module in names and module != _name(path):
            found.add(module)
    return found


def _circles(imports: Mapping[str, set[str]]) -> list[set[str]]:
    """The groups of more than one module each of which reaches all others."""
    reached = {module: _reached(module, imports) for module in imports}
    groups: list[set[str]] = []
    for module in sorted(imports):
        group = {other for other in reached[module] if module in reached[other]}
        if group and group not in groups:
            groups.append(group)
    return groups


def _reached(module: str, imports: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    left = [module]
    while left:
        new = imports[left.pop()] - found
        found |= new
        left += new
    return found


def test_every_room_is_in_the_table() -> None:
    packages = {path.name for path in PACKAGE.iterdir() if path.is_dir() and not path.name.startswith("_")}
    assert packages == {name for name in MAY_IMPORT if "/" not in name}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_can_be_read_at_one_sitting(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 420
    assert path.name == "__init__.py" or ast.get_docstring(ast.parse(text)), "a module says what it is for"


@pytest.mark.parametrize("folder", ["tests", "benchmarks"])
def test_no_file_imports_a_file_of_tests(folder: str) -> None:
    """What several tests need is in tests/made, or in a file next to them whose name has no `test_`."""
    found = {
        (str(path.relative_to(ROOT)), name)
        for path in (ROOT / folder).rglob("*.py")
        for name in _imports(path)
        if name.startswith("tests.") and ".test_" in name
    }
    assert found == set()


def test_no_test_measures_time() -> None:
    """A machine that has other work to do fails no test; waiting until something is true is `wait_until`'s."""
    clocks = {"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "time", "time_ns"}
    found = {
        (str(path.relative_to(ROOT)), name)
        for path in (ROOT / "tests").rglob("*.py")
        for name in _calls(path)
        if name in {f"time.{clock}" for clock in clocks}
    }
    assert {path for path, _ in found} == {"tests/waiting.py", "tests/browser/chromium.py"}


def _calls(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


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
