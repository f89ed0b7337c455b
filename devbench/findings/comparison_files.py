"""Files that are other ones on the two sides of a comparison: a vendor's library, the tool, the values of an input.

A case is compared by its model and its options. A file that it also used may have been exchanged, which explains more
than any operator; each exchanged file is one notice. Knows no form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from devbench.notices import Notice, NoticeKind
from devbench.results.queries import UsedFile

# A file as (role, name), and what it was, as (hash, version).
File = tuple[str, str]
Seen = frozenset[tuple[str, str]]

_ROLES = {"delegate": "the library", "input": "the input", "tool": "the tool"}
_MOST_NAMED = 3
_SHOWN_DIGITS = 8


def changed_files(before: Iterable[UsedFile], after: Iterable[UsedFile]) -> tuple[Notice, ...]:
    """A notice for each file that is not the same on both sides of a case that both have, in the order of names.

    Args:
        before, after: of `History.used_files`.
    """
    sides = [_by_case(before), _by_case(after)]
    found: dict[tuple[File, Seen, Seen], list[str]] = {}
    for case in sorted(sides[0].keys() & sides[1].keys()):
        was, now = sides[0][case], sides[1][case]
        for file in sorted(was.keys() | now.keys()):
            then, since = was.get(file, frozenset()), now.get(file, frozenset())
            if then != since:
                found.setdefault((file, then, since), []).append(case[1])
    return tuple(_notice(*key, cases) for key, cases in sorted(found.items(), key=lambda one: one[0][0]))


def _by_case(rows: Iterable[UsedFile]) -> dict[tuple[str, str], Mapping[File, Seen]]:
    """By device and case, what each file was; the tool goes by its role, since its name has its version."""
    found: dict[tuple[str, str], dict[File, set[tuple[str, str]]]] = {}
    for row in rows:
        is_tool = row.role == "tool"
        file = (row.role, "" if is_tool else row.name)
        version = row.name if is_tool else row.version
        found.setdefault((row.device_key, row.case), {}).setdefault(file, set()).add((row.sha256, version))
    return {case: {file: frozenset(seen) for file, seen in files.items()} for case, files in found.items()}


def _notice(file: File, was: Seen, now: Seen, cases: list[str]) -> Notice:
    role, name = file
    subject = name or "benchmark_model"
    what = _ROLES.get(role, "the file")
    if not was:
        text = f"{what} is used by the candidate only: {_shown(now)}"
    elif not now:
        text = f"{what} is used by the baseline only: {_shown(was)}"
    else:
        text = f"{what} is not the same on both sides: {_shown(was)} → {_shown(now)}"
    named = list(dict.fromkeys(cases))
    rest = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    where = f"{', '.join(named[:_MOST_NAMED])}{rest}"
    return Notice(
        NoticeKind.LIBRARY_CHANGED,
        subject=subject,
        text=f"{text}; used by {where}",
        next_step="measure both sides with the same file to compare anything else",
    )


def _shown(seen: Seen) -> str:
    """`QNN 2.44.0 (1a2b3c4d)`; several of one side with commas."""
    return ", ".join(
        f"{version} ({sha256[:_SHOWN_DIGITS]})" if version else sha256[:_SHOWN_DIGITS]
        for sha256, version in sorted(seen, key=lambda one: (one[1], one[0]))
    )
