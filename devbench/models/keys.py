"""The keys of models: what each is called, unique in its run and the same from night to night; knows no run.

A key is the name that somebody gave, else the file's name without its suffix. Where several files share that, it is the
shortest end of the path that tells them apart: `text_encoder/model` and `unet/model`.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path, PurePath, PurePosixPath

from devbench.errors import InputError
from devbench.models.tflite_file import ModelFile, is_shipped, model_path, read_model
from devbench.text import without_control

MAX_KEY = 200
# Between the parts of a case's text: in a key it would make one case look like another.
_SEPARATOR = " · "


@dataclass(frozen=True, slots=True)
class GivenModel:
    """A model as somebody gave it.

    Attributes:
        file: a path, or `demo`.
        name: its key; empty for one made of the path.
        source: the host and path of its address, for a model that was fetched: its path here contains its hash, which
            changes with every version.
        by_pattern: a pattern matched it; if it is gone when it is read, it is left out.
    """

    file: str
    name: str = ""
    source: str = ""
    by_pattern: bool = field(default=False, compare=False)


def open_models(given: Sequence[GivenModel], base: Path) -> tuple[ModelFile, ...]:
    """The models with their keys, in the order given; a file that is given twice is there once.

    Two paths to the same bytes are two models. One folder reached by two paths is one.

    Args:
        given: the models.
        base: the folder that relative paths start from: that of the suite, or the current one. Where it lies is no
            part of a key.

    Raises:
        InputError: as `open_model`; or two files were given one name.
    """
    found: dict[tuple[Path, str], tuple[GivenModel, Path]] = {}
    for one in given:
        if one.by_pattern and not Path(one.file).exists():
            continue
        path = model_path(one.file)
        file = path.parent.resolve() / path.name
        unnamed = (file, "")
        if one.name and unnamed in found:
            # The name counts for the place where the file was given without one.
            found = {(file, one.name) if key == unnamed else key: value for key, value in found.items()}
            found[file, one.name] = (one, path)
        elif one.name or not any(known == file for known, _ in found):
            found.setdefault((file, one.name), (one, path))
    several = list(found.values())
    names = model_keys([(one.name, _origin(one, path, base)) for one, path in several])
    models = []
    for name, (one, path) in zip(names, several, strict=True):
        try:
            models.append(replace(read_model(path), name=name))
        except InputError:
            if not one.by_pattern or path.exists():
                raise
    if given and not models:
        raise InputError("every model that the patterns matched is gone", hint="run again when nothing deletes them")
    return tuple(models)


def model_keys(models: Sequence[tuple[str, PurePath]]) -> list[str]:
    """A key for each model, all different.

    Args:
        models: of each the name that was given to it, or nothing, and where it is from.

    Raises:
        InputError: two models were given one name.
    """
    given = Counter(name for name, _ in models if name)
    for name, count in given.items():
        if count > 1:
            raise InputError(f"{count} models have the name {name!r}", hint="give each its own name")
    taken = set(given)
    parts = _parts([path for name, path in models if not name])
    ends = Counter(one[-length:] for one in parts for length in range(1, len(one) + 1))
    found, rest = [], iter(parts)
    for name, _ in models:
        key = name or _shortest(next(rest), ends, taken)
        taken.add(key)
        found.append(key)
    return found


def check_name(name: str) -> str:
    """Why a name cannot be a key; empty if it can."""
    if not 0 < len(name) <= MAX_KEY:
        return f"is not a text of 1 to {MAX_KEY} characters"
    return "" if clean_key(name) == name else "has characters that a name cannot have"


def clean_key(text: str) -> str:
    """`text` on one line, as every form can show it; of a long one the end, which tells paths apart."""
    line = without_control(unicodedata.normalize("NFC", text), "?").replace(_SEPARATOR, " - ")
    return line[-MAX_KEY:].strip(" ·") or "model"


def _parts(paths: Sequence[PurePath]) -> list[tuple[str, ...]]:
    """The parts of each path, the last without its suffix unless the suffix alone tells two apart."""
    folders = [(*([path.anchor.rstrip("/\\")] if path.anchor else []), *_folders(path)) for path in paths]
    if len(paths) > 1 and all(path.anchor for path in paths):
        # What they have in common tells nothing and may be a folder of one build alone.
        shared = takewhile(lambda parts: len(set(parts)) == 1, zip(*folders, strict=False))
        common = sum(1 for _ in shared)
        folders = [folder[common:] for folder in folders]
    stems = [(*folder, path.stem) for folder, path in zip(folders, paths, strict=True)]
    alike = Counter(stems)
    return [
        (*folder, path.name) if alike[stem] > 1 else stem
        for folder, path, stem in zip(folders, paths, stems, strict=True)
    ]


def _folders(path: PurePath) -> tuple[str, ...]:
    return tuple(part for part in path.parent.parts if part != path.anchor)


def _shortest(parts: tuple[str, ...], ends: Counter[tuple[str, ...]], taken: set[str]) -> str:
    """The shortest end that no other path has and no other model is called; the whole path without one."""
    keys = [(parts[-length:], clean_key("/".join(parts[-length:]))) for length in range(1, len(parts) + 1)]
    for end, key in keys:
        if ends[end] == 1 and key not in taken:
            return key
    whole = keys[-1][1]
    number = 2
    while whole in taken:
        whole = f"{keys[-1][1][: MAX_KEY - 5]} ({number})"
        number += 1
    return whole


def _origin(one: GivenModel, path: Path, base: Path) -> PurePath:
    """Where a model is from, without what differs from one checkout or machine to the next."""
    if one.source:
        return PurePosixPath(one.source)
    if is_shipped(one.file):
        return PurePosixPath(one.file, path.name)
    # Links stay: the folder that `current` links to may be another one tomorrow.
    absolute, start = (PurePath(os.path.normpath(one.absolute())) for one in (path, base))
    return absolute.relative_to(start) if absolute.is_relative_to(start) else absolute
