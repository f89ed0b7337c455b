"""Models as files: which file is meant, is it a .tflite, its facts, and its key; knows no device, no tool and no run.

A key is what a model is called: unique in its run and the same from night to night. It is the name that somebody gave,
else the file's name without its suffix. Where several files share that, it is the shortest end of the path that tells
them apart: `text_encoder/model` and `unet/model`.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import field
from itertools import chain, count, islice, takewhile
from pathlib import Path, PurePath, PurePosixPath
from urllib.parse import unquote, urlsplit

from devbench.errors import EnvironmentProblem, InputError, system_errors
from devbench.frozen import dataclass
from devbench.host.download import download, forget
from devbench.host.hashing import hash_file, sha256_of
from devbench.host.masking import mask_url
from devbench.host.paths import cache_dir
from devbench.host.whole_files import other_than_file
from devbench.models.compiled import Compiled, compiled_model
from devbench.models.graph.tables import IDENTIFIER, count_operators
from devbench.text import near, without_control

MAX_KEY = 200
# The separator within a case's text; in a key it would make two cases look alike.
_SEPARATOR = " · "
_SHIPPED = {"demo": "small_unet.tflite"}
# The largest models that a phone has room for.
_MAX_BYTES = 32 << 30
# Files next to one that does not exist, to find the one that was meant.
_MAX_NEAR = 1000


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model to be measured.

    Attributes:
        name: its key: what every form calls it, unique in a run.
        operator_count: the number of operators of the main graph, `None` if it could not be read.
        compiled: for which accelerator, `None` for a model that is not compiled.
    """

    path: Path
    name: str
    sha256: str
    size_bytes: int
    operator_count: int | None
    compiled: Compiled | None = None


@dataclass(frozen=True, slots=True)
class GivenModel:
    """A model as a user gave it.

    Attributes:
        file: a path, or `demo`.
        name: its key; empty for one made of the path.
        source: the host and path of its address, for a model that was fetched: its path here contains its hash, which
            changes with every version.
        by_pattern: a pattern matched it; if the file is deleted before it is read, the model is left out.
    """

    file: str
    name: str = ""
    source: str = ""
    by_pattern: bool = field(default=False, compare=False)


def model_path(given: str) -> Path:
    """The file of the model that `given` names: a path, or `demo` for the small U-Net that devbench ships.

    Raises:
        InputError: there is no such file, it cannot be read, or it is not a .tflite.
    """
    path = Path(given).expanduser()
    if _is_shipped(given):
        path = Path(__file__).parent / "data" / _SHIPPED[given]
    try:
        if other := other_than_file(path):
            raise InputError(f"model {given} is {other}", hint="give the .tflite file itself")
        with path.open("rb") as file:
            head = file.read(8)
    except FileNotFoundError:
        if "://" in given:
            hint = "download it, or give it in a suite with url and sha256 (docs/suites.md)"
            raise InputError(f"model {given} is not a file", hint=hint) from None
        near_by = (str(path.with_name(other.name)) for other in islice(path.parent.glob("*.tflite"), _MAX_NEAR))
        hint = near(given, [*near_by, *_SHIPPED], "check the path; `demo` is the model that devbench ships", 0.85)
        raise InputError(f"model {given} does not exist", hint=hint) from None
    except OSError as error:
        raise InputError(f"model {given} cannot be read: {error.strerror or error}") from None
    if head[4:8] != IDENTIFIER:
        what = "is empty" if not head else "is not a TensorFlow Lite model (no TFL3 identifier)"
        hint = "give a .tflite file, as the TensorFlow Lite converter writes it"
        raise InputError(f"model {given} {what}", hint=hint)
    return path


def _is_shipped(given: str) -> bool:
    """Whether `given` names a model that devbench ships, and no file."""
    return given in _SHIPPED and not Path(given).exists()


def open_model(path: Path, name: str = "") -> ModelFile:
    """The model in a file of `model_path`, under `name` or the file's own name.

    Raises:
        InputError: it was deleted meanwhile, or cannot be read.
    """
    with system_errors(f"model {path} cannot be read", "check the path"):
        size = path.stat().st_size
        return ModelFile(path, name or path.stem, sha256_of(path), size, count_operators(path), compiled_model(path))


