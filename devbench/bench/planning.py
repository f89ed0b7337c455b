"""Turns the options of a run into its plan, with one clear line for each possible error.

Knows neither the command line nor the files that options come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from devbench import numbers
from devbench.analysis.accuracy import FLOATS, INTEGERS, Thresholds
from devbench.bench.apk import check_plan
from devbench.bench.lease_keeper import parse_wait
from devbench.bench.plan import Care, Limits, OutputCheck, Plan, make_cases
from devbench.bench.refusals import check_compiled
from devbench.bench.stabilise import parse_stabilising
from devbench.declare import options_of
from devbench.errors import InputError, OptionError
from devbench.models.case_inputs import parse_shapes, plan_inputs
from devbench.models.files import GivenModel, open_models
from devbench.options import MAX_THREADS, RunOptions
from devbench.text import near, parts_of
from devbench.tool.binaries import find
from devbench.tool.case import Delegate, ToolOptions
from devbench.tool.delegates import find_delegate, load_delegates
from devbench.tool.flags import parse_extra_flag
from devbench.tool.libraries import check_delegate

Given = TypeVar("Given", str, tuple[str, ...])
Parsed = TypeVar("Parsed")


def make_plan(
    options: RunOptions,
    *,
    models: Sequence[GivenModel] | None = None,
    base: Path = Path(),
    thresholds: Thresholds | None = None,
) -> Plan:
    """Make the plan from the options.

    Args:
        options: the requested options.
        models: the models to measure instead of those in the options.
        base: the folder that relative paths of models start from.
        thresholds: how far outputs may be off; `min_snr` and `max_steps` of the options override them.

    Raises:
        OptionError: a delegate, thread count, flag, shape or requirement is wrong; names the option.
        InputError: a model cannot be read, or the options do not fit each other.
    """
    check_choices(options)
    delegates = _delegates(options)
    tool = ToolOptions(
        num_runs=options.num_runs,
        min_secs=options.min_secs,
        max_secs=options.max_secs,
        warmup_runs=options.warmup_runs,
        warmup_min_secs=options.warmup_min_secs,
        extra_flags=_each("tool_flag", options.tool_flag, parse_extra_flag),
    )
    opened = open_models([GivenModel(one) for one in options.models] if models is None else models, base)
    shapes = _each("input_shape", options.input_shape, parse_shapes)
    with about("signature" if options.signature else "input_shape"):
        inputs = plan_inputs(opened, shapes, options.signature)
    with about("threads"):
        threads = _threads(options.threads)
    # The choices are the catalogue's.
    cases = make_cases(opened, delegates, threads, tool, options.require, inputs)  # type: ignore[arg-type]
    with about("delegate"):
        check_compiled(cases)
    limits = Limits(
        repetitions=options.repetitions,
        profile_repetitions=1 if options.profile else 0,
        cold_starts=options.cold_starts,
        repetition_timeout_s=options.timeout,
        output_repetitions=1 if options.check_outputs else 0,
        precision_pct=_precision(options.precision),
        max_repetitions=max(options.max_repetitions, options.repetitions),
        cool_down_s=options.cool_down,
        unreliable_retries=options.unreliable_retries,
        max_output_bytes=options.max_output << 20,
    )
    if options.binary is not None:
        with about("binary"):
            find(options.binary)
    with about("stabilise"):
        stabilising = parse_stabilising(options.stabilise)
    with about("reboot"):
        care = Care(parse_wait(options.reboot, "--reboot"), options.charge_to, options.battery_stop)
    plan = Plan(
        cases=cases,
        limits=limits,
        binary_name=options.binary,
        output_check=_output_check(options, thresholds),
        stabilising=stabilising,
        care=care,
        via="apk" if options.via == "apk" else "shell",
        signatures_chosen=bool(options.signature),
    )
    if plan.via == "apk":
        with about("via"):
            check_plan(plan)
    return plan


def check_here(plan: Plan, devices: Sequence[str]) -> None:
    """Check inputs and numbers of virtual devices before a run stores anything.

    Raises:
        OptionError: names the option.
        InputError: a model's outputs cannot be checked.
    """
    from devbench.bench.outputs import checked_inputs
    from devbench.bench.targets import virtual_count

    for word in devices:
        with about("device", word):
            virtual_count(word)
    if plan.output_check is not None:
        for case in {case.called: case for case in plan.cases}.values():
            with about("inputs") if plan.output_check.inputs else nullcontext():
                checked_inputs(case, plan.output_check)


@contextmanager
def about(option: str, value: str = "") -> Iterator[None]:
    """Make errors within the block name the option, and the part of its value that is wrong."""
    try:
        yield
    except OptionError:
        raise
    except InputError as error:
        raise OptionError(error.what, hint=error.hint, option=option, value=value) from None


def _each(option: str, given: Sequence[Given], parse: Callable[[Given], Parsed]) -> tuple[Parsed, ...]:
    """Parse each part of an option's value; an error names the option and the part."""
    found = []
    for one in given:
        with about(option, one if isinstance(one, str) else one[0]):
            found.append(parse(one))
    return tuple(found)


