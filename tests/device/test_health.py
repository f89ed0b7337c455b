"""Health: what the folder and the hash tool of a device say about whether it can be measured on."""

from __future__ import annotations

import pytest

from devbench.device.health import HEALTH_COMMAND, Health, parse_health

WORD = "5d7f3f0e-27b4-4c8a-9e55-6a4f0c1d2e3b"
OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
WELL = "writable\nexecuted"


def transcript(folder: str = WELL, depot: str = "", hashed: str = f"{OF_NOTHING}  -", newline: str = "\n") -> str:
    """What the script prints when the folder and `sha256sum` say this."""
    text = f"@@devbench:{WORD}\n\n@@{WORD}:folder\n{folder}\n\n@@{WORD}:depot\n{depot}\n\n@@{WORD}:hash\n{hashed}\n\n@@{WORD}:end\n"
    return text.replace("\n", newline)


def test_a_phone_that_is_well_is_writable_executable_and_hashes() -> None:
    assert parse_health(transcript()) == Health(writable=True, executable=True, hashes=True)


def test_lines_that_end_as_on_a_terminal_are_read_the_same() -> None:
    assert parse_health(transcript(newline="\r\n")) == Health(writable=True, executable=True, hashes=True)


def test_a_folder_mounted_noexec_is_writable_and_no_more() -> None:
    assert parse_health(transcript("writable")) == Health(writable=True, executable=False, hashes=True)


def test_a_full_or_read_only_folder_is_neither() -> None:
    assert parse_health(transcript("")) == Health(writable=False, executable=False, hashes=True)


@pytest.mark.parametrize(
    "hashed",
    [
        "",
        "sh: sha256sum: inaccessible or not found",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709  -",
        f"{OF_NOTHING[:-1]}0  -",
        f"noise\n{OF_NOTHING}  -",
    ],
    ids=["nothing", "no tool", "another hash", "a wrong hash", "noise first"],
)
def test_a_hash_tool_that_is_missing_or_wrong_is_not_trusted(hashed: str) -> None:
    assert not parse_health(transcript(hashed=hashed)).hashes


@pytest.mark.parametrize(
    "text",
    ["", "writable\nexecuted\n", f"{WELL}\n{OF_NOTHING}", f"@@devbench:{WORD}\n{WELL}", "\x00\x1b[31m\ufffd" * 1000],
)
def test_words_outside_of_their_section_say_nothing(text: str) -> None:
    assert parse_health(text) == Health(writable=False, executable=False, hashes=False)


def test_another_word_s_sections_say_nothing() -> None:
    forged = transcript("@@11111111-2222:hash\nexecuted twice", hashed=f"@@11111111-2222:folder\n{WELL}")
    assert parse_health(forged) == Health(writable=False, executable=False, hashes=False)


@pytest.mark.parametrize("folder", ["not writable", "writable executed", "\x1b[32mwritable\x1b[0m", "WRITABLE"])
def test_only_the_very_line_counts(folder: str) -> None:
    assert not parse_health(transcript(folder)).writable


def test_cut_text_never_raises_and_promises_nothing_that_was_not_said() -> None:
    whole = transcript()
    for end in range(len(whole)):
        health = parse_health(whole[:end])
        assert not health.executable or "executed" in whole[:end]
        assert not health.hashes or OF_NOTHING in whole[:end]


def test_the_command_removes_the_file_that_it_tries() -> None:
    lines = HEALTH_COMMAND.splitlines()
    tried = next(n for n, line in enumerate(lines) if '> "$_dbh_file"' in line)
    assert any(line == 'rm -f "$_dbh_file"' for line in lines[tried:])


@pytest.mark.parametrize(
    ("said", "kind", "what"),
    [
        ("/system/bin/sh: can't create /data/local/tmp/x: Read-only file system", "read_only", "is read-only"),
        ("sh: can't create /data/local/tmp/x: Permission denied", "not_ours", "belongs to another user"),
        ("/system/bin/sh: echo: write: No space left on device", "full", "is full"),
        ("sh: can't create /data/local/tmp/x: Disk quota exceeded", "full", "is full"),
        ("", "not_writable", "cannot be written to"),
    ],
)
def test_why_a_folder_cannot_be_written_to_is_told_apart_with_a_hint(said: str, kind: str, what: str) -> None:
    problem = parse_health(transcript(f"said {said}")).problem
    assert problem is not None
    assert (problem.kind, problem.what) == (kind, f"/data/local/tmp {what}")
    assert problem.hint


def test_a_folder_of_the_depot_that_belongs_to_root_is_found_behind_a_folder_that_is_well() -> None:
    depot = "folder /data/local/tmp/devbench/sha256\nsaid sh: can't create x: Permission denied"
    problem = parse_health(transcript(depot=depot)).problem
    assert problem is not None
    assert (problem.kind, problem.what) == ("not_ours", "/data/local/tmp/devbench/sha256 belongs to another user")
    assert "adb shell rm -rf /data/local/tmp/devbench" in problem.hint
    assert parse_health(transcript()).problem is None
    noexec = parse_health(transcript("writable")).problem
    assert noexec is not None
    assert noexec.kind == "noexec"