def fetch_model(url: str, sha256: str, progress: Callable[[int, int], None] | None = None) -> Path:
    """The file of a model from the network, stored under its hash; downloaded unless it is in the cache.

    Raises:
        FetchFailed: it cannot be fetched.
        EnvironmentProblem: it has another hash; it is not used.
    """
    target = cache_dir() / "models" / sha256 / (Path(unquote(urlsplit(url).path)).name or "model.tflite")
    if target.is_file():
        return target
    part = download(url, _MAX_BYTES, progress)
    found = hash_file(part)
    if found == sha256:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)
    forget(part)
    if found != sha256:
        raise EnvironmentProblem(
            f"{mask_url(url)}: SHA-256 {found[:16]}… is not the suite's, {sha256[:16]}…",
            hint="fix the suite, or the file there",
        )
    return target


def open_models(given: Sequence[GivenModel], base: Path) -> tuple[ModelFile, ...]:
    """The models with their keys, in the order given; a file that is given twice is one model.

    Two paths to the same bytes are two models. One folder reached by two paths is one.

    Args:
        given: the models.
        base: the folder that relative paths start from: that of the suite, or the current one. The place of that folder
            is not part of a key.

    Raises:
        InputError: as `model_path` and `open_model`; or two files were given one name.
    """
    found: dict[tuple[Path, str], tuple[GivenModel, Path]] = {}
    for one in given:
        if one.by_pattern and not Path(one.file).exists():
            continue
        path = model_path(one.file)
        file = path.parent.resolve() / path.name
        unnamed = (file, "")
        if one.name and unnamed in found:
            # The name applies to the earlier entry without a name.
            found = {(file, one.name) if key == unnamed else key: value for key, value in found.items()}
            found[file, one.name] = (one, path)
        elif one.name or not any(known == file for known, _ in found):
            found.setdefault((file, one.name), (one, path))
    several = list(found.values())
    names = model_keys([(one.name, _origin(one, path, base)) for one, path in several])
    models = []
    for name, (one, path) in zip(names, several, strict=True):
        try:
            models.append(open_model(path, name))
        except InputError:
            if not one.by_pattern or path.exists():
                raise
    if given and not models:
        raise InputError("every model that the patterns matched is gone", hint="run again when nothing deletes them")
    return tuple(models)


def model_keys(models: Sequence[tuple[str, PurePath]]) -> list[str]:
    """A key for each model, all different.

    Args:
        models: for each model, its given name (or an empty text) and its path or address.

    Raises:
        InputError: two models were given one name.
    """
    given = Counter(name for name, _ in models if name)
    twice = next((name for name, times in given.items() if times > 1), None)
    if twice is not None:
        raise InputError(f"{given[twice]} models have the name {twice!r}", hint="give each its own name")
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
    """`text` on one line without control characters; of a long one the end, where paths differ."""
    line = without_control(unicodedata.normalize("NFC", text), "?").replace(_SEPARATOR, " - ")
    return line[-MAX_KEY:].strip(" ·") or "model"


def _parts(paths: Sequence[PurePath]) -> list[tuple[str, ...]]:
    """The parts of each path, the last without its suffix unless two models differ only in the suffix."""
    folders = [tuple(part.rstrip("/\\") for part in path.parent.parts) for path in paths]
    if len(paths) > 1 and all(path.anchor for path in paths):
        # A common beginning distinguishes nothing and may be a folder of one build.
        common = sum(1 for _ in takewhile(lambda parts: len(set(parts)) == 1, zip(*folders, strict=False)))
        folders = [folder[common:] for folder in folders]
    stems = [(*folder, path.stem) for folder, path in zip(folders, paths, strict=True)]
    alike = Counter(stems)
    return [(*stem[:-1], path.name) if alike[stem] > 1 else stem for path, stem in zip(paths, stems, strict=True)]


def _shortest(parts: tuple[str, ...], ends: Counter[tuple[str, ...]], taken: set[str]) -> str:
    """The shortest end that no other path or model has; without one the whole path, with a number if needed."""
    keys = [(parts[-length:], clean_key("/".join(parts[-length:]))) for length in range(1, len(parts) + 1)]
    whole = keys[-1][1]
    numbered = (f"{whole[: MAX_KEY - 5]} ({number})" for number in count(2))
    free = [key for end, key in keys if ends[end] == 1] + [whole]
    return next(key for key in chain(free, numbered) if key not in taken)


def _origin(one: GivenModel, path: Path, base: Path) -> PurePath:
    """Where a model is from, without what differs from one checkout or machine to the next."""
    if one.source:
        return PurePosixPath(one.source)
    if _is_shipped(one.file):
        return PurePosixPath(one.file, path.name)
    # Links are not resolved, because a link such as `current` may lead to another folder in the next run.
    absolute, start = (PurePath(os.path.normpath(one.absolute())) for one in (path, base))
    return absolute.relative_to(start) if absolute.is_relative_to(start) else absolute