def check_choices(options: object) -> None:
    """Refuse values that are not among an option's choices.

    Raises:
        OptionError: names the option and the word, and suggests the choice that was probably meant.
    """
    for one in options_of(type(options)):
        value = getattr(options, one.name)
        for word in value if isinstance(value, tuple) else (value,):
            if one.choices and word is not None and word not in one.choices:
                hint = near(str(word), one.choices, f"use {' or '.join(one.choices)}")
                raise OptionError(f"{one.shown} {word!r} is unknown", hint=hint, option=one.name, value=str(word))


def _delegates(options: RunOptions) -> list[Delegate]:
    with about("delegates_file"):
        known = load_delegates(options.delegates_file)
    names = parts_of(options.delegate)
    if not names:
        return [delegate for delegate in known.values() if delegate.default]
    found = []
    for name in names:
        with about("delegate", name):
            found.append(find_delegate(name, known))
            check_delegate(found[-1])
    return found


def _precision(text: str | None) -> float | None:
    if text is None:
        return None
    value = numbers.real(text.removesuffix("%"), minimum=0.01, maximum=100)
    if value is None:
        what = f"--precision {text!r} is not a share of the latency"
        raise OptionError(what, hint="for example --precision 2%", option="precision")
    return value


def _output_check(options: RunOptions, thresholds: Thresholds | None) -> OutputCheck | None:
    if not options.check_outputs:
        if options.inputs or options.min_snr is not None or options.max_steps is not None:
            raise InputError(
                "--input, --min-snr and --max-steps are for the check of outputs", hint="add --check-outputs"
            )
        return None
    thresholds = thresholds or Thresholds()
    if options.min_snr is not None:
        thresholds = thresholds.changed(FLOATS, least_snr_db=options.min_snr)
    if options.max_steps is not None:
        thresholds = thresholds.changed(INTEGERS, most_steps=options.max_steps)
    return OutputCheck(dict(_each("inputs", options.inputs, _input)), thresholds)


def _input(text: str) -> tuple[str, Path]:
    name, equals, path = text.rpartition("=")
    if not name or not equals or not path:
        raise InputError(f"--input {text!r} is not NAME=FILE.npy", hint="for example --input image=cat.npy")
    return name, Path(path).expanduser()


def without_gpu(plan: Plan, devices: Sequence[str], *, chosen: bool) -> Plan:
    """Return the plan without the delegate `gpu` if all devices are virtual and this computer cannot run it.

    `chosen`: the user requested the delegates, so none is removed.
    """
    words = parts_of(devices)
    if chosen or not words or not all(word.startswith("virtual") for word in words):
        return plan
    from devbench.virtual.vulkan import vulkan_available

    cases = tuple(case for case in plan.cases if case.delegate.name != "gpu")
    if len(cases) == len(plan.cases) or vulkan_available():
        return plan
    return replace(plan, cases=cases)


# The column for a label's key in the store has this length.
MAX_LABEL = 200


def parse_labels(texts: Sequence[str]) -> dict[str, str]:
    """Parse `key=value` texts into a mapping."""
    labels = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key.strip() or not equals:
            raise InputError(f"--label {text!r} is not key=value", hint="for example --label build=1234")
        if len(key.strip()) > MAX_LABEL:
            raise InputError(
                f"--label {text[:40]!r}…: its key is longer than {MAX_LABEL} characters", hint="shorten it"
            )
        labels[key.strip()] = value.strip()
    return labels


def _threads(text: str | None) -> list[int | None]:
    if text is None:
        return [None]
    counts: list[int | None] = []
    for word in parts_of((text,)):
        count = numbers.whole(word, minimum=1, maximum=MAX_THREADS)
        if count is None:
            raise InputError(f"--threads {text}: {word!r} is not a number of threads", hint="for example --threads 1,4")
        counts.append(count)
    if not counts:
        raise InputError("--threads is empty", hint="for example --threads 1,4")
    return counts
