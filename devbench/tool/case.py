"""A case for the stock tool: a delegate with options; knows no device and no store."""

from __future__ import annotations

import re
from dataclasses import field
from hashlib import sha256
from typing import Annotated, Any, Literal

from devbench.frozen import dataclass
from devbench.host.toml_types import Added, Pattern, ReadBy, Texts, Truth, refuse, within

FLAG_NAME = r"[A-Za-z][A-Za-z0-9_-]{0,80}"
Require = Literal["any", "full"]
Expect = Literal["full", "partial", ""]
Cache = Literal["kept", "fresh"]
Parameter = Literal["accelerator", "library", ""]


def _pairs(value: Any) -> Any:
    if not isinstance(value, dict):
        raise refuse("is not a table", 'for example flags = { use_gpu = "true" }')
    for name, text in value.items():
        if not re.fullmatch(FLAG_NAME, name):
            raise refuse(f"has {name!r}, which is not a flag's name", "without dashes, as in use_gpu")
        if not isinstance(text, (str, int, float)):
            raise refuse(f"has a value of {name} that is neither text nor number", "quote it")
    return tuple((name, str(text).lower() if isinstance(text, bool) else str(text)) for name, text in value.items())


Pairs = Annotated[tuple[tuple[str, str], ...], ReadBy(_pairs)]


@dataclass(frozen=True, slots=True)
class ToolOptions:
    """Options of the stock tool, with the tool's names; `None` leaves the tool's default.

    num_runs is a minimum: `min_secs` adds runs, `max_secs` limits them (separately for warm-up and main phase).
    input_shapes are the requested shapes by input; input_layer and input_layer_shape pass all shapes to the tool.
    signature is set if a model has several. It is passed to the tool if its subgraph, signature_graph, is not the main
    one, 0.
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
    """What a device must have for a delegate; empty fields require nothing.

    Attributes:
        abi, soc: regular expressions that match the device's whole best ABI and whole SoC name, case ignored.
        min_sdk: Android's API level.
        library: paths on the device; one of them must exist.
    """

    abi: Pattern = ""
    soc: Pattern = ""
    min_sdk: Annotated[int | None, within(0, 1000, whole=True)] = None
    library: Texts = ()


@dataclass(frozen=True, slots=True)
class Delegate:
    """A delegate as data: a table of `delegates.toml` (docs/delegates.md).

    Attributes:
        name: its name in commands (`gpu`).
        title: its name in charts and tables ("GPU").
        flags: flag name to value, as given to the TensorFlow Lite tool.
        litert_flags: the same for LiteRT 2's tool; empty if that tool does not have the delegate.
        reported_as: its names in the tool's output (`GPU`, `XNNPACK`), case ignored; empty for the plain CPU, which
            needs no evidence.
        default: a run that names no delegate uses it.
        files: files of this machine that it needs on the device.
        env: environment of the tool's process. Its values and those of flags may contain {cache}, {files}, {model}.
        note: a sentence for people.
        requires: what the device must have.
        expect: how much of a usual graph it runs, if that is known.
        cache: "fresh" if {cache} is emptied before every process, "kept" if the first process fills it.
        parameter: what may follow the name and a colon (`nnapi:google-edgetpu`); it replaces {parameter} in the flags.
        require: "full" fails a job if the delegate runs only part of the graph, "any" accepts a part.
    """

    name: Added[str] = ""
    title: str = ""
    flags: Pairs = ()
    litert_flags: Pairs = ()
    reported_as: Texts = ()
    require: Require = "any"
    default: Truth = False
    files: Texts = ()
    env: Pairs = ()
    note: str = ""
    requires: Requirements = field(default_factory=Requirements)
    expect: Expect = ""
    cache: Cache = "kept"
    parameter: Parameter = ""

    @property
    def folder(self) -> str:
        """The name of its folders on the device, without a colon, which would split LD_LIBRARY_PATH."""
        if re.fullmatch(r"[a-z0-9][a-z0-9._+-]*", self.name):
            return self.name
        return f"{re.sub(r'[^A-Za-z0-9._+-]', '-', self.name)[-60:]}-{sha256(self.name.encode()).hexdigest()[:8]}"

    @property
    def uses_cache(self) -> bool:
        """Whether it keeps files (compiled kernels, packed weights) in a cache folder."""
        return any("{cache}" in value for _, value in (*self.flags, *self.litert_flags, *self.env))


@dataclass(frozen=True, slots=True)
class ToolCase:
    """A delegate and options for one process of the tool."""

    delegate: Delegate
    options: ToolOptions = field(default_factory=ToolOptions)
