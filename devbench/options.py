"""The catalogue of options: each is declared once, as a field of `RunOptions` or `NightlyOptions`.

The command line, the keys of suites and their JSON Schema, and what a pipeline takes are made from these declarations.
Knows nothing of Typer, of TOML, and of what an option does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from devbench.declare import File, option

_DAY_S = 86_400.0
MAX_THREADS = 256
_HOW_OFTEN, _STATE, _CHECKS, _MODEL = "How often", "The device's state", "Checks", "The model"
_TOOL, _PIPELINES, _RESULTS = "The tool", "Pipelines", "Results"
_BOTH: tuple[File, ...] = ("suite", "pipeline")
_AGAIN = "may be given again"
Residency = Literal["resident", "sequential", "pipelined"]
RESIDENCIES: tuple[Residency, ...] = ("resident", "sequential", "pipelined")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of `devbench run`; other commands take some of them."""

    models: tuple[str, ...] = option(
        (), argument=True, text="The .tflite files; `demo` is the small U-Net devbench ships."
    )
    suite: Path | None = option(
        None, "--suite", text="A TOML file that says what to measure (docs/suites.md).", beside=("suite",)
    )
    pipeline: Path | None = option(
        None, "--pipeline", text="A TOML file with stages to run as one (docs/pipelines.md).", beside=("pipeline",)
    )
    device: tuple[str, ...] = option(
        (),
        "--device",
        "-d",
        text="Serial, hardware serial, tag, or part of the title; host:port; tag:NAME for all devices "
        f"with that tag; `virtual`, `virtual:N` or `all`; {_AGAIN}. Default: the only device.",
        key="devices",
        file_text="serials, host:port, tag:NAME, all, virtual, virtual:N",
        beside=_BOTH,
    )
    delegate: tuple[str, ...] = option(
        (),
        "--delegate",
        "-D",
        text="Delegates, with commas or given again. Default: cpu, xnnpack, gpu; `devbench delegates` lists all.",
        key="delegates",
        file_text="names from `devbench delegates`",
        beside=("pipeline",),
    )
    threads: str | None = option(
        None,
        "--threads",
        "-t",
        text="CPU threads, several as 1,2,4. Default: the tool's own.",
        key="threads",
        kind="numbers",
        file_text="numbers of CPU threads",
        minimum=1,
        maximum=MAX_THREADS,
        beside=("pipeline",),
    )
    repetitions: int = option(
        5,
        "--repetitions",
        "-r",
        text="Processes per job that measure latency.",
        panel=_HOW_OFTEN,
        minimum=1,
        maximum=1000,
        key="repetitions",
        beside=("pipeline",),
        pipeline=3,
    )
    precision: str | None = option(
        None,
        text="Add processes until half the interval of the median is within this, such as 2%.",
        panel=_HOW_OFTEN,
        key="precision",
    )
    max_repetitions: int = option(
        30,
        text="Most repetitions per job with --precision.",
        panel=_HOW_OFTEN,
        minimum=1,
        maximum=1000,
        key="max_repetitions",
        file_text="most repetitions per job with precision",
    )
    cool_down: float = option(
        120.0,
        text="Seconds to wait at most for a device that throttles; 0 does not wait.",
        panel=_STATE,
        minimum=0.0,
        maximum=_DAY_S,
        key="cool_down",
        table="conditions",
        beside=("pipeline",),
    )
    unreliable_retries: int = option(
        3,
        text="Extra attempts per job to replace unreliable repetitions.",
        panel=_HOW_OFTEN,
        minimum=0,
        maximum=100,
        key="unreliable_retries",
        table="conditions",
        pipeline=0,
    )
    stabilise: tuple[str, ...] = option(
        (),
        text="Steps undone afterwards: awake, screen-off, screen-on, airplane, performance, background, "
        "affinity=CPUS, governor=NAME, clock=PERCENT.",
        panel=_STATE,
        key="stabilise",
        table="conditions",
        beside=("pipeline",),
    )
    num_runs: int = option(
        50,
        text="Inferences per process, at least.",
        panel=_HOW_OFTEN,
        minimum=1,
        maximum=1_000_000,
        key="num_runs",
        beside=("pipeline",),
        pipeline=10,
    )
    min_secs: float = option(
        1.0,
        text="Seconds of inferences per process, at least.",
        panel=_HOW_OFTEN,
        minimum=0.0,
        maximum=_DAY_S,
        key="min_secs",
        pipeline=0.0,
    )
    max_secs: float = option(
        150.0,
        text="Seconds after which a phase starts no inference.",
        panel=_HOW_OFTEN,
        minimum=0.001,
        maximum=_DAY_S,
        key="max_secs",
        beside=("pipeline",),
        pipeline=15.0,
    )
    warmup_runs: int = option(
        1,
        text="Warm-up inferences per process, at least.",
        panel=_HOW_OFTEN,
        minimum=0,
        maximum=1_000_000,
        key="warmup_runs",
        pipeline=1,
    )
    warmup_min_secs: float = option(
        0.5,
        text="Seconds of warm-up per process, at least.",
        panel=_HOW_OFTEN,
        minimum=0.0,
        maximum=_DAY_S,
        key="warmup_min_secs",
        pipeline=0.0,
    )
    profile: bool = option(
        True,
        text="One more process per job for operators and memory; its latency is not used.",
        panel=_HOW_OFTEN,
        key="profile",
        pipeline=False,
    )
    cold_starts: int = option(
        1,
        text="Processes per job that start with empty caches, if root or the delegate allows it.",
        panel=_HOW_OFTEN,
        minimum=0,
        maximum=100,
        key="cold_starts",
        pipeline=0,
    )
    check_outputs: bool = option(
        False,
        "--check-outputs",
        text="First compare each delegate's outputs with this machine's CPU.",
        panel=_CHECKS,
        key="check_outputs",
    )
    inputs: tuple[str, ...] = option(
        (),
        "--input",
        text=f"An input for that check, as NAME=FILE.npy; {_AGAIN}. Default: generated.",
        panel=_CHECKS,
        key="inputs",
        kind="files",
        file_text="for that check: name of an input = .npy file, relative to the suite",
    )
    input_shape: tuple[tuple[str, ...], ...] = option(
        (),
        text="The shape of an input with open dimensions, as image=1x224x224x3; without NAME= for a model with one "
        "input. May be given again for other inputs.",
        panel=_MODEL,
        metavar="NAME=SHAPE",
        key="shapes",
        kind="shapes",
        file_text="shapes of open inputs, each measured: 1x224x224x3, NAME=1x16, or a list of these",
    )
    signature: tuple[str, ...] = option(
        (),
        text=f"Which signature of the model to measure; {_AGAIN}. Default: that of the main graph.",
        panel=_MODEL,
        metavar="NAME|all",
        key="signatures",
        file_text="which signatures to measure, or all",
    )
    min_snr: float | None = option(
        None,
        text="Least signal to noise ratio of float outputs in dB. Default: 20.",
        panel=_CHECKS,
        minimum=-1000.0,
        maximum=1000.0,
        key="min_snr",
    )
    max_steps: int | None = option(
        None,
        text="Largest difference of integer outputs. Default: 3 for 8 bits, else 0.",
        panel=_CHECKS,
        minimum=0,
        maximum=2**32,
        key="max_steps",
    )
    require: str | None = option(
        None,
        text="`full` fails a job whose graph is only partly on the delegate, `any` does not.",
        panel=_CHECKS,
        choices=("full", "any"),
        key="require",
        beside=("pipeline",),
    )
    binary: str | None = option(
        None,
        text="Name, file or hash of the benchmark_model to use. Default: by the device's ABI.",
        panel=_TOOL,
        key="binary",
        file_text="name, hash or file (also relative to the suite) of the benchmark_model",
        beside=("pipeline",),
    )
    via: str = option(
        "shell",
        text="`shell` runs the binary; `apk` Google's benchmark app, as an app would run the model (docs/apk.md).",
        panel=_TOOL,
        choices=("shell", "apk"),
        key="via",
    )
    tool_flag: tuple[str, ...] = option(
        (),
        text=f"A further flag for the tool, as name=value; {_AGAIN}.",
        panel=_TOOL,
        key="tool_flags",
        file_text="further flags for the tool, name=value",
        beside=("pipeline",),
    )
    delegates_file: Path | None = option(
        None,
        text="A TOML file with delegates of your own.",
        panel=_TOOL,
        key="delegates_file",
        file_text="a file with delegates of your own, relative to the suite",
        beside=("pipeline",),
    )
    timeout: float | None = option(
        None,
        text="Deadline of one process in seconds. Default: from --max-secs.",
        panel=_HOW_OFTEN,
        minimum=1.0,
        maximum=7 * _DAY_S,
        key="timeout",
        beside=("pipeline",),
    )
    # `devbench parse` reads no more either.
    max_output: int = option(
        64,
        text="MiB of output after which a process of the tool is ended.",
        panel=_HOW_OFTEN,
        minimum=1,
        maximum=256,
        key="max_output",
        beside=("pipeline",),
    )
    steps: int | None = option(
        None, text="Steps, in place of the file's.", panel=_PIPELINES, minimum=1, maximum=10_000, only_pipeline=True,
        beside=("pipeline",),
    )  # fmt: skip
    guidance: bool | None = option(
        None, "--guidance/--no-guidance", text="Two passes a step or one, in place of the file's.", panel=_PIPELINES,
        only_pipeline=True, beside=("pipeline",),
    )  # fmt: skip
    residency: tuple[str, ...] = option(
        (), text="resident, sequential, pipelined; with commas or given again. Default: the file's.",
        choices=RESIDENCIES,
        panel=_PIPELINES, only_pipeline=True, beside=("pipeline",),
    )  # fmt: skip
    wait: str | None = option(
        None,
        text="Wait up to this long for a device that another run has, such as 90s, 10m or 2h. Default: do not.",
        panel=_STATE,
        metavar="TIME",
        beside=_BOTH,
    )
    resume: str | None = option(
        None,
        text="Go on with a run that was interrupted or died, with the same options: what it has is not measured again.",
        panel=_HOW_OFTEN,
        metavar="RUN",
        beside=("suite",),
    )
    label: tuple[str, ...] = option(
        (),
        text=f"Kept with the run, as key=value; {_AGAIN}. CI systems' branch, commit and build are, too.",
        panel=_RESULTS,
        key="labels",
        kind="table",
        file_text="kept with each run, key = value",
        beside=_BOTH,
    )
    json_file: Path | None = option(
        None, "--json", text="Write everything measured to this file.", panel=_RESULTS, beside=_BOTH
    )
    csv_file: Path | None = option(
        None, "--csv", text="Write one row per repetition to this file.", panel=_RESULTS, beside=("suite",)
    )
    report: bool = option(True, text="Write the HTML and Markdown report.", panel=_RESULTS, beside=_BOTH)
    out: Path | None = option(None, text="Folder of the report. Default: reports/RUN.", panel=_RESULTS, beside=_BOTH)
    open_page: bool = option(False, "--open", text="Open the report in your browser.", panel=_RESULTS, beside=_BOTH)
    store_url: str | None = option(None, "--store", text="URL of the results store.", panel=_RESULTS, beside=_BOTH)
    fault: str = option("", text="How virtual devices misbehave, for tests.", hidden=True, beside=_BOTH)
    quiet: bool = option(False, "--quiet", "-q", text="No progress, only the result.", panel=_RESULTS, beside=_BOTH)


