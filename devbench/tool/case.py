"""A case as the stock tool sees it: a model under a delegate with options; knows no device and no store."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

Require = Literal["full", "any"]
Expect = Literal["full", "partial", ""]
Cache = Literal["kept", "fresh"]
Parameter = Literal["accelerator", "library", ""]


@dataclass(frozen=True, slots=True)
class ToolOptions:
    """Options of the stock tool, in its own words; `None` leaves the tool's default.

    num_runs is a minimum: `min_secs` adds runs, `max_secs` cuts them (separately for warm-up and main phase).
    input_shapes are those that somebody asked for, by input; the tool is told all of them by input_layer and
    input_layer_shape. signature is named where a model has several; the tool is told it where signature_graph, the
    subgraph that it runs, is not the main one, 0.
    """

    num_threads: int | None = None
    num_runs: int = 50
    min_secs: float = 1.0
    max_secs: float = 150.0
    warmup_runs: int = 1
    warmup_min_secs: float = 0.5
    report_peak_memory: bool = True
    profile: bool = False
    input_layer: str | None = None
    input_layer_shape: str | None = None
    input_layer_value_files: str | None = None
    output_filepath: str | None = None
    input_shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    signature: str | None = None
    signature_graph: int = 0
    extra_flags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a device must have for a delegate; empty fields ask for nothing.

    Attributes:
        abi, soc: regular expressions on the whole of the device's best ABI and of its SoC's name, case ignored.
        min_sdk: Android's API level.
        library: paths on the device of which one must exist.
    """

    abi: str = ""
    soc: str = ""
    min_sdk: int | None = None
    library: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delegate:
    """A delegate as data (a table of `delegates.toml`).

    Attributes:
        name: the user's word for it (`gpu`).
        title: for charts and tables ("GPU").
        flags: flag name to value, as given to the TensorFlow Lite tool.
        litert_flags: the same for LiteRT 2's tool; empty where that tool cannot do it.
        reported_as: names under which the tool reports it (`GPU`, `XNNPACK`); empty for the plain CPU, which needs no
            evidence. Compared without regard to case.
        default: a run that names no delegate takes it.
        files: files of this machine that it needs beside it on the device.
        env: environment of the tool's process. Values of flags and environment may hold {cache}, {files} and {model}.
        note: a sentence for people.
        requires: what the device must have.
        expect: what it takes of a usual graph, as far as that can be said beforehand.
        cache: "fresh" where {cache} is emptied before every process, "kept" where the first process fills it.
        parameter: what may stand behind the name and a colon (`nnapi:google-edgetpu`), for {parameter} in the flags.
        require: "full" fails a job whose graph was only partly taken, "any" accepts a part.
    """

    name: str
    title: str
    flags: tuple[tuple[str, str], ...] = ()
    litert_flags: tuple[tuple[str, str], ...] = ()
    reported_as: tuple[str, ...] = ()
    require: Require = "any"
    default: bool = False
    files: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    note: str = ""
    requires: Requirements = field(default_factory=Requirements)
    expect: Expect = ""
    cache: Cache = "kept"
    parameter: Parameter = ""

    @property
    def folder(self) -> str:
        """A name for its folders on the device; a colon there would split LD_LIBRARY_PATH."""
        if re.fullmatch(r"[a-z0-9][a-z0-9._+-]*", self.name):
            return self.name
        return f"{re.sub(r'[^A-Za-z0-9._+-]', '-', self.name)[-60:]}-{sha256(self.name.encode()).hexdigest()[:8]}"

    @property
    def uses_cache(self) -> bool:
        """Whether it keeps something (compiled kernels, packed weights) in a folder of its own."""
        return any("{cache}" in value for _, value in (*self.flags, *self.litert_flags, *self.env))


@dataclass(frozen=True, slots=True)
class ToolCase:
    """What is asked of one process of the tool."""

    delegate: Delegate
    options: ToolOptions = field(default_factory=ToolOptions)
