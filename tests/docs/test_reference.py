"""Every command and option is documented, and every command and option that the docs name exists."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from devbench.errors import DISTRIBUTION
from devbench.notices import NoticeKind
from devbench.tool.measurement import FailureKind
from tests.docs.blocks import LANGUAGES, REASONS, ROOT, all_blocks, commands_of, pages

# A run sets them for its own processes: the mark of a lease, and what a virtual device tells its tool.
INTERNAL = re.compile(r"DEVBENCH_LEASE|DEVBENCH_VIRTUAL_(FREE|NOISE|PYTHON|ROOT|SEED|SLOWER|THERMAL)")


@cache
def hook() -> Any:
    """docs/hooks/commands.py, which the site is built with."""
    spec = importlib.util.spec_from_file_location("docs_commands", ROOT / "docs" / "hooks" / "commands.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def commands() -> dict[str, Any]:
    return dict(hook().commands())


def test_every_command_and_every_option_has_help_in_the_reference() -> None:
    sections = re.split(r"^###? ", hook().reference(), flags=re.MULTILINE)[1:]
    by_path = {section.splitlines()[0]: section for section in sections}
    assert set(by_path) == set(commands())
    for path, command in commands().items():
        assert (command.help or "").strip(), f"{path} has no help"
        rows = [row for row in by_path[path].splitlines() if row.startswith("|")]
        for parameter in command.params:
            if not getattr(parameter, "hidden", False):
                name = parameter.opts[0] if parameter.opts[0].startswith("-") else parameter.metavar or parameter.name
                found = [row for row in rows if name.replace("|", "\\|") in row]
                assert found, f"{path}: {name} is not in the reference"
                assert re.split(r"(?<!\\)\|", found[0])[2].strip(), f"{path}: {name} has no help"


def test_every_command_is_named_on_a_page_that_is_written_by_hand() -> None:
    text = "\n".join(page.read_text("utf-8") for page in pages() if page.exists())
    missing = [
        path for path, command in commands().items() if not getattr(command, "commands", None) and path not in text
    ]
    assert missing == []


def mentions() -> Iterator[tuple[str, str]]:
    """Where and what: each `devbench …` in a shell block or between backquotes."""
    for block in all_blocks():
        if block.language in ("sh", "console"):
            for line in commands_of(block.text):
                for part in re.split(r"&&|;|\|(?!\|)", line):
                    yield block.where, part
    for page in pages():
        prose = re.sub(r"^ *```.*?^ *```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        for found in re.finditer(r"`(devbench [^`]+)`", prose):
            yield str(page.relative_to(ROOT)), " ".join(found[1].split())


def test_commands_and_options_that_the_docs_name_exist() -> None:
    wrong = []
    for where, text in mentions():
        words = _words(text)
        while words and not words[0].endswith("devbench"):
            words = words[1:]
        if not words or (words[1:2] and words[1].startswith("-")):
            continue
        path, rest = "devbench", words[1:]
        while rest and f"{path} {rest[0]}" in commands():
            path, rest = f"{path} {rest[0]}", rest[1:]
        command = commands()[path]
        if getattr(command, "commands", None) and rest and rest[0].isalpha() and rest[0].islower():
            wrong.append(f"{where}: no command {path} {rest[0]}")
        known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"-h", "--help"}
        wrong += [f"{where}: {path} has no {word}" for word in rest if _option(word) and _option(word) not in known]
    assert wrong == []


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return text.split()


def _option(word: str) -> str:
    found = re.fullmatch(r"(--[a-z][a-z-]*|-[a-zA-Z])(=.*)?[,.]?", word)
    return found[1] if found else ""


def test_blocks_have_a_language_and_marks_that_are_declared() -> None:
    for block in all_blocks():
        assert block.language in LANGUAGES, f"{block.where}: the language {block.language!r} is none of {LANGUAGES}"
        assert block.mark != "not run" or block.value in REASONS, (
            f"{block.where}: {block.value!r} is not a known reason"
        )


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_links_of_the_pages_outside_docs_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / page).read_text("utf-8")):
        assert target.startswith("https://") or (ROOT / target).exists(), f"{page}: {target}"


def test_the_distribution_has_one_name() -> None:
    assert f'name = "{DISTRIBUTION}"' in (ROOT / "pyproject.toml").read_text("utf-8")
    texts = [*pages(), *(ROOT / "docs" / "examples").iterdir(), *Path(ROOT / "devbench").rglob("*.py")]
    for path in texts:
        text = path.read_text("utf-8")
        assert not re.search(r"pip install[^\n]*[ '\"]devbench\b", text), f"{path} installs somebody else's package"


def test_files_that_the_docs_name_exist() -> None:
    missing = []
    for page in pages():
        for path in re.findall(
            r"`((?:devbench|benchmarks|tests|docs)/[\w/.-]+\.(?:py|toml|md|gz))`", page.read_text("utf-8")
        ):
            if not (ROOT / path).exists():
                missing.append(f"{page.relative_to(ROOT)}: {path}")
    assert missing == []


def test_every_notice_and_every_failure_is_explained() -> None:
    results = (ROOT / "docs" / "results.md").read_text("utf-8")
    terms = (ROOT / "docs" / "concepts.md").read_text("utf-8")
    assert [kind.value for kind in NoticeKind if f"`{kind.value}`" not in results] == []
    assert [kind.value for kind in FailureKind if f"`{kind.value}`" not in terms] == []


def test_variables_of_the_environment_are_documented() -> None:
    """All that devbench reads, but for those that its own processes set for each other."""
    page = (ROOT / "docs" / "environment.md").read_text("utf-8")
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "devbench").rglob("*.py"))
    used = set(re.findall(r"[\"'](DEVBENCH_[A-Z_]+)[\"']", code))
    assert sorted(name for name in used if not INTERNAL.fullmatch(name) and f"`{name}`" not in page) == []