@dataclass(frozen=True, slots=True)
class NightlyOptions:
    """What `devbench nightly` takes besides options of `devbench run`; those with a key are keys of `[nightly]`."""

    force: bool = option(False, "--force", text="Measure also what was measured tonight, as a further night.")
    wait: float = option(
        0.0, text="Wait up to this long for another nightly to end.", minimum=0.0, maximum=7 * _DAY_S, metavar="SECONDS"
    )
    period: str | None = option(
        None, text="How often it is due: night (noon to noon), or a time such as 12h or 7d.", key="period"
    )
    baseline_nights: int | None = option(
        None,
        text="Number of latest nightly runs to compare with. Default: 7.",
        minimum=0,
        maximum=1000,
        key="baseline_nights",
    )
    baseline: str | None = option(
        None, text="Compare with these runs instead: an id, key=value, a date or FROM..TO.", key="baseline"
    )
    unreliable: str | None = option(
        None,
        text="If all repetitions of a side are unreliable: no verdict (default), or count them as reliable.",
        metavar="undecided|count",
        choices=("undecided", "count"),
        key="unreliable",
    )
    reports: Path | None = option(
        None, text="Folder of the reports. Default: reports.", key="reports",
        file_text="folder of the reports, relative to the suite",
    )  # fmt: skip
    junit: Path | None = option(
        None, text="A further copy of the JUnit XML.", key="junit",
        file_text="a further copy of the JUnit XML, relative to the suite",
    )  # fmt: skip
    device_wait: str | None = option(
        None,
        text="Wait up to this long for a device that another run has. Default: 10m.",
        metavar="TIME",
        key="device_wait",
    )
    keep_raw_days: int | None = option(
        None,
        text="At the end, delete raw outputs that are older than this number of days.",
        minimum=0,
        maximum=36_500,
        key="keep_raw_days",
    )
    webhook: str = option(
        "",
        text="Post the result there, as Slack takes it. A secret: better in the environment.",
        envvar="DEVBENCH_WEBHOOK",
        metavar="URL",
    )
