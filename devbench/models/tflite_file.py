"""A .tflite file as an input: is it one, what is it called, how many operators has it; knows no device and no tool."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from devbench.errors import InputError
from devbench.host.hashing import sha256_of
from devbench.host.regular import other_than_file
from devbench.models.compiled import Compiled, compiled_model
from devbench.models.graph.tables import IDENTIFIER, count_operators

_SHIPPED = {"demo": "small_unet.tflite"}


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model to be measured.

    Attributes:
        name: its key (`models/keys.py`): what every form calls it, unique in a run.
        operator_count: of the main graph, `None` if it could not be read.
        compiled: for which accelerator, `None` for a model that is not compiled.
    """

    path: Path
    name: str
    sha256: str
    size_bytes: int
    operator_count: int | None
    compiled: Compiled | None = None


def open_model(given: str) -> ModelFile:
    """The model that `given` names: a path, or `demo` for the small U-Net that devbench ships.

    Raises:
        InputError: there is no such file, it cannot be read, or it is not a .tflite.
    """
    return read_model(model_path(given))


def read_model(path: Path) -> ModelFile:
    """The model in a file of `model_path`, under the file's own name.

    Raises:
        InputError: it is gone meanwhile, or cannot be read.
    """
    try:
        return ModelFile(
            path=path,
            name=path.stem,
            sha256=sha256_of(path),
            size_bytes=path.stat().st_size,
            operator_count=count_operators(path),
            compiled=compiled_model(path),
        )
    except OSError as error:
        raise InputError(f"model {path} cannot be read: {error.strerror or error}", hint="check the path") from None


def model_path(given: str) -> Path:
    """The file of the model that `given` names, by its path or as `demo`.

    Raises:
        InputError: as `open_model`.
    """
    path = Path(given).expanduser()
    if is_shipped(given):
        path = Path(__file__).parent / "data" / _SHIPPED[given]
    _check(path, given)
    return path


def is_shipped(given: str) -> bool:
    """Whether `given` names a model that devbench ships: `demo`, unless there is such a file."""
    return given in _SHIPPED and not Path(given).exists()


def _check(path: Path, given: str) -> None:
    try:
        if other := other_than_file(path):
            raise InputError(f"model {given} is {other}", hint="give the .tflite file itself")
        with path.open("rb") as file:
            head = file.read(8)
    except FileNotFoundError:
        raise InputError(
            f"model {given} does not exist", hint="check the path; `demo` is the model that devbench ships"
        ) from None
    except OSError as error:
        raise InputError(f"model {given} cannot be read: {error.strerror or error}") from None
    if head[4:8] != IDENTIFIER:
        what = "is empty" if not head else "is not a TensorFlow Lite model (no TFL3 identifier)"
        raise InputError(
            f"model {given} {what}", hint="give a .tflite file, as the TensorFlow Lite converter writes it"
        )
