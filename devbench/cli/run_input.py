"""From the options of `devbench run` to a plan, with one clear line for each thing that can be wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from devbench import numbers
from devbench.analysis.accuracy import FLOATS, INTEGERS, Thresholds
from devbench.bench.apk import check_plan
from devbench.bench.plan import Limits, OutputCheck, Plan, make_cases
from devbench.bench.refusals import check_compiled
from devbench.bench.stabilise import parse_stabilising
from devbench.cli.output import console
from devbench.errors import InputError
from devbench.models.case_inputs import parse_shapes, plan_inputs
from devbench.models.keys import GivenModel, open_models
from devbench.tool.binaries import Via
from devbench.tool.case import Delegate, Require, ToolOptions
from devbench.tool.delegates import find_delegate, load_delegates
from devbench.tool.flags import parse_extra_flag
from devbench.tool.libraries import check_delegate

_MOST_THREADS = 256


@dataclass(frozen=True, slots=True)
class RunInput:
    """The options as typed.

    Attributes:
        shapes: sets of shapes for inputs; every set is measured.
        base: the folder that paths of models start from, where it is not the current one.
    """

    models: tuple[str | GivenModel, ...]
    delegates: tuple[str, ...] = ()
    threads: str | None = None
    repetitions: int = 5
    profile: bool = True
    cold_starts: int = 1
    num_runs: int = 50
    min_secs: float = 1.0
    max_secs: float = 150.0
    warmup_runs: int = 1
    warmup_min_secs: float = 0.5
    require: str | None = None
    binary: str | None = None
    via: str = "shell"
    tool_flags: tuple[str, ...] = ()
    delegates_file: Path | None = None
    timeout_s: float | None = None
    max_output_mib: int = 64
    precision: str | None = None
    most_repetitions: int = 30
    cool_down_s: float = 120.0
    unreliable_retries: int = 3
    stabilise: tuple[str, ...] = ()
    check_outputs: bool = False
    inputs: tuple[str, ...] = ()
    min_snr_db: float | None = None
    max_steps: int | None = None
    shapes: tuple[tuple[str, ...], ...] = ()
    signatures: tuple[str, ...] = ()
    thresholds: Thresholds | None = None
    base: Path = Path()


def make_plan(given: RunInput) -> Plan:
    """The plan that the options ask for.

    Raises:
        InputError: a model, delegate, thread count, flag or requirement makes no sense.
    """
    known = load_delegates(given.delegates_file)
    names = _words(given.delegates)
    delegates = [find_delegate(name, known) for name in names] if names else _defaults(known)
    for delegate in delegates:
        check_delegate(delegate)
    options = ToolOptions(
        num_runs=given.num_runs,
        min_secs=given.min_secs,
        max_secs=given.max_secs,
        warmup_runs=given.warmup_runs,
        warmup_min_secs=given.warmup_min_secs,
        extra_flags=tuple(parse_extra_flag(text) for text in given.tool_flags),
    )
    models = open_models([GivenModel(one) if isinstance(one, str) else one for one in given.models], given.base)
    shapes = [parse_shapes(one) for one in given.shapes]
    inputs = plan_inputs(models, shapes, given.signatures)
    cases = make_cases(models, delegates, _threads(given.threads), options, _require(given.require), inputs)
    check_compiled(cases)
    limits = Limits(
        repetitions=given.repetitions,
        profile_repetitions=1 if given.profile else 0,
        cold_starts=given.cold_starts,
        repetition_timeout_s=given.timeout_s,
        output_repetitions=1 if given.check_outputs else 0,
        precision_pct=_precision(given.precision),
        most_repetitions=max(given.most_repetitions, given.repetitions),
        cool_down_s=given.cool_down_s,
        unreliable_retries=given.unreliable_retries,
        most_output_bytes=given.max_output_mib << 20,
    )
    plan = Plan(
        cases=cases,
        limits=limits,
        binary_name=given.binary,
        output_check=_output_check(given),
        stabilising=parse_stabilising(given.stabilise),
        via=_via(given.via),
        signatures_chosen=bool(given.signatures),
    )
    if plan.via == "apk":
        check_plan(plan)
    return plan


def _via(text: str) -> Via:
    if text not in ("shell", "apk"):
        raise InputError(f"--via {text!r} is unknown", hint="use shell or apk")
    return "apk" if text == "apk" else "shell"


def _precision(text: str | None) -> float | None:
    if text is None:
        return None
    value = numbers.real(text.removesuffix("%"), minimum=0.01, maximum=100)
    if value is None:
        raise InputError(f"--precision {text!r} is not a share of the latency", hint="for example --precision 2%")
    return value


def _defaults(known: Mapping[str, Delegate]) -> list[Delegate]:
    return [delegate for delegate in known.values() if delegate.default]


def _output_check(given: RunInput) -> OutputCheck | None:
    if not given.check_outputs:
        if given.inputs or given.min_snr_db is not None or given.max_steps is not None:
            raise InputError(
                "--input, --min-snr and --max-steps are for the check of outputs", hint="add --check-outputs"
            )
        return None
    files = {}
    for text in given.inputs:
        name, equals, path = text.rpartition("=")
        if not name or not equals or not path:
            raise InputError(f"--input {text!r} is not NAME=FILE.npy", hint="for example --input image=cat.npy")
        files[name] = Path(path).expanduser()
    thresholds = given.thresholds or Thresholds()
    if given.min_snr_db is not None:
        thresholds = thresholds.changed(FLOATS, least_snr_db=given.min_snr_db)
    if given.max_steps is not None:
        thresholds = thresholds.changed(INTEGERS, most_steps=given.max_steps)
    return OutputCheck(files, thresholds)


def virtual_without_gpu(plan: Plan, devices: Sequence[str], *, chosen: bool) -> Plan:
    """The plan without `gpu` where only virtual devices run, none can do it, and nobody asked for it by name."""
    words = _words(tuple(devices))
    if chosen or not words or not all(word.startswith("virtual") for word in words):
        return plan
    from devbench.virtual.vulkan import vulkan_available

    cases = tuple(case for case in plan.cases if case.delegate.name != "gpu")
    if len(cases) == len(plan.cases) or vulkan_available():
        return plan
    console(stderr=True).print(
        "[dim]gpu is left out: a virtual device needs software Vulkan for it (docs/virtual.md)[/dim]"
    )
    return replace(plan, cases=cases)


# As the column of the store.
_LONGEST_LABEL = 200


def parse_labels(texts: Sequence[str]) -> dict[str, str]:
    """`key=value` texts as a mapping."""
    labels = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key.strip() or not equals:
            raise InputError(f"--label {text!r} is not key=value", hint="for example --label build=1234")
        if len(key.strip()) > _LONGEST_LABEL:
            raise InputError(
                f"--label {text[:40]!r}…: its key is longer than {_LONGEST_LABEL} characters", hint="shorten it"
            )
        labels[key.strip()] = value.strip()
    return labels


def _words(texts: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(part.strip() for text in texts for part in text.split(",") if part.strip()))


def _threads(text: str | None) -> list[int | None]:
    if text is None:
        return [None]
    counts: list[int | None] = []
    for word in _words((text,)):
        count = numbers.whole(word, minimum=1, maximum=_MOST_THREADS)
        if count is None:
            raise InputError(f"--threads {text}: {word!r} is not a number of threads", hint="for example --threads 1,4")
        counts.append(count)
    if not counts:
        raise InputError("--threads is empty", hint="for example --threads 1,4")
    return counts


def _require(text: str | None) -> Require | None:
    if text is None or text == "any":
        return None if text is None else "any"
    if text == "full":
        return "full"
    raise InputError(f"--require {text!r} is unknown", hint="use full or any")
